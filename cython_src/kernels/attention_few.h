/* Attention of few queries: each key's score along the lanes, values added row by row. */
#ifndef QE_ATTENTION_FEW_H
#define QE_ATTENTION_FEW_H

#include "few.h"
#include "mask.h"
#include "softmax.h"

/* Vectors of output held in registers while the values of a block go by. */
#define QE_FEW_PANEL 8

QE_INLINE ptrdiff_t few_block(const qe_attention_task *task) {
    const ptrdiff_t block = task->block < task->n_k ? task->block : task->n_k;
    return (block + QE_LANES - 1) / QE_LANES * QE_LANES;
}

QE_INLINE ptrdiff_t few_scratch(const qe_attention_task *task) {
    const ptrdiff_t block = few_block(task);
    return task->rows * (task->d + task->d_v + QE_LANES) + block + (task->bfloat16 ? block * (task->d + task->d_v) : 0);
}

/* out[c] = out[c] * decay + sum_j weights[j] * v[j][c] for `panel` vectors of columns. */
QE_INLINE void few_accumulate(
    float *restrict out, const float *restrict weights, const float *restrict v, ptrdiff_t step, ptrdiff_t n,
    vf decay, const int panel
) {
    vf sum[QE_FEW_PANEL];
    QE_UNROLL
    for (int x = 0; x < panel; ++x) {
        sum[x] = v_select(decay == v_set(0.0f), v_set(0.0f), v_load(out + x * QE_LANES) * decay);
    }
    for (ptrdiff_t j = 0; j < n; ++j) {
        /* A weight of zero silences NaN and infinity. */
        if (weights[j] == 0.0f) continue;
        const vf weight = v_set(weights[j]);
        QE_UNROLL
        for (int x = 0; x < panel; ++x) sum[x] += weight * v_load(v + j * step + x * QE_LANES);
    }
    QE_UNROLL
    for (int x = 0; x < panel; ++x) v_store(out + x * QE_LANES, sum[x]);
}

/* Hand over one row: normalised, or as it is where its task is a part of the keys. */
QE_INLINE void finish_row(const qe_attention_task *task, ptrdiff_t i, const float *row, float most, float total) {
    const ptrdiff_t d_v = task->d_v;
    if (task->partial) {
        float *to = task->partial + i * (d_v + 2);
        memcpy(to, row, (size_t)d_v * sizeof *row);
        to[d_v] = most;
        to[d_v + 1] = total;
        return;
    }
    const float inverse = total == 0.0f ? 0.0f : 1.0f / total;
    for (ptrdiff_t c = 0; c < d_v; ++c) task->out[i * task->out_step + c] = row[c] * inverse;
    if (task->lse) task->lse[i] = log_sum(most, total);
}

static void attend_few(const qe_attention_task *task) {
    const ptrdiff_t d = task->d, d_v = task->d_v, held = few_block(task);
    const float factor = task->scale * LOG2_E;
    float *queries = task->scratch, *outs = queries + task->rows * d, *totals = outs + task->rows * d_v;
    float *scores = totals + task->rows * QE_LANES, *keys = scores + held, *values = keys + held * d;
    float most[QE_FEW];

    for (ptrdiff_t i = 0; i < task->rows; ++i) {
        for (ptrdiff_t t = 0; t < d; ++t) {
            const float x = task->q[i * task->q_step + t];
            queries[i * d + t] = task->bfloat16 ? round_bf16(x) : x;
        }
        most[i] = -INFINITY;
    }
    memset(outs, 0, (size_t)(task->rows * (d_v + QE_LANES)) * sizeof *outs);

    for (ptrdiff_t first = 0; first < task->n_k; first += task->block) {
        const ptrdiff_t here = task->n_k - first < task->block ? task->n_k - first : task->block;
        const float *k = task->k + first * task->k_step, *v = task->v + first * task->v_step;
        ptrdiff_t k_step = task->k_step, v_step = task->v_step;
        if (task->bfloat16) {
            round_rows(keys, d, k, k_step, here, d);
            round_rows(values, d_v, v, v_step, here, d_v);
            k = keys, v = values, k_step = d, v_step = d_v;
        }
        for (ptrdiff_t i = 0; i < task->rows; ++i) {
            const ptrdiff_t visible = task->visible + i - first, n = visible < here ? visible : here;
            if (n <= 0 || (task->allowed && !any_allowed(task, i, 1, first, n))) continue;
            vf highest = v_set(-INFINITY);
            for (ptrdiff_t j = 0; j < n; j += QE_LANES) {
                vf score = few_scores(queries + i * d, k + j * k_step, k_step, n - j, d) * v_set(factor);
                if (task->allowed || task->bias) score = masked(score, mask_addends(task, i, first + j, n - j));
                if (n - j < QE_LANES) score = v_select(v_count() < v_all((int32_t)(n - j)), score, v_set(-INFINITY));
                v_store(scores + j, score);
                highest = v_max(score, highest);
            }
            float each[QE_LANES], now = most[i];
            v_store(each, highest);
            for (int x = 0; x < QE_LANES; ++x) now = each[x] > now ? each[x] : now;
            const vf base = finite_base(v_set(now)), decay = v_exp2(v_set(most[i]) - base);
            const ptrdiff_t vectors = (n + QE_LANES - 1) / QE_LANES;
            const vf sum = task->bfloat16 ? weigh(scores, QE_LANES, vectors, v_set(1.0f), base, 1)
                                          : weigh(scores, QE_LANES, vectors, v_set(1.0f), base, 0);
            most[i] = now;
            v_store(totals + i * QE_LANES, v_load(totals + i * QE_LANES) * decay + sum);

            float *out = outs + i * d_v;
            ptrdiff_t c = 0;
            for (; c + QE_FEW_PANEL * QE_LANES <= d_v; c += QE_FEW_PANEL * QE_LANES)
                few_accumulate(out + c, scores, v + c, v_step, n, decay, QE_FEW_PANEL);
            for (; c + QE_LANES <= d_v; c += QE_LANES)
                few_accumulate(out + c, scores, v + c, v_step, n, decay, 1);
            float decays[QE_LANES];
            v_store(decays, decay);
            for (; c < d_v; ++c) {
                float rest = decays[0] == 0.0f ? 0.0f : out[c] * decays[0];
                for (ptrdiff_t j = 0; j < n; ++j)
                    if (scores[j] != 0.0f) rest += scores[j] * v[j * v_step + c];
                out[c] = rest;
            }
        }
    }
    for (ptrdiff_t i = 0; i < task->rows; ++i) {
        float total = 0.0f;
        for (int x = 0; x < QE_LANES; ++x) total += totals[i * QE_LANES + x];
        finish_row(task, i, outs + i * d_v, most[i], total);
    }
}

#endif
