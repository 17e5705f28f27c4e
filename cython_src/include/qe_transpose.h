/* Transposition of QE_LANES vectors in registers: log2(QE_LANES) rounds of exchanging blocks of doubling size. */
#ifndef QE_TRANSPOSE_H
#define QE_TRANSPOSE_H

#include "qe_vector.h"

#if QE_LANES > 1

#if defined(__clang__) || __GNUC__ >= 12
#define QE_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define QE_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (vi){__VA_ARGS__})
#endif

#if QE_LANES == 4
#define QE_EVEN_1(a, b) QE_SHUFFLE(a, b, 0, 4, 2, 6)
#define QE_ODD_1(a, b) QE_SHUFFLE(a, b, 1, 5, 3, 7)
#define QE_EVEN_2(a, b) QE_SHUFFLE(a, b, 0, 1, 4, 5)
#define QE_ODD_2(a, b) QE_SHUFFLE(a, b, 2, 3, 6, 7)
#elif QE_LANES == 8
#define QE_EVEN_1(a, b) QE_SHUFFLE(a, b, 0, 8, 2, 10, 4, 12, 6, 14)
#define QE_ODD_1(a, b) QE_SHUFFLE(a, b, 1, 9, 3, 11, 5, 13, 7, 15)
#define QE_EVEN_2(a, b) QE_SHUFFLE(a, b, 0, 1, 8, 9, 4, 5, 12, 13)
#define QE_ODD_2(a, b) QE_SHUFFLE(a, b, 2, 3, 10, 11, 6, 7, 14, 15)
#define QE_EVEN_4(a, b) QE_SHUFFLE(a, b, 0, 1, 2, 3, 8, 9, 10, 11)
#define QE_ODD_4(a, b) QE_SHUFFLE(a, b, 4, 5, 6, 7, 12, 13, 14, 15)
#elif QE_LANES == 16
#define QE_EVEN_1(a, b) QE_SHUFFLE(a, b, 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30)
#define QE_ODD_1(a, b) QE_SHUFFLE(a, b, 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31)
#define QE_EVEN_2(a, b) QE_SHUFFLE(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29)
#define QE_ODD_2(a, b) QE_SHUFFLE(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31)
#define QE_EVEN_4(a, b) QE_SHUFFLE(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27)
#define QE_ODD_4(a, b) QE_SHUFFLE(a, b, 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31)
#define QE_EVEN_8(a, b) QE_SHUFFLE(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23)
#define QE_ODD_8(a, b) QE_SHUFFLE(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31)
#endif

#define QE_EXCHANGE(row, size)                                                                                         \
    _Pragma("GCC unroll 16") for (int i = 0; i < QE_LANES; ++i) {                                                      \
        if (i & size) continue;                                                                                        \
        const vf even = QE_EVEN_##size(row[i], row[i + size]), odd = QE_ODD_##size(row[i], row[i + size]);             \
        row[i] = even;                                                                                                 \
        row[i + size] = odd;                                                                                           \
    }

QE_INLINE void v_transpose(vf *row) {
    QE_EXCHANGE(row, 1)
    QE_EXCHANGE(row, 2)
#if QE_LANES >= 8
    QE_EXCHANGE(row, 4)
#endif
#if QE_LANES >= 16
    QE_EXCHANGE(row, 8)
#endif
}

#define QE_HALVE(row, size)                                                                                            \
    _Pragma("GCC unroll 16") for (int i = 0; i < QE_LANES; i += 2 * size)                                              \
        row[i] = QE_EVEN_##size(row[i], row[i + size]) + QE_ODD_##size(row[i], row[i + size]);

/* The sums over the lanes of QE_LANES vectors, as the lanes of one. Overwrites row. */
QE_INLINE vf v_sums(vf *row) {
    QE_HALVE(row, 1)
    QE_HALVE(row, 2)
#if QE_LANES >= 8
    QE_HALVE(row, 4)
#endif
#if QE_LANES >= 16
    QE_HALVE(row, 8)
#endif
    return row[0];
}

#else

QE_INLINE void v_transpose(vf *row) { (void)row; }
QE_INLINE vf v_sums(vf *row) { return row[0]; }

#endif

#endif
