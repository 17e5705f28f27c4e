/* The encoder's layers over a task's rows: attention within each sequence, and a feed-forward network.

   Rows are kept as strips (tiles of rows, transposed), which norms, products and activations take as they are; only
   queries, keys and values lie in rows, for the attention kernel. A block of weights serves all strips of a task before
   the next is read, so that it comes from the second-level cache but once. */
#include "encoder_product.h"
#include "few.h"

/* Scratch of a task, in floats: per strip its rows and the words of its next product with their scales; queries,
   keys and values of all rows, and what attention makes of them; one block of outputs or of hidden elements;
   attention's own. */
typedef struct {
    qe_tiling cut;
    ptrdiff_t rows, panel, strip_step, qkv, mixed, block, attention, all;
} qe_encoder_layout;

static ptrdiff_t task_rows(const qe_encoder_task *task) { return task->offsets[task->sequences] - task->offsets[0]; }

static qe_attention_task attention_of(const qe_encoder *encoder, ptrdiff_t n) {
    const ptrdiff_t d = encoder->d / encoder->heads, blocks = (n + encoder->block - 1) / encoder->block;
    return (qe_attention_task){
        .q_step = 3 * encoder->d,
        .k_step = 3 * encoder->d,
        .v_step = 3 * encoder->d,
        .out_step = encoder->d,
        .rows = n,
        .n_k = n,
        .d = d,
        .d_v = d,
        .scale = 1.0f / sqrtf((float)d),
        .visible = QE_SEES_ALL,
        .bfloat16 = encoder->precision == QE_BFLOAT16,
        .block = blocks ? (n + blocks - 1) / blocks : 1,
        .few = n <= QE_FEW,
    };
}

static qe_encoder_layout encoder_layout(const qe_encoder_task *task) {
    const qe_encoder *encoder = task->encoder;
    const ptrdiff_t d = encoder->d, chunk = chunk_of(d, 0);
    const ptrdiff_t held = QE_BLOCK > QE_HIDDEN_CHUNK ? QE_BLOCK : QE_HIDDEN_CHUNK;
    qe_encoder_layout at = {.rows = task_rows(task)};
    ptrdiff_t attention = 0;
    for (ptrdiff_t i = 0; i < task->sequences; ++i) {
        const ptrdiff_t n = task->offsets[i + 1] - task->offsets[i];
        const qe_attention_task one = attention_of(encoder, n);
        const ptrdiff_t floats = n ? QE_SYMBOL(qe_attention_scratch)(&one) : 0;
        attention = floats > attention ? floats : attention;
    }
    at.cut = tiling(at.rows);
    at.panel = d * QE_TILE;
    at.strip_step = at.panel + (d + (d + chunk - 1) / chunk) * QE_TILE;
    at.qkv = at.cut.tiles * at.strip_step;
    at.mixed = at.qkv + at.rows * 3 * d;
    at.block = at.mixed + at.rows * d;
    at.attention = (at.block + (held + 1) * QE_TILE + 15) / 16 * 16;
    at.all = at.attention + attention;
    return at;
}

ptrdiff_t QE_SYMBOL(qe_encoder_scratch)(const qe_encoder_task *task) { return encoder_layout(task).all; }

/* One strip: its rows transposed, the words of its next product and their scales, and which rows of the task it has. */
typedef struct {
    float *x, *words, *scales;
    ptrdiff_t start, rows;
    int vectors;
} qe_strip;

static qe_strip strip_at(const qe_encoder_task *task, const qe_encoder_layout *at, ptrdiff_t number) {
    const ptrdiff_t start = tile_start(at->cut, number), left = at->rows - start;
    const int vectors = tile_vectors(at->cut, number, at->rows);
    float *x = task->scratch + number * at->strip_step;
    return (qe_strip){
        x, x + at->panel, x + 2 * at->panel, start, left < vectors * QE_LANES ? left : vectors * QE_LANES, vectors,
    };
}

/* Write a strip's n elements of `rows` lanes as rows, `step` floats apart; n is a multiple of 8. */
QE_APART void unpack_strip(
    float *to, ptrdiff_t step, const float *strip, ptrdiff_t rows, ptrdiff_t n, int vectors
) {
    const ptrdiff_t width = vectors * QE_LANES;
    for (int x = 0; x < vectors; ++x) {
        const ptrdiff_t left = rows - x * QE_LANES, here = left < QE_LANES ? left : QE_LANES;
        float *row = to + x * QE_LANES * step;
        ptrdiff_t t = 0;
        for (; t + QE_LANES <= n; t += QE_LANES) {
            vf block[QE_LANES];
            QE_UNROLL
            for (int i = 0; i < QE_LANES; ++i) block[i] = v_load(strip + (t + i) * width + x * QE_LANES);
            v_transpose(block);
            if (here == QE_LANES) {
                QE_UNROLL
                for (int i = 0; i < QE_LANES; ++i) v_store(row + i * step + t, block[i]);
            } else {
                for (ptrdiff_t i = 0; i < here; ++i) v_store(row + i * step + t, block[i]);
            }
        }
        for (; t < n; ++t)
            for (ptrdiff_t i = 0; i < here; ++i) row[i * step + t] = strip[t * width + x * QE_LANES + i];
    }
}

static void pack_strip(float *to, const float *rows, ptrdiff_t step, ptrdiff_t count, ptrdiff_t n, int vectors) {
    switch (vectors) {
    case 1: pack_queries(to, rows, step, count, n, 1.0f, 1); break;
    case 2: pack_queries(to, rows, step, count, n, 1.0f, 2); break;
    default: pack_queries(to, rows, step, count, n, 1.0f, 3);
    }
}

static void normalise_strip(const qe_encoder *encoder, float *to, const qe_strip *strip, qe_norm norm) {
    for (int x = 0; x < strip->vectors; ++x)
        normalise(
            to + x * QE_LANES, strip->x + x * QE_LANES, encoder->d, strip->vectors * QE_LANES, norm, encoder->eps
        );
}

/* The words that the next product of a strip reads: of its rows, or of their norm. */
static void take_words(const qe_encoder *encoder, const qe_strip *strip, qe_norm norm) {
    const ptrdiff_t width = strip->vectors * QE_LANES, d = encoder->d;
    if (encoder->post_norm)
        memcpy(strip->words, strip->x, (size_t)(d * width) * sizeof *strip->x);
    else
        normalise_strip(encoder, strip->words, strip, norm);
    prepare_strip(strip->words, d, chunk_of(d, 0), strip->scales, encoder->precision, strip->vectors);
}

static void project_to_rows(
    const qe_encoder_task *task, const qe_encoder_layout *at, const qe_encoder_layer *layer, int words
) {
    const qe_encoder *encoder = task->encoder;
    const qe_matrix *qkv = &layer->qkv;
    float *block = task->scratch + at->block, *rows = task->scratch + at->qkv;
    for (ptrdiff_t number = 0; number < at->cut.tiles; ++number) {
        const qe_strip strip = strip_at(task, at, number);
        take_words(encoder, &strip, layer->norm1);
    }
    for (ptrdiff_t first = 0; first < qkv->outputs; first += QE_BLOCK) {
        const ptrdiff_t n = qkv->outputs - first < QE_BLOCK ? qkv->outputs - first : QE_BLOCK;
        for (ptrdiff_t number = 0; number < at->cut.tiles; ++number) {
            const qe_strip strip = strip_at(task, at, number);
            multiply_strip(
                qkv, block, strip.words, strip.scales, first, n, 0, chunks_of(qkv), 0, strip.vectors, words
            );
            unpack_strip(
                rows + strip.start * 3 * encoder->d + first, 3 * encoder->d, block, strip.rows, n, strip.vectors
            );
        }
    }
}

static void attend_sequences(const qe_encoder_task *task, const qe_encoder_layout *at) {
    const qe_encoder *encoder = task->encoder;
    const ptrdiff_t d = encoder->d, size = d / encoder->heads;
    for (ptrdiff_t i = 0; i < task->sequences; ++i) {
        const ptrdiff_t row = task->offsets[i] - task->offsets[0], n = task->offsets[i + 1] - task->offsets[i];
        qe_attention_task one = attention_of(encoder, n);
        if (n == 0) continue;
        one.scratch = task->scratch + at->attention;
        for (ptrdiff_t head = 0; head < encoder->heads; ++head) {
            one.q = task->scratch + at->qkv + row * 3 * d + head * size;
            one.k = one.q + d;
            one.v = one.k + d;
            one.out = task->scratch + at->mixed + row * d + head * size;
            QE_SYMBOL(qe_attention)(&one);
        }
    }
}

/* x += out @ mixed; after it, and after the feed-forward network, post-norm takes its norm. */
static void project_back(
    const qe_encoder_task *task, const qe_encoder_layout *at, const qe_encoder_layer *layer, int words
) {
    const qe_encoder *encoder = task->encoder;
    const ptrdiff_t d = encoder->d;
    const qe_matrix *out = &layer->out;
    for (ptrdiff_t number = 0; number < at->cut.tiles; ++number) {
        const qe_strip strip = strip_at(task, at, number);
        const float *mixed = task->scratch + at->mixed + strip.start * d;
        pack_strip(strip.words, mixed, d, strip.rows, d, strip.vectors);
        prepare_strip(strip.words, d, out->chunk, strip.scales, encoder->precision, strip.vectors);
    }
    for (ptrdiff_t first = 0; first < d; first += QE_BLOCK) {
        const ptrdiff_t n = d - first < QE_BLOCK ? d - first : QE_BLOCK;
        for (ptrdiff_t number = 0; number < at->cut.tiles; ++number) {
            const qe_strip strip = strip_at(task, at, number);
            float *to = strip.x + first * strip.vectors * QE_LANES;
            multiply_strip(out, to, strip.words, strip.scales, first, n, 0, chunks_of(out), 1, strip.vectors, words);
        }
    }
}

/* x += down @ gelu(up @ words), a chunk of hidden elements at a time. */
static void feed_forward(
    const qe_encoder_task *task, const qe_encoder_layout *at, const qe_encoder_layer *layer, int words
) {
    const qe_encoder *encoder = task->encoder;
    const qe_matrix *up = &layer->up, *down = &layer->down;
    float *hidden = task->scratch + at->block, *scales = hidden + down->chunk * QE_TILE;
    for (ptrdiff_t number = 0; number < at->cut.tiles; ++number) {
        const qe_strip strip = strip_at(task, at, number);
        if (encoder->post_norm) normalise_strip(encoder, strip.x, &strip, layer->norm1);
        take_words(encoder, &strip, layer->norm2);
    }
    for (ptrdiff_t chunk = 0; chunk < chunks_of(down); ++chunk) {
        const ptrdiff_t first = chunk * down->chunk, left = encoder->ffn - first;
        const ptrdiff_t n = left < down->chunk ? left : down->chunk;
        for (ptrdiff_t number = 0; number < at->cut.tiles; ++number) {
            const qe_strip strip = strip_at(task, at, number);
            multiply_strip(
                up, hidden, strip.words, strip.scales, first, n, 0, chunks_of(up), 0, strip.vectors, words
            );
            activate(hidden, n * strip.vectors, encoder->erf);
            prepare_strip(hidden, n, n, scales, encoder->precision, strip.vectors);
            multiply_strip(
                down, strip.x, hidden, scales, 0, encoder->d, chunk, 1, 1, strip.vectors, words
            );
        }
    }
    for (ptrdiff_t number = 0; encoder->post_norm && number < at->cut.tiles; ++number) {
        const qe_strip strip = strip_at(task, at, number);
        normalise_strip(encoder, strip.x, &strip, layer->norm2);
    }
}

const char *QE_SYMBOL(qe_encoder)(const qe_encoder_task *task) {
    const qe_encoder *encoder = task->encoder;
    const qe_encoder_layout at = encoder_layout(task);
    const ptrdiff_t d = encoder->d;
    const int words = words_of(encoder->precision);
    for (ptrdiff_t number = 0; number < at.cut.tiles; ++number) {
        const qe_strip strip = strip_at(task, &at, number);
        pack_strip(strip.x, task->x + strip.start * d, d, strip.rows, d, strip.vectors);
    }
    for (ptrdiff_t i = 0; i < encoder->count; ++i) {
        const qe_encoder_layer *layer = encoder->layers + i;
        project_to_rows(task, &at, layer, words);
        attend_sequences(task, &at);
        project_back(task, &at, layer, words);
        feed_forward(task, &at, layer, words);
    }
    for (ptrdiff_t number = 0; number < at.cut.tiles; ++number) {
        const qe_strip strip = strip_at(task, &at, number);
        unpack_strip(task->x + strip.start * d, d, strip.x, strip.rows, d, strip.vectors);
    }
    return QE_TEXT(QE_VARIANT);
}
