/* The pieces of online softmax, in powers of two. */
#ifndef QE_SOFTMAX_H
#define QE_SOFTMAX_H

#include "qe_vector.h"

#define LOG2_E 1.44269504f
#define LN_2 0.693147181f

/* 2^x for x <= 0 (a little above is fine), -inf and NaN; 0 from -127 down, something below 2^-126 before that.
   x = n + f with |f| <= 1/2 and 2^f = 1 + f P(f), P fitted by Lawson's iteration with coefficients rounded one after
   the other (relative error of the polynomial 9.3e-8), summed in pairs (Estrin), which waits less. */
QE_INLINE vf v_exp2(vf x) {
    x = v_max(v_set(-127.0f), x); /* NaN stays */
    const vf n = v_round(x), f = x - n, square = f * f;
    const vf low = v_set(0x1.62e42ap-1f) * f + v_set(1.0f);
    const vf middle = v_set(0x1.c6b6d8p-5f) * f + v_set(0x1.ebf9c2p-3f);
    const vf high = v_set(0x1.5bda3cp-10f) * f + v_set(0x1.3ce8acp-7f);
    return v_times_power((high * square + middle) * square + low, n);
}

/* What exponents are taken relative to: the maximum, 0 where nothing was seen, NaN where scores overflow. */
QE_INLINE vf finite_base(vf most) {
    return v_select(most == v_set(-INFINITY), v_set(0.0f), most + (most - most));
}

/* Keys of which a sum of its own is taken: added one by one to a large sum, small weights would be rounded away. */
#define QE_SUM 128

/* Turn n scores, `step` floats apart, into 2^(factor * score - base); return their sum. */
QE_INLINE vf weigh(float *scores, ptrdiff_t step, ptrdiff_t n, vf factor, vf base, const int bfloat16) {
    vf total = v_set(0.0f);
    for (ptrdiff_t first = 0; first < n; first += QE_SUM) {
        const ptrdiff_t end = n - first < QE_SUM ? n : first + QE_SUM;
        vf sum = v_set(0.0f);
        for (ptrdiff_t j = first; j < end; ++j) {
            vf weight = v_exp2(v_load(scores + j * step) * factor - base);
            if (bfloat16) weight = v_round_bf16(weight);
            v_store(scores + j * step, weight);
            sum += weight;
        }
        total += sum;
    }
    return total;
}

QE_INLINE float log_sum(float most, float total) { return total == 0.0f ? -INFINITY : LN_2 * most + logf(total); }

QE_INLINE float round_bf16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits = x == x ? (bits + 0x7fffu + ((bits >> 16) & 1u)) & 0xffff0000u : bits | 0x400000u;
    memcpy(&x, &bits, sizeof bits);
    return x;
}

/* Two bfloat16 as one word, the first in its low half. */
QE_INLINE float pair_bf16(float low, float high) {
    uint32_t word, bits;
    low = round_bf16(low);
    high = round_bf16(high);
    memcpy(&word, &low, sizeof word);
    memcpy(&bits, &high, sizeof bits);
    word = (word >> 16) | (bits & 0xffff0000u);
    memcpy(&low, &word, sizeof word);
    return low;
}

static void round_rows(float *to, ptrdiff_t to_step, const float *from, ptrdiff_t step, ptrdiff_t n, ptrdiff_t d) {
    for (ptrdiff_t j = 0; j < n; ++j) {
        ptrdiff_t t = 0;
        for (; t + QE_LANES <= d; t += QE_LANES)
            v_store(to + j * to_step + t, v_round_bf16(v_load(from + j * step + t)));
        for (; t < d; ++t) to[j * to_step + t] = round_bf16(from[j * step + t]);
    }
}

#endif
