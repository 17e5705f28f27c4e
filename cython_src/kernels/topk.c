/* Exact top-k: the tile loop with a bounded heap per row as its epilogue.

   A row's heap lies in its part of the output and has the worst entry at its root: the lowest score, of equal scores
   the highest index. Keys come in ascending order, so an equal score never displaces an earlier one, and a vector
   comparison against the roots lets nearly all scores pass by. */
#include "tile.h"

/* Scratch of a task, in floats:
       tiles x (d + 1) x QE_TILE    per tile: packed queries, the roots of its rows
     + QE_BLOCK x QE_TILE           scores of one block */
ptrdiff_t QE_SYMBOL(qe_topk_scratch)(ptrdiff_t tiles, ptrdiff_t d) {
    return tiles * (d + 1) * QE_TILE + QE_BLOCK * QE_TILE;
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

/* Scores of one block into the heaps of one tile. */
QE_INLINE void select_block(
    const qe_topk_task *task, const float *scores, float *roots, ptrdiff_t tile_row, ptrdiff_t rows, ptrdiff_t first,
    ptrdiff_t n, const int vectors
) {
    const ptrdiff_t top = task->top;
    float *best = task->scores + tile_row * top;
    int64_t *best_index = task->indices + tile_row * top;
    ptrdiff_t j = 0;
    if (first < top) {
        /* The first `top` keys fill every heap of the tile alike. */
        for (; j < n && first + j < top; ++j) {
            for (ptrdiff_t i = 0; i < rows; ++i) {
                const float score = scores[j * QE_TILE + i];
                best[i * top + first + j] = score == score ? score : -INFINITY;
                best_index[i * top + first + j] = first + j;
            }
        }
        if (first + j < top) return;
        for (ptrdiff_t i = 0; i < rows; ++i) {
            order_heap(best + i * top, best_index + i * top, top);
            roots[i] = best[i * top];
        }
    }
    for (; j < n; ++j) {
        QE_UNROLL
        for (int x = 0; x < vectors; ++x) {
            const vi better = v_load(scores + j * QE_TILE + x * QE_LANES) > v_load(roots + x * QE_LANES);
            if (__builtin_expect(v_any(better), 0)) {
                for (ptrdiff_t i = x * QE_LANES; i < (x + 1) * QE_LANES && i < rows; ++i) {
                    const float score = scores[j * QE_TILE + i];
                    if (score > roots[i]) {
                        sink(best + i * top, best_index + i * top, top, 0, score, first + j);
                        roots[i] = best[i * top];
                    }
                }
            }
        }
    }
}

const char *QE_SYMBOL(qe_topk)(const qe_topk_task *task) {
    const ptrdiff_t d = task->d, tiles = (task->rows + QE_TILE - 1) / QE_TILE, step = (d + 1) * QE_TILE;
    float *scores = task->scratch + tiles * step;

    for (ptrdiff_t tile = 0; tile < tiles; ++tile) {
        float *packed = task->scratch + tile * step, *roots = packed + d * QE_TILE;
        const ptrdiff_t left = task->rows - tile * QE_TILE;
        pack_queries(packed, task->q + tile * QE_TILE * d, left < QE_TILE ? left : QE_TILE, d);
        for (ptrdiff_t i = 0; i < QE_TILE; ++i) roots[i] = INFINITY;
    }
    for (ptrdiff_t first = 0; first < task->n_k; first += QE_BLOCK) {
        const ptrdiff_t n = task->n_k - first < QE_BLOCK ? task->n_k - first : QE_BLOCK;
        const float *keys = task->k + first * d;
        for (ptrdiff_t tile = 0; tile < tiles; ++tile) {
            float *packed = task->scratch + tile * step, *roots = packed + d * QE_TILE;
            const ptrdiff_t tile_row = tile * QE_TILE, left = task->rows - tile_row;
            const ptrdiff_t rows = left < QE_TILE ? left : QE_TILE;
            switch (vectors_for(rows)) {
            case 1:
                tile_scores(scores, packed, keys, n, d, 1.0f, 1);
                select_block(task, scores, roots, tile_row, rows, first, n, 1);
                break;
            case 2:
                tile_scores(scores, packed, keys, n, d, 1.0f, 2);
                select_block(task, scores, roots, tile_row, rows, first, n, 2);
                break;
            default:
                tile_scores(scores, packed, keys, n, d, 1.0f, QE_VECTORS);
                select_block(task, scores, roots, tile_row, rows, first, n, QE_VECTORS);
            }
        }
    }
    for (ptrdiff_t i = 0; i < task->rows; ++i)
        sort_heap(task->scores + i * task->top, task->indices + i * task->top, task->top);
    return QE_TEXT(QE_VARIANT);
}
