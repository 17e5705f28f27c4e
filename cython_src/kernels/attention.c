/* Attention: the tile loop with online softmax as its epilogue.

   For a tile of queries and one block of keys after the other (Milakov and Gimelshein 2018; Dao et al. 2022):

       s_j   = scale * q . k_j + mask_j
       m'    = max(m, max_j s_j)
       p_j   = exp(s_j - m')
       l     = l * exp(m - m') + sum_j p_j
       o     = o * exp(m - m') + sum_j p_j v_j
       out   = o / l,  lse = m + log(l)

   A lane that has seen no allowed key has m = -inf, which is taken as 0 in the exponents, so that p = 0 and not NaN. */
#include "tile.h"

/* Scratch of a task, in floats:
       tiles x (d + d_v + 2) x QE_TILE    per tile: packed queries, o, m, l
     + QE_BLOCK x QE_TILE                 scores of one block, then their weights */
ptrdiff_t QE_SYMBOL(qe_attention_scratch)(ptrdiff_t tiles, ptrdiff_t d, ptrdiff_t d_v) {
    return tiles * (d + d_v + 2) * QE_TILE + QE_BLOCK * QE_TILE;
}

/* exp(x) for x <= 0, -inf and NaN; 0 below the smallest normal number. Cody-Waite reduction to |r| <= ln(2)/2, then
   1 + r + r^2 P(r), P fitted by the Remez exchange with coefficients rounded one after the other (relative error of
   the polynomial 4.7e-9). */
QE_INLINE vf v_exp(vf x) {
    const vf low = v_set(-87.3365447f);
    const vf magic = v_set(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer in the low bits */
    const vi under = x < low;
    const vf bounded = v_select(under, low, x);
    const vf shifted = bounded * v_set(1.44269504f) + magic;
    const vf n = shifted - magic;
    vf r = bounded - n * v_set(0.693145752f);
    r = r - n * v_set(1.42860677e-6f);
    vf p = v_set(0x1.6ffd6ep-10f);
    p = p * r + v_set(0x1.12585ep-7f);
    p = p * r + v_set(0x1.5552fep-5f);
    p = p * r + v_set(0x1.555466p-3f);
    p = p * r + v_set(0.5f);
    p = p * (r * r) + r;
    p = p + v_set(1.0f);
    const vf power = v_float((v_bits(shifted) - v_bits(magic) + 127) << 23);
    return v_select(under, v_set(0.0f), p * power);
}

/* out[c][lane] = out[c][lane] * decay[lane] + sum_j weights[j][lane] * v[j][c] for `columns` columns from v on. */
QE_INLINE void accumulate(
    float *restrict out, const float *restrict weights, const float *restrict v, ptrdiff_t n, ptrdiff_t d_v,
    const vf *decay, const int columns, const int vectors, const int careful
) {
    vf sum[QE_GROUP][QE_VECTORS];
    QE_UNROLL
    for (int c = 0; c < columns; ++c) {
        QE_UNROLL
        for (int x = 0; x < vectors; ++x) sum[c][x] = v_set(0.0f);
    }
    for (ptrdiff_t j = 0; j < n; ++j) {
        vf weight[QE_VECTORS];
        QE_UNROLL
        for (int x = 0; x < vectors; ++x) {
            weight[x] = v_load(weights + j * QE_TILE + x * QE_LANES);
            QE_KEEP(weight[x]);
        }
        QE_UNROLL
        for (int c = 0; c < columns; ++c) {
            const vf value = v_set(v[j * d_v + c]);
            QE_UNROLL
            for (int x = 0; x < vectors; ++x) {
                if (careful) {
                    const vi silent = weight[x] == v_set(0.0f);
                    sum[c][x] += v_select(silent, v_set(0.0f), weight[x] * value);
                } else {
                    sum[c][x] += weight[x] * value;
                }
            }
        }
    }
    QE_UNROLL
    for (int c = 0; c < columns; ++c) {
        QE_UNROLL
        for (int x = 0; x < vectors; ++x) {
            float *place = out + c * QE_TILE + x * QE_LANES;
            v_store(place, v_load(place) * decay[x] + sum[c][x]);
        }
    }
}

QE_INLINE void accumulate_all(
    float *out, const float *weights, const float *v, ptrdiff_t n, ptrdiff_t d_v, const vf *decay, const int vectors,
    const int careful
) {
    ptrdiff_t c = 0;
    for (; c + QE_GROUP <= d_v; c += QE_GROUP)
        accumulate(out + c * QE_TILE, weights, v + c, n, d_v, decay, QE_GROUP, vectors, careful);
    for (; c < d_v; ++c) accumulate(out + c * QE_TILE, weights, v + c, n, d_v, decay, 1, vectors, careful);
}

/* One block of n keys from key `first` on, for one tile of which `rows` lanes hold a query. */
QE_INLINE void attend_block(
    const qe_attention_task *task, float *packed, float *out, float *top, float *total, float *scores,
    ptrdiff_t tile_row, ptrdiff_t rows, ptrdiff_t first, ptrdiff_t n, const int vectors
) {
    const ptrdiff_t d = task->d, d_v = task->d_v;
    tile_scores(scores, packed, task->k + first * d, n, d, task->scale, vectors);

    if (task->allowed) {
        for (ptrdiff_t i = 0; i < rows; ++i) {
            const unsigned char *mask = task->allowed + (tile_row + i) * task->mask_row + first * task->mask_column;
            for (ptrdiff_t j = 0; j < n; ++j)
                if (!mask[j * task->mask_column]) scores[j * QE_TILE + i] = -INFINITY;
        }
    } else if (task->bias) {
        for (ptrdiff_t i = 0; i < rows; ++i) {
            const float *mask = task->bias + (tile_row + i) * task->mask_row + first * task->mask_column;
            for (ptrdiff_t j = 0; j < n; ++j) {
                const float bias = mask[j * task->mask_column];
                float *score = &scores[j * QE_TILE + i];
                *score = bias == -INFINITY ? bias : *score + bias;
            }
        }
    }
    if (task->causal >= 0) {
        for (ptrdiff_t i = 0; i < rows; ++i) {
            const ptrdiff_t visible = task->causal + tile_row + i + 1 - first;
            for (ptrdiff_t j = visible > 0 ? visible : 0; j < n; ++j) scores[j * QE_TILE + i] = -INFINITY;
        }
    }

    vf decay[QE_VECTORS];
    for (int x = 0; x < vectors; ++x) {
        float *column = scores + x * QE_LANES;
        const vf before = v_load(top + x * QE_LANES);
        vf now = before;
        for (ptrdiff_t j = 0; j < n; ++j) now = v_max(v_load(column + j * QE_TILE), now);
        const vf base = v_select(now == v_set(-INFINITY), v_set(0.0f), now);
        decay[x] = v_exp(before - base);
        vf sum = v_set(0.0f);
        for (ptrdiff_t j = 0; j < n; ++j) {
            const vf weight = v_exp(v_load(column + j * QE_TILE) - base);
            v_store(column + j * QE_TILE, weight);
            sum += weight;
        }
        v_store(top + x * QE_LANES, now);
        v_store(total + x * QE_LANES, v_load(total + x * QE_LANES) * decay[x] + sum);
    }
    if (task->careful)
        accumulate_all(out, scores, task->v + first * d_v, n, d_v, decay, vectors, 1);
    else
        accumulate_all(out, scores, task->v + first * d_v, n, d_v, decay, vectors, 0);
}

const char *QE_SYMBOL(qe_attention)(const qe_attention_task *task) {
    const ptrdiff_t d = task->d, d_v = task->d_v, tiles = (task->rows + QE_TILE - 1) / QE_TILE;
    const ptrdiff_t step = (d + d_v + 2) * QE_TILE;
    float *scores = task->scratch + tiles * step;

    for (ptrdiff_t tile = 0; tile < tiles; ++tile) {
        float *packed = task->scratch + tile * step, *out = packed + d * QE_TILE, *top = out + d_v * QE_TILE;
        const ptrdiff_t left = task->rows - tile * QE_TILE;
        pack_queries(packed, task->q + tile * QE_TILE * d, left < QE_TILE ? left : QE_TILE, d);
        for (ptrdiff_t i = 0; i < d_v * QE_TILE; ++i) out[i] = 0.0f;
        for (ptrdiff_t i = 0; i < QE_TILE; ++i) top[i] = -INFINITY;
        for (ptrdiff_t i = QE_TILE; i < 2 * QE_TILE; ++i) top[i] = 0.0f;
    }

    for (ptrdiff_t first = 0; first < task->n_k; first += QE_BLOCK) {
        for (ptrdiff_t tile = 0; tile < tiles; ++tile) {
            float *packed = task->scratch + tile * step, *out = packed + d * QE_TILE, *top = out + d_v * QE_TILE;
            const ptrdiff_t tile_row = tile * QE_TILE, left = task->rows - tile_row;
            const ptrdiff_t rows = left < QE_TILE ? left : QE_TILE;
            ptrdiff_t n = task->n_k - first < QE_BLOCK ? task->n_k - first : QE_BLOCK;
            if (task->causal >= 0) {
                /* Keys after the last that any row of the tile sees. */
                const ptrdiff_t visible = task->causal + tile_row + rows - first;
                if (visible < n) n = visible;
            }
            if (n <= 0) continue;
            switch (vectors_for(rows)) {
            case 1:
                attend_block(task, packed, out, top, top + QE_TILE, scores, tile_row, rows, first, n, 1);
                break;
            case 2:
                attend_block(task, packed, out, top, top + QE_TILE, scores, tile_row, rows, first, n, 2);
                break;
            default:
                attend_block(task, packed, out, top, top + QE_TILE, scores, tile_row, rows, first, n, QE_VECTORS);
            }
        }
    }

    for (ptrdiff_t tile = 0; tile < tiles; ++tile) {
        const float *out = task->scratch + tile * step + d * QE_TILE;
        const float *top = out + d_v * QE_TILE, *total = top + QE_TILE;
        for (ptrdiff_t i = 0; i < QE_TILE && tile * QE_TILE + i < task->rows; ++i) {
            const ptrdiff_t row = tile * QE_TILE + i;
            const int empty = total[i] == 0.0f;
            const float inverse = empty ? 0.0f : 1.0f / total[i];
            for (ptrdiff_t c = 0; c < d_v; ++c)
                task->out[row * d_v + c] = empty ? 0.0f : out[c * QE_TILE + i] * inverse;
            task->lse[row] = empty ? -INFINITY : top[i] + logf(total[i]);
        }
    }
    return QE_TEXT(QE_VARIANT);
}
