# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=True, binding=True, embedsignature=False
"""Compiled core: checks, scratch memory and OpenMP around the kernels, which own nothing.

Work is cut into tasks of whole query tiles; a task writes only its own rows and reads nothing that another writes,
so the result is the same for any number of threads. With one thread no OpenMP region is entered.
"""

from cython.parallel cimport parallel, prange, threadid
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t, uintptr_t
from libc.stddef cimport ptrdiff_t, size_t

cdef extern from "qe_features.h" nogil:
    uint64_t qe_cpu_features()
    void qe_cpu_name(char *text)

cdef extern from "qe_sparse.h" nogil:
    int qe_all_finite(const float *x, ptrdiff_t n)
    float qe_sparse_dot(
        const uint32_t *a, const float *a_value, ptrdiff_t a_n,
        const uint32_t *b, const float *b_value, ptrdiff_t b_n
    )

cdef extern from "qe_sequence.h" nogil:
    size_t qe_lcs_scratch_bytes(ptrdiff_t n)
    void qe_lcs_prepare(const uint32_t *a, ptrdiff_t n, void *scratch)
    ptrdiff_t qe_lcs_length(const uint32_t *b, ptrdiff_t m, void *scratch)

cdef extern from "qe_kernels.h" nogil:
    ctypedef struct qe_attention_task:
        const float *q
        const float *k
        const float *v
        ptrdiff_t rows
        ptrdiff_t n_k
        ptrdiff_t d
        ptrdiff_t d_v
        float scale
        const unsigned char *allowed
        const float *bias
        ptrdiff_t mask_row
        ptrdiff_t mask_column
        ptrdiff_t causal
        int careful
        float *out
        float *lse
        float *scratch

    ctypedef struct qe_topk_task:
        const float *q
        const float *k
        ptrdiff_t rows
        ptrdiff_t n_k
        ptrdiff_t d
        ptrdiff_t top
        float *scores
        int64_t *indices
        float *scratch

    ctypedef struct qe_variant:
        const char *name
        uint64_t needs
        ptrdiff_t lanes
        ptrdiff_t tile_queries
        ptrdiff_t tile_keys
        ptrdiff_t (*attention_scratch)(ptrdiff_t tiles, ptrdiff_t d, ptrdiff_t d_v) noexcept nogil
        ptrdiff_t (*topk_scratch)(ptrdiff_t tiles, ptrdiff_t d) noexcept nogil
        const char *(*attention)(const qe_attention_task *task) noexcept nogil
        const char *(*topk)(const qe_topk_task *task) noexcept nogil

cdef extern from *:
    """
    #ifdef _OPENMP
    #define QE_OPENMP 1
    #else
    #define QE_OPENMP 0
    #endif

    #include "qe_kernels.h"

    #define QE_EXTERN_VARIANT(name) extern const qe_variant qe_variant_##name;
    #ifdef QE_HAVE_NATIVE
    QE_EXTERN_VARIANT(native)
    #endif
    #ifdef QE_HAVE_AVX512
    QE_EXTERN_VARIANT(avx512)
    #endif
    #ifdef QE_HAVE_AVX2
    QE_EXTERN_VARIANT(avx2)
    #endif
    #ifdef QE_HAVE_NEON
    QE_EXTERN_VARIANT(neon)
    #endif
    QE_EXTERN_VARIANT(scalar)

    static const qe_variant *const qe_table[] = {
    #ifdef QE_HAVE_NATIVE
        &qe_variant_native,
    #endif
    #ifdef QE_HAVE_AVX512
        &qe_variant_avx512,
    #endif
    #ifdef QE_HAVE_AVX2
        &qe_variant_avx2,
    #endif
    #ifdef QE_HAVE_NEON
        &qe_variant_neon,
    #endif
        &qe_variant_scalar,
    };
    #define QE_TABLE_LENGTH ((int)(sizeof qe_table / sizeof *qe_table))

    static const struct { const char *name; uint64_t bit; } qe_feature_names[] = {
    #define QE_NAME(id, text, bit) {text, (uint64_t)1 << bit},
        QE_FEATURE_LIST(QE_NAME)
    #undef QE_NAME
    };
    #define QE_FEATURES_LENGTH ((int)(sizeof qe_feature_names / sizeof *qe_feature_names))
    """
    const int QE_OPENMP
    const int QE_TABLE_LENGTH
    const qe_variant *qe_table[]
    ctypedef struct qe_feature_name:
        const char *name
        uint64_t bit
    const int QE_FEATURES_LENGTH
    const qe_feature_name qe_feature_names[]

INTERFACE = 1

# A task's scratch is kept within the second-level cache where one tile allows it.
cdef ptrdiff_t SCRATCH_FLOATS = 48 * 1024
cdef ptrdiff_t MOST_TILES = 8

cdef str ran_last = ""


def openmp():
    """Tell whether the core was compiled with OpenMP."""
    return bool(QE_OPENMP)


def cpu_name():
    """Return the processor's name as it gives it, or an empty string."""
    cdef char text[49]
    qe_cpu_name(text)
    return (<bytes>text).decode("ascii", "replace").strip()


cdef list feature_list(uint64_t bits):
    cdef int i
    return [qe_feature_names[i].name.decode() for i in range(QE_FEATURES_LENGTH) if qe_feature_names[i].bit & bits]


def cpu_features():
    """Return the names of the instruction-set features that processor and operating system offer."""
    return feature_list(qe_cpu_features())


def variants():
    """Describe each kernel variant in this build: name, lanes, tile, what it needs and what of that is missing."""
    cdef int i
    cdef uint64_t here = qe_cpu_features()
    return [
        {
            "name": qe_table[i].name.decode(),
            "lanes": qe_table[i].lanes,
            "tile_queries": qe_table[i].tile_queries,
            "tile_keys": qe_table[i].tile_keys,
            "needs": feature_list(qe_table[i].needs),
            "missing": feature_list(qe_table[i].needs & ~here),
        }
        for i in range(QE_TABLE_LENGTH)
    ]


def last_variant():
    """Return the name that the kernel code of the last call gave itself; an empty string before the first."""
    return ran_last


cdef const qe_variant *find(str name) except NULL:
    cdef int i
    cdef bytes wanted = name.encode()
    for i in range(QE_TABLE_LENGTH):
        if qe_table[i].name == wanted:
            if qe_table[i].needs & ~qe_cpu_features():
                missing = ", ".join(feature_list(qe_table[i].needs & ~qe_cpu_features()))
                raise ValueError(f"variant {name!r} is not usable here: needs {missing}")
            return qe_table[i]
    raise ValueError(f"variant {name!r} is not in this build")


# Some 0.1 ms of work: enough to hide the cost of handing it out, little enough to balance.
cdef enum:
    LCS_PAIRS_PER_TASK = 64


cdef class Scratch:
    """Memory for the tasks of one call: one piece per thread, each aligned to a cache line."""

    cdef void *memory
    cdef float *first
    cdef ptrdiff_t step

    def __cinit__(self, ptrdiff_t floats, ptrdiff_t pieces):
        self.step = (floats + 15) // 16 * 16
        if self.step > (<ptrdiff_t>1 << 60) // pieces:
            raise MemoryError("scratch memory of the attention core")
        self.memory = PyMem_RawMalloc(<size_t>(self.step * pieces * 4 + 64))
        if self.memory is NULL:
            raise MemoryError(f"{self.step * pieces * 4} bytes of scratch memory for the attention core")
        self.first = <float *>((<uintptr_t>self.memory + 63) & ~(<uintptr_t>63))

    def __dealloc__(self):
        PyMem_RawFree(self.memory)

    cdef float *piece(self, ptrdiff_t thread) noexcept nogil:
        return self.first + thread * self.step


cdef int limit_threads(ptrdiff_t asked, ptrdiff_t tasks) except -1:
    if asked < 1:
        raise ValueError(f"num_threads is {asked}, expected at least 1")
    if not QE_OPENMP:
        return 1
    return <int>min(asked, tasks, 1024)


def all_finite(const float[:, ::1] x not None):
    """Tell whether no element is NaN or infinite."""
    cdef ptrdiff_t n = x.shape[0] * x.shape[1]
    cdef int finite
    if n == 0:
        return True
    with nogil:
        finite = qe_all_finite(&x[0, 0], n)
    return bool(finite)


cdef ptrdiff_t tiles_per_task(ptrdiff_t tile_floats, ptrdiff_t tiles, ptrdiff_t others, ptrdiff_t threads) noexcept:
    # Several tiles share each block of keys while it is in the cache, as long as every thread has tasks to take.
    cdef ptrdiff_t fit = max(1, min(MOST_TILES, SCRATCH_FLOATS // max(1, tile_floats)))
    while fit > 1 and ((tiles + fit - 1) // fit) * others < 4 * threads:
        fit -= 1
    return fit


cdef struct AttentionPlan:
    qe_attention_task task
    const qe_variant *variant
    const int64_t *q_of
    const int64_t *k_of
    const int64_t *v_of
    const int64_t *mask_of
    ptrdiff_t n_q
    ptrdiff_t task_rows
    ptrdiff_t tasks_per_entry
    ptrdiff_t mask_entry
    int causal


cdef const char *attention_task(const AttentionPlan *plan, ptrdiff_t number, float *scratch) noexcept nogil:
    cdef qe_attention_task task = plan.task
    cdef ptrdiff_t entry = number // plan.tasks_per_entry
    cdef ptrdiff_t row = (number % plan.tasks_per_entry) * plan.task_rows
    task.rows = min(plan.task_rows, plan.n_q - row)
    task.q = task.q + (plan.q_of[entry] * plan.n_q + row) * task.d
    task.k = task.k + plan.k_of[entry] * task.n_k * task.d
    task.v = task.v + plan.v_of[entry] * task.n_k * task.d_v
    if task.allowed is not NULL:
        task.allowed = task.allowed + plan.mask_of[entry] * plan.mask_entry + row * task.mask_row
    if task.bias is not NULL:
        task.bias = task.bias + plan.mask_of[entry] * plan.mask_entry + row * task.mask_row
    task.causal = row if plan.causal else -1
    task.out = task.out + (entry * plan.n_q + row) * task.d_v
    task.lse = task.lse + entry * plan.n_q + row
    task.scratch = scratch
    return plan.variant.attention(&task)


cdef int check_entries(str name, const int64_t[::1] of, ptrdiff_t batch, ptrdiff_t entries) except -1:
    cdef ptrdiff_t i
    if of.shape[0] != batch:
        raise ValueError(f"{name} has {of.shape[0]} entries, expected {batch}")
    for i in range(batch):
        if of[i] < 0 or of[i] >= entries:
            raise ValueError(f"{name} names entry {of[i]} of {entries}")
    return 0


def flash_attention(
    str variant not None,
    const float[:, :, ::1] q not None,
    const int64_t[::1] q_of not None,
    const float[:, :, ::1] k not None,
    const int64_t[::1] k_of not None,
    const float[:, :, ::1] v not None,
    const int64_t[::1] v_of not None,
    const uint8_t[:, :, ::1] allowed,
    const float[:, :, ::1] bias,
    const int64_t[::1] mask_of not None,
    bint causal,
    double scale,
    ptrdiff_t num_threads,
    float[:, :, ::1] out not None,
    float[:, ::1] lse not None,
):
    """Fill *out* (batch, n_q, d_v) and *lse* (batch, n_q); entry b reads q[q_of[b]], k[k_of[b]] and so on.

    At most one of *allowed* (0 excludes) and *bias* is given; their rows and columns may be 1. Raises ValueError
    where shapes do not fit.
    """
    global ran_last
    cdef AttentionPlan plan
    cdef ptrdiff_t batch = out.shape[0], n_q = out.shape[1], n_k = k.shape[1], d = q.shape[2], d_v = v.shape[2]
    cdef ptrdiff_t mask_rows = 1, mask_columns = 1, tile, tiles, tasks, number
    cdef int threads
    cdef Scratch scratch
    cdef const char *ran = NULL
    if q.shape[1] != n_q or k.shape[2] != d or v.shape[1] != n_k or out.shape[2] != d_v:
        raise ValueError("shapes of q, k, v and out do not fit")
    if lse.shape[0] != batch or lse.shape[1] != n_q:
        raise ValueError("shapes of lse and out do not fit")
    check_entries("q_of", q_of, batch, q.shape[0])
    check_entries("k_of", k_of, batch, k.shape[0])
    check_entries("v_of", v_of, batch, v.shape[0])
    plan.task.allowed = NULL
    plan.task.bias = NULL
    plan.mask_of = NULL
    if allowed is not None and bias is not None:
        raise ValueError("allowed and bias exclude each other")
    if allowed is not None or bias is not None:
        mask_rows = allowed.shape[1] if allowed is not None else bias.shape[1]
        mask_columns = allowed.shape[2] if allowed is not None else bias.shape[2]
        if (mask_rows != 1 and mask_rows != n_q) or (mask_columns != 1 and mask_columns != n_k):
            raise ValueError("shape of the mask does not fit")
        check_entries("mask_of", mask_of, batch, allowed.shape[0] if allowed is not None else bias.shape[0])
    if batch == 0 or n_q == 0:
        return
    if n_k == 0:
        out[:, :, :] = 0
        lse[:, :] = -float("inf")
        return

    plan.variant = find(variant)
    # A dimension of zero has no first element to point at; nothing is read through these pointers then.
    plan.task.q = &q[0, 0, 0] if d else NULL
    plan.task.k = &k[0, 0, 0] if d else NULL
    plan.task.v = &v[0, 0, 0] if d_v else NULL
    plan.task.out = &out[0, 0, 0] if d_v else NULL
    plan.task.lse = &lse[0, 0]
    plan.task.n_k, plan.task.d, plan.task.d_v, plan.task.scale = n_k, d, d_v, <float>scale
    if allowed is not None:
        plan.task.allowed = &allowed[0, 0, 0]
    if bias is not None:
        plan.task.bias = &bias[0, 0, 0]
    if allowed is not None or bias is not None:
        plan.mask_of = &mask_of[0]
    plan.task.mask_row = mask_columns if mask_rows > 1 else 0
    plan.task.mask_column = 1 if mask_columns > 1 else 0
    plan.mask_entry = mask_rows * mask_columns
    plan.q_of, plan.k_of, plan.v_of = &q_of[0], &k_of[0], &v_of[0]
    plan.n_q, plan.causal = n_q, causal

    tile = plan.variant.tile_queries
    tiles = (n_q + tile - 1) // tile
    threads = limit_threads(num_threads, tiles * batch)
    cdef ptrdiff_t group = tiles_per_task(
        plan.variant.attention_scratch(1, d, d_v), tiles, batch, threads
    )
    plan.task_rows = group * tile
    plan.tasks_per_entry = (tiles + group - 1) // group
    tasks = plan.tasks_per_entry * batch
    threads = limit_threads(threads, tasks)
    scratch = Scratch(plan.variant.attention_scratch(group, d, d_v), threads)
    with nogil:
        plan.task.careful = 0 if d_v == 0 else not qe_all_finite(plan.task.v, v.shape[0] * n_k * d_v)
        if threads == 1:
            for number in range(tasks):
                ran = attention_task(&plan, number, scratch.piece(0))
        else:
            for number in prange(tasks, num_threads=threads, schedule="dynamic", chunksize=1):
                ran = attention_task(&plan, number, scratch.piece(threadid()))
    ran_last = ran.decode()


cdef struct TopkPlan:
    qe_topk_task task
    const qe_variant *variant
    ptrdiff_t m
    ptrdiff_t task_rows


cdef const char *topk_task(const TopkPlan *plan, ptrdiff_t number, float *scratch) noexcept nogil:
    cdef qe_topk_task task = plan.task
    cdef ptrdiff_t row = number * plan.task_rows
    task.rows = min(plan.task_rows, plan.m - row)
    task.q = task.q + row * task.d
    task.scores = task.scores + row * task.top
    task.indices = task.indices + row * task.top
    task.scratch = scratch
    return plan.variant.topk(&task)


def topk_similarity(
    str variant not None,
    const float[:, ::1] queries not None,
    const float[:, ::1] keys not None,
    ptrdiff_t num_threads,
    float[:, ::1] scores not None,
    int64_t[:, ::1] indices not None,
):
    """Fill *scores* and *indices* (m, k) with the k best keys of each query, 1 <= k <= n.

    Raises ValueError where shapes do not fit.
    """
    global ran_last
    cdef TopkPlan plan
    cdef ptrdiff_t m = queries.shape[0], n = keys.shape[0], d = queries.shape[1], top = scores.shape[1]
    cdef ptrdiff_t tile, tiles, tasks, number, group
    cdef int threads
    cdef Scratch scratch
    cdef const char *ran = NULL
    if keys.shape[1] != d or scores.shape[0] != m or indices.shape[0] != m or indices.shape[1] != top or top > n:
        raise ValueError("shapes of queries, keys, scores and indices do not fit")
    if m == 0 or top == 0:
        return
    plan.variant = find(variant)
    plan.task.q = &queries[0, 0] if d else NULL
    plan.task.k = &keys[0, 0] if d else NULL
    plan.task.n_k, plan.task.d, plan.task.top = n, d, top
    plan.task.scores = &scores[0, 0]
    plan.task.indices = &indices[0, 0]
    plan.m = m
    tile = plan.variant.tile_queries
    tiles = (m + tile - 1) // tile
    threads = limit_threads(num_threads, tiles)
    group = tiles_per_task(plan.variant.topk_scratch(1, d), tiles, 1, threads)
    plan.task_rows = group * tile
    tasks = (tiles + group - 1) // group
    threads = limit_threads(threads, tasks)
    scratch = Scratch(plan.variant.topk_scratch(group, d), threads)
    with nogil:
        if threads == 1:
            for number in range(tasks):
                ran = topk_task(&plan, number, scratch.piece(0))
        else:
            for number in prange(tasks, num_threads=threads, schedule="dynamic", chunksize=1):
                ran = topk_task(&plan, number, scratch.piece(threadid()))
    ran_last = ran.decode()


def csr_pair_dots(
    const int64_t[::1] indptr not None,
    const uint32_t[::1] indices not None,
    const float[::1] values not None,
    const int64_t[::1] left not None,
    const int64_t[::1] right not None,
    ptrdiff_t num_threads,
    float[::1] out not None,
):
    """Fill *out* with the dot products of rows left[i] and right[i]; columns ascend within each row.

    Raises ValueError where a length, a row number or *indptr* does not fit.
    """
    cdef ptrdiff_t pairs = left.shape[0], rows = indptr.shape[0] - 1, nnz = indices.shape[0], i
    cdef int threads
    cdef const int64_t *start
    if right.shape[0] != pairs or out.shape[0] != pairs or values.shape[0] != nnz or rows < 0:
        raise ValueError("lengths do not fit")
    for i in range(rows):
        if indptr[i] < 0 or indptr[i] > indptr[i + 1]:
            raise ValueError("indptr must ascend from 0")
    if indptr[rows] > nnz or indptr[rows] < 0:
        raise ValueError("indptr ends beyond indices")
    for i in range(pairs):
        if left[i] < 0 or left[i] >= rows or right[i] < 0 or right[i] >= rows:
            raise ValueError("row number out of range")
    if pairs == 0:
        return
    if nnz == 0:
        out[:] = 0
        return
    start = &indptr[0]
    threads = limit_threads(num_threads, (pairs + 255) // 256)
    with nogil:
        if threads == 1:
            for i in range(pairs):
                out[i] = pair_dot(start, &indices[0], &values[0], left[i], right[i])
        else:
            for i in prange(pairs, num_threads=threads, schedule="dynamic", chunksize=256):
                out[i] = pair_dot(start, &indices[0], &values[0], left[i], right[i])


cdef inline float pair_dot(
    const int64_t *start, const uint32_t *columns, const float *values, int64_t a, int64_t b
) noexcept nogil:
    return qe_sparse_dot(
        columns + start[a], values + start[a], start[a + 1] - start[a],
        columns + start[b], values + start[b], start[b + 1] - start[b],
    )


def lcs_lengths(
    const uint32_t[::1] tokens not None,
    const int64_t[::1] offsets not None,
    const int64_t[::1] left not None,
    const int64_t[::1] right not None,
    ptrdiff_t num_threads,
    int64_t[::1] out not None,
):
    """Fill *out* with the lengths of the longest common subsequences of sequences left[i] and right[i].

    Pairs of the same left sequence should follow each other: it is prepared once for all of them. Raises ValueError
    where a length, a sequence number or *offsets* does not fit.
    """
    cdef ptrdiff_t pairs = left.shape[0], sequences = offsets.shape[0] - 1, longest = 0, i, task, tasks
    cdef int threads
    cdef const uint32_t *text
    cdef uint32_t nothing = 0
    cdef Scratch scratch
    if right.shape[0] != pairs or out.shape[0] != pairs or sequences < 0:
        raise ValueError("lengths do not fit")
    for i in range(sequences):
        if offsets[i] < 0 or offsets[i] > offsets[i + 1]:
            raise ValueError("offsets must ascend from 0")
    if offsets[sequences] > tokens.shape[0]:
        raise ValueError("offsets end beyond tokens")
    for i in range(pairs):
        if left[i] < 0 or left[i] >= sequences or right[i] < 0 or right[i] >= sequences:
            raise ValueError("sequence number out of range")
        longest = max(longest, offsets[left[i] + 1] - offsets[left[i]])
    if pairs == 0:
        return
    text = &tokens[0] if tokens.shape[0] else &nothing
    tasks = (pairs + LCS_PAIRS_PER_TASK - 1) // LCS_PAIRS_PER_TASK
    threads = limit_threads(num_threads, tasks)
    scratch = Scratch(<ptrdiff_t>(qe_lcs_scratch_bytes(longest) // 4 + 1), threads)
    with nogil:
        if threads == 1:
            for task in range(tasks):
                lcs_task(text, &offsets[0], &left[0], &right[0], task, pairs, scratch.piece(0), &out[0])
        else:
            for task in prange(tasks, num_threads=threads, schedule="dynamic", chunksize=1):
                lcs_task(text, &offsets[0], &left[0], &right[0], task, pairs, scratch.piece(threadid()), &out[0])


cdef void lcs_task(
    const uint32_t *text, const int64_t *offsets, const int64_t *left, const int64_t *right, ptrdiff_t task,
    ptrdiff_t pairs, void *scratch, int64_t *out,
) noexcept nogil:
    cdef ptrdiff_t i, stop = min((task + 1) * LCS_PAIRS_PER_TASK, pairs)
    cdef int64_t a = -1, b
    for i in range(task * LCS_PAIRS_PER_TASK, stop):
        if left[i] != a:
            a = left[i]
            qe_lcs_prepare(text + offsets[a], offsets[a + 1] - offsets[a], scratch)
        b = right[i]
        out[i] = qe_lcs_length(text + offsets[b], offsets[b + 1] - offsets[b], scratch)
