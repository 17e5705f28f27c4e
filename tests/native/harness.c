/* Runs one compiled kernel variant over shapes at the edges of its tiles, in buffers of exactly the size promised,
   and compares with plain loops in double. Prints "<lanes> <cases> <largest error>"; exit status 1 past the bound. */
#include "qe_kernels.h"
#include "tile.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t state = 88172645463325252u;

static double uniform(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (double)(state >> 11) / 9007199254740992.0;
}

static float normal(void) { return (float)(sqrt(-2 * log(1 - uniform())) * cos(6.283185307179586 * uniform())); }

static float *normals(ptrdiff_t n) {
    float *x = malloc((size_t)n * sizeof *x + (n == 0));
    for (ptrdiff_t i = 0; i < n; ++i) x[i] = normal();
    return x;
}

static float *aligned(ptrdiff_t n) { return aligned_alloc(64, (size_t)((n * 4 + 63) / 64 * 64)); }

static double attend(ptrdiff_t rows, ptrdiff_t n_k, ptrdiff_t d, ptrdiff_t d_v, int kind) {
    float *q = normals(rows * d), *k = normals(n_k * d), *v = normals(n_k * d_v), *bias = NULL;
    float *out = normals(rows * d_v), *lse = normals(rows);
    unsigned char *allowed = NULL;
    const ptrdiff_t tiles = (rows + QE_TILE - 1) / QE_TILE;
    float *scratch = aligned(QE_SYMBOL(qe_attention_scratch)(tiles, d, d_v));
    if (kind == 1) {
        allowed = malloc((size_t)(rows * n_k));
        for (ptrdiff_t i = 0; i < rows * n_k; ++i) allowed[i] = uniform() < 0.4;
    }
    if (kind == 2) bias = normals(rows * n_k);
    if (kind == 4 && n_k && d_v) v[(n_k - 1) * d_v] = NAN;
    const qe_attention_task task = {
        .q = q, .k = k, .v = v, .rows = rows, .n_k = n_k, .d = d, .d_v = d_v, .scale = d ? 1 / sqrtf((float)d) : 1,
        .allowed = allowed, .bias = bias, .mask_row = n_k, .mask_column = 1, .causal = kind == 3 ? 0 : -1,
        .careful = kind == 4, .out = out, .lse = lse, .scratch = scratch};
    QE_SYMBOL(qe_attention)(&task);
    double worst = 0, *p = malloc((size_t)n_k * sizeof *p + 1);
    for (ptrdiff_t i = 0; i < rows; ++i) {
        double top = -INFINITY, total = 0;
        for (ptrdiff_t j = 0; j < n_k; ++j) {
            double s = 0;
            for (ptrdiff_t t = 0; t < d; ++t) s += (double)q[i * d + t] * k[j * d + t];
            s *= task.scale;
            if (bias) s += bias[i * n_k + j];
            if ((allowed && !allowed[i * n_k + j]) || (kind == 3 && j > i)) s = -INFINITY;
            p[j] = s;
            if (s > top) top = s;
        }
        for (ptrdiff_t j = 0; j < n_k; ++j) total += p[j] = top == -INFINITY ? 0 : exp(p[j] - top);
        for (ptrdiff_t c = 0; c < d_v; ++c) {
            double sum = 0;
            for (ptrdiff_t j = 0; j < n_k; ++j) sum += p[j] * v[j * d_v + c];
            const double expected = total == 0 ? 0 : sum / total;
            if (isnan(expected) != isnan((double)out[i * d_v + c])) worst = INFINITY;
            else if (fabs(out[i * d_v + c] - expected) > worst) worst = fabs(out[i * d_v + c] - expected);
        }
        if ((total == 0) != (lse[i] == -INFINITY)) worst = INFINITY;
        if (total != 0 && fabs(lse[i] - (top + log(total))) > worst) worst = fabs(lse[i] - (top + log(total)));
    }
    free(q), free(k), free(v), free(bias), free(allowed), free(out), free(lse), free(scratch), free(p);
    return worst;
}

/* Small whole numbers: exact products, many ties. */
static double select_top(ptrdiff_t rows, ptrdiff_t n_k, ptrdiff_t d, ptrdiff_t top) {
    float *q = normals(rows * d), *k = normals(n_k * d), *scores = normals(rows * top);
    int64_t *indices = malloc((size_t)(rows * top) * sizeof *indices + 1);
    const ptrdiff_t tiles = (rows + QE_TILE - 1) / QE_TILE;
    float *scratch = aligned(QE_SYMBOL(qe_topk_scratch)(tiles, d)), *row = malloc((size_t)n_k * sizeof *row + 1);
    for (ptrdiff_t i = 0; i < rows * d; ++i) q[i] = rintf(q[i]);
    for (ptrdiff_t i = 0; i < n_k * d; ++i) k[i] = rintf(k[i]);
    const qe_topk_task task = {
        .q = q, .k = k, .rows = rows, .n_k = n_k, .d = d, .top = top, .scores = scores, .indices = indices,
        .scratch = scratch};
    QE_SYMBOL(qe_topk)(&task);
    double worst = 0;
    for (ptrdiff_t i = 0; i < rows; ++i) {
        for (ptrdiff_t j = 0; j < n_k; ++j) {
            row[j] = 0;
            for (ptrdiff_t t = 0; t < d; ++t) row[j] += q[i * d + t] * k[j * d + t];
        }
        for (ptrdiff_t r = 0; r < top; ++r) {
            ptrdiff_t best = -1;
            for (ptrdiff_t j = 0; j < n_k; ++j)
                if (!isnan(row[j]) && (best < 0 || row[j] > row[best])) best = j;
            if (indices[i * top + r] != best || scores[i * top + r] != row[best]) worst = INFINITY;
            row[best] = NAN;
        }
    }
    free(q), free(k), free(scores), free(indices), free(scratch), free(row);
    return worst;
}

int main(void) {
    const ptrdiff_t rows[] = {1, QE_LANES - 1, QE_LANES, QE_LANES + 1, QE_TILE - 1, QE_TILE, QE_TILE + 1, 2 * QE_TILE + 1};
    const ptrdiff_t keys[] = {1, QE_GROUP - 1, QE_GROUP, QE_GROUP + 1, QE_BLOCK - 1, QE_BLOCK, QE_BLOCK + 1, 3 * QE_BLOCK};
    const ptrdiff_t widths[][2] = {{1, 1}, {7, QE_GROUP + 1}, {64, 33}, {0, 3}, {5, 0}};
    double worst = 0;
    long cases = 0;
    for (size_t r = 0; r < sizeof rows / sizeof *rows; ++r)
        for (size_t n = 0; n < sizeof keys / sizeof *keys; ++n) {
            if (rows[r] < 1 || keys[n] < 1) continue;
            for (size_t w = 0; w < sizeof widths / sizeof *widths; ++w)
                for (int kind = 0; kind < 5; ++kind, ++cases)
                    worst = fmax(worst, attend(rows[r], keys[n], widths[w][0], widths[w][1], kind));
            for (ptrdiff_t top = 1; top <= keys[n]; top = top < keys[n] && 3 * top > keys[n] ? keys[n] : 3 * top, ++cases)
                worst = fmax(worst, select_top(rows[r], keys[n], 6, top));
        }
    printf("%d %ld %.3g\n", QE_LANES, cases, worst);
    return worst <= 2e-5 ? 0 : 1;
}
