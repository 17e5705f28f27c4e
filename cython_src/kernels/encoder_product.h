/* Products of strips with packed matrices: the tile loop of tile.h with the outputs in the place of keys.

   Rows lie along the lanes, a weight is broadcast to all of them, and each lane adds its products in the order of the
   inputs: what a row gives depends on nothing beside it. Words are floats, or pairs of bfloat16, or pairs of whole
   numbers of 16 bits, of which one instruction multiplies and adds both. */
#ifndef QE_ENCODER_PRODUCT_H
#define QE_ENCODER_PRODUCT_H

#include "encoder_columns.h"

enum { QE_WORDS_FLOAT, QE_WORDS_BFLOAT16, QE_WORDS_WHOLE };

/* Outputs whose weights lie side by side; it divides 8, and so the outputs of every matrix. */
#define QE_OUTPUTS QE_GROUP(QE_VECTORS)
/* Inputs of which a sum is taken at most: with their strip they fit the first-level cache. Inner ones of a feed-forward
   network, which are computed as they are needed, take less. */
#define QE_CHUNK 256
#define QE_HIDDEN_CHUNK 96
/* Outputs whose weights serve all strips one after the other before the next are read. */
#define QE_BLOCK 96

QE_INLINE int words_of(int precision) {
    if (precision == QE_INT8) return QE_WORDS_WHOLE;
    return precision == QE_BFLOAT16 && QE_PAIRS ? QE_WORDS_BFLOAT16 : QE_WORDS_FLOAT;
}

_Static_assert(8 % QE_OUTPUTS == 0 && QE_BLOCK % 8 == 0 && QE_CHUNK % 8 == 0, "whole groups");
_Static_assert(QE_CHUNK <= QE_MOST_SUMMED && QE_HIDDEN_CHUNK <= QE_MOST_SUMMED, "no sum overflows");

/* Inputs are cut into chunks of about equal size, all of them multiples of 8. */
QE_INLINE ptrdiff_t chunk_of(ptrdiff_t inputs, int hidden) {
    const ptrdiff_t most = hidden ? QE_HIDDEN_CHUNK : QE_CHUNK, chunks = (inputs + most - 1) / most;
    return ((inputs + chunks - 1) / chunks + 7) / 8 * 8;
}

QE_INLINE ptrdiff_t chunks_of(const qe_matrix *matrix) { return (matrix->inputs + matrix->chunk - 1) / matrix->chunk; }

QE_INLINE ptrdiff_t words_in(ptrdiff_t inputs, int words) { return words == QE_WORDS_FLOAT ? inputs : inputs / 2; }

/* Where the words of a chunk of inputs begin, for outputs from `first` on, the first of a group. */
QE_INLINE const float *packed_words(const qe_matrix *matrix, ptrdiff_t chunk, ptrdiff_t first, int words) {
    const ptrdiff_t start = chunk * matrix->chunk, left = matrix->inputs - start;
    const ptrdiff_t here = left < matrix->chunk ? left : matrix->chunk;
    return matrix->words + words_in(start, words) * matrix->outputs + words_in(here, words) * first;
}

/* sum + the products of both halves of each lane, whole numbers of 16 bits. */
QE_INLINE vi v_dot_whole(vi sum, vi a, vi b) {
#if QE_LANES == 16 && defined(__AVX512VNNI__)
    return (vi)_mm512_dpwssd_epi32((__m512i)sum, (__m512i)a, (__m512i)b);
#elif QE_LANES == 16 && defined(__AVX512BW__)
    return sum + (vi)_mm512_madd_epi16((__m512i)a, (__m512i)b);
#elif QE_LANES == 8 && defined(__AVXVNNI__)
    return (vi)_mm256_dpwssd_avx_epi32((__m256i)sum, (__m256i)a, (__m256i)b);
#elif QE_LANES == 8 && defined(__AVX2__)
    return sum + (vi)_mm256_madd_epi16((__m256i)a, (__m256i)b);
#elif QE_LANES == 4 && defined(__aarch64__)
    const int16x8_t x = (int16x8_t)a, y = (int16x8_t)b;
    const int32x4_t low = vmull_s16(vget_low_s16(x), vget_low_s16(y)), high = vmull_high_s16(x, y);
    return sum + (vi)vpaddq_s32(low, high);
#else
    return sum + (a >> 16) * (b >> 16) + ((vi)((vu)a << 16) >> 16) * ((vi)((vu)b << 16) >> 16);
#endif
}

/* The same with the vector at `a`. Of 16 registers, twelve sums, three vectors, a weight and a product are one too
   many, and a sum that is kept in memory waits for itself; so the instruction reads one of the vectors from there
   instead. */
#if QE_LANES == 8 && defined(__AVX2__) && !defined(__AVXVNNI__)
#define QE_READS_LAST 1
QE_INLINE vi v_dot_read(vi sum, const float *a, vi b) {
    vi product;
    __asm__("vpmaddwd %1, %2, %0" : "=x"(product) : "m"(*(const vf_unaligned *)a), "x"(b));
    return sum + product;
}
#else
#define QE_READS_LAST 0
QE_INLINE vi v_dot_read(vi sum, const float *a, vi b) { return v_dot_whole(sum, (vi)v_bits(v_load(a)), b); }
#endif

#if QE_LANES > 1
QE_INLINE vf v_floats(vi x) { return __builtin_convertvector(x, vf); }
#else
QE_INLINE vf v_floats(vi x) { return (float)x; }
#endif

/* One chunk of inputs for outputs of which `groups` groups are left to write. */
typedef struct {
    float *to;          /* outputs x width */
    const float *strip; /* words x width */
    const float *packed;
    const float *bias;  /* outputs, or NULL: added already */
    const float *lane_scales, *scales;
    ptrdiff_t words, groups;
    int adds; /* to what is there */
} qe_product;

QE_INLINE void multiply_group(
    const qe_product *product, float *restrict to, const float *restrict packed, ptrdiff_t first, const int vectors,
    const int words
) {
    const ptrdiff_t width = vectors * QE_LANES, n = product->words;
    const float *restrict strip = product->strip;
    vf sum[QE_SUMS];
    vi whole[QE_SUMS];
    QE_UNROLL
    for (int i = 0; i < QE_OUTPUTS * vectors; ++i) {
        sum[i] = v_set(0.0f);
        whole[i] = v_all(0);
    }
    for (ptrdiff_t t = 0; t < n; ++t) {
        const int held = words == QE_WORDS_WHOLE && QE_READS_LAST && vectors == 3 ? 2 : vectors;
        vf row[QE_VECTORS];
        QE_UNROLL
        for (int x = 0; x < held; ++x) {
            row[x] = v_load(strip + t * width + x * QE_LANES);
            QE_KEEP(row[x]);
        }
        QE_UNROLL
        for (int g = 0; g < QE_OUTPUTS; ++g) {
            const vf weight = v_set(packed[t * QE_OUTPUTS + g]);
            QE_UNROLL
            for (int x = 0; x < vectors; ++x) {
                const int i = g * vectors + x;
                if (words == QE_WORDS_WHOLE && x >= held)
                    whole[i] = v_dot_read(whole[i], strip + t * width + x * QE_LANES, (vi)v_bits(weight));
                else if (words == QE_WORDS_WHOLE)
                    whole[i] = v_dot_whole(whole[i], (vi)v_bits(row[x]), (vi)v_bits(weight));
                else
                    sum[i] = multiply_add(sum[i], row[x], weight, words == QE_WORDS_BFLOAT16);
            }
        }
    }
    QE_UNROLL
    for (int g = 0; g < QE_OUTPUTS; ++g) {
        const vf bias = v_set(product->bias ? product->bias[first + g] : 0.0f);
        const vf scale = v_set(words == QE_WORDS_WHOLE ? product->scales[first + g] : 1.0f);
        QE_UNROLL
        for (int x = 0; x < vectors; ++x) {
            const int i = g * vectors + x;
            float *place = to + g * width + x * QE_LANES;
            if (words == QE_WORDS_WHOLE)
                sum[i] = v_floats(whole[i]) * (v_load(product->lane_scales + x * QE_LANES) * scale);
            sum[i] += bias;
            v_store(place, product->adds ? v_load(place) + sum[i] : sum[i]);
        }
    }
}

/* A function each: one that holds two of the loops spills in either (GCC 12). */
#define QE_MULTIPLY(name, vectors, words_)                                                                             \
    QE_APART void name(const qe_product *product) {                                                                    \
        const ptrdiff_t width = vectors * QE_LANES, size = product->words * QE_OUTPUTS;                                \
        for (ptrdiff_t g = 0; g < product->groups; ++g)                                                                \
            multiply_group(                                                                                            \
                product, product->to + g * QE_OUTPUTS * width, product->packed + g * size, g * QE_OUTPUTS, vectors,    \
                words_                                                                                                 \
            );                                                                                                         \
    }
QE_MULTIPLY(multiply_float_1, 1, QE_WORDS_FLOAT)
QE_MULTIPLY(multiply_float_2, 2, QE_WORDS_FLOAT)
QE_MULTIPLY(multiply_float_3, 3, QE_WORDS_FLOAT)
QE_MULTIPLY(multiply_whole_1, 1, QE_WORDS_WHOLE)
QE_MULTIPLY(multiply_whole_2, 2, QE_WORDS_WHOLE)
QE_MULTIPLY(multiply_whole_3, 3, QE_WORDS_WHOLE)
#if QE_PAIRS
QE_MULTIPLY(multiply_bfloat16_1, 1, QE_WORDS_BFLOAT16)
QE_MULTIPLY(multiply_bfloat16_2, 2, QE_WORDS_BFLOAT16)
QE_MULTIPLY(multiply_bfloat16_3, 3, QE_WORDS_BFLOAT16)
#endif

QE_INLINE void multiply(const qe_product *product, int vectors, int words) {
    static void (*const ways[][QE_VECTORS])(const qe_product *) = {
        {multiply_float_1, multiply_float_2, multiply_float_3},
#if QE_PAIRS
        {multiply_bfloat16_1, multiply_bfloat16_2, multiply_bfloat16_3},
#else
        {NULL, NULL, NULL},
#endif
        {multiply_whole_1, multiply_whole_2, multiply_whole_3},
    };
    ways[words][vectors - 1](product);
}

/* Outputs first, first + 1, ... of a strip, which holds the words of the inputs from chunk `chunk` on, for `chunks`
   chunks: n outputs x width. Its lane scales lie chunk by chunk, QE_TILE apart. */
QE_INLINE void multiply_strip(
    const qe_matrix *matrix, float *to, const float *strip, const float *lane_scales, ptrdiff_t first, ptrdiff_t n,
    ptrdiff_t chunk, ptrdiff_t chunks, int adds, int vectors, int words
) {
    const ptrdiff_t width = vectors * QE_LANES;
    for (ptrdiff_t c = 0; c < chunks; ++c) {
        const ptrdiff_t start = (chunk + c) * matrix->chunk, left = matrix->inputs - start;
        const ptrdiff_t inputs = left < matrix->chunk ? left : matrix->chunk;
        multiply(
            &(qe_product){
                .to = to,
                .strip = strip + words_in(c * matrix->chunk, words) * width,
                .packed = packed_words(matrix, chunk + c, first, words),
                .bias = chunk + c == 0 ? matrix->bias + first : NULL,
                .lane_scales = lane_scales + c * QE_TILE,
                .scales = matrix->scales ? matrix->scales + first : NULL,
                .words = words_in(inputs, words),
                .groups = n / QE_OUTPUTS,
                .adds = adds || c > 0,
            },
            vectors, words
        );
    }
}

/* Turn a strip into the words that products read, chunk by chunk. */
QE_INLINE void prepare_strip(
    float *strip, ptrdiff_t inputs, ptrdiff_t chunk, float *lane_scales, int precision, int vectors
) {
    const ptrdiff_t width = vectors * QE_LANES;
    const int words = words_of(precision);
    if (precision == QE_FLOAT32) return;
    if (precision == QE_BFLOAT16 && words == QE_WORDS_FLOAT) {
        round_run(strip, inputs * width);
        return;
    }
    /* The words of a chunk take half the place of its floats: all of them move up. */
    for (ptrdiff_t start = 0; start < inputs; start += chunk) {
        const ptrdiff_t n = inputs - start < chunk ? inputs - start : chunk;
        float *here = strip + start * width;
        for (int x = 0; x < vectors; ++x) {
            if (words == QE_WORDS_WHOLE)
                quantise_column(here + x * QE_LANES, n, width, lane_scales + start / chunk * QE_TILE + x * QE_LANES);
            else
                pair_column(here + x * QE_LANES, n, width);
        }
        if (start) memmove(strip + start / 2 * width, here, (size_t)(n / 2 * width) * sizeof *strip);
    }
}

#endif
