/* What is done to a strip between its products: layer norm, activation, and the words that products read.

   A strip is a tile of rows transposed: (elements, vectors of lanes), one row of the input in each lane. So a norm has
   no step across lanes, and no lane knows what the others hold. Each function takes one vector of lanes or plain runs
   of vectors, whatever the strip's width, so that a row rounds alike in strips of any width. */
#ifndef QE_ENCODER_COLUMNS_H
#define QE_ENCODER_COLUMNS_H

#include "softmax.h"
#include "tile.h"

/* Of its own, so that loops keep their registers; not every unit that includes it calls it. */
#define QE_APART static __attribute__((noinline, unused))

/* Independent sums, so that none waits for the one before. */
#define QE_PARTS 4

QE_INLINE vf v_root(vf x) {
    float each[QE_LANES];
    v_store(each, x);
    for (int i = 0; i < QE_LANES; ++i) each[i] = sqrtf(each[i]);
    return v_load(each);
}

QE_INLINE vf v_size(vf x) { return v_float(v_bits(x) & 0x7fffffffu); }
QE_INLINE vf v_below(vf x) { return v_float(v_bits(x) | 0x80000000u); }

/* Layer norm of one vector of lanes, d elements `width` floats apart. */
QE_APART void normalise(
    float *to, const float *from, ptrdiff_t d, ptrdiff_t width, qe_norm norm, float eps
) {
    vf sum[QE_PARTS], square[QE_PARTS];
    for (int i = 0; i < QE_PARTS; ++i) sum[i] = square[i] = v_set(0.0f);
    for (ptrdiff_t t = 0; t < d; t += QE_PARTS)
        for (int i = 0; i < QE_PARTS; ++i) sum[i] += v_load(from + (t + i) * width);
    const vf mean = ((sum[0] + sum[1]) + (sum[2] + sum[3])) * v_set(1.0f / (float)d);
    for (ptrdiff_t t = 0; t < d; t += QE_PARTS)
        for (int i = 0; i < QE_PARTS; ++i) {
            const vf x = v_load(from + (t + i) * width) - mean;
            square[i] += x * x;
        }
    const vf variance = ((square[0] + square[1]) + (square[2] + square[3])) * v_set(1.0f / (float)d);
    const vf inverse = v_set(1.0f) / v_root(variance + v_set(eps));
    for (ptrdiff_t t = 0; t < d; ++t) {
        const vf x = (v_load(from + t * width) - mean) * inverse;
        v_store(to + t * width, x * v_set(norm.gain[t]) + v_set(norm.bias[t]));
    }
}

/* x / (1 + e^-2y), which is 0.5 x (1 + tanh y), with y = sqrt(2 / pi) (x + 0.044715 x^3); -2 y in powers of two. */
QE_INLINE vf gelu_tanh(vf x) {
    const vf y = x * (v_set(0x1.26aec2p+1f) + v_set(0x1.a5a7dp-4f) * x * x);
    const vf power = v_exp2(v_below(y));
    return x * v_select(y >= v_set(0.0f), v_set(1.0f), power) / (v_set(1.0f) + power);
}

/* x times the normal distribution function, whose tail is a polynomial in 1 / (1 + p z) times e^(-z^2), where z is
   |x| / sqrt 2 (Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26: erf to 1.5e-7). */
QE_INLINE vf gelu_erf(vf x) {
    const vf t = v_set(1.0f) / (v_set(1.0f) + v_set(0.3275911f * 0.707106781f) * v_size(x));
    vf tail = v_set(1.061405429f) * t + v_set(-1.453152027f);
    tail = tail * t + v_set(1.421413741f);
    tail = tail * t + v_set(-0.284496736f);
    tail = tail * t + v_set(0.254829592f);
    tail = tail * t * v_set(0.5f) * v_exp2(v_set(-0.5f * LOG2_E) * x * x);
    return x * v_select(x >= v_set(0.0f), v_set(1.0f) - tail, tail);
}

/* n vectors in place. */
QE_APART void activate(float *x, ptrdiff_t n, int erf) {
    if (erf)
        for (ptrdiff_t i = 0; i < n; ++i) v_store(x + i * QE_LANES, gelu_erf(v_load(x + i * QE_LANES)));
    else
        for (ptrdiff_t i = 0; i < n; ++i) v_store(x + i * QE_LANES, gelu_tanh(v_load(x + i * QE_LANES)));
}

/* Pairs of bfloat16 in place, of one vector of lanes; n is even. */
QE_APART void pair_column(float *x, ptrdiff_t n, ptrdiff_t width) {
    for (ptrdiff_t t = 0; t < n; t += 2) {
        const vf low = v_round_bf16(v_load(x + t * width)), high = v_round_bf16(v_load(x + (t + 1) * width));
        v_store(x + t / 2 * width, v_float((v_bits(low) >> 16) | v_bits(high)));
    }
}

/* n floats in place. */
QE_APART void round_run(float *x, ptrdiff_t n) { round_rows(x, n, x, n, 1, n); }

/* Whole numbers of 16 bits: with weights of 8 and at most 512 of them in a sum, no sum overflows. */
#define QE_MOST_WHOLE 32767.0f
#define QE_MOST_SUMMED 512

/* Nearest whole number of |x| < 2^22, from the low bits of x + 1.5 * 2^23. */
QE_INLINE vu v_whole(vf x) { return v_bits(x + v_set(12582912.0f)) - 0x4b400000u; }

/* Pairs of whole numbers in place, of one vector of lanes, and what a one of each lane stands for; n is even. A lane
   with a NaN or an infinity stands for NaN. */
QE_APART void quantise_column(float *x, ptrdiff_t n, ptrdiff_t width, float *scale) {
    vf most[QE_PARTS], odd[QE_PARTS];
    for (int i = 0; i < QE_PARTS; ++i) most[i] = odd[i] = v_set(0.0f);
    for (ptrdiff_t t = 0; t < n; t += QE_PARTS)
        for (int i = 0; i < QE_PARTS; ++i) {
            const vf value = v_load(x + (t + i) * width);
            most[i] = v_max(v_size(value), most[i]);
            odd[i] += value * v_set(0.0f);
        }
    const vf top = v_max(v_max(most[0], most[1]), v_max(most[2], most[3]));
    const vf factor = v_select(top > v_set(0.0f), v_set(QE_MOST_WHOLE) / top, v_set(0.0f));
    v_store(scale, top * v_set(1.0f / QE_MOST_WHOLE) + ((odd[0] + odd[1]) + (odd[2] + odd[3])));
    for (ptrdiff_t t = 0; t < n; t += 2) {
        const vu low = v_whole(v_load(x + t * width) * factor), high = v_whole(v_load(x + (t + 1) * width) * factor);
        v_store(x + t / 2 * width, v_float((low & 0xffffu) | (high << 16)));
    }
}

#endif
