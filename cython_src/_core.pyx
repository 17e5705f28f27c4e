# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=True, binding=True, embedsignature=False
"""Compiled core: checks, scratch memory and OpenMP around the kernels, which own nothing.

Work is cut into tasks of whole query tiles; a task writes only its own rows and reads nothing that another writes,
so the result is the same for any number of threads. With one thread no OpenMP region is entered.
"""

from cython.parallel cimport parallel, prange, threadid
from cpython.buffer cimport (
    PyBUF_FORMAT, PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
)
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from libc.stdint cimport int8_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t, uintptr_t
from libc.stddef cimport ptrdiff_t, size_t
from libc.float cimport FLT_MAX
from libc.math cimport sqrt
from libc.stdlib cimport qsort
from libc.string cimport memcpy, memset, strcmp

from sys import byteorder
from time import perf_counter

from numpy import dtype, empty, ndarray

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8(object text) except NULL

cdef extern from "qe_features.h" nogil:
    uint64_t qe_cpu_features()
    void qe_cpu_name(char *text)
    long qe_cache_bytes(int level)

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
    const ptrdiff_t QE_SEES_ALL
    const int QE_MOST_PARTS

    ctypedef struct qe_attention_task:
        const float *q
        const float *k
        const float *v
        ptrdiff_t q_step
        ptrdiff_t k_step
        ptrdiff_t v_step
        ptrdiff_t rows
        ptrdiff_t n_k
        ptrdiff_t d
        ptrdiff_t d_v
        float scale
        const unsigned char *allowed
        const float *bias
        ptrdiff_t mask_row
        ptrdiff_t mask_column
        ptrdiff_t visible
        int bfloat16
        ptrdiff_t block
        int few
        float *out
        ptrdiff_t out_step
        float *lse
        float *partial
        float *scratch

    ctypedef struct qe_topk_task:
        const float *q
        const float *k
        ptrdiff_t rows
        ptrdiff_t n_k
        ptrdiff_t d
        ptrdiff_t top
        int64_t first_key
        ptrdiff_t block
        int few
        int *odd
        float *scores
        int64_t *indices
        float *scratch

    ctypedef struct qe_matrix:
        ptrdiff_t outputs

    ctypedef struct qe_norm:
        const float *gain
        const float *bias

    ctypedef struct qe_encoder_layer:
        qe_norm norm1
        qe_norm norm2
        qe_matrix qkv
        qe_matrix out
        qe_matrix up
        qe_matrix down

    ctypedef struct qe_encoder:
        const qe_encoder_layer *layers
        ptrdiff_t count
        ptrdiff_t d
        ptrdiff_t heads
        ptrdiff_t ffn
        float eps
        int post_norm
        int erf
        int precision
        ptrdiff_t block

    ctypedef struct qe_encoder_task:
        const qe_encoder *encoder
        float *x
        const int64_t *offsets
        ptrdiff_t sequences
        float *scratch

    ctypedef struct qe_tokens:
        ptrdiff_t d
        ptrdiff_t words
        ptrdiff_t places
        const float *roles
        const float *kinds
        const float *positions
        const uint32_t *vocabulary
        const float *word_rows
        const int8_t *word_bytes
        const float *word_scales
        float code_scale

    ctypedef struct qe_pooling:
        ptrdiff_t d
        qe_norm norm
        float eps
        const float *direction

    ctypedef struct qe_variant:
        const char *name
        uint64_t needs
        ptrdiff_t lanes
        ptrdiff_t tile_queries
        ptrdiff_t tile_keys
        ptrdiff_t few_queries
        int bfloat16_dots
        ptrdiff_t (*attention_scratch)(const qe_attention_task *task) noexcept nogil
        ptrdiff_t (*topk_scratch)(const qe_topk_task *task) noexcept nogil
        const char *(*attention)(const qe_attention_task *task) noexcept nogil
        const char *(*topk)(const qe_topk_task *task) noexcept nogil
        void (*attention_merge)(const qe_attention_task *task, ptrdiff_t parts, ptrdiff_t part_step) noexcept nogil
        void (*topk_merge)(
            const float *part_scores, const int64_t *part_indices, ptrdiff_t parts, ptrdiff_t rows, ptrdiff_t top,
            float *scores, int64_t *indices
        ) noexcept nogil
        double (*peak)(ptrdiff_t rounds, int bfloat16) noexcept nogil
        ptrdiff_t (*encoder_packed)(ptrdiff_t outputs, ptrdiff_t inputs, int precision, int hidden) noexcept nogil
        qe_matrix (*encoder_pack)(
            const float *weights, const float *bias, ptrdiff_t outputs, ptrdiff_t inputs, int precision, int hidden,
            float *to
        ) noexcept nogil
        ptrdiff_t (*encoder_scratch)(const qe_encoder_task *task) noexcept nogil
        const char *(*encoder)(const qe_encoder_task *task) noexcept nogil
        void (*encoder_embed)(
            const qe_tokens *tokens, int kind, const uint8_t *roles, const int64_t *starts, const uint32_t *parts,
            ptrdiff_t n, float *x
        ) noexcept nogil
        ptrdiff_t (*encoder_pool_scratch)(const qe_pooling *pooling, ptrdiff_t rows) noexcept nogil
        void (*encoder_pool)(
            const qe_pooling *pooling, float *x, const int64_t *offsets, ptrdiff_t sequences, float *out, float *scratch
        ) noexcept nogil

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
    #ifdef QE_HAVE_AVX512BF16
    QE_EXTERN_VARIANT(avx512bf16)
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
    #ifdef QE_HAVE_AVX512BF16
        &qe_variant_avx512bf16,
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

INTERFACE = 4
FLOAT32 = dtype("float32")

cdef const char *ran_last = NULL
# Asked once: under a hypervisor the instruction that tells them costs microseconds.
cdef uint64_t features_here = qe_cpu_features()


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
    return feature_list(features_here)


def cache_bytes():
    """Return the sizes of one core's data caches of level 1, 2 and 3 in bytes; 0 where the system does not say."""
    return [qe_cache_bytes(level) for level in range(1, 4)]


def variants():
    """Describe each kernel variant in this build: name, lanes, tile, what it needs and what of that is missing."""
    cdef int i
    return [
        {
            "name": qe_table[i].name.decode(),
            "lanes": qe_table[i].lanes,
            "tile_queries": qe_table[i].tile_queries,
            "tile_keys": qe_table[i].tile_keys,
            "bfloat16_dots": bool(qe_table[i].bfloat16_dots),
            "needs": feature_list(qe_table[i].needs),
            "missing": feature_list(qe_table[i].needs & ~features_here),
        }
        for i in range(QE_TABLE_LENGTH)
    ]


def last_variant():
    """Return the name that the kernel code of the last call gave itself; an empty string before the first."""
    return "" if ran_last is NULL else ran_last.decode()


cdef const qe_variant *find(str name) except NULL:
    cdef int i
    cdef const char *wanted = PyUnicode_AsUTF8(name)
    for i in range(QE_TABLE_LENGTH):
        if strcmp(qe_table[i].name, wanted) == 0:
            if qe_table[i].needs & ~features_here:
                missing = ", ".join(feature_list(qe_table[i].needs & ~features_here))
                raise ValueError(f"variant {name!r} is not usable here: needs {missing}")
            return qe_table[i]
    raise ValueError(f"variant {name!r} is not in this build")


def fma_peak(str variant not None, ptrdiff_t num_threads, bint bfloat16, double seconds):
    """Return the multiply-add peak of registers in GFLOP/s: the best of many runs of about 2 ms in *seconds*.

    None where the variant has no bfloat16 dots and they are asked for.
    """
    cdef const qe_variant *chosen = find(variant)
    cdef int threads = limit_threads(num_threads, num_threads), thread
    cdef ptrdiff_t rounds = 1000
    cdef double done, best = 0, start, spent, end = perf_counter() + seconds
    if bfloat16 and not chosen.bfloat16_dots:
        return None
    while True:
        # Long enough for the clock and for the processor to reach its speed; by one thread, before others have started.
        start = perf_counter()
        chosen.peak(rounds, bfloat16)
        if perf_counter() - start >= 0.002:
            break
        rounds *= 2
    while True:
        done = 0
        start = perf_counter()
        with nogil:
            if threads == 1:
                done = chosen.peak(rounds, bfloat16)
            else:
                for thread in prange(threads, num_threads=threads, schedule="static", chunksize=1):
                    done += chosen.peak(rounds, bfloat16)
        spent = perf_counter() - start
        best = max(best, done / spent / 1e9)
        if perf_counter() >= end:
            return best


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


include "attention.pxi"
include "topk.pxi"
include "features.pxi"
include "encoder.pxi"


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
