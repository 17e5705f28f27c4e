/* The tile loop that both epilogues share: QE_VECTORS vectors of queries against keys.

   Queries lie along the lanes. A tile of queries is packed transposed once; keys and values are read as they are,
   one broadcast per element. So the maximum and the sum of a row need no step across lanes.

   Register budget of the micro-kernel (QE_VECTORS x QE_GROUP accumulators, QE_VECTORS query vectors, 1 broadcast):
   AVX2 and baseline 3 x 4 + 3 + 1 = 16 of 16; AVX-512 and NEON 3 x 8 + 3 + 1 = 28 of 32. */
#ifndef QE_TILE_H
#define QE_TILE_H

#include "qe_kernels.h"
#include "qe_vector.h"

#define QE_VECTORS 3
#if QE_LANES == 16 || defined(__ARM_NEON)
#define QE_GROUP 8
#else
#define QE_GROUP 4
#endif
#define QE_TILE (QE_VECTORS * QE_LANES)
/* Keys per block: the block's scores stay in the first-level cache. A multiple of QE_GROUP. */
#define QE_BLOCK 64

#if defined(__clang__)
#define QE_UNROLL _Pragma("clang loop unroll(full)")
#else
#define QE_UNROLL _Pragma("GCC unroll 8")
#endif

/* Write rows x d of q transposed, to d x QE_TILE; lanes without a row are zero. */
QE_INLINE void pack_queries(float *packed, const float *q, ptrdiff_t rows, ptrdiff_t d) {
    for (ptrdiff_t t = 0; t < d; ++t) {
        for (ptrdiff_t i = 0; i < rows; ++i) packed[t * QE_TILE + i] = q[i * d + t];
        for (ptrdiff_t i = rows; i < QE_TILE; ++i) packed[t * QE_TILE + i] = 0.0f;
    }
}

/* scores[j][lane] = scale * q_lane . k_j for n keys. */
QE_INLINE void tile_scores(
    float *restrict scores, const float *restrict packed, const float *restrict k, ptrdiff_t n, ptrdiff_t d,
    float scale, const int vectors
) {
    for (ptrdiff_t j = 0; j < n; j += QE_GROUP) {
        const float *row[QE_GROUP];
        vf sum[QE_GROUP][QE_VECTORS];
        QE_UNROLL
        for (int g = 0; g < QE_GROUP; ++g) {
            /* Past the last key, the last one again: computed, stored inside the block, never read. */
            row[g] = k + (j + g < n ? j + g : n - 1) * d;
            QE_UNROLL
            for (int x = 0; x < vectors; ++x) sum[g][x] = v_set(0.0f);
        }
        for (ptrdiff_t t = 0; t < d; ++t) {
            vf query[QE_VECTORS];
            QE_UNROLL
            for (int x = 0; x < vectors; ++x) {
                query[x] = v_load(packed + t * QE_TILE + x * QE_LANES);
                QE_KEEP(query[x]);
            }
            QE_UNROLL
            for (int g = 0; g < QE_GROUP; ++g) {
                const vf key = v_set(row[g][t]);
                QE_UNROLL
                for (int x = 0; x < vectors; ++x) sum[g][x] += query[x] * key;
            }
        }
        QE_UNROLL
        for (int g = 0; g < QE_GROUP; ++g) {
            QE_UNROLL
            for (int x = 0; x < vectors; ++x)
                v_store(scores + (j + g) * QE_TILE + x * QE_LANES, sum[g][x] * v_set(scale));
        }
    }
}

/* Number of vectors that hold `rows` lanes. */
QE_INLINE int vectors_for(ptrdiff_t rows) { return (int)((rows + QE_LANES - 1) / QE_LANES); }

#endif
