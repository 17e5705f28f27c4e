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

/* Precisions of the encoder's products. The sums are float32 but for int8, whose sums are whole numbers. */
enum { QE_FLOAT32, QE_BFLOAT16, QE_INT8 };

/* A matrix (outputs, inputs) with its bias, as encoder_pack lays it out for a variant and a precision. */
typedef struct {
    ptrdiff_t outputs, inputs;
    ptrdiff_t chunk;     /* inputs whose products are summed on their own: a multiple of 8 */
    const float *words;  /* encoder_packed(...) of them: chunk after chunk, group of outputs after group */
    const float *scales; /* per output, what a weight of 1 stands for; int8 only */
    const float *bias;   /* outputs */
} qe_matrix;

typedef struct {
    const float *gain, *bias; /* d */
} qe_norm;

typedef struct {
    qe_norm norm1, norm2;
    qe_matrix qkv, out, up, down;
} qe_encoder_layer;

typedef struct {
    const qe_encoder_layer *layers;
    ptrdiff_t count, d, heads, ffn;
    float eps;
    int post_norm; /* x = norm(x + f(x)) instead of x = x + f(norm(x)) */
    int erf;       /* gelu by erf instead of tanh */
    int precision;
    ptrdiff_t block; /* keys whose scores are held at once, at most */
} qe_encoder;

/* One task of the encoder: whole sequences, which attend each to itself. */
typedef struct {
    const qe_encoder *encoder;
    float *x;               /* rows x d, changed in place */
    const int64_t *offsets; /* sequences + 1, rising: rows of sequence i are offsets[i] - offsets[0] and so on */
    ptrdiff_t sequences;
    float *scratch;         /* encoder_scratch(task) floats, aligned to 64 bytes */
} qe_encoder_task;

/* Tables from which tokens get their first vectors; of the words either floats or bytes with a scale per row. */
typedef struct {
    ptrdiff_t d, words, places;
    const float *roles, *kinds, *positions; /* rows of d; `places` rows of positions */
    const uint32_t *vocabulary;             /* words, strictly rising: hash of each row of the words */
    const float *word_rows;                 /* words x d, or NULL */
    const int8_t *word_bytes;               /* words x d, or NULL */
    const float *word_scales;               /* words, with bytes */
    float code_scale;
} qe_tokens;

/* How the vectors of a sequence become one. */
typedef struct {
    ptrdiff_t d;
    qe_norm norm;
    float eps;
    const float *direction; /* d: its product with a vector is the vector's logit */
} qe_pooling;

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
    /* Floats that a packed matrix takes with its scales; `hidden` says that its inputs are the inner ones of a
       feed-forward network, which are computed chunk by chunk. */
    ptrdiff_t (*encoder_packed)(ptrdiff_t outputs, ptrdiff_t inputs, int precision, int hidden);
    /* Write weights (outputs, inputs) to encoder_packed(...) floats; the result refers to them and to the bias. */
    qe_matrix (*encoder_pack)(
        const float *weights, const float *bias, ptrdiff_t outputs, ptrdiff_t inputs, int precision, int hidden,
        float *to
    );
    ptrdiff_t (*encoder_scratch)(const qe_encoder_task *task);
    const char *(*encoder)(const qe_encoder_task *task);
    /* The first vectors of n tokens of one sequence: x is n x d; parts of token t are starts[t] up to starts[t + 1]. */
    void (*encoder_embed)(
        const qe_tokens *tokens, int kind, const uint8_t *roles, const int64_t *starts, const uint32_t *parts,
        ptrdiff_t n, float *x
    );
    ptrdiff_t (*encoder_pool_scratch)(const qe_pooling *pooling, ptrdiff_t rows);
    /* The vectors of sequences of vectors, sequences x d; x is changed. */
    void (*encoder_pool)(
        const qe_pooling *pooling, float *x, const int64_t *offsets, ptrdiff_t sequences, float *out, float *scratch
    );
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
ptrdiff_t QE_SYMBOL(qe_encoder_packed)(ptrdiff_t outputs, ptrdiff_t inputs, int precision, int hidden);
qe_matrix QE_SYMBOL(qe_encoder_pack)(
    const float *weights, const float *bias, ptrdiff_t outputs, ptrdiff_t inputs, int precision, int hidden, float *to
);
ptrdiff_t QE_SYMBOL(qe_encoder_scratch)(const qe_encoder_task *task);
const char *QE_SYMBOL(qe_encoder)(const qe_encoder_task *task);
void QE_SYMBOL(qe_encoder_embed)(
    const qe_tokens *tokens, int kind, const uint8_t *roles, const int64_t *starts, const uint32_t *parts,
    ptrdiff_t n, float *x
);
ptrdiff_t QE_SYMBOL(qe_encoder_pool_scratch)(const qe_pooling *pooling, ptrdiff_t rows);
void QE_SYMBOL(qe_encoder_pool)(
    const qe_pooling *pooling, float *x, const int64_t *offsets, ptrdiff_t sequences, float *out, float *scratch
);
extern const qe_variant QE_SYMBOL(qe_variant);
#endif

#endif
