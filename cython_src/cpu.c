/* What the processor and the operating system offer. Compiled for the baseline; runs before any kernel may. */
#include "qe_features.h"

#include <string.h>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>

static uint64_t enabled_state(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return ((uint64_t)high << 32) | low;
}

uint64_t qe_cpu_features(void) {
    uint64_t found = 0;
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
    const unsigned c1 = c;
    /* The operating system saves the wide registers only if OSXSAVE is set, and then XCR0 says which: so this order. */
    const uint64_t state = (c1 >> 27 & 1) ? enabled_state() : 0;
    const int wide = (state & 0x06) == 0x06;
    const int wider = wide && (state & 0xe0) == 0xe0;
    const int extended = state >> 19 & 1;
#define TAKE(word, bit, condition, feature) \
    if ((condition) && ((word) >> (bit) & 1)) found |= feature
    TAKE(c1, 0, 1, QE_SSE3);
    TAKE(c1, 9, 1, QE_SSSE3);
    TAKE(c1, 12, wide, QE_FMA);
    TAKE(c1, 19, 1, QE_SSE41);
    TAKE(c1, 20, 1, QE_SSE42);
    TAKE(c1, 22, 1, QE_MOVBE);
    TAKE(c1, 23, 1, QE_POPCNT);
    TAKE(c1, 28, wide, QE_AVX);
    TAKE(c1, 29, wide, QE_F16C);
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
        const unsigned subleaves = a;
        TAKE(b, 3, 1, QE_BMI);
        TAKE(b, 5, wide, QE_AVX2);
        TAKE(b, 8, 1, QE_BMI2);
        TAKE(b, 16, wider, QE_AVX512F);
        TAKE(b, 17, wider, QE_AVX512DQ);
        TAKE(b, 19, 1, QE_ADX);
        TAKE(b, 21, wider, QE_AVX512IFMA);
        TAKE(b, 28, wider, QE_AVX512CD);
        TAKE(b, 30, wider, QE_AVX512BW);
        TAKE(b, 31, wider, QE_AVX512VL);
        TAKE(c, 1, wider, QE_AVX512VBMI);
        TAKE(c, 6, wider, QE_AVX512VBMI2);
        TAKE(c, 8, 1, QE_GFNI);
        TAKE(c, 9, wide, QE_VAES);
        TAKE(c, 10, wide, QE_VPCLMULQDQ);
        TAKE(c, 11, wider, QE_AVX512VNNI);
        TAKE(c, 12, wider, QE_AVX512BITALG);
        TAKE(c, 14, wider, QE_AVX512VPOPCNTDQ);
        TAKE(d, 23, wider, QE_AVX512FP16);
        if (subleaves >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d)) {
            TAKE(a, 4, wide, QE_AVXVNNI);
            TAKE(a, 5, wider, QE_AVX512BF16);
            TAKE(a, 23, wide, QE_AVXIFMA);
            TAKE(d, 19, wider, QE_AVX10);
            TAKE(d, 21, extended, QE_APX);
        }
    }
    if (__get_cpuid(0x80000001, &a, &b, &c, &d)) {
        TAKE(c, 5, 1, QE_LZCNT);
        TAKE(c, 6, 1, QE_SSE4A);
        TAKE(c, 11, wide, QE_XOP);
        TAKE(c, 16, wide, QE_FMA4);
        TAKE(c, 21, 1, QE_TBM);
    }
#undef TAKE
    return found;
}

void qe_cpu_name(char text[49]) {
    unsigned words[12];
    memset(text, 0, 49);
    for (unsigned i = 0; i < 3; ++i)
        if (!__get_cpuid(0x80000002 + i, &words[4 * i], &words[4 * i + 1], &words[4 * i + 2], &words[4 * i + 3])) return;
    memcpy(text, words, 48);
}

#elif defined(__aarch64__)
#if defined(__linux__)
#include <sys/auxv.h>
#endif

uint64_t qe_cpu_features(void) {
    uint64_t found = QE_NEON;
#if defined(__linux__)
    const unsigned long first = getauxval(16), second = getauxval(26); /* AT_HWCAP, AT_HWCAP2 */
    if (first >> 8 & 1) found |= QE_ATOMICS;
    if (first >> 10 & 1) found |= QE_FP16;
    if (first >> 20 & 1) found |= QE_DOTPROD;
    if (first >> 22 & 1) found |= QE_SVE;
    if (second >> 1 & 1) found |= QE_SVE2;
    if (second >> 13 & 1) found |= QE_I8MM;
    if (second >> 14 & 1) found |= QE_BF16;
#elif defined(__APPLE__)
    found |= QE_ATOMICS | QE_FP16 | QE_DOTPROD;
#endif
    return found;
}

void qe_cpu_name(char text[49]) { memset(text, 0, 49); }

#else

uint64_t qe_cpu_features(void) { return 0; }

void qe_cpu_name(char text[49]) { memset(text, 0, 49); }

#endif

#if defined(__linux__)
#include <unistd.h>

long qe_cache_bytes(int level) {
#if defined(_SC_LEVEL1_DCACHE_SIZE) && defined(_SC_LEVEL2_CACHE_SIZE) && defined(_SC_LEVEL3_CACHE_SIZE)
    const int names[3] = {_SC_LEVEL1_DCACHE_SIZE, _SC_LEVEL2_CACHE_SIZE, _SC_LEVEL3_CACHE_SIZE};
    const long bytes = sysconf(names[level - 1]);
    return bytes > 0 ? bytes : 0;
#else
    (void)level;
    return 0;
#endif
}

#elif defined(__APPLE__)
#include <sys/sysctl.h>

long qe_cache_bytes(int level) {
    const char *const names[3] = {"hw.l1dcachesize", "hw.l2cachesize", "hw.l3cachesize"};
    long bytes = 0;
    size_t size = sizeof bytes;
    return sysctlbyname(names[level - 1], &bytes, &size, NULL, 0) == 0 && bytes > 0 ? bytes : 0;
}

#else

long qe_cache_bytes(int level) {
    (void)level;
    return 0;
}

#endif
