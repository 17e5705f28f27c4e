/* Few queries: the lanes lie along the dimensions, keys stream by once, row by row.

   A tile would leave most of its lanes empty here; this way the memory sets the pace. */
#ifndef QE_FEW_H
#define QE_FEW_H

#include "qe_kernels.h"
#include "qe_transpose.h"
#include "qe_vector.h"

/* Rows up to which this is faster than a tile of one vector, which costs the same for any of them. */
#define QE_FEW (QE_LANES > 2 ? QE_LANES / 2 : 1)

/* scores[j] = q . k_j for keys j of which `n` are left, QE_LANES at a time. */
QE_INLINE vf few_scores(const float *q, const float *k, ptrdiff_t step, ptrdiff_t n, ptrdiff_t d) {
    const float *row[QE_LANES];
    vf sum[QE_LANES];
    QE_UNROLL
    for (int i = 0; i < QE_LANES; ++i) {
        row[i] = k + (i < n ? i : n - 1) * step;
        sum[i] = v_set(0.0f);
    }
    ptrdiff_t t = 0;
    for (; t + QE_LANES <= d; t += QE_LANES) {
        const vf query = v_load(q + t);
        QE_UNROLL
        for (int i = 0; i < QE_LANES; ++i) sum[i] += query * v_load(row[i] + t);
    }
    vf scores = v_sums(sum);
    if (t < d) {
        float rest[QE_LANES] = {0};
        for (; t < d; ++t)
            for (int i = 0; i < QE_LANES; ++i) rest[i] += q[t] * row[i][t];
        scores += v_load(rest);
    }
    return scores;
}

#endif
