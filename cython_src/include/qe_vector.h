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
#endif

#define QE_INLINE static inline __attribute__((always_inline))

#if QE_LANES > 1

typedef float vf __attribute__((vector_size(4 * QE_LANES)));
typedef int32_t vi __attribute__((vector_size(4 * QE_LANES)));
typedef float vf_unaligned __attribute__((vector_size(4 * QE_LANES), aligned(4), may_alias));

QE_INLINE vf v_set(float x) { return x - (vf){0}; }
QE_INLINE vf v_load(const float *p) { return *(const vf_unaligned *)p; }
QE_INLINE void v_store(float *p, vf x) { *(vf_unaligned *)p = x; }
QE_INLINE vi v_bits(vf x) { return (vi)x; }
QE_INLINE vf v_float(vi x) { return (vf)x; }

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

QE_INLINE vf v_set(float x) { return x; }
QE_INLINE vf v_load(const float *p) { return *p; }
QE_INLINE void v_store(float *p, vf x) { *p = x; }
QE_INLINE vi v_bits(vf x) {
    vi bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}
QE_INLINE vf v_float(vi x) {
    vf value;
    memcpy(&value, &x, sizeof value);
    return value;
}
QE_INLINE vf v_select(vi mask, vf a, vf b) { return mask ? a : b; }
QE_INLINE vf v_max(vf a, vf b) { return a > b ? a : b; }
QE_INLINE int v_any(vi mask) { return mask != 0; }

#endif

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
