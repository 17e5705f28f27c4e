/* Attention: the tile loop with online softmax as its epilogue.

   For a tile of queries and one block of keys after the other (Milakov and Gimelshein 2018; Dao et al. 2022), in
   powers of two, so that scale and log2(e) are one factor, which costs nothing in the multiply-add before 2^x:

       s_j   = scale * log2(e) * q . k_j + log2(e) * mask_j
       m'    = max(m, max_j s_j)
       p_j   = 2^(s_j - m')
       l     = l * 2^(m - m') + sum_j p_j
       o     = o * 2^(m - m') + sum_j p_j v_j
       out   = o / l,  lse = ln(2) m + log(l)

   A lane that has seen no allowed key has m = -inf, which is taken as 0 in the exponents, so that p = 0 and not NaN. */
#include "attention_few.h"
#include "mask.h"
#include "softmax.h"
#include "tile.h"

/* Values whose rows lie whole pages (1024 floats) apart are copied: those of a column would all fall into one set of
   the first-level cache and displace each other (1,1,1024,1024 on Zen 3: 82 GFLOP/s as they are, 90 copied; steps of 512
   and 768 floats gain nothing). */
#define QE_COLLIDING 1024

/* One tile reads each value once: nothing to gain from a copy. */
QE_INLINE int copies_values(const qe_attention_task *task) {
    return task->rows > QE_TILE && task->v_step % QE_COLLIDING == 0;
}

/* A row of the copy: an odd number of cache lines, so that a column of it falls into all sets. */
QE_INLINE ptrdiff_t copied_step(ptrdiff_t d_v) { return (((d_v + 15) / 16) | 1) * 16; }

/* Scratch of a task, in floats: per tile the packed queries, o, m and l; the scores of a block and then its weights;
   the keys of a block as words, and its values as words. With a `single` block each tile is done when it is left, and
   all take the same place, which stays in the first-level cache. */
typedef struct {
    ptrdiff_t tile_step, scores, keys, values, all;
    int single;
} qe_layout;

QE_INLINE qe_layout layout(const qe_attention_task *task) {
    const ptrdiff_t block = task->block < task->n_k ? task->block : task->n_k;
    qe_layout at;
    at.tile_step = (task->d + task->d_v + 2) * QE_TILE;
    at.single = task->n_k <= task->block;
    at.scores = (at.single ? 1 : tiling(task->rows).tiles) * at.tile_step;
    at.keys = at.scores + (block + QE_SUMS) * QE_TILE;
    at.values = at.keys + (task->bfloat16 ? block * task->d : 0);
    at.all = at.values + (task->bfloat16 || copies_values(task) ? (block + 1) * copied_step(task->d_v) : 0);
    return at;
}

ptrdiff_t QE_SYMBOL(qe_attention_scratch)(const qe_attention_task *task) {
    return task->few ? few_scratch(task) : layout(task).all;
}

/* With 16 registers, GCC 12 spills a sum in the loop of two vectors unless it is unrolled (a tenth of the
   speed of 32,4,128,64 on Zen 3); with 32 it does not, and unrolling doubles the time to compile. */
#if QE_SUMS == 12
#define QE_UNROLL_WEIGHTS QE_UNROLL_BY_4
#else
#define QE_UNROLL_WEIGHTS
#endif

/* The value, or zero where its weight is zero: of a word, or of each half. */
QE_INLINE vf heard_value(vf weight, vf value, const int pairs) {
    if (!pairs) return v_select(weight == v_set(0.0f), v_set(0.0f), value);
    const vu bits = v_bits(weight), low = (vu)((bits << 16) != 0) & 0xffffu, high = (vu)((bits >> 16) != 0) << 16;
    return v_float(v_bits(value) & (low | high));
}

/* out[c][lane] = out[c][lane] * decay[lane] + sum_j weights[j][lane] * v[j][c] for `columns` columns from v on. */
QE_INLINE void accumulate(
    float *restrict out, const float *restrict weights, const float *restrict v, ptrdiff_t step, ptrdiff_t words,
    const vf *decay, const int columns, const int vectors, const int pairs
) {
    const ptrdiff_t width = vectors * QE_LANES;
    vf sum[QE_SUMS];
    QE_UNROLL
    for (int i = 0; i < columns * vectors; ++i) sum[i] = v_set(0.0f);
    QE_UNROLL_WEIGHTS
    for (ptrdiff_t j = 0; j < words; ++j) {
        vf weight[QE_VECTORS];
        QE_UNROLL
        for (int x = 0; x < vectors; ++x) {
            weight[x] = v_load(weights + j * width + x * QE_LANES);
            QE_KEEP(weight[x]);
        }
        QE_UNROLL
        for (int c = 0; c < columns; ++c) {
            const vf value = v_set(v[j * step + c]);
            QE_UNROLL
            for (int x = 0; x < vectors; ++x) {
                vf *to = &sum[c * vectors + x];
                *to = multiply_add(*to, weight[x], value, pairs);
            }
        }
    }
    QE_UNROLL
    for (int c = 0; c < columns; ++c) {
        QE_UNROLL
        for (int x = 0; x < vectors; ++x) {
            float *place = out + c * width + x * QE_LANES;
            v_store(place, v_load(place) * decay[x] + sum[c * vectors + x]);
        }
    }
}

QE_INLINE void accumulate_all(
    float *out, const float *weights, const float *v, ptrdiff_t step, ptrdiff_t words, ptrdiff_t d_v, const vf *decay,
    const int vectors, const int pairs
) {
    const int columns = QE_GROUP(vectors);
    const ptrdiff_t width = vectors * QE_LANES;
    const vf kept[QE_VECTORS] = {v_set(1.0f), v_set(1.0f), v_set(1.0f)};
    for (ptrdiff_t first = 0; first < words; first += QE_SUM) {
        const ptrdiff_t here = words - first < QE_SUM ? words - first : QE_SUM;
        const float *w = weights + first * width, *values = v + first * step;
        ptrdiff_t c = 0;
        for (; c + columns <= d_v; c += columns)
            accumulate(out + c * width, w, values + c, step, here, decay, columns, vectors, pairs);
        /* What is left over goes in halves: a column alone would wait for each of its own multiply-adds. */
        if (columns > 8 && c + 8 <= d_v) {
            accumulate(out + c * width, w, values + c, step, here, decay, 8, vectors, pairs);
            c += 8;
        }
        if (columns > 4 && c + 4 <= d_v) {
            accumulate(out + c * width, w, values + c, step, here, decay, 4, vectors, pairs);
            c += 4;
        }
        if (columns > 2 && c + 2 <= d_v) {
            accumulate(out + c * width, w, values + c, step, here, decay, 2, vectors, pairs);
            c += 2;
        }
        for (; c < d_v; ++c) accumulate(out + c * width, w, values + c, step, here, decay, 1, vectors, pairs);
        decay = kept;
    }
}

/* The same where a value may be NaN or infinite: a weight of zero silences it, and a decay of zero the sum before. The
   value is silenced, not the product, so that finite ones round as they do there. Rare, so short and not fast. */
static __attribute__((noinline)) void accumulate_carefully(
    float *out, const float *weights, const float *v, ptrdiff_t step, ptrdiff_t words, ptrdiff_t d_v, const vf *decay,
    int vectors, int pairs
) {
    const ptrdiff_t width = vectors * QE_LANES;
    for (ptrdiff_t c = 0; c < d_v; ++c)
        for (int x = 0; x < vectors; ++x) {
            float *place = out + c * width + x * QE_LANES;
            vf all = v_select(decay[x] == v_set(0.0f), v_set(0.0f), v_load(place)), kept = decay[x];
            for (ptrdiff_t first = 0; first < words; first += QE_SUM) {
                const ptrdiff_t end = words - first < QE_SUM ? words : first + QE_SUM;
                vf sum = v_set(0.0f);
                for (ptrdiff_t j = first; j < end; ++j) {
                    const vf weight = v_load(weights + j * width + x * QE_LANES), value = v_set(v[j * step + c]);
                    sum = multiply_add(sum, weight, heard_value(weight, value, pairs), pairs);
                }
                all = all * kept + sum;
                kept = v_set(1.0f);
            }
            v_store(place, all);
        }
}

/* Scores times `factor`, plus their masks. */
QE_INLINE void mask_scores(
    const qe_attention_task *task, float *scores, ptrdiff_t tile_row, ptrdiff_t rows, ptrdiff_t first, ptrdiff_t n,
    vf factor, const int vectors
) {
    const ptrdiff_t width = vectors * QE_LANES;
    for (int x = 0; x < vectors; ++x) {
        for (ptrdiff_t j = 0; j < n; j += QE_LANES) {
            vf addends[QE_LANES];
            for (int i = 0; i < QE_LANES; ++i) {
                const ptrdiff_t row = x * QE_LANES + i;
                addends[i] = mask_addends(task, tile_row + (row < rows ? row : rows - 1), first + j, n - j);
            }
            v_transpose(addends);
            for (int i = 0; i < QE_LANES && j + i < n; ++i) {
                float *place = scores + (j + i) * width + x * QE_LANES;
                v_store(place, masked(v_load(place) * factor, addends[i]));
            }
        }
    }
}

QE_INLINE void mask_future(float *scores, ptrdiff_t visible, ptrdiff_t n, const int vectors) {
    const ptrdiff_t width = vectors * QE_LANES;
    for (ptrdiff_t j = visible > 0 ? visible : 0; j < n; ++j) {
        for (int x = 0; x < vectors; ++x) {
            float *place = scores + j * width + x * QE_LANES;
            const vi sees = v_count() + v_all(x * QE_LANES) > v_all((int32_t)(j - visible));
            v_store(place, v_select(sees, v_load(place), v_set(-INFINITY)));
        }
    }
}

QE_INLINE float score_factor(const qe_attention_task *task) {
    return task->scale == 0.0f ? 1.0f : fabsf(task->scale) * LOG2_E;
}

/* A block's keys and values as the multiplications read them. */
typedef struct {
    const float *keys, *values;
    ptrdiff_t key_step, value_step;
} qe_block;

static void copy_rows(float *to, ptrdiff_t to_step, const float *from, ptrdiff_t step, ptrdiff_t n, ptrdiff_t d) {
    for (ptrdiff_t j = 0; j < n; ++j) memcpy(to + j * to_step, from + j * step, (size_t)d * sizeof *to);
}

/* Pairs along the rows of keys, and across two rows of values; a missing partner is zero. */
static void pair_keys(float *to, ptrdiff_t to_step, const float *from, ptrdiff_t step, ptrdiff_t n, ptrdiff_t d) {
    for (ptrdiff_t j = 0; j < n; ++j) {
        for (ptrdiff_t t = 0; t < d / 2; ++t)
            to[j * to_step + t] = pair_bf16(from[j * step + 2 * t], from[j * step + 2 * t + 1]);
        if (d & 1) to[j * to_step + d / 2] = pair_bf16(from[j * step + d - 1], 0.0f);
    }
}

static void pair_values(float *to, ptrdiff_t to_step, const float *from, ptrdiff_t step, ptrdiff_t n, ptrdiff_t d_v) {
    for (ptrdiff_t j = 0; j + 1 < n; j += 2)
        for (ptrdiff_t c = 0; c < d_v; ++c)
            to[j / 2 * to_step + c] = pair_bf16(from[j * step + c], from[(j + 1) * step + c]);
    if (n & 1)
        for (ptrdiff_t c = 0; c < d_v; ++c) to[n / 2 * to_step + c] = pair_bf16(from[(n - 1) * step + c], 0.0f);
}

QE_INLINE qe_block take_block(
    const qe_attention_task *task, qe_layout at, ptrdiff_t first, ptrdiff_t n, const int pairs
) {
    const float *k = task->k + first * task->k_step, *v = task->v + first * task->v_step;
    float *keys = task->scratch + at.keys, *values = task->scratch + at.values;
    const ptrdiff_t d = task->d, d_v = task->d_v, step = copied_step(d_v);
    qe_block block = {k, v, task->k_step, task->v_step};
    if (pairs) {
        pair_keys(keys, d, k, task->k_step, n, d);
        pair_values(values, step, v, task->v_step, n, d_v);
        block = (qe_block){keys, values, d, step};
    } else if (task->bfloat16) {
        round_rows(keys, d, k, task->k_step, n, d);
        round_rows(values, step, v, task->v_step, n, d_v);
        block = (qe_block){keys, values, d, step};
    } else if (copies_values(task)) {
        copy_rows(values, step, v, task->v_step, n, d_v);
        block.values = values, block.value_step = step;
    }
    return block;
}

/* Two rows of weights as one of pairs, in place; `n` is even by then. */
QE_INLINE void pair_weights(float *weights, ptrdiff_t n, const int vectors) {
    const ptrdiff_t width = vectors * QE_LANES;
    for (ptrdiff_t j = 0; j < n; j += 2)
        for (int x = 0; x < vectors; ++x) {
            const float *low = weights + j * width + x * QE_LANES;
            const vu pair = (v_bits(v_load(low)) >> 16) | v_bits(v_load(low + width));
            v_store(weights + j / 2 * width + x * QE_LANES, v_float(pair));
        }
}

/* One block of n keys from key `first` on, for one tile of which `rows` lanes hold a query. */
QE_INLINE void attend_block(
    const qe_attention_task *task, float *tile, float *scores, qe_block block, ptrdiff_t tile_row, ptrdiff_t rows,
    ptrdiff_t first, ptrdiff_t n, const int vectors, int careful, const int pairs
) {
    const ptrdiff_t width = vectors * QE_LANES, d_v = task->d_v, words = pairs ? (task->d + 1) / 2 : task->d;
    float *out = tile + task->d * QE_TILE, *top = out + d_v * QE_TILE, *total = top + QE_TILE;
    const ptrdiff_t visible = task->visible - first + tile_row;

    vf before[QE_VECTORS], now[QE_VECTORS], decay[QE_VECTORS], factor = v_set(score_factor(task));
    for (int x = 0; x < vectors; ++x) before[x] = v_load(top + x * QE_LANES);
    for (int x = 0; x < vectors; ++x) now[x] = v_set(-INFINITY);
    tile_scores(scores, tile, block.keys, block.key_step, n, words, now, vectors, pairs);
    if (task->allowed || task->bias || visible < n) {
        if (task->allowed || task->bias) {
            mask_scores(task, scores, tile_row, rows, first, n, factor, vectors);
            factor = v_set(1.0f);
        }
        /* Last: an addend of a key in the future may be NaN. */
        if (visible < n) mask_future(scores, visible, n, vectors);
        for (int x = 0; x < vectors; ++x) {
            now[x] = v_set(-INFINITY);
            for (ptrdiff_t j = 0; j < n; ++j) now[x] = v_max(v_load(scores + j * width + x * QE_LANES), now[x]);
        }
    }
    if (pairs && (n & 1)) {
        for (int x = 0; x < vectors; ++x) v_store(scores + n * width + x * QE_LANES, v_set(-INFINITY));
        ++n;
    }
    for (int x = 0; x < vectors; ++x) {
        const vf most = v_max(now[x] * factor, before[x]), base = finite_base(most);
        const vf sum = task->bfloat16 ? weigh(scores + x * QE_LANES, width, n, factor, base, 1)
                                      : weigh(scores + x * QE_LANES, width, n, factor, base, 0);
        decay[x] = v_exp2(before[x] - base);
        v_store(top + x * QE_LANES, most);
        v_store(total + x * QE_LANES, v_load(total + x * QE_LANES) * decay[x] + sum);
    }
    if (pairs) {
        pair_weights(scores, n, vectors);
        n /= 2;
    }
    if (careful)
        accumulate_carefully(out, scores, block.values, block.value_step, n, d_v, decay, vectors, pairs);
    else
        accumulate_all(out, scores, block.values, block.value_step, n, d_v, decay, vectors, pairs);
}

QE_INLINE void start_tile(
    const qe_attention_task *task, float *tile, ptrdiff_t tile_row, ptrdiff_t rows, const int vectors, const int pairs
) {
    const ptrdiff_t width = vectors * QE_LANES, d = task->d;
    float *out = tile + d * QE_TILE, *top = out + task->d_v * QE_TILE;
    /* The factor on the scores is positive, so that their maximum stays the maximum; a sign is exact in the queries. */
    const float sign = task->scale > 0.0f ? 1.0f : task->scale < 0.0f ? -1.0f : 0.0f;
    pack_queries(tile, task->q + tile_row * task->q_step, task->q_step, rows, d, sign, vectors);
    if (pairs) {
        for (ptrdiff_t t = 0; t < d; t += 2)
            for (int x = 0; x < vectors; ++x) {
                const float *low = tile + t * width + x * QE_LANES;
                const vf high = t + 1 < d ? v_load(low + width) : v_set(0.0f);
                const vu pair = (v_bits(v_round_bf16(v_load(low))) >> 16) | v_bits(v_round_bf16(high));
                v_store(tile + t / 2 * width + x * QE_LANES, v_float(pair));
            }
    } else if (task->bfloat16) {
        round_rows(tile, d * width, tile, d * width, 1, d * width);
    }
    memset(out, 0, (size_t)(task->d_v * QE_TILE) * sizeof *out);
    for (ptrdiff_t i = 0; i < QE_TILE; ++i) top[i] = -INFINITY;
    memset(top + QE_TILE, 0, QE_TILE * sizeof *top);
}

/* Hand over a tile's rows; tell whether a sum of theirs is NaN or infinite: zero times that is NaN. */
QE_INLINE int finish_tile(
    const qe_attention_task *task, const float *tile, ptrdiff_t tile_row, ptrdiff_t rows, const int vectors
) {
    const ptrdiff_t width = vectors * QE_LANES, d_v = task->d_v;
    const float *out = tile + task->d * QE_TILE, *top = out + d_v * QE_TILE, *total = top + QE_TILE;
    float *to = task->partial ? task->partial + tile_row * (d_v + 2) : task->out + tile_row * task->out_step;
    const ptrdiff_t to_step = task->partial ? d_v + 2 : task->out_step;
    /* Several, so that none waits for the one before. */
    vf odd[QE_LANES];
    for (int i = 0; i < QE_LANES; ++i) odd[i] = v_set(0.0f);
    for (int x = 0; x < vectors; ++x) {
        const vf sum = v_load(total + x * QE_LANES);
        const vf inverse = task->partial ? v_set(1.0f) : v_select(sum == v_set(0.0f), v_set(0.0f), v_set(1.0f) / sum);
        const ptrdiff_t here = rows - x * QE_LANES < QE_LANES ? rows - x * QE_LANES : QE_LANES;
        float *row = to + x * QE_LANES * to_step;
        ptrdiff_t c = 0;
        for (; c + QE_LANES <= d_v; c += QE_LANES) {
            vf part[QE_LANES];
            QE_UNROLL
            for (int i = 0; i < QE_LANES; ++i) {
                part[i] = v_load(out + (c + i) * width + x * QE_LANES) * inverse;
                odd[i] += part[i] * v_set(0.0f);
            }
            v_transpose(part);
            if (here == QE_LANES) {
                QE_UNROLL
                for (int i = 0; i < QE_LANES; ++i) v_store(row + i * to_step + c, part[i]);
            } else {
                float rest[QE_LANES * QE_LANES];
                for (int i = 0; i < QE_LANES; ++i) v_store(rest + i * QE_LANES, part[i]);
                for (ptrdiff_t i = 0; i < here; ++i)
                    memcpy(row + i * to_step + c, rest + i * QE_LANES, QE_LANES * sizeof *rest);
            }
        }
        for (; c < d_v; ++c) {
            float one[QE_LANES];
            const vf column = v_load(out + c * width + x * QE_LANES) * inverse;
            odd[0] += column * v_set(0.0f);
            v_store(one, column);
            for (ptrdiff_t i = 0; i < here; ++i) row[i * to_step + c] = one[i];
        }
    }
    for (ptrdiff_t i = 0; i < rows; ++i) {
        if (task->partial) {
            to[i * to_step + d_v] = top[i];
            to[i * to_step + d_v + 1] = total[i];
        } else if (task->lse) {
            task->lse[tile_row + i] = log_sum(top[i], total[i]);
        }
    }
    for (int i = 1; i < QE_LANES; ++i) odd[0] += odd[i];
    return v_any(odd[0] != odd[0]);
}

/* One tile of a task: where its packed queries and sums lie, and its rows. */
typedef struct {
    float *place;
    ptrdiff_t start, rows;
    int vectors;
} qe_tile;

QE_INLINE qe_tile tile_at(const qe_attention_task *task, qe_layout at, qe_tiling cut, ptrdiff_t number) {
    const int vectors = tile_vectors(cut, number, task->rows);
    const ptrdiff_t start = tile_start(cut, number), left = task->rows - start;
    const ptrdiff_t rows = left < vectors * QE_LANES ? left : vectors * QE_LANES;
    return (qe_tile){task->scratch + (at.single ? 0 : number) * at.tile_step, start, rows, vectors};
}

QE_INLINE void start(const qe_attention_task *task, qe_tile tile, const int pairs) {
    switch (tile.vectors) {
    case 1: start_tile(task, tile.place, tile.start, tile.rows, 1, pairs); break;
    case 2: start_tile(task, tile.place, tile.start, tile.rows, 2, pairs); break;
    default: start_tile(task, tile.place, tile.start, tile.rows, 3, pairs);
    }
}

QE_INLINE int finish(const qe_attention_task *task, qe_tile tile) {
    switch (tile.vectors) {
    case 1: return finish_tile(task, tile.place, tile.start, tile.rows, 1);
    case 2: return finish_tile(task, tile.place, tile.start, tile.rows, 2);
    default: return finish_tile(task, tile.place, tile.start, tile.rows, 3);
    }
}

/* Run a task; tell whether a result is NaN or infinite. A weight of zero must silence such a value, which IEEE's zero
   times NaN does not: then the task runs again, `careful`. Finite results are the same either way. */
QE_INLINE int attend_tiles(const qe_attention_task *task, int careful, const int pairs) {
    const qe_layout at = layout(task);
    const qe_tiling cut = tiling(task->rows);
    float *scores = task->scratch + at.scores;
    qe_block block = {0};
    int odd = 0;

    if (!at.single)
        for (ptrdiff_t number = 0; number < cut.tiles; ++number) start(task, tile_at(task, at, cut, number), pairs);
    for (ptrdiff_t first = 0; first < task->n_k; first += task->block) {
        const ptrdiff_t held = task->n_k - first < task->block ? task->n_k - first : task->block;
        int taken = 0;
        for (ptrdiff_t number = 0; number < cut.tiles; ++number) {
            const qe_tile tile = tile_at(task, at, cut, number);
            /* Keys after the last that any row of the tile sees are left out. */
            const ptrdiff_t visible = task->visible + tile.start + tile.rows - 1 - first;
            const ptrdiff_t n = visible < held ? visible : held;
            if (at.single) start(task, tile, pairs);
            if (n > 0 && (!task->allowed || any_allowed(task, tile.start, tile.rows, first, n))) {
                if (!taken) block = take_block(task, at, first, held, pairs);
                taken = 1;
                switch (tile.vectors) {
                case 1:
                    attend_block(task, tile.place, scores, block, tile.start, tile.rows, first, n, 1, careful, pairs);
                    break;
                case 2:
                    attend_block(task, tile.place, scores, block, tile.start, tile.rows, first, n, 2, careful, pairs);
                    break;
                default:
                    attend_block(task, tile.place, scores, block, tile.start, tile.rows, first, n, 3, careful, pairs);
                }
            }
            if (at.single) odd |= finish(task, tile);
        }
    }
    if (!at.single)
        for (ptrdiff_t number = 0; number < cut.tiles; ++number) odd |= finish(task, tile_at(task, at, cut, number));
    return odd;
}

/* Apart, for a function that holds both spills in the loops of either (GCC 12; 32,4,128,64 on Zen 3: 71 GFLOP/s in one
   function, 82 apart). */
static __attribute__((noinline)) int attend_words(const qe_attention_task *task, int careful) {
    return attend_tiles(task, careful, 0);
}

#if QE_PAIRS
static __attribute__((noinline)) int attend_pairs(const qe_attention_task *task, int careful) {
    return attend_tiles(task, careful, 1);
}
#endif

const char *QE_SYMBOL(qe_attention)(const qe_attention_task *task) {
    if (task->few) {
        attend_few(task);
#if QE_PAIRS
    } else if (task->bfloat16) {
        if (attend_pairs(task, 0)) attend_pairs(task, 1);
#endif
    } else if (attend_words(task, 0)) {
        attend_words(task, 1);
    }
    return QE_TEXT(QE_VARIANT);
}

/* A partial result is relative to its own maximum; 2^(m - m') brings it to the common one. */
void QE_SYMBOL(qe_attention_merge)(const qe_attention_task *task, ptrdiff_t parts, ptrdiff_t part_step) {
    const ptrdiff_t d_v = task->d_v;
    for (ptrdiff_t i = 0; i < task->rows; ++i) {
        const float *first = task->partial + i * (d_v + 2);
        float most = -INFINITY, total = 0.0f, *out = task->out + i * task->out_step;
        for (ptrdiff_t p = 0; p < parts; ++p) {
            const float here = first[p * part_step + d_v];
            most = here > most ? here : most;
        }
        const float base = most == -INFINITY ? 0.0f : most;
        for (ptrdiff_t c = 0; c < d_v; ++c) out[c] = 0.0f;
        for (ptrdiff_t p = 0; p < parts; ++p) {
            const float *part = first + p * part_step;
            float share[QE_LANES];
            v_store(share, v_exp2(v_set(part[d_v] - base)));
            /* Of equal infinities the difference is NaN, as it is within one range; an empty range adds nothing. */
            if (share[0] == 0.0f && part[d_v + 1] == part[d_v + 1]) continue;
            total += part[d_v + 1] * share[0];
            for (ptrdiff_t c = 0; c < d_v; ++c) out[c] += part[c] * share[0];
        }
        const float inverse = total == 0.0f ? 0.0f : 1.0f / total;
        for (ptrdiff_t c = 0; c < d_v; ++c) out[c] = total == 0.0f ? 0.0f : out[c] * inverse;
        if (task->lse) task->lse[i] = log_sum(most, total);
    }
}
