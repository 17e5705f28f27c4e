# Attention: operands of any leading shape and row stride, cut into tasks; see flash_attention.

cdef enum:
    MOST_DIMENSIONS = 64
    # Rows of a task: enough to spread the copy of a block's values (GFLOP/s of one Zen 3 core, geometric mean of ten
    # shapes: 48 rows 83, 96 rows 86, 192 rows 87, 384 rows 87.5, 768 rows 87.6), few enough to balance threads.
    TASK_ROWS = 384
    LEAST_TASK_ROWS = 96
    # Keys from which those of few queries are cut into ranges, and the least that a range is worth.
    SPLIT_KEYS = 4096
    RANGE_KEYS = 1024


cdef long CACHE_1 = qe_cache_bytes(1)
cdef float NO_KEY = -float("inf")
cdef char OWN_ORDER = b"<" if byteorder == "little" else b">"


cdef struct Operand:
    Py_buffer view
    bint held


cdef inline bint holds(const Py_buffer *view, char code) noexcept:
    """Tell whether elements are of one type in the order of bytes here, said or not."""
    cdef const char *format = view.format
    if format is not NULL and (format[0] == b"=" or format[0] == OWN_ORDER):
        format += 1
    return format is not NULL and format[0] == code and format[1] == 0


cdef int take(Operand *operand, object array, const char *name, char code, int least, int flags) except -1:
    """Hold the buffer of an aligned array of one dtype."""
    cdef Py_buffer *view = &operand.view
    cdef int i
    PyObject_GetBuffer(array, view, PyBUF_STRIDES | PyBUF_FORMAT | flags)
    operand.held = True
    if not holds(view, code):
        raise ValueError(f"{name.decode()} has another dtype than expected")
    if view.ndim < least or view.ndim > MOST_DIMENSIONS:
        raise ValueError(f"{name.decode()} has {view.ndim} dimensions")
    if <uintptr_t>view.buf % <uintptr_t>view.itemsize:
        raise ValueError(f"{name.decode()} is not aligned")
    for i in range(view.ndim):
        if view.strides[i] % view.itemsize:
            raise ValueError(f"{name.decode()} is not aligned")
    return 0


cdef int take_rows(Operand *operand, object array, const char *name, int flags) except -1:
    """The same of 2 or more dimensions, the elements of a row adjacent."""
    take(operand, array, name, b"f", 2, flags)
    cdef Py_buffer *view = &operand.view
    if view.shape[view.ndim - 1] > 1 and view.strides[view.ndim - 1] != view.itemsize:
        raise ValueError(f"elements of a row of {name.decode()} are not adjacent")
    return 0


cdef inline ptrdiff_t row_step(const Py_buffer *view) noexcept:
    # A single row's stride may be anything; nothing is read by it.
    return view.strides[view.ndim - 2] // view.itemsize if view.shape[view.ndim - 2] > 1 else 0


cdef ptrdiff_t entry_offset(const Py_buffer *view, const Py_buffer *out, ptrdiff_t entry) noexcept nogil:
    """Byte offset of the matrix that batch entry *entry* of *out* reads, leading dimensions broadcast."""
    cdef ptrdiff_t offset = 0
    cdef int lead = out.ndim - 2, i, at
    for i in range(lead - 1, -1, -1):
        at = i - (out.ndim - view.ndim)
        if at >= 0 and view.shape[at] > 1:
            offset += (entry % out.shape[i]) * view.strides[at]
        entry //= out.shape[i]
    return offset


cdef int check_lead(const Py_buffer *view, const Py_buffer *out, const char *name) except -1:
    cdef int i, at
    for i in range(out.ndim - 2):
        at = i - (out.ndim - view.ndim)
        if at >= 0 and view.shape[at] != 1 and view.shape[at] != out.shape[i]:
            raise ValueError(f"leading dimensions of {name.decode()} and out do not fit")
    if view.ndim > out.ndim:
        raise ValueError(f"{name.decode()} has more dimensions than out")
    return 0


cdef struct Part:
    # A task, and what it costs for handing out the longest first; or what is to be merged from so many ranges.
    qe_attention_task task
    double cost
    ptrdiff_t number
    ptrdiff_t ranges


cdef int longest_first(const void *left, const void *right) noexcept nogil:
    cdef const Part *a = <const Part *>left
    cdef const Part *b = <const Part *>right
    if a.cost != b.cost:
        return -1 if a.cost > b.cost else 1
    return -1 if a.number < b.number else 1


cdef ptrdiff_t key_block(const qe_variant *variant, ptrdiff_t n_k) noexcept:
    """Keys whose scores are held at once: they and one cache line of each value fill 5/8 of the first-level cache.

    On Zen 3 (32 KiB) that is 128 keys; 48, 64 and 96 are 2, 1 and 0.5 % slower, 160 is no faster. All blocks are
    about equal, so that none is short.
    """
    cdef ptrdiff_t cache = CACHE_1 if CACHE_1 > 0 else 32 * 1024
    cdef ptrdiff_t block = max(32, cache * 5 // 8 // (4 * variant.tile_queries + 64) // 8 * 8)
    cdef ptrdiff_t blocks = max(1, (n_k + block - 1) // block)
    return max(1, (n_k + blocks - 1) // blocks)


cdef ptrdiff_t rows_per_task(ptrdiff_t n_q, ptrdiff_t others, ptrdiff_t threads, ptrdiff_t lanes) noexcept:
    """Rows of a task, in whole vectors: at most TASK_ROWS, and at least two tasks for every thread where rows allow.

    Whole tiles would be less even: 512 rows for two threads as 144, 144, 144 and 80 took 8 % longer than as 4 x 128.
    """
    cdef ptrdiff_t cuts = (n_q + TASK_ROWS - 1) // TASK_ROWS
    while threads > 1 and cuts * others < 2 * threads and n_q // (cuts + 1) >= LEAST_TASK_ROWS:
        cuts += 1
    return ((n_q + cuts - 1) // cuts + lanes - 1) // lanes * lanes


cdef ptrdiff_t key_ranges(ptrdiff_t n_q, ptrdiff_t n_k, ptrdiff_t tile) noexcept:
    """Ranges that the keys of few queries are cut into: by the shape alone, so that threads change no bit."""
    return 1 if n_q > tile or n_k < SPLIT_KEYS else min(<ptrdiff_t>QE_MOST_PARTS, n_k // RANGE_KEYS)


cdef struct AttentionPlan:
    qe_attention_task task
    const qe_variant *variant
    bint causal
    ptrdiff_t threads
    ptrdiff_t query_chunk
    ptrdiff_t key_chunk
    ptrdiff_t others
    # What planning fills; NULL while it only counts.
    Part *tasks
    Part *merges
    float *partial
    ptrdiff_t task_count
    ptrdiff_t merge_count
    ptrdiff_t partial_floats
    ptrdiff_t scratch_floats


cdef void plan_matrix(AttentionPlan *plan, qe_attention_task task, ptrdiff_t n_q, ptrdiff_t n_k) noexcept:
    """Cut one (batch entry, sequence) into tasks: ranges of rows, and of keys where the queries are few."""
    cdef ptrdiff_t tile = plan.variant.tile_queries, ranges, row, key, number, rows, keys, width = task.d_v + 2
    cdef qe_attention_task here
    cdef Part *place
    cdef ptrdiff_t i
    if n_q == 0:
        return
    if n_k == 0:
        if plan.tasks is not NULL:
            for i in range(n_q):
                memset(task.out + i * task.out_step, 0, <size_t>task.d_v * sizeof(float))
                task.lse[i] = NO_KEY
        return
    task.few = n_q <= plan.variant.few_queries
    task.block = min(plan.key_chunk, n_k) if plan.key_chunk else key_block(plan.variant, n_k)
    rows = min(plan.query_chunk, n_q) if plan.query_chunk else rows_per_task(n_q, plan.others, plan.threads, plan.variant.lanes)
    ranges = key_ranges(n_q, n_k, tile)
    keys = (n_k + ranges - 1) // ranges
    for row in range(0, n_q, rows):
        for number in range(ranges):
            key = number * keys
            here = task
            here.rows = min(rows, n_q - row)
            here.n_k = min(keys, n_k - key)
            here.q = task.q + row * task.q_step
            here.k = task.k + key * task.k_step
            here.v = task.v + key * task.v_step
            if task.allowed is not NULL:
                here.allowed = task.allowed + row * task.mask_row + key * task.mask_column
            if task.bias is not NULL:
                here.bias = task.bias + row * task.mask_row + key * task.mask_column
            here.visible = row - key + 1 if plan.causal else QE_SEES_ALL
            here.out = task.out + row * task.out_step
            here.lse = task.lse + row
            if ranges > 1:
                # Part after part, each of all rows.
                here.partial = plan.partial + plan.partial_floats + (number * n_q + row) * width
            plan.scratch_floats = max(plan.scratch_floats, plan.variant.attention_scratch(&here))
            if plan.tasks is not NULL:
                place = plan.tasks + plan.task_count
                place.task = here
                place.number = plan.task_count
                place.cost = <double>here.rows * min(here.n_k, max(0, here.visible + here.rows))
            plan.task_count += 1
    if ranges > 1:
        if plan.merges is not NULL:
            place = plan.merges + plan.merge_count
            place.task = task
            place.task.rows = n_q
            place.task.partial = plan.partial + plan.partial_floats
            place.ranges = ranges
        plan.merge_count += 1
        plan.partial_floats += ranges * n_q * width


cdef void plan_all(
    AttentionPlan *plan, Operand *operands, bint has_mask, ptrdiff_t entries, ptrdiff_t sequences,
    const int64_t *cu_q, const int64_t *cu_k
) noexcept:
    """Cut all batch entries and sequences into tasks."""
    cdef const Py_buffer *out = &operands[3].view
    cdef qe_attention_task entry_task, task
    cdef ptrdiff_t entry, sequence, offset
    plan.task_count = plan.merge_count = plan.partial_floats = plan.scratch_floats = 0
    for entry in range(entries):
        entry_task = plan.task
        entry_task.q = <const float *>(<const char *>operands[0].view.buf + entry_offset(&operands[0].view, out, entry))
        entry_task.k = <const float *>(<const char *>operands[1].view.buf + entry_offset(&operands[1].view, out, entry))
        entry_task.v = <const float *>(<const char *>operands[2].view.buf + entry_offset(&operands[2].view, out, entry))
        entry_task.out = <float *>(<char *>out.buf + entry_offset(out, out, entry))
        entry_task.lse = <float *>operands[4].view.buf + entry * out.shape[out.ndim - 2]
        if has_mask:
            offset = entry_offset(&operands[5].view, out, entry)
            if operands[5].view.itemsize == 1:
                entry_task.allowed = <const unsigned char *>operands[5].view.buf + offset
            else:
                entry_task.bias = <const float *>(<const char *>operands[5].view.buf + offset)
        for sequence in range(sequences):
            task = entry_task
            task.q = task.q + cu_q[sequence] * task.q_step
            task.k = task.k + cu_k[sequence] * task.k_step
            task.v = task.v + cu_k[sequence] * task.v_step
            task.out = task.out + cu_q[sequence] * task.out_step
            task.lse = task.lse + cu_q[sequence]
            offset = cu_q[sequence] * task.mask_row + cu_k[sequence] * task.mask_column
            if task.allowed is not NULL:
                task.allowed = task.allowed + offset
            if task.bias is not NULL:
                task.bias = task.bias + offset
            plan_matrix(plan, task, cu_q[sequence + 1] - cu_q[sequence], cu_k[sequence + 1] - cu_k[sequence])


cdef int check_shapes(Operand *operands, bint has_mask) except -1:
    cdef const Py_buffer *q = &operands[0].view
    cdef const Py_buffer *k = &operands[1].view
    cdef const Py_buffer *v = &operands[2].view
    cdef const Py_buffer *out = &operands[3].view
    cdef const Py_buffer *lse = &operands[4].view
    cdef const Py_buffer *mask = &operands[5].view
    cdef Py_ssize_t n_q = out.shape[out.ndim - 2], n_k = k.shape[k.ndim - 2]
    cdef Py_ssize_t step = lse.itemsize
    cdef int i
    if (
        q.shape[q.ndim - 2] != n_q
        or k.shape[k.ndim - 1] != q.shape[q.ndim - 1]
        or v.shape[v.ndim - 2] != n_k
        or v.shape[v.ndim - 1] != out.shape[out.ndim - 1]
    ):
        raise ValueError("shapes of q, k, v and out do not fit")
    check_lead(q, out, b"q")
    check_lead(k, out, b"k")
    check_lead(v, out, b"v")
    if lse.ndim != out.ndim - 1:
        raise ValueError("shapes of lse and out do not fit")
    for i in range(lse.ndim - 1, -1, -1):
        if lse.shape[i] != out.shape[i] or (lse.shape[i] > 1 and lse.strides[i] != step):
            raise ValueError("lse does not fit or is not contiguous")
        step *= lse.shape[i]
    if has_mask:
        check_lead(mask, out, b"mask")
        if mask.shape[mask.ndim - 2] not in (1, n_q) or mask.shape[mask.ndim - 1] not in (1, n_k):
            raise ValueError("shape of the mask does not fit")
    return 0


cdef int check_bounds(const int64_t[::1] bounds, ptrdiff_t rows) except -1:
    cdef ptrdiff_t i
    if bounds.shape[0] < 2 or bounds[0] != 0 or bounds[bounds.shape[0] - 1] != rows:
        raise ValueError("bounds of sequences must go from 0 to the number of rows")
    for i in range(bounds.shape[0] - 1):
        if bounds[i] > bounds[i + 1]:
            raise ValueError("bounds of sequences must ascend")
    return 0


def flash_attention(
    str variant not None,
    object q,
    object k,
    object v,
    object mask,
    bint causal,
    double scale,
    bint bfloat16,
    ptrdiff_t num_threads,
    ptrdiff_t query_chunk,
    ptrdiff_t key_chunk,
    const int64_t[::1] cu_q,
    const int64_t[::1] cu_k,
    object out,
    object lse,
):
    """Fill *out* (..., n_q, d_v) and *lse* (..., n_q); return the threads used and the bytes of scratch memory.

    q, k, v and mask broadcast to the leading dimensions of *out*. A mask is bool or float32 of 2 or more dimensions.
    *cu_q* and *cu_k*, both or neither, are the bounds of sequences among the rows of q and of k. A chunk of 0 is
    chosen here. Raises ValueError where shapes, dtypes or strides do not fit.
    """
    global ran_last
    cdef AttentionPlan plan
    cdef Operand operands[6]
    cdef const Py_buffer *view
    cdef int64_t whole_q[2]
    cdef int64_t whole_k[2]
    cdef const int64_t *bounds_q = whole_q
    cdef const int64_t *bounds_k = whole_k
    cdef ptrdiff_t entries = 1, sequences = 1, number, n_q, n_k, allocated = 0
    cdef int i, threads = 1
    cdef Scratch scratch
    cdef const char *ran = NULL
    cdef bint has_mask = mask is not None
    memset(operands, 0, sizeof(operands))
    memset(&plan, 0, sizeof(plan))
    if num_threads < 1 or query_chunk < 0 or key_chunk < 0:
        raise ValueError("num_threads is at least 1, chunks at least 0")
    if (cu_q is None) != (cu_k is None):
        raise ValueError("cu_q and cu_k go together")
    plan.variant = find(variant)
    try:
        take_rows(&operands[0], q, b"q", 0)
        take_rows(&operands[1], k, b"k", 0)
        take_rows(&operands[2], v, b"v", 0)
        take_rows(&operands[3], out, b"out", PyBUF_WRITABLE)
        take(&operands[4], lse, b"lse", b"f", 1, PyBUF_WRITABLE)
        if has_mask:
            take(&operands[5], mask, b"mask", b"?" if mask.dtype.kind == "b" else b"f", 2, 0)
        check_shapes(operands, has_mask)
        view = &operands[3].view
        n_q, plan.task.d_v = view.shape[view.ndim - 2], view.shape[view.ndim - 1]
        for i in range(view.ndim - 2):
            entries *= view.shape[i]
        plan.task.out_step = row_step(view)
        view = &operands[1].view
        n_k, plan.task.d = view.shape[view.ndim - 2], view.shape[view.ndim - 1]
        plan.task.q_step, plan.task.k_step = row_step(&operands[0].view), row_step(view)
        plan.task.v_step = row_step(&operands[2].view)
        whole_q[0] = whole_k[0] = 0
        whole_q[1], whole_k[1] = n_q, n_k
        if cu_q is not None:
            if cu_q.shape[0] != cu_k.shape[0]:
                raise ValueError("cu_q and cu_k have different lengths")
            check_bounds(cu_q, n_q)
            check_bounds(cu_k, n_k)
            bounds_q, bounds_k, sequences = &cu_q[0], &cu_k[0], cu_q.shape[0] - 1
        if has_mask:
            view = &operands[5].view
            plan.task.mask_row = row_step(view)
            if view.shape[view.ndim - 1] > 1:
                plan.task.mask_column = view.strides[view.ndim - 1] // view.itemsize
        if entries == 0 or n_q == 0:
            return 1, 0
        plan.task.scale, plan.task.bfloat16, plan.causal = <float>scale, bfloat16, causal
        plan.threads, plan.query_chunk, plan.key_chunk = limit_threads(num_threads, 1024), query_chunk, key_chunk
        plan.others = entries * sequences
        plan_all(&plan, operands, has_mask, entries, sequences, bounds_q, bounds_k)
        # One more than needed: a call without keys has no task.
        plan.tasks = <Part *>PyMem_RawMalloc((plan.task_count + plan.merge_count + 1) * sizeof(Part))
        plan.partial = <float *>PyMem_RawMalloc((plan.partial_floats + 1) * sizeof(float))
        if plan.tasks is NULL or plan.partial is NULL:
            raise MemoryError("tasks of the attention core")
        plan.merges = plan.tasks + plan.task_count
        allocated = plan.partial_floats * sizeof(float)
        plan_all(&plan, operands, has_mask, entries, sequences, bounds_q, bounds_k)
        if plan.task_count == 0:
            return 1, 0
        threads = limit_threads(num_threads, plan.task_count)
        scratch = Scratch(plan.scratch_floats, threads)
        allocated += scratch.step * threads * sizeof(float)
        with nogil:
            if threads > 1 and (sequences > 1 or causal):
                qsort(plan.tasks, plan.task_count, sizeof(Part), longest_first)
            if threads == 1:
                for number in range(plan.task_count):
                    ran = attention_task(&plan, number, scratch.piece(0))
            else:
                for number in prange(plan.task_count, num_threads=threads, schedule="dynamic", chunksize=1):
                    ran = attention_task(&plan, number, scratch.piece(threadid()))
            for number in range(plan.merge_count):
                plan.variant.attention_merge(
                    &plan.merges[number].task, plan.merges[number].ranges,
                    plan.merges[number].task.rows * (plan.task.d_v + 2),
                )
        ran_last = ran
    finally:
        PyMem_RawFree(plan.tasks)
        PyMem_RawFree(plan.partial)
        for i in range(6):
            if operands[i].held:
                PyBuffer_Release(&operands[i].view)
    return threads, allocated


cdef const char *attention_task(const AttentionPlan *plan, ptrdiff_t number, float *scratch) noexcept nogil:
    cdef qe_attention_task task = plan.tasks[number].task
    task.scratch = scratch
    return plan.variant.attention(&task)


# Multiply-adds up to which a call is served here: the same kernels on one thread, without cutting into tasks.
cdef double SMALL_WORK = 1 << 20


def attend_small(str variant not None, object q, object k, object v, object causal, object scale, object precision):
    """Compute attention of small plain arrays; return out, lse and the bytes of scratch, or None to decline.

    Declined are other arguments than float32 arrays of equal leading shape with adjacent elements in a row, and more
    work than one thread should do. Nothing is raised: whoever is declined is told why by the full checks.
    """
    global ran_last
    cdef const qe_variant *chosen = find(variant)
    cdef Operand operands[5]
    cdef const Py_buffer *view
    cdef const Py_buffer *like = &operands[0].view
    cdef const Py_buffer *keys = &operands[1].view
    cdef const Py_buffer *values = &operands[2].view
    cdef qe_attention_task task, here
    cdef ptrdiff_t n_q, entries = 1, entry, floats
    cdef int i, x, last
    cdef void *memory = NULL
    cdef double factor
    if type(q) is not ndarray or type(k) is not ndarray or type(v) is not ndarray:
        return None
    if not (causal is True or causal is False) or type(precision) is not str:
        return None
    if not (precision == "float32" or precision == "bfloat16"):
        return None
    memset(operands, 0, sizeof(operands))
    memset(&task, 0, sizeof(task))
    try:
        for i in range(3):
            try:
                PyObject_GetBuffer(q if i == 0 else k if i == 1 else v, &operands[i].view, PyBUF_STRIDES | PyBUF_FORMAT)
            except (BufferError, ValueError):
                # Of times, for one, there is no buffer.
                return None
            operands[i].held = True
            view = &operands[i].view
            last = view.ndim - 1
            if view.ndim < 2 or view.ndim > MOST_DIMENSIONS or view.ndim != like.ndim or view.len == 0:
                return None
            if not holds(view, b"f") or <uintptr_t>view.buf % 4:
                return None
            if view.strides[last] != 4 or view.strides[last - 1] % 4:
                return None
            for x in range(last - 1):
                if view.shape[x] != like.shape[x] or view.strides[x] % 4:
                    return None
        n_q, task.d, last = like.shape[like.ndim - 2], like.shape[like.ndim - 1], like.ndim - 1
        task.n_k, task.d_v = operands[1].view.shape[last - 1], operands[2].view.shape[last]
        if operands[1].view.shape[last] != task.d or operands[2].view.shape[last - 1] != task.n_k:
            return None
        for x in range(last - 1):
            entries *= like.shape[x]
        if <double>entries * n_q * task.n_k * (task.d + task.d_v) > SMALL_WORK:
            return None
        if key_ranges(n_q, task.n_k, chosen.tile_queries) > 1:
            return None
        if scale is None:
            factor = 1.0 / sqrt(<double>task.d)
        elif type(scale) is float:
            factor = scale
            if not (-FLT_MAX <= factor <= FLT_MAX):
                return None
        else:
            return None

        rows = q.shape[:last]
        out = empty(rows + (task.d_v,), FLOAT32)
        lse = empty(rows, FLOAT32)
        for i in range(2):
            PyObject_GetBuffer(out if i == 0 else lse, &operands[3 + i].view, PyBUF_STRIDES | PyBUF_WRITABLE)
            operands[3 + i].held = True
        task.q_step, task.k_step, task.v_step = row_step(like), row_step(&operands[1].view), row_step(&operands[2].view)
        task.out_step = task.d_v
        task.scale, task.bfloat16, task.rows = <float>factor, precision == "bfloat16", n_q
        task.visible = 1 if causal else QE_SEES_ALL
        task.few = n_q <= chosen.few_queries
        task.block = key_block(chosen, task.n_k)
        floats = chosen.attention_scratch(&task)
        memory = PyMem_RawMalloc(floats * sizeof(float) + 64)
        if memory is NULL:
            raise MemoryError("scratch memory of the attention core")
        task.scratch = <float *>((<uintptr_t>memory + 63) & ~(<uintptr_t>63))
        with nogil:
            for entry in range(entries):
                here = task
                here.q = <const float *>(<const char *>like.buf + entry_offset(like, like, entry))
                here.k = <const float *>(<const char *>keys.buf + entry_offset(keys, like, entry))
                here.v = <const float *>(<const char *>values.buf + entry_offset(values, like, entry))
                here.out = <float *>operands[3].view.buf + entry * n_q * task.d_v
                here.lse = <float *>operands[4].view.buf + entry * n_q
                ran_last = chosen.attention(&here)
    finally:
        PyMem_RawFree(memory)
        for i in range(5):
            if operands[i].held:
                PyBuffer_Release(&operands[i].view)
    return out, lse, floats * <ptrdiff_t>sizeof(float)
