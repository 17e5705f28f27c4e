/* Tokens to vectors, and the vectors of a sequence to one. */
#include "encoder_columns.h"

/* Add a word's row, or its bytes times what one of them stands for. */
QE_INLINE void add_word(float *restrict x, const qe_tokens *tokens, ptrdiff_t word) {
    const ptrdiff_t d = tokens->d;
    if (tokens->word_bytes) {
        const int8_t *restrict row = tokens->word_bytes + word * d;
        const float scale = tokens->word_scales[word];
        for (ptrdiff_t j = 0; j < d; ++j) x[j] += scale * (float)row[j];
    } else {
        const float *restrict row = tokens->word_rows + word * d;
        for (ptrdiff_t j = 0; j < d; ++j) x[j] += row[j];
    }
}

/* Add code_scale times the random signs of an unknown part: its stream of splitmix64 (Steele, Lea and Flood 2014), one
   bit for each element, set for plus. */
QE_INLINE void add_code(float *restrict x, ptrdiff_t d, uint32_t part, float scale) {
    uint64_t state = part;
    for (ptrdiff_t start = 0; start < d; start += 64) {
        uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);
        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        z ^= z >> 31;
        for (ptrdiff_t half = 0; half < 64 && start + half < d; half += 32) {
            const uint32_t bits = ~(uint32_t)(z >> half);
            float *restrict to = x + start + half;
            const ptrdiff_t n = d - start - half < 32 ? d - start - half : 32;
            for (ptrdiff_t j = 0; j < n; ++j) {
                const uint32_t minus = (bits >> j & 1u) << 31;
                uint32_t sum;
                float signed_scale;
                memcpy(&sum, &scale, sizeof sum);
                sum ^= minus;
                memcpy(&signed_scale, &sum, sizeof sum);
                to[j] += signed_scale;
            }
        }
    }
}

/* Place of a part in the vocabulary, or `words` where it is none. */
QE_INLINE ptrdiff_t find_word(const qe_tokens *tokens, uint32_t part) {
    const uint32_t *base = tokens->vocabulary;
    ptrdiff_t n = tokens->words;
    if (n == 0) return 0;
    while (n > 1) {
        const ptrdiff_t half = n / 2;
        base += base[half] <= part ? half : 0;
        n -= half;
    }
    return *base == part ? base - tokens->vocabulary : tokens->words;
}

void QE_SYMBOL(qe_encoder_embed)(
    const qe_tokens *tokens, int kind, const uint8_t *roles, const int64_t *starts, const uint32_t *parts,
    ptrdiff_t n, float *x
) {
    const ptrdiff_t d = tokens->d;
    const float *kind_row = tokens->kinds + kind * d;
    for (ptrdiff_t t = 0; t < n; ++t) {
        float *restrict row = x + t * d;
        const float *role_row = tokens->roles + roles[t] * d;
        const float *place = tokens->positions + (t < tokens->places ? t : tokens->places - 1) * d;
        const int64_t count = starts[t + 1] - starts[t];
        const float share = 1.0f / sqrtf(count > 1 ? (float)count : 1.0f);
        for (ptrdiff_t j = 0; j < d; ++j) row[j] = 0.0f;
        for (int64_t i = starts[t]; i < starts[t + 1]; ++i) {
            const ptrdiff_t word = find_word(tokens, parts[i]);
            if (word < tokens->words)
                add_word(row, tokens, word);
            else
                add_code(row, d, parts[i], tokens->code_scale);
        }
        for (ptrdiff_t j = 0; j < d; ++j) row[j] = role_row[j] + kind_row[j] + place[j] + row[j] * share;
    }
}

/* One strip of one vector of rows, and the logits of all rows, with room for a vector past the last. */
ptrdiff_t QE_SYMBOL(qe_encoder_pool_scratch)(const qe_pooling *pooling, ptrdiff_t rows) {
    return pooling->d * QE_LANES + rows + 2 * QE_LANES;
}

/* Softmax of n logits in place, up to the factor that normalising the vector takes out; past the last there is room. */
static void weigh_logits(float *logits, ptrdiff_t n) {
    float most = -INFINITY, rest[QE_LANES];
    for (ptrdiff_t t = 0; t < n; ++t) most = logits[t] > most ? logits[t] : most;
    for (ptrdiff_t t = 0; t < n; t += QE_LANES) {
        const ptrdiff_t here = n - t < QE_LANES ? n - t : QE_LANES;
        for (ptrdiff_t i = 0; i < QE_LANES; ++i) rest[i] = i < here ? logits[t + i] : most;
        v_store(rest, v_exp2((v_load(rest) - v_set(most)) * v_set(LOG2_E)));
        memcpy(logits + t, rest, (size_t)here * sizeof *rest);
    }
}

void QE_SYMBOL(qe_encoder_pool)(
    const qe_pooling *pooling, float *x, const int64_t *offsets, ptrdiff_t sequences, float *out, float *scratch
) {
    const ptrdiff_t d = pooling->d, rows = offsets[sequences] - offsets[0];
    float *strip = scratch, *logits = scratch + d * QE_LANES;
    for (ptrdiff_t row = 0; row < rows; row += QE_LANES) {
        const ptrdiff_t here = rows - row < QE_LANES ? rows - row : QE_LANES;
        pack_queries(strip, x + row * d, d, here, d, 1.0f, 1);
        normalise(strip, strip, d, QE_LANES, pooling->norm, pooling->eps);
        vf logit = v_set(0.0f);
        for (ptrdiff_t j = 0; j < d; ++j) logit += v_load(strip + j * QE_LANES) * v_set(pooling->direction[j]);
        v_store(logits + row, logit);
        for (ptrdiff_t i = 0; i < here; ++i)
            for (ptrdiff_t j = 0; j < d; ++j) x[(row + i) * d + j] = strip[j * QE_LANES + i];
    }
    for (ptrdiff_t i = 0; i < sequences; ++i) {
        const ptrdiff_t first = offsets[i] - offsets[0], n = offsets[i + 1] - offsets[i];
        float *restrict to = out + i * d;
        double square = 0.0, total = 0.0;
        for (ptrdiff_t j = 0; j < d; ++j) to[j] = 0.0f;
        weigh_logits(logits + first, n);
        for (ptrdiff_t t = 0; t < n; ++t) {
            const float weight = logits[first + t], *restrict row = x + (first + t) * d;
            total += weight;
            for (ptrdiff_t j = 0; j < d; ++j) to[j] += weight * row[j];
        }
        for (ptrdiff_t j = 0; j < d; ++j) square += (double)to[j] * to[j];
        /* The length of the weighted mean, which decides near zero, is that of the sum over the sum of the weights. */
        const double length = n ? sqrt(square) / total : 1.0;
        const float factor = n ? (float)(1.0 / (total * (length > 1e-12 || length != length ? length : 1e-12))) : 0.0f;
        for (ptrdiff_t j = 0; j < d; ++j) to[j] *= factor;
    }
}
