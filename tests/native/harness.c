/* Runs one compiled kernel variant over drawn shapes at the edges of its tiles and compares with plain loops in double.

   All memory is of exactly the size promised and starts out as NaN, so that a sanitizer sees a read too far and any
   build sees one of something never written. Prints "<lanes> <pairs> <cases> <float32> <rounded> <unrounded>": the
   largest errors in float32, in bfloat16 against loops over rounded inputs, and over unrounded ones. Exit status 1
   where a result is wrong beyond rounding. The argument is the number of cases. */
#include "few.h"
#include "qe_kernels.h"
#include "tile.h"

#include <stdio.h>
#include <stdlib.h>

#define COUNT(list) (sizeof(list) / sizeof *(list))
#define PICK(list) (list)[draw(COUNT(list))]

#ifdef QE_FORCE_PAIRS
/* The same kernels without pairs, as a second variant in this program. */
ptrdiff_t qe_attention_scratch_floats(const qe_attention_task *task);
const char *qe_attention_floats(const qe_attention_task *task);
#endif

static uint64_t state = 88172645463325252u;

static double uniform(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (double)(state >> 11) / 9007199254740992.0;
}

static ptrdiff_t draw(ptrdiff_t n) { return (ptrdiff_t)(uniform() * (double)n); }

static float normal(void) { return (float)(sqrt(-2 * log(1 - uniform())) * cos(6.283185307179586 * uniform())); }

/* To 8 significant bits, ties to even. */
static double round_to_bfloat16(double x) {
    int exponent;
    const double part = frexp(x, &exponent);
    return isfinite(x) ? ldexp(nearbyint(ldexp(part, 8)), exponent - 8) : x;
}

/* Elements of `size` bytes, rows and columns any number of elements apart, in memory that ends with the last one. */
typedef struct {
    char *memory, *first;
    ptrdiff_t row, column, size;
} grid;

static ptrdiff_t magnitude(ptrdiff_t x) { return x < 0 ? -x : x; }

static char *exactly(ptrdiff_t bytes) {
    void *memory = NULL;
    if (posix_memalign(&memory, 64, (size_t)bytes + (bytes == 0))) abort();
    return memset(memory, 0xff, (size_t)bytes);
}

static grid take_grid(ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t row, ptrdiff_t column, ptrdiff_t size) {
    const ptrdiff_t down = rows && columns ? (rows - 1) * row : 0, right = columns ? (columns - 1) * column : 0;
    const ptrdiff_t span = rows && columns ? magnitude(down) + magnitude(right) + 1 : 0;
    grid here = {exactly(span * size), NULL, row, column, size};
    here.first = here.memory + ((down < 0 ? -down : 0) + (right < 0 ? -right : 0)) * size;
    return here;
}

static void *at(grid here, ptrdiff_t i, ptrdiff_t j) { return here.first + (i * here.row + j * here.column) * here.size; }

static float get(grid here, ptrdiff_t i, ptrdiff_t j) { return *(float *)at(here, i, j); }

/* Rows dense, with gaps, backwards, or all the same one. */
static grid take_rows(ptrdiff_t rows, ptrdiff_t d, int whole) {
    const ptrdiff_t steps[] = {d, d, d, d + 3, 2 * d + 1, -d, -d - 5, 0};
    const grid here = take_grid(rows, d, PICK(steps), 1, sizeof(float));
    for (ptrdiff_t i = 0; i < rows; ++i)
        for (ptrdiff_t j = 0; j < d; ++j) *(float *)at(here, i, j) = whole ? (float)(draw(5) - 2) : normal();
    return here;
}

enum { NO_MASK, BOOL_MASK, ADDED_MASK };

typedef struct {
    ptrdiff_t rows, n_k, d, d_v, block, visible, parts, cut;
    float scale;
    int few, bfloat16, mask, whole, odd;
    grid q, k, v, masks;
} shape;

static shape draw_shape(void) {
    const ptrdiff_t rows[] = {1, 2, QE_LANES, QE_LANES + 1, 2 * QE_LANES, 2 * QE_LANES + 1, QE_TILE - 1, QE_TILE,
                              QE_TILE + 1, QE_TILE + QE_LANES + 1, 2 * QE_TILE + 1};
    const ptrdiff_t keys[] = {1, 2, 3, QE_GROUP(3), QE_GROUP(3) + 1, QE_SUMS - 1, QE_SUMS, QE_SUMS + 1, 63, 64, 65, 131};
    const ptrdiff_t widths[] = {0, 1, 2, 7, QE_LANES, QE_LANES + 1, 32, 33, 64, 8 * QE_LANES + 3};
    const ptrdiff_t blocks[] = {1, 2, 7, 24, 96, 1000};
    const float scales[] = {0.125f, 0.125f, 0.125f, -0.125f, 0.0f, 0.5f};
    shape s = {.rows = PICK(rows), .n_k = PICK(keys), .d = PICK(widths), .d_v = PICK(widths), .block = PICK(blocks)};
    s.few = draw(4) == 0;
    if (s.few) s.rows = 1 + draw(QE_FEW);
    s.bfloat16 = draw(2) == 0;
    s.whole = draw(4) == 0;
    s.scale = PICK(scales);
    s.parts = draw(4) ? 1 : 1 + draw(s.n_k < 4 ? s.n_k : 4);
    s.cut = draw(s.rows);
    const ptrdiff_t visible[] = {QE_SEES_ALL, QE_SEES_ALL, 1, 1 + draw(s.n_k), -draw(s.rows + 3), 1 - s.rows};
    s.visible = PICK(visible);
    s.mask = (int)draw(3);
    s.odd = draw(3) == 0;
    s.q = take_rows(s.rows, s.d, s.whole);
    s.k = take_rows(s.n_k, s.d, s.whole);
    s.v = take_rows(s.n_k, s.d_v, 0);
    ptrdiff_t from_row = s.rows, to_key = s.n_k;
    if (s.mask) {
        const ptrdiff_t columns[] = {1, 1, 1, 0, 2, -1}, column = PICK(columns);
        const ptrdiff_t span = magnitude(column) * s.n_k + 1, row_steps[] = {span, span, 0, -span};
        s.masks = take_grid(s.rows, s.n_k, PICK(row_steps), column, s.mask == BOOL_MASK ? 1 : sizeof(float));
        /* Half of them with a corner of which tasks of some rows skip whole blocks, and others do not. */
        if (draw(2)) from_row = s.cut, to_key = 1 + draw(s.n_k);
        const double share = draw(2) ? uniform() : 1;
        /* A view of other bytes as bool holds other ones for true. */
        const int true_byte = draw(4) ? 1 : 2 + (int)draw(254);
        for (ptrdiff_t i = 0; i < s.rows; ++i)
            for (ptrdiff_t j = 0; j < s.n_k; ++j) {
                const int allowed = uniform() < share && !(i >= from_row && j < to_key);
                if (s.mask == BOOL_MASK)
                    *(unsigned char *)at(s.masks, i, j) = (unsigned char)(allowed ? true_byte : 0);
                else
                    *(float *)at(s.masks, i, j) = allowed ? normal() : -INFINITY;
            }
    }
    for (int n = s.odd ? 1 + (int)draw(3) : 0; n-- > 0;) {
        /* Padding as it may be: a key and its value that are no numbers, mostly excluded for every row. One NaN has
           its only bit of payload where bfloat16 has none. */
        const union { uint32_t bits; float value; } nan = {0x7f800001u};
        const float things[] = {NAN, nan.value, INFINITY, -INFINITY};
        const ptrdiff_t key = draw(to_key), hide = draw(4);
        if (s.d_v) *(float *)at(s.v, key, draw(s.d_v)) = PICK(things);
        if (s.d && draw(2)) *(float *)at(s.k, key, draw(s.d)) = PICK(things);
        for (ptrdiff_t i = 0; s.mask && hide && i < s.rows; ++i) {
            if (s.mask == BOOL_MASK)
                *(unsigned char *)at(s.masks, i, key) = 0;
            else
                *(float *)at(s.masks, i, key) = -INFINITY;
        }
    }
    return s;
}

static qe_attention_task task_of(const shape *s, ptrdiff_t first, ptrdiff_t last, ptrdiff_t key, ptrdiff_t stop) {
    qe_attention_task task = {
        .q = at(s->q, first, 0), .k = at(s->k, key, 0), .v = at(s->v, key, 0), .q_step = s->q.row, .k_step = s->k.row,
        .v_step = s->v.row, .rows = last - first, .n_k = stop - key, .d = s->d, .d_v = s->d_v, .scale = s->scale,
        .visible = s->visible == QE_SEES_ALL ? QE_SEES_ALL : s->visible + first - key, .bfloat16 = s->bfloat16,
        .block = s->block, .few = s->few};
    if (s->mask == BOOL_MASK) task.allowed = at(s->masks, first, key);
    if (s->mask == ADDED_MASK) task.bias = at(s->masks, first, key);
    if (s->mask) task.mask_row = s->masks.row, task.mask_column = s->masks.column;
    return task;
}

static void run(
    qe_attention_task task, ptrdiff_t (*scratch)(const qe_attention_task *), const char *(*kernel)(const qe_attention_task *)
) {
    task.scratch = (float *)exactly(scratch(&task) * (ptrdiff_t)sizeof(float));
    kernel(&task);
    free(task.scratch);
}

static void attend(qe_attention_task task) { run(task, QE_SYMBOL(qe_attention_scratch), QE_SYMBOL(qe_attention)); }

/* Rows from `first` to `last` into the rows of `out`, the keys in so many parts. */
static void attend_rows(const shape *s, ptrdiff_t first, ptrdiff_t last, ptrdiff_t parts, grid out, float *lse) {
    const ptrdiff_t part_step = (last - first) * (s->d_v + 2), keys = (s->n_k + parts - 1) / parts;
    qe_attention_task all = task_of(s, first, last, 0, s->n_k);
    all.out = at(out, first, 0), all.out_step = out.row, all.lse = lse + first;
    if (parts == 1) {
        attend(all);
        return;
    }
    float *partial = (float *)exactly(parts * part_step * (ptrdiff_t)sizeof(float));
    ptrdiff_t done = 0;
    for (ptrdiff_t key = 0; key < s->n_k; key += keys, ++done) {
        qe_attention_task task = task_of(s, first, last, key, key + keys < s->n_k ? key + keys : s->n_k);
        task.partial = partial + done * part_step;
        attend(task);
    }
    all.partial = partial;
    QE_SYMBOL(qe_attention_merge)(&all, done, part_step);
    free(partial);
}

static double apart(double actual, double expected) {
    if (isnan(actual) || isnan(expected)) return isnan(actual) && isnan(expected) ? 0 : INFINITY;
    return actual == expected ? 0 : fabs(actual - expected);
}

/* Largest difference from softmax(scale q.k + mask).v in double, inputs rounded to bfloat16 or not. */
static double from_loops(const shape *s, grid out, const float *lse, int rounded) {
    double worst = 0, *weight = (double *)exactly(s->n_k * (ptrdiff_t)sizeof(double));
    for (ptrdiff_t i = 0; i < s->rows; ++i) {
        double top = -INFINITY, total = 0;
        for (ptrdiff_t j = 0; j < s->n_k; ++j) {
            double score = 0;
            for (ptrdiff_t t = 0; t < s->d; ++t) {
                const double q = get(s->q, i, t), k = get(s->k, j, t);
                score += rounded ? round_to_bfloat16(q) * round_to_bfloat16(k) : q * k;
            }
            score *= s->scale;
            if (s->mask == ADDED_MASK) score = get(s->masks, i, j) == -INFINITY ? -INFINITY : score + get(s->masks, i, j);
            if (s->mask == BOOL_MASK && !*(unsigned char *)at(s->masks, i, j)) score = -INFINITY;
            if (s->visible != QE_SEES_ALL && j >= s->visible + i) score = -INFINITY;
            weight[j] = score;
            if (score > top) top = score;
        }
        for (ptrdiff_t j = 0; j < s->n_k; ++j) total += weight[j] = exp(weight[j] - (top == -INFINITY ? 0 : top));
        for (ptrdiff_t c = 0; c < s->d_v; ++c) {
            double sum = 0;
            for (ptrdiff_t j = 0; j < s->n_k; ++j) {
                const double v = get(s->v, j, c);
                if (weight[j] != 0) sum += weight[j] * (rounded ? round_to_bfloat16(v) : v);
            }
            worst = fmax(worst, apart(get(out, i, c), total == 0 ? 0 : sum / total));
        }
        worst = fmax(worst, apart(lse[i], total == 0 ? -INFINITY : top + log(total)));
    }
    free(weight);
    return worst;
}

static double between(const shape *s, grid left, grid right) {
    double worst = 0;
    for (ptrdiff_t i = 0; i < s->rows; ++i)
        for (ptrdiff_t c = 0; c < s->d_v; ++c) worst = fmax(worst, apart(get(left, i, c), get(right, i, c)));
    return worst;
}

static int wrong(const char *what, long number, const shape *s, double error) {
    fprintf(
        stderr,
        "case %ld: %s by %g: rows %td, keys %td, d %td, d_v %td, block %td, visible %td, parts %td, scale %g, few %d, "
        "bfloat16 %d, mask %d (%td, %td), odd %d, steps %td %td %td\n",
        number, what, error, s->rows, s->n_k, s->d, s->d_v, s->block, s->visible, s->parts, (double)s->scale, s->few,
        s->bfloat16, s->mask, s->masks.row, s->masks.column, s->odd, s->q.row, s->k.row, s->v.row);
    return 1;
}

/* One case of attention; its errors go to worst[3], the status tells of what no rounding explains. */
static int check_attention(long number, double *worst) {
    const shape s = draw_shape();
    const grid out = take_grid(s.rows, s.d_v, s.d_v + 3, 1, sizeof(float));
    const grid other = take_grid(s.rows, s.d_v, s.d_v, 1, sizeof(float));
    float *lse = (float *)exactly(s.rows * (ptrdiff_t)sizeof(float));
    float *other_lse = (float *)exactly(s.rows * (ptrdiff_t)sizeof(float));
    int status = 0;
    attend_rows(&s, 0, s.rows, s.parts, out, lse);
    for (ptrdiff_t i = 0; s.d_v && i + 1 < s.rows; ++i)
        for (ptrdiff_t c = s.d_v; c < s.d_v + 3; ++c)
            if (*(uint32_t *)at(out, i, c) != 0xffffffffu) status |= wrong("gap between rows written", number, &s, 0);

    const double error = from_loops(&s, out, lse, s.bfloat16);
    if (!(error <= (s.bfloat16 ? 1e-2 : 2e-5))) status |= wrong("result is off", number, &s, error);
    worst[s.bfloat16] = fmax(worst[s.bfloat16], error);
    /* Infinite inputs may be a rounding away from a score of another sign. */
    if (s.bfloat16 && !s.odd && !s.whole && s.scale * s.scale * (float)s.d <= 1) {
        const double unrounded = from_loops(&s, out, lse, 0);
        if (!(unrounded <= 3e-2)) status |= wrong("result is off the exact one", number, &s, unrounded);
        worst[2] = fmax(worst[2], unrounded);
    }
    /* What rows share a task changes no bit, or threads would. */
    if (s.cut > 0) attend_rows(&s, 0, s.cut, s.parts, other, other_lse);
    attend_rows(&s, s.cut, s.rows, s.parts, other, other_lse);
    if (between(&s, out, other) != 0) status |= wrong("rows depend on their neighbours", number, &s, between(&s, out, other));
    for (ptrdiff_t i = 0; i < s.rows; ++i)
        if (apart(lse[i], other_lse[i]) != 0) status |= wrong("lse depends on neighbours", number, &s, 0);
#ifdef QE_FORCE_PAIRS
    if (s.bfloat16 && s.whole && s.parts == 1) {
        /* Scores of small whole numbers are exact, so the weights are the same and only sums are rounded. */
        qe_attention_task task = task_of(&s, 0, s.rows, 0, s.n_k);
        task.out = (float *)other.first, task.out_step = other.row, task.lse = other_lse;
        run(task, qe_attention_scratch_floats, qe_attention_floats);
        const double error_of_pairs = between(&s, out, other);
        if (!(error_of_pairs <= 2e-6)) status |= wrong("pairs are not floats", number, &s, error_of_pairs);
    }
#endif
    free(s.q.memory), free(s.k.memory), free(s.v.memory), free(s.masks.memory);
    free(out.memory), free(other.memory), free(lse), free(other_lse);
    return status;
}

static void select_top(qe_topk_task task) {
    task.scratch = (float *)exactly(QE_SYMBOL(qe_topk_scratch)(&task) * (ptrdiff_t)sizeof(float));
    QE_SYMBOL(qe_topk)(&task);
    free(task.scratch);
}

/* Small whole numbers: exact products, many ties. Odd: only that the way of few rows says so. */
static int check_topk(long number) {
    const ptrdiff_t rows[] = {1, QE_LANES, QE_LANES + 1, QE_TILE - 1, QE_TILE, QE_TILE + 1, 2 * QE_TILE + 1};
    const ptrdiff_t keys[] = {1, 2, QE_LANES, QE_LANES + 1, QE_SUMS - 1, QE_SUMS + 1, 64, 131}, widths[] = {0, 1, 6, 17};
    const ptrdiff_t blocks[] = {1, 5, 24, 1000};
    const int few = draw(2) == 0, odd = few && draw(4) == 0;
    const ptrdiff_t m = few ? 1 + draw(QE_FEW) : PICK(rows), n = PICK(keys), d = odd ? 6 : PICK(widths);
    const ptrdiff_t parts = draw(2) ? 1 : 1 + draw(n < QE_MOST_PARTS ? n : QE_MOST_PARTS), held = n / parts;
    const ptrdiff_t top = 1 + draw(draw(2) && held > 8 ? 8 : held);
    const int64_t first_key = draw(2) ? 0 : 5000000000;
    const grid q = take_grid(m, d, d, 1, sizeof(float)), k = take_grid(n, d, d, 1, sizeof(float));
    float *scores = (float *)exactly((parts + 1) * m * top * (ptrdiff_t)sizeof(float));
    int64_t *indices = (int64_t *)exactly((parts + 1) * m * top * (ptrdiff_t)sizeof(int64_t));
    double *row = (double *)exactly(n * (ptrdiff_t)sizeof(double));
    int found_odd = 0, status = 0;
    for (ptrdiff_t i = 0; i < m * d; ++i) ((float *)q.first)[i] = (float)(draw(5) - 2);
    for (ptrdiff_t i = 0; i < n * d; ++i) ((float *)k.first)[i] = (float)(draw(5) - 2);
    if (odd) *(float *)(draw(2) ? at(q, draw(m), draw(d)) : at(k, draw(n), draw(d))) = draw(2) ? NAN : INFINITY;
    for (ptrdiff_t part = 0; part < parts; ++part) {
        const ptrdiff_t key = part * held;
        select_top((qe_topk_task){
            .q = (float *)q.first, .k = (float *)k.first + key * d, .rows = m, .d = d, .top = top, .few = few,
            .n_k = part + 1 < parts ? held : n - key, .first_key = first_key + key, .block = PICK(blocks),
            .odd = few ? &found_odd : NULL, .scores = scores + part * m * top, .indices = indices + part * m * top});
    }
    const float *best = scores;
    const int64_t *best_index = indices;
    if (parts > 1) {
        best = scores + parts * m * top, best_index = indices + parts * m * top;
        QE_SYMBOL(qe_topk_merge)(scores, indices, parts, m, top, (float *)best, (int64_t *)best_index);
    }
    for (ptrdiff_t i = 0; !odd && i < m; ++i) {
        for (ptrdiff_t j = 0; j < n; ++j) {
            row[j] = 0;
            for (ptrdiff_t t = 0; t < d; ++t) row[j] += (double)get(q, i, t) * get(k, j, t);
        }
        for (ptrdiff_t r = 0; r < top; ++r) {
            ptrdiff_t first = -1;
            for (ptrdiff_t j = 0; j < n; ++j)
                if (!isnan(row[j]) && (first < 0 || row[j] > row[first])) first = j;
            if (best_index[i * top + r] != first_key + first || best[i * top + r] != row[first]) status = 1;
            row[first] = NAN;
        }
    }
    if (few && found_odd != odd) status = 1;
    if (status)
        fprintf(
            stderr, "case %ld: top-k is wrong: rows %td, keys %td, d %td, top %td, parts %td, few %d, odd %d found %d\n",
            number, m, n, d, top, parts, few, odd, found_odd);
    free(q.memory), free(k.memory), free(scores), free(indices), free(row);
    return status;
}

static int check_entry(void) {
    const qe_variant *entry = &QE_SYMBOL(qe_variant);
    const double per_round = 2.0 * QE_SUMS * QE_LANES;
    int status = entry->lanes != QE_LANES || entry->tile_queries != QE_TILE || entry->few_queries != QE_FEW ||
                 entry->bfloat16_dots != QE_PAIRS || strcmp(entry->name, QE_TEXT(QE_VARIANT)) != 0;
    status |= entry->peak(1000, 0) != 1000 * per_round || entry->peak(0, 0) != 0;
    status |= entry->peak(1000, 1) != (QE_PAIRS ? 2000 * per_round : 0);
    if (status) fprintf(stderr, "the variant's entry or its count of operations is wrong\n");
    return status;
}

#include "encoder_case.c"

int main(int count, char **arguments) {
    const long cases = count > 1 ? atol(arguments[1]) : 2000;
    double worst[3] = {0, 0, 0};
    int status = check_entry();
    for (long number = 0; number < cases; ++number) {
        status |= check_attention(number, worst);
        if (number % 4 == 0) status |= check_topk(number);
        if (number % 40 == 0) status |= check_encoder(number / 40);
    }
    printf("%d %d %ld %.3g %.3g %.3g\n", QE_LANES, QE_PAIRS, cases, worst[0], worst[1], worst[2]);
    return status;
}
