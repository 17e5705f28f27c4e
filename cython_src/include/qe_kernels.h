/* What a kernel variant offers. Kernels own nothing: no allocation, no threads, no state, no Python. */
#ifndef QE_KERNELS_H
#define QE_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/* One task of attention: consecutive query rows of one (batch, head) against a range of its keys. A `step` is the
   number of floats from one row to the next, of either sign or 0; the elements of a row are adjacent. */
typedef struct {
    const float *q; /* rows x d */
    const float *k; /* n_k x d */
    const float *v; /* n_k x d_v */
    ptrdiff_t q_step, k_step, v_step;
    ptrdiff_t rows, n_k, d, d_v;
    float scale;
    const unsigned char *allowed; /* bool mask at the task's first row and key, or NULL */
    const float *bias;            /* additive mask at the task's first row and key, or NULL */
    ptrdiff_t mask_row, mask_column; /* steps of either mask in elements */
    ptrdiff_t visible;            /* row i sees keys j < visible + i: causal mask; QE_SEES_ALL: none */
    int bfloat16;                 /* round q, k, v and the weights to bfloat16 */
    ptrdiff_t block;              /* keys whose scores are held at once */
    int few;                      /* take the way for at most `few_queries` rows */
    float *out;                   /* rows x d_v, out_step apart */
    ptrdiff_t out_step;
    float *lse;                   /* rows, or NULL */
    float *partial;               /* not NULL: instead of out and lse, rows x (d_v + 2): weighted sum, maximum, total */
    float *scratch;               /* attention_scratch(task) floats, aligned to 64 bytes */
} qe_attention_task;

#define QE_SEES_ALL ((ptrdiff_t)1 << 60)
/* Ranges into which the keys of few queries are cut, at most. */
#define QE_MOST_PARTS 16

/* One task of top-k: consecutive query rows against a range of keys; 1 <= top <= n_k. */
typedef struct {
    const float *q; /* rows x d */
    const float *k; /* n_k x d */
    ptrdiff_t rows, n_k, d, top;
    int64_t first_key; /* index of the first key of the range */
    ptrdiff_t block;   /* keys whose scores are held at once */
    int few;           /* as for attention */
    int *odd;          /* the way of few rows: set where a score is NaN or infinite */
    float *scores;    /* rows x top: the rows' heaps while the task runs, sorted when it is done */
    int64_t *indices; /* rows x top */
    float *scratch;   /* topk_scratch(task) floats, aligned to 64 bytes */
} qe_topk_task;

typedef struct {
    const char *name;
    uint64_t needs; /* features its code may contain */
    ptrdiff_t lanes, tile_queries, tile_keys, few_queries;
    int bfloat16_dots; /* multiplies bfloat16 pairs in one instruction; else bfloat16 is emulated in float32 */
    ptrdiff_t (*attention_scratch)(const qe_attention_task *task);
    ptrdiff_t (*topk_scratch)(const qe_topk_task *task);
    /* Both return the name of the variant whose code ran. */
    const char *(*attention)(const qe_attention_task *task);
    const char *(*topk)(const qe_topk_task *task);
    /* The partial results of `parts` ranges of keys, `part_step` floats apart, as one. */
    void (*attention_merge)(const qe_attention_task *task, ptrdiff_t parts, ptrdiff_t part_step);
    /* The sorted results of `parts` ranges of ascending keys, m x top each, part after part, as one. */
    void (*topk_merge)(
        const float *part_scores, const int64_t *part_indices, ptrdiff_t parts, ptrdiff_t rows, ptrdiff_t top,
        float *scores, int64_t *indices
    );
    /* Multiply-adds of registers only, as many as `rounds` says; returns the number of floating-point operations. */
    double (*peak)(ptrdiff_t rounds, int bfloat16);
} qe_variant;

#define QE_JOIN_(a, b) a##_##b
#define QE_JOIN(a, b) QE_JOIN_(a, b)
#define QE_TEXT_(a) #a
#define QE_TEXT(a) QE_TEXT_(a)
/* Symbol of the unit being compiled, with its variant's suffix: qe_topk_avx2. */
#define QE_SYMBOL(name) QE_JOIN(name, QE_VARIANT)

#ifdef QE_VARIANT
ptrdiff_t QE_SYMBOL(qe_attention_scratch)(const qe_attention_task *task);
ptrdiff_t QE_SYMBOL(qe_topk_scratch)(const qe_topk_task *task);
const char *QE_SYMBOL(qe_attention)(const qe_attention_task *task);
const char *QE_SYMBOL(qe_topk)(const qe_topk_task *task);
void QE_SYMBOL(qe_attention_merge)(const qe_attention_task *task, ptrdiff_t parts, ptrdiff_t part_step);
void QE_SYMBOL(qe_topk_merge)(
    const float *part_scores, const int64_t *part_indices, ptrdiff_t parts, ptrdiff_t rows, ptrdiff_t top,
    float *scores, int64_t *indices
);
double QE_SYMBOL(qe_peak)(ptrdiff_t rounds, int bfloat16);
extern const qe_variant QE_SYMBOL(qe_variant);
#endif

#endif
