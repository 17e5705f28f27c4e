/* The tile loop that both epilogues share: a tile of up to QE_VECTORS vectors of queries against keys.

   Queries lie along the lanes. A tile of queries is packed transposed once; keys are read as they are, one broadcast
   per element. So the maximum and the sum of a row need no step across lanes.

   Register budget of the micro-kernel: QE_SUMS accumulators, the tile's query vectors and one broadcast. AVX2 and
   baseline 12 + 3 + 1 = 16 of 16 registers; AVX-512 and NEON 24 + 3 + 1 = 28 of 32. A tile of fewer vectors takes
   more keys at a time, so that there are always QE_SUMS independent sums to hide the latency of a multiply-add.

   An element is a 32-bit word: a float, or two bfloat16 (`pairs`), which one instruction multiplies and adds. */
#ifndef QE_TILE_H
#define QE_TILE_H

#include "qe_kernels.h"
#include "qe_transpose.h"
#include "qe_vector.h"

#define QE_VECTORS 3
#if QE_LANES == 16 || defined(__aarch64__)
#define QE_SUMS 24
#else
#define QE_SUMS 12
#endif
/* Where the instruction is missing, bfloat16 is rounded floats; QE_FORCE_PAIRS is for tests of the logic. */
#if (QE_LANES == 16 && defined(__AVX512BF16__)) || defined(QE_FORCE_PAIRS)
#define QE_PAIRS 1
#else
#define QE_PAIRS 0
#endif
#define QE_TILE (QE_VECTORS * QE_LANES)
/* Keys (or columns of the output) that a tile of so many vectors takes at a time. */
#define QE_GROUP(vectors) (QE_SUMS / (vectors))

/* A task's rows in vectors, cut into tiles of 3; of what does not go up in threes, tiles of 2: one vector alone
   would be fed by twice as many loads. */
typedef struct {
    ptrdiff_t tiles, wide;
} qe_tiling;

QE_INLINE qe_tiling tiling(ptrdiff_t rows) {
    const ptrdiff_t vectors = (rows + QE_LANES - 1) / QE_LANES;
    const ptrdiff_t tiles = (vectors + QE_VECTORS - 1) / QE_VECTORS;
    /* With w tiles of three and the rest of two (or one tile of one): 3 w + 2 (tiles - w) = vectors. */
    const ptrdiff_t wide = vectors > 1 ? vectors - 2 * tiles : 0;
    return (qe_tiling){tiles, wide};
}

/* First row of a tile, and its number of vectors. */
QE_INLINE ptrdiff_t tile_start(qe_tiling cut, ptrdiff_t tile) {
    const ptrdiff_t wide = tile < cut.wide ? tile : cut.wide;
    return (3 * wide + 2 * (tile - wide)) * QE_LANES;
}

QE_INLINE int tile_vectors(qe_tiling cut, ptrdiff_t tile, ptrdiff_t rows) {
    return rows <= QE_LANES ? 1 : tile < cut.wide ? 3 : 2;
}

/* Write rows x d of q, `step` floats apart, times `factor`, transposed: d x (vectors of lanes). Lanes past the last
   row repeat it; what comes of them is never read. */
QE_INLINE void pack_queries(
    float *restrict packed, const float *restrict q, ptrdiff_t step, ptrdiff_t rows, ptrdiff_t d, float factor,
    const int vectors
) {
    const ptrdiff_t width = vectors * QE_LANES;
    for (int x = 0; x < vectors; ++x) {
        const float *row[QE_LANES];
        for (int i = 0; i < QE_LANES; ++i) {
            const ptrdiff_t at = x * QE_LANES + i;
            row[i] = q + (at < rows ? at : rows - 1) * step;
        }
        ptrdiff_t t = 0;
        for (; t + QE_LANES <= d; t += QE_LANES) {
            vf block[QE_LANES];
            QE_UNROLL
            for (int i = 0; i < QE_LANES; ++i) block[i] = v_load(row[i] + t) * v_set(factor);
            v_transpose(block);
            QE_UNROLL
            for (int i = 0; i < QE_LANES; ++i) v_store(packed + (t + i) * width + x * QE_LANES, block[i]);
        }
        for (; t < d; ++t)
            for (int i = 0; i < QE_LANES; ++i) packed[t * width + x * QE_LANES + i] = row[i][t] * factor;
    }
}

QE_INLINE vf multiply_add(vf sum, vf a, vf b, const int pairs) { return pairs ? v_dot_pairs(sum, a, b) : sum + a * b; }

/* scores[j][lane] = q_lane . k_j for keys of `words` words, and the running maximum of each lane in `top`. */
QE_INLINE void score_group(
    float *restrict scores, const float *restrict packed, const float *const *row, ptrdiff_t words, vf *top,
    const int keys, const int vectors, const int pairs
) {
    const ptrdiff_t width = vectors * QE_LANES;
    vf sum[QE_SUMS];
    QE_UNROLL
    for (int i = 0; i < QE_SUMS; ++i) sum[i] = v_set(0.0f);
    for (ptrdiff_t t = 0; t < words; ++t) {
        vf query[QE_VECTORS];
        QE_UNROLL
        for (int x = 0; x < vectors; ++x) {
            query[x] = v_load(packed + t * width + x * QE_LANES);
            QE_KEEP(query[x]);
        }
        QE_UNROLL
        for (int g = 0; g < keys; ++g) {
            const vf key = v_set(row[g][t]);
            QE_UNROLL
            for (int x = 0; x < vectors; ++x)
                sum[g * vectors + x] = multiply_add(sum[g * vectors + x], query[x], key, pairs);
        }
    }
    QE_UNROLL
    for (int x = 0; x < vectors; ++x) {
        vf most = top[x];
        QE_UNROLL
        for (int g = 0; g < keys; ++g) {
            v_store(scores + g * width + x * QE_LANES, sum[g * vectors + x]);
            most = v_max(sum[g * vectors + x], most);
        }
        top[x] = most;
    }
}

/* Keys j, j + 1, ... of n; past the last one, the last again: computed, stored inside the block, never read. */
QE_INLINE void rows_of_keys(
    const float **row, const float *k, ptrdiff_t step, ptrdiff_t j, ptrdiff_t n, const int keys
) {
    QE_UNROLL
    for (int g = 0; g < keys; ++g) row[g] = k + (j + g < n ? j + g : n - 1) * step;
}

QE_INLINE void tile_scores(
    float *restrict scores, const float *restrict packed, const float *restrict k, ptrdiff_t step, ptrdiff_t n,
    ptrdiff_t words, vf *top, const int vectors, const int pairs
) {
    const int keys = QE_GROUP(vectors);
    for (ptrdiff_t j = 0; j < n; j += keys) {
        const float *row[QE_SUMS];
        rows_of_keys(row, k, step, j, n, keys);
        score_group(scores + j * vectors * QE_LANES, packed, row, words, top, keys, vectors, pairs);
    }
}

#endif
