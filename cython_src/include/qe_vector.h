/* A float vector of QE_LANES lanes in GCC and Clang vector extensions; QE_LANES == 1 is plain C.

   The width is a compile-time choice of its own: 16 lanes compile for AVX2 too, where the compiler splits them, so
   that a machine without AVX-512 can check the logic of that width. Intrinsics only where the extensions have no
   word for it and the instruction set is there. */
#ifndef QE_VECTOR_H
#define QE_VECTOR_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifndef QE_LANES
#if defined(__AVX512F__)
#define QE_LANES 16
#elif defined(__AVX__)
#define QE_LANES 8
#elif defined(__SSE2__) || defined(__ARM_NEON)
#define QE_LANES 4
#else
#define QE_LANES 1
#endif
#endif

#if defined(__AVX__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define QE_INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define QE_UNROLL _Pragma("clang loop unroll(full)")
#define QE_UNROLL_BY_4 _Pragma("clang loop unroll_count(4)")
#else
#define QE_UNROLL _Pragma("GCC unroll 24")
#define QE_UNROLL_BY_4 _Pragma("GCC unroll 4")
#endif

#if QE_LANES > 1

typedef float vf __attribute__((vector_size(4 * QE_LANES)));
typedef int32_t vi __attribute__((vector_size(4 * QE_LANES)));
typedef uint32_t vu __attribute__((vector_size(4 * QE_LANES)));
typedef uint8_t vb __attribute__((vector_size(QE_LANES)));
typedef float vf_unaligned __attribute__((vector_size(4 * QE_LANES), aligned(4), may_alias));

QE_INLINE vf v_set(float x) { return x - (vf){0}; }
QE_INLINE vf v_load(const float *p) { return *(const vf_unaligned *)p; }
QE_INLINE void v_store(float *p, vf x) { *(vf_unaligned *)p = x; }
QE_INLINE vu v_bits(vf x) { return (vu)x; }
QE_INLINE vf v_float(vu x) { return (vf)x; }
QE_INLINE vi v_count(void) {
    vi lanes;
    for (int i = 0; i < QE_LANES; ++i) lanes[i] = i;
    return lanes;
}
QE_INLINE vi v_all(int32_t x) { return x - (vi){0}; }
/* Bytes as integers of their own lanes. */
QE_INLINE vi v_bytes(const unsigned char *p) {
    vb bytes;
    memcpy(&bytes, p, sizeof bytes);
    return __builtin_convertvector(bytes, vi);
}

#if QE_LANES == 8 && defined(__AVX__)
QE_INLINE vf v_select(vi mask, vf a, vf b) { return (vf)_mm256_blendv_ps((__m256)b, (__m256)a, (__m256)mask); }
QE_INLINE vf v_max(vf a, vf b) { return (vf)_mm256_max_ps((__m256)a, (__m256)b); }
QE_INLINE int v_any(vi mask) { return _mm256_movemask_ps((__m256)mask); }
#elif QE_LANES == 16 && defined(__AVX512F__)
QE_INLINE vf v_select(vi mask, vf a, vf b) {
    return (vf)_mm512_mask_blend_ps(_mm512_test_epi32_mask((__m512i)mask, (__m512i)mask), (__m512)b, (__m512)a);
}
QE_INLINE vf v_max(vf a, vf b) { return (vf)_mm512_max_ps((__m512)a, (__m512)b); }
QE_INLINE int v_any(vi mask) { return _mm512_test_epi32_mask((__m512i)mask, (__m512i)mask) != 0; }
#else
QE_INLINE vf v_select(vi mask, vf a, vf b) { return (vf)((mask & (vi)a) | (~mask & (vi)b)); }
/* b where either is NaN, as the x86 instruction has it. */
QE_INLINE vf v_max(vf a, vf b) { return v_select(a > b, a, b); }
QE_INLINE int v_any(vi mask) {
    int32_t any = 0;
    for (int i = 0; i < QE_LANES; ++i) any |= mask[i];
    return any != 0;
}
#endif

#else

typedef float vf;
typedef int32_t vi;
typedef uint32_t vu;

QE_INLINE vf v_set(float x) { return x; }
QE_INLINE vf v_load(const float *p) { return *p; }
QE_INLINE void v_store(float *p, vf x) { *p = x; }
QE_INLINE vu v_bits(vf x) {
    vu bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}
QE_INLINE vf v_float(vu x) {
    vf value;
    memcpy(&value, &x, sizeof value);
    return value;
}
QE_INLINE vi v_count(void) { return 0; }
QE_INLINE vi v_all(int32_t x) { return x; }
QE_INLINE vi v_bytes(const unsigned char *p) { return *p; }
QE_INLINE vf v_select(vi mask, vf a, vf b) { return mask ? a : b; }
QE_INLINE vf v_max(vf a, vf b) { return a > b ? a : b; }
QE_INLINE int v_any(vi mask) { return mask != 0; }

#endif

/* The nearest whole number, for |x| < 2^22, and p times 2 to that power, for p from 1/2 to 2 and powers from -127,
   which gives 0, or something below 2^-126. NaN stays NaN in either. */
#if QE_LANES == 16 && defined(__AVX512F__)
QE_INLINE vf v_round(vf x) { return (vf)_mm512_roundscale_ps((__m512)x, 8); }
/* Not by the instruction that scales: it gives 2^-127 where a weight of zero is wanted. */
QE_INLINE vf v_times_power(vf p, vf n) {
    return v_float(v_bits(p) + ((vu)_mm512_cvtps_epi32((__m512)n) << 23));
}
#elif QE_LANES == 8 && defined(__AVX2__)
QE_INLINE vf v_round(vf x) { return (vf)_mm256_round_ps((__m256)x, 8); }
QE_INLINE vf v_times_power(vf p, vf n) {
    return v_float(v_bits(p) + ((vu)_mm256_cvtps_epi32((__m256)n) << 23));
}
#elif QE_LANES == 4 && defined(__aarch64__)
QE_INLINE vf v_round(vf x) { return (vf)vrndnq_f32((float32x4_t)x); }
QE_INLINE vf v_times_power(vf p, vf n) { return v_float(v_bits(p) + ((vu)vcvtq_s32_f32((float32x4_t)n) << 23)); }
#else
/* 1.5 * 2^23: adding it rounds to a whole number in the low bits. */
#define QE_MAGIC 12582912.0f
QE_INLINE vf v_round(vf x) { return x + v_set(QE_MAGIC) - v_set(QE_MAGIC); }
QE_INLINE vf v_times_power(vf p, vf n) { return p * v_float((v_bits(n + v_set(QE_MAGIC)) << 23) + (127u << 23)); }
#endif

/* Nearest bfloat16, ties to even, as a float; NaN stays NaN, whatever is left of its payload. */
QE_INLINE vf v_round_bf16(vf x) {
    const vu bits = v_bits(x);
    const vu rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) & 0xffff0000u;
    return v_select(x == x, v_float(rounded), v_float(bits | 0x400000u));
}

/* sum + the products of both bfloat16 halves of each lane. */
QE_INLINE vf v_dot_pairs(vf sum, vf a, vf b) {
#if QE_LANES == 16 && defined(__AVX512BF16__)
    return (vf)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
#else
    const vu x = v_bits(a), y = v_bits(b);
    sum += v_float(x & 0xffff0000u) * v_float(y & 0xffff0000u);
    return sum + v_float(x << 16) * v_float(y << 16);
#endif
}

/* Keep a loaded vector in a register: left alone, GCC loads it anew for every use, and the load ports, not the
   multipliers, then set the pace (measured on Zen 3, GCC 12: 49 instead of 61 GFLOP/s). */
#if (QE_LANES == 8 && defined(__AVX__)) || (QE_LANES == 4 && defined(__SSE__))
#define QE_KEEP(x) __asm__("" : "+x"(x))
#elif QE_LANES == 16 && defined(__AVX512F__)
#define QE_KEEP(x) __asm__("" : "+v"(x))
#elif QE_LANES == 4 && defined(__aarch64__)
#define QE_KEEP(x) __asm__("" : "+w"(x))
#else
#define QE_KEEP(x) ((void)0)
#endif

#endif
