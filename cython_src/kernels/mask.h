/* Masks as addends of scores, whatever they are: bool or additive, broadcast or not. */
#ifndef QE_MASK_H
#define QE_MASK_H

#include "qe_kernels.h"
#include "softmax.h"

#include <float.h>

/* Tell whether a bool mask lets any of `rows` rows from `row` on see any of n keys from `first` on. */
static int any_allowed(const qe_attention_task *task, ptrdiff_t row, ptrdiff_t rows, ptrdiff_t first, ptrdiff_t n) {
    const ptrdiff_t different_rows = task->mask_row ? rows : 1, different_keys = task->mask_column ? n : 1;
    for (ptrdiff_t i = 0; i < different_rows; ++i) {
        const unsigned char *mask = task->allowed + (row + i) * task->mask_row + first * task->mask_column;
        if (task->mask_column == 1) {
            unsigned char any = 0;
            for (ptrdiff_t j = 0; j < n; ++j) any |= mask[j];
            if (any) return 1;
        } else {
            for (ptrdiff_t j = 0; j < different_keys; ++j)
                if (mask[j * task->mask_column]) return 1;
        }
    }
    return 0;
}

/* In powers of two. What would overflow stays the lowest or highest number, which, unlike infinity, excludes nothing
   and is no NaN; infinity and NaN stay. */
QE_INLINE vf scaled_bias(vf bias) {
    const vf low = v_max(v_set(-FLT_MAX), bias * v_set(LOG2_E));
    const vf scaled = v_select(low > v_set(FLT_MAX), v_set(FLT_MAX), low);
    return v_select((bias == v_set(-INFINITY)) | (bias == v_set(INFINITY)), bias, scaled);
}

/* A row's masks of QE_LANES keys from `key` on, of which n are left, as addends of the scores. */
QE_INLINE vf mask_addends(const qe_attention_task *task, ptrdiff_t row, ptrdiff_t key, ptrdiff_t n) {
    const ptrdiff_t at = row * task->mask_row + key * task->mask_column;
    if (task->mask_column == 0)
        return task->bias ? scaled_bias(v_set(task->bias[at])) : v_set(task->allowed[at] ? 0.0f : -INFINITY);
    if (task->mask_column == 1 && n >= QE_LANES) {
        if (task->bias) return scaled_bias(v_load(task->bias + at));
        return v_select(v_bytes(task->allowed + at) == v_all(0), v_set(-INFINITY), v_set(0.0f));
    }
    float each[QE_LANES];
    for (int j = 0; j < QE_LANES; ++j) {
        const ptrdiff_t place = at + (j < n ? j : n - 1) * task->mask_column;
        each[j] = task->bias ? task->bias[place] : task->allowed[place] ? 0.0f : -INFINITY;
    }
    return task->bias ? scaled_bias(v_load(each)) : v_load(each);
}

/* Not by addition where a key is excluded: its score may be NaN or infinite. */
QE_INLINE vf masked(vf score, vf addend) {
    return v_select(addend == v_set(-INFINITY), addend, score + addend);
}

#endif
