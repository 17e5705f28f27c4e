#include "qe_sparse.h"

#include <string.h>

int qe_all_finite(const float *x, ptrdiff_t n) {
    ptrdiff_t i = 0;
    while (i < n) {
        const ptrdiff_t stop = n - i < 4096 ? n : i + 4096;
        int32_t odd = 0;
        for (; i < stop; ++i) {
            int32_t bits;
            memcpy(&bits, &x[i], sizeof bits);
            odd |= (bits & 0x7f800000) == 0x7f800000;
        }
        if (odd) return 0;
    }
    return 1;
}

/* First position from `from` on whose column is at least `column`: doubling steps, then halving. */
static ptrdiff_t gallop(const uint32_t *columns, ptrdiff_t from, ptrdiff_t n, uint32_t column) {
    ptrdiff_t low = from, step = 1;
    while (low + step < n && columns[low + step] < column) {
        low += step;
        step *= 2;
    }
    ptrdiff_t high = low + step < n ? low + step : n;
    while (low < high) {
        const ptrdiff_t middle = low + (high - low) / 2;
        if (columns[middle] < column) low = middle + 1;
        else high = middle;
    }
    return low;
}

float qe_sparse_dot(
    const uint32_t *a, const float *a_value, ptrdiff_t a_n, const uint32_t *b, const float *b_value, ptrdiff_t b_n
) {
    double sum = 0.0;
    ptrdiff_t i = 0, j = 0;
    if (a_n > b_n) {
        const uint32_t *columns = a;
        const float *values = a_value;
        const ptrdiff_t n = a_n;
        a = b, a_value = b_value, a_n = b_n;
        b = columns, b_value = values, b_n = n;
    }
    if (b_n / 16 > a_n) {
        for (; i < a_n && j < b_n; ++i) {
            j = gallop(b, j, b_n, a[i]);
            if (j < b_n && b[j] == a[i]) sum += (double)a_value[i] * b_value[j];
        }
        return (float)sum;
    }
    while (i < a_n && j < b_n) {
        const uint32_t left = a[i], right = b[j];
        if (left == right) sum += (double)a_value[i] * b_value[j];
        /* No branch on which list is behind: it cannot be predicted. */
        i += left <= right;
        j += right <= left;
    }
    return (float)sum;
}
