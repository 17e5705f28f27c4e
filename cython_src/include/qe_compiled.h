/* The features that the including unit may contain, as its own compiler flags have it: flags that a build passed in
   CFLAGS count as much as those of the variant. */
#ifndef QE_COMPILED_H
#define QE_COMPILED_H

#include "qe_features.h"

#define QE_BIT(n) ((uint64_t)1 << (n))

static const uint64_t qe_compiled = 0
#ifdef __SSE3__
    | QE_BIT(0)
#endif
#ifdef __SSSE3__
    | QE_BIT(1)
#endif
#ifdef __SSE4_1__
    | QE_BIT(2)
#endif
#ifdef __SSE4_2__
    | QE_BIT(3)
#endif
#ifdef __POPCNT__
    | QE_BIT(4)
#endif
#ifdef __MOVBE__
    | QE_BIT(5)
#endif
#ifdef __LZCNT__
    | QE_BIT(6)
#endif
#ifdef __BMI__
    | QE_BIT(7)
#endif
#ifdef __BMI2__
    | QE_BIT(8)
#endif
#ifdef __AVX__
    | QE_BIT(9)
#endif
#ifdef __F16C__
    | QE_BIT(10)
#endif
#ifdef __FMA__
    | QE_BIT(11)
#endif
#ifdef __AVX2__
    | QE_BIT(12)
#endif
#ifdef __FMA4__
    | QE_BIT(13)
#endif
#ifdef __XOP__
    | QE_BIT(14)
#endif
#ifdef __TBM__
    | QE_BIT(15)
#endif
#ifdef __SSE4A__
    | QE_BIT(16)
#endif
#ifdef __AVX512F__
    | QE_BIT(17)
#endif
#ifdef __AVX512VL__
    | QE_BIT(18)
#endif
#ifdef __AVX512BW__
    | QE_BIT(19)
#endif
#ifdef __AVX512DQ__
    | QE_BIT(20)
#endif
#ifdef __AVX512CD__
    | QE_BIT(21)
#endif
#ifdef __AVX512IFMA__
    | QE_BIT(22)
#endif
#ifdef __AVX512VBMI__
    | QE_BIT(23)
#endif
#ifdef __AVX512VBMI2__
    | QE_BIT(24)
#endif
#ifdef __AVX512VNNI__
    | QE_BIT(25)
#endif
#ifdef __AVX512BITALG__
    | QE_BIT(26)
#endif
#ifdef __AVX512VPOPCNTDQ__
    | QE_BIT(27)
#endif
#ifdef __AVX512BF16__
    | QE_BIT(28)
#endif
#ifdef __AVX512FP16__
    | QE_BIT(29)
#endif
#ifdef __AVXVNNI__
    | QE_BIT(30)
#endif
#ifdef __AVXIFMA__
    | QE_BIT(31)
#endif
#ifdef __GFNI__
    | QE_BIT(32)
#endif
#ifdef __VAES__
    | QE_BIT(33)
#endif
#ifdef __VPCLMULQDQ__
    | QE_BIT(34)
#endif
#ifdef __APX_F__
    | QE_BIT(35)
#endif
#ifdef __AVX10_1__
    | QE_BIT(36)
#endif
#ifdef __ADX__
    | QE_BIT(37)
#endif
#if defined(__ARM_NEON) && !defined(__aarch64__)
    | QE_BIT(48)
#endif
#ifdef __ARM_FEATURE_DOTPROD
    | QE_BIT(49)
#endif
#ifdef __ARM_FEATURE_FP16_VECTOR_ARITHMETIC
    | QE_BIT(50)
#endif
#ifdef __ARM_FEATURE_ATOMICS
    | QE_BIT(51)
#endif
#ifdef __ARM_FEATURE_SVE
    | QE_BIT(52)
#endif
#ifdef __ARM_FEATURE_SVE2
    | QE_BIT(53)
#endif
#ifdef __ARM_FEATURE_MATMUL_INT8
    | QE_BIT(54)
#endif
#ifdef __ARM_FEATURE_BF16
    | QE_BIT(55)
#endif
    ;

#endif
