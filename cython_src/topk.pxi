# Exact top-k: rows of queries into tasks; of few queries, ranges of keys.

cdef struct TopkPlan:
    qe_topk_task task
    const qe_variant *variant
    ptrdiff_t m
    ptrdiff_t task_rows
    ptrdiff_t ranges
    ptrdiff_t range_keys
    int odd[16]


cdef const char *topk_task(TopkPlan *plan, ptrdiff_t number, float *scratch) noexcept nogil:
    cdef qe_topk_task task = plan.task
    cdef ptrdiff_t row, key
    if plan.ranges > 1:
        key = number * plan.range_keys
        task.rows, task.first_key, task.n_k = plan.m, key, min(plan.range_keys, plan.task.n_k - key)
        task.k = task.k + key * task.d
        task.scores = task.scores + number * plan.m * task.top
        task.indices = task.indices + number * plan.m * task.top
        task.odd = &plan.odd[number]
    else:
        row = number * plan.task_rows
        task.rows = min(plan.task_rows, plan.m - row)
        task.q = task.q + row * task.d
        task.scores = task.scores + row * task.top
        task.indices = task.indices + row * task.top
        task.odd = &plan.odd[0]
    task.scratch = scratch
    return plan.variant.topk(&task)


def few_queries(str variant not None):
    """Return up to how many queries keys stream by once, row by row, instead of in tiles."""
    return find(variant).few_queries


def topk_similarity(
    str variant not None,
    const float[:, ::1] queries not None,
    const float[:, ::1] keys not None,
    ptrdiff_t num_threads,
    float[:, ::1] scores not None,
    int64_t[:, ::1] indices not None,
):
    """Fill *scores* and *indices* (m, k) with the k best keys of each query, 1 <= k <= n.

    Returns whether a score of few queries was NaN or infinite, so that no pass over the keys is needed to know that
    none was; False for more queries. Raises ValueError where shapes do not fit.
    """
    global ran_last
    cdef TopkPlan plan
    cdef ptrdiff_t m = queries.shape[0], n = keys.shape[0], d = queries.shape[1], top = scores.shape[1]
    cdef ptrdiff_t tasks, number
    cdef int threads, i
    cdef Scratch scratch
    cdef float *part_scores = NULL
    cdef int64_t *part_indices = NULL
    cdef const char *ran = NULL
    cdef bint odd = False
    if keys.shape[1] != d or scores.shape[0] != m or indices.shape[0] != m or indices.shape[1] != top or top > n:
        raise ValueError("shapes of queries, keys, scores and indices do not fit")
    if m == 0 or top == 0:
        return False
    memset(&plan, 0, sizeof(plan))
    plan.variant = find(variant)
    plan.task.q = &queries[0, 0] if d else NULL
    plan.task.k = &keys[0, 0] if d else NULL
    plan.task.n_k, plan.task.d, plan.task.top = n, d, top
    plan.task.block = key_block(plan.variant, n)
    plan.task.few = m <= plan.variant.few_queries
    plan.task.scores = &scores[0, 0]
    plan.task.indices = &indices[0, 0]
    plan.m = m
    plan.ranges = min(key_ranges(m, n, plan.variant.tile_queries), max(1, n // max(RANGE_KEYS, top)))
    if plan.ranges > 1:
        plan.range_keys = (n + plan.ranges - 1) // plan.ranges
        # The last range must hold enough keys to fill its rows.
        while plan.ranges > 1 and n - (plan.ranges - 1) * plan.range_keys < top:
            plan.ranges -= 1
            plan.range_keys = (n + plan.ranges - 1) // plan.ranges
    plan.task_rows = m
    tasks = plan.ranges
    if plan.ranges == 1:
        plan.task_rows = rows_per_task(m, 1, num_threads, plan.variant.lanes)
        tasks = (m + plan.task_rows - 1) // plan.task_rows
    threads = limit_threads(num_threads, tasks)
    plan.task.rows = min(m, plan.task_rows)
    scratch = Scratch(plan.variant.topk_scratch(&plan.task), threads)
    try:
        if plan.ranges > 1:
            part_scores = <float *>PyMem_RawMalloc(plan.ranges * m * top * sizeof(float))
            part_indices = <int64_t *>PyMem_RawMalloc(plan.ranges * m * top * sizeof(int64_t))
            if part_scores is NULL or part_indices is NULL:
                raise MemoryError("partial results of the top-k core")
            plan.task.scores, plan.task.indices = part_scores, part_indices
        with nogil:
            if threads == 1:
                for number in range(tasks):
                    ran = topk_task(&plan, number, scratch.piece(0))
            else:
                for number in prange(tasks, num_threads=threads, schedule="dynamic", chunksize=1):
                    ran = topk_task(&plan, number, scratch.piece(threadid()))
            if plan.ranges > 1:
                plan.variant.topk_merge(part_scores, part_indices, plan.ranges, m, top, &scores[0, 0], &indices[0, 0])
    finally:
        PyMem_RawFree(part_scores)
        PyMem_RawFree(part_indices)
    for i in range(16):
        odd = odd or plan.odd[i]
    ran_last = ran
    return odd
