/* Exact top-k: the tile loop with a bounded heap per row as its epilogue.

   A row's heap lies in its part of the output and has the worst entry at its root: the lowest score, of equal scores
   the highest index. Keys come in ascending order, so an equal score never displaces an earlier one, and a vector
   comparison against the roots lets nearly all scores pass by. */
#include "few.h"
#include "tile.h"

/* Scratch of a task, in floats: per tile the packed queries and the roots of its rows; the scores of one group. */
ptrdiff_t QE_SYMBOL(qe_topk_scratch)(const qe_topk_task *task) {
    return task->few ? QE_LANES : tiling(task->rows).tiles * (task->d + 1) * QE_TILE + QE_SUMS * QE_LANES;
}

QE_INLINE int worse(float score, int64_t index, float other, int64_t other_index) {
    return score < other || (score == other && index > other_index);
}

/* Let (score, index) sink from `hole` to its place among the first n entries. */
static void sink(float *scores, int64_t *indices, ptrdiff_t n, ptrdiff_t hole, float score, int64_t index) {
    for (;;) {
        ptrdiff_t child = 2 * hole + 1;
        if (child >= n) break;
        if (child + 1 < n && worse(scores[child + 1], indices[child + 1], scores[child], indices[child])) ++child;
        if (!worse(scores[child], indices[child], score, index)) break;
        scores[hole] = scores[child];
        indices[hole] = indices[child];
        hole = child;
    }
    scores[hole] = score;
    indices[hole] = index;
}

static void order_heap(float *scores, int64_t *indices, ptrdiff_t n) {
    for (ptrdiff_t i = n / 2; i-- > 0;) sink(scores, indices, n, i, scores[i], indices[i]);
}

/* Best first: the worst of what is left goes to the end. */
static void sort_heap(float *scores, int64_t *indices, ptrdiff_t n) {
    for (ptrdiff_t last = n - 1; last > 0; --last) {
        const float score = scores[last];
        const int64_t index = indices[last];
        scores[last] = scores[0];
        indices[last] = indices[0];
        sink(scores, indices, last, 0, score, index);
    }
}

/* A NaN (from a product that overflows) counts as -inf, so that every row is full. */
QE_INLINE float orderable(float score) { return score == score ? score : -INFINITY; }

/* Scores of up to QE_SUMS keys from key `first` of the range on into the heaps of a tile's rows. */
static void select_group(
    const qe_topk_task *task, const float *scores, ptrdiff_t width, float *roots, ptrdiff_t tile_row, ptrdiff_t rows,
    ptrdiff_t first, ptrdiff_t n
) {
    const ptrdiff_t top = task->top;
    float *best = task->scores + tile_row * top;
    int64_t *best_index = task->indices + tile_row * top;
    for (ptrdiff_t j = 0; j < n; ++j) {
        const int64_t index = task->first_key + first + j;
        for (ptrdiff_t i = 0; i < rows; ++i) {
            const float score = orderable(scores[j * width + i]);
            if (first + j < top) {
                best[i * top + first + j] = score;
                best_index[i * top + first + j] = index;
                if (first + j == top - 1) {
                    order_heap(best + i * top, best_index + i * top, top);
                    roots[i] = best[i * top];
                }
            } else if (score > roots[i]) {
                sink(best + i * top, best_index + i * top, top, 0, score, index);
                roots[i] = best[i * top];
            }
        }
    }
}

QE_INLINE void select_block(
    const qe_topk_task *task, const float *packed, float *scores, float *roots, ptrdiff_t tile_row, ptrdiff_t rows,
    ptrdiff_t first, ptrdiff_t n, const int vectors
) {
    const int keys = QE_GROUP(vectors);
    vf top[QE_VECTORS];
    for (ptrdiff_t j = 0; j < n; j += keys) {
        const float *row[QE_SUMS];
        vi better = v_all(0);
        rows_of_keys(row, task->k + first * task->d, task->d, j, n, keys);
        for (int x = 0; x < vectors; ++x) top[x] = v_load(roots + x * QE_LANES);
        score_group(scores, packed, row, task->d, top, keys, vectors, 0);
        for (int x = 0; x < vectors; ++x) better |= top[x] > v_load(roots + x * QE_LANES);
        if (__builtin_expect(first + j < task->top || v_any(better), 0))
            select_group(
                task, scores, vectors * QE_LANES, roots, tile_row, rows, first + j, n - j < keys ? n - j : keys
            );
    }
}

static void select_tiles(const qe_topk_task *task) {
    const ptrdiff_t d = task->d, step = (d + 1) * QE_TILE;
    const qe_tiling cut = tiling(task->rows);
    float *scores = task->scratch + cut.tiles * step;

    for (ptrdiff_t tile = 0; tile < cut.tiles; ++tile) {
        float *packed = task->scratch + tile * step, *roots = packed + d * QE_TILE;
        const ptrdiff_t start = tile_start(cut, tile), left = task->rows - start;
        const float *q = task->q + start * d;
        switch (tile_vectors(cut, tile, task->rows)) {
        case 1: pack_queries(packed, q, d, left, d, 1.0f, 1); break;
        case 2: pack_queries(packed, q, d, left, d, 1.0f, 2); break;
        default: pack_queries(packed, q, d, left, d, 1.0f, 3);
        }
        for (ptrdiff_t i = 0; i < QE_TILE; ++i) roots[i] = INFINITY;
    }
    for (ptrdiff_t first = 0; first < task->n_k; first += task->block) {
        const ptrdiff_t n = task->n_k - first < task->block ? task->n_k - first : task->block;
        for (ptrdiff_t tile = 0; tile < cut.tiles; ++tile) {
            float *packed = task->scratch + tile * step, *roots = packed + d * QE_TILE;
            const int vectors = tile_vectors(cut, tile, task->rows);
            const ptrdiff_t start = tile_start(cut, tile), left = task->rows - start;
            const ptrdiff_t rows = left < vectors * QE_LANES ? left : vectors * QE_LANES;
            switch (vectors) {
            case 1: select_block(task, packed, scores, roots, start, rows, first, n, 1); break;
            case 2: select_block(task, packed, scores, roots, start, rows, first, n, 2); break;
            default: select_block(task, packed, scores, roots, start, rows, first, n, 3);
            }
        }
    }
}

static void select_few(const qe_topk_task *task) {
    for (ptrdiff_t i = 0; i < task->rows; ++i) {
        float root = INFINITY, *scores = task->scratch;
        vf odd = v_set(0.0f);
        qe_topk_task one = *task;
        one.scores = task->scores + i * task->top;
        one.indices = task->indices + i * task->top;
        for (ptrdiff_t j = 0; j < task->n_k; j += QE_LANES) {
            const ptrdiff_t left = task->n_k - j;
            const vf score = few_scores(task->q + i * task->d, task->k + j * task->d, task->d, left, task->d);
            odd += score * v_set(0.0f);
            if (__builtin_expect(j >= task->top && !v_any(score > v_set(root)), 1)) continue;
            v_store(scores, score);
            select_group(&one, scores, 1, &root, 0, 1, j, left < QE_LANES ? left : QE_LANES);
        }
        if (v_any(odd != odd)) *task->odd = 1;
    }
}

const char *QE_SYMBOL(qe_topk)(const qe_topk_task *task) {
    if (task->few)
        select_few(task);
    else
        select_tiles(task);
    for (ptrdiff_t i = 0; i < task->rows; ++i)
        sort_heap(task->scores + i * task->top, task->indices + i * task->top, task->top);
    return QE_TEXT(QE_VARIANT);
}

void QE_SYMBOL(qe_topk_merge)(
    const float *part_scores, const int64_t *part_indices, ptrdiff_t parts, ptrdiff_t rows, ptrdiff_t top,
    float *scores, int64_t *indices
) {
    for (ptrdiff_t i = 0; i < rows; ++i) {
        ptrdiff_t taken[QE_MOST_PARTS] = {0};
        for (ptrdiff_t place = 0; place < top; ++place) {
            ptrdiff_t best = -1;
            for (ptrdiff_t p = 0; p < parts; ++p) {
                if (taken[p] == top) continue;
                /* Of equal scores the earlier part, which has the lower indices. */
                if (best < 0 || part_scores[(p * rows + i) * top + taken[p]] >
                                    part_scores[(best * rows + i) * top + taken[best]])
                    best = p;
            }
            const ptrdiff_t at = (best * rows + i) * top + taken[best]++;
            scores[i * top + place] = part_scores[at];
            indices[i * top + place] = part_indices[at];
        }
    }
}
