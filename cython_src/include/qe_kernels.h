/* What a kernel variant offers. Kernels own nothing: no allocation, no threads, no state, no Python. */
#ifndef QE_KERNELS_H
#define QE_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/* One task of attention: consecutive query rows of one (batch, head) against all its keys. */
typedef struct {
    const float *q; /* rows x d */
    const float *k; /* n_k x d */
    const float *v; /* n_k x d_v */
    ptrdiff_t rows, n_k, d, d_v;
    float scale;
    const unsigned char *allowed; /* bool mask at the task's first row, or NULL */
    const float *bias;            /* additive mask at the task's first row, or NULL */
    ptrdiff_t mask_row, mask_column; /* steps of either mask in elements; 0 where it is broadcast */
    ptrdiff_t causal;             /* row i sees keys j <= causal + i; negative: no causal mask */
    int careful;                  /* v holds NaN or infinity: a weight of zero must silence it */
    float *out;                   /* rows x d_v */
    float *lse;                   /* rows */
    float *scratch;               /* attention_scratch(tiles, d, d_v) floats, aligned to 64 bytes */
} qe_attention_task;

/* One task of top-k: consecutive query rows against all keys; 1 <= top <= n_k. */
typedef struct {
    const float *q; /* rows x d */
    const float *k; /* n_k x d */
    ptrdiff_t rows, n_k, d, top;
    float *scores;    /* rows x top: the rows' heaps while the task runs, sorted when it is done */
    int64_t *indices; /* rows x top */
    float *scratch;   /* topk_scratch(tiles, d) floats, aligned to 64 bytes */
} qe_topk_task;

typedef struct {
    const char *name;
    uint64_t needs; /* features its code may contain */
    ptrdiff_t lanes, tile_queries, tile_keys;
    ptrdiff_t (*attention_scratch)(ptrdiff_t tiles, ptrdiff_t d, ptrdiff_t d_v);
    ptrdiff_t (*topk_scratch)(ptrdiff_t tiles, ptrdiff_t d);
    /* Both return the name of the variant whose code ran. */
    const char *(*attention)(const qe_attention_task *task);
    const char *(*topk)(const qe_topk_task *task);
} qe_variant;

#define QE_JOIN_(a, b) a##_##b
#define QE_JOIN(a, b) QE_JOIN_(a, b)
#define QE_TEXT_(a) #a
#define QE_TEXT(a) QE_TEXT_(a)
/* Symbol of the unit being compiled, with its variant's suffix: qe_topk_avx2. */
#define QE_SYMBOL(name) QE_JOIN(name, QE_VARIANT)

#ifdef QE_VARIANT
ptrdiff_t QE_SYMBOL(qe_attention_scratch)(ptrdiff_t tiles, ptrdiff_t d, ptrdiff_t d_v);
ptrdiff_t QE_SYMBOL(qe_topk_scratch)(ptrdiff_t tiles, ptrdiff_t d);
const char *QE_SYMBOL(qe_attention)(const qe_attention_task *task);
const char *QE_SYMBOL(qe_topk)(const qe_topk_task *task);
extern const qe_variant QE_SYMBOL(qe_variant);
#endif

#endif
