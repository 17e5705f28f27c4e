/* Scans and sparse rows; compiled for the baseline. */
#ifndef QE_SPARSE_H
#define QE_SPARSE_H

#include <stddef.h>
#include <stdint.h>

/* Whether none of n floats is NaN or infinite. */
int qe_all_finite(const float *x, ptrdiff_t n);

/* Dot product of two sparse rows with ascending columns, summed in double in column order. */
float qe_sparse_dot(
    const uint32_t *a, const float *a_value, ptrdiff_t a_n, const uint32_t *b, const float *b_value, ptrdiff_t b_n);

#endif
