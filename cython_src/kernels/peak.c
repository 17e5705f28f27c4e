/* The machine's multiply-add peak as this variant can reach it: nothing but registers. */
#include "tile.h"

double QE_SYMBOL(qe_peak)(ptrdiff_t rounds, int bfloat16) {
    vf sum[QE_SUMS], factor = v_set(0.5f), term = v_set(0.25f);
    if (bfloat16 && !QE_PAIRS) return 0.0;
    QE_UNROLL
    for (int i = 0; i < QE_SUMS; ++i) sum[i] = v_set((float)i);
    QE_KEEP(factor);
    QE_KEEP(term);
    for (ptrdiff_t round = 0; round < rounds; ++round) {
        QE_UNROLL
        for (int i = 0; i < QE_SUMS; ++i) {
            sum[i] = bfloat16 ? v_dot_pairs(sum[i], factor, term) : sum[i] * factor + term;
            QE_KEEP(sum[i]);
        }
    }
    vf all = v_set(0.0f);
    QE_UNROLL
    for (int i = 0; i < QE_SUMS; ++i) all += sum[i];
    float each[QE_LANES];
    v_store(each, all);
    /* Used, so that none of it can be left out; the sums stay between 0 and 24. */
    const double used = each[0] >= 0.0f ? 1.0 : 0.0;
    return used * 2.0 * (bfloat16 ? 2.0 : 1.0) * QE_SUMS * QE_LANES * (double)rounds;
}
