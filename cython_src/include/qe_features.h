/* Instruction-set features as bits: what a processor offers, and what a compiled unit may contain. */
#ifndef QE_FEATURES_H
#define QE_FEATURES_H

#include <stdint.h>

#define QE_FEATURE_LIST(X) \
    X(SSE3, "sse3", 0) X(SSSE3, "ssse3", 1) X(SSE41, "sse4.1", 2) X(SSE42, "sse4.2", 3) \
    X(POPCNT, "popcnt", 4) X(MOVBE, "movbe", 5) X(LZCNT, "lzcnt", 6) X(BMI, "bmi", 7) X(BMI2, "bmi2", 8) \
    X(AVX, "avx", 9) X(F16C, "f16c", 10) X(FMA, "fma", 11) X(AVX2, "avx2", 12) X(FMA4, "fma4", 13) \
    X(XOP, "xop", 14) X(TBM, "tbm", 15) X(SSE4A, "sse4a", 16) X(AVX512F, "avx512f", 17) \
    X(AVX512VL, "avx512vl", 18) X(AVX512BW, "avx512bw", 19) X(AVX512DQ, "avx512dq", 20) \
    X(AVX512CD, "avx512cd", 21) X(AVX512IFMA, "avx512ifma", 22) X(AVX512VBMI, "avx512vbmi", 23) \
    X(AVX512VBMI2, "avx512vbmi2", 24) X(AVX512VNNI, "avx512vnni", 25) X(AVX512BITALG, "avx512bitalg", 26) \
    X(AVX512VPOPCNTDQ, "avx512vpopcntdq", 27) X(AVX512BF16, "avx512bf16", 28) X(AVX512FP16, "avx512fp16", 29) \
    X(AVXVNNI, "avxvnni", 30) X(AVXIFMA, "avxifma", 31) X(GFNI, "gfni", 32) X(VAES, "vaes", 33) \
    X(VPCLMULQDQ, "vpclmulqdq", 34) X(APX, "apx", 35) X(AVX10, "avx10", 36) X(ADX, "adx", 37) \
    X(NEON, "neon", 48) X(DOTPROD, "dotprod", 49) X(FP16, "fp16", 50) X(ATOMICS, "atomics", 51) \
    X(SVE, "sve", 52) X(SVE2, "sve2", 53) X(I8MM, "i8mm", 54) X(BF16, "bf16", 55)

#define QE_FEATURE_BIT(id, text, bit) static const uint64_t QE_##id = (uint64_t)1 << bit;
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-variable"
#endif
QE_FEATURE_LIST(QE_FEATURE_BIT)
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif
#undef QE_FEATURE_BIT

/* What the processor and the operating system offer. Baseline code: safe to call anywhere. */
uint64_t qe_cpu_features(void);
/* Write the processor's name (48 characters at most) into text; an empty string where it is not known. */
void qe_cpu_name(char text[49]);
/* Size of one core's data cache of a level from 1 to 3, in bytes; 0 where the system does not say. */
long qe_cache_bytes(int level);

#endif
