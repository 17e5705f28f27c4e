/* Weights as the encoder's products read them: chunks of inputs, in them groups of outputs side by side. */
#include "encoder_product.h"

/* Positive, the nearest of them to the largest weight as 127; NaN where a weight is NaN or infinite. */
static float weight_scale(const float *weights, ptrdiff_t n) {
    float most = 0.0f, odd = 0.0f;
    for (ptrdiff_t i = 0; i < n; ++i) {
        const float size = fabsf(weights[i]);
        most = size > most ? size : most;
        odd += weights[i] * 0.0f;
    }
    return most / 127.0f + odd;
}

static int32_t whole_weight(float weight, float scale) {
    return scale > 0.0f ? (int32_t)rintf(weight / scale) : 0;
}

ptrdiff_t QE_SYMBOL(qe_encoder_packed)(ptrdiff_t outputs, ptrdiff_t inputs, int precision, int hidden) {
    (void)hidden;
    return outputs * words_in(inputs, words_of(precision)) + (precision == QE_INT8 ? outputs : 0);
}

qe_matrix QE_SYMBOL(qe_encoder_pack)(
    const float *weights, const float *bias, ptrdiff_t outputs, ptrdiff_t inputs, int precision, int hidden, float *to
) {
    const int words = words_of(precision);
    float *scales = precision == QE_INT8 ? to + outputs * words_in(inputs, words) : NULL;
    const qe_matrix matrix = {outputs, inputs, chunk_of(inputs, hidden), to, scales, bias};
    if (scales)
        for (ptrdiff_t o = 0; o < outputs; ++o) scales[o] = weight_scale(weights + o * inputs, inputs);
    for (ptrdiff_t start = 0; start < inputs; start += matrix.chunk) {
        const ptrdiff_t end = inputs - start < matrix.chunk ? inputs : start + matrix.chunk;
        for (ptrdiff_t first = 0; first < outputs; first += QE_OUTPUTS)
            for (ptrdiff_t t = start; t < end; t += words == QE_WORDS_FLOAT ? 1 : 2)
                for (ptrdiff_t o = first; o < first + QE_OUTPUTS; ++o) {
                    const float *weight = weights + o * inputs + t;
                    if (words == QE_WORDS_WHOLE) {
                        const uint32_t low = (uint32_t)whole_weight(weight[0], scales[o]) & 0xffffu;
                        const uint32_t both = low | (uint32_t)whole_weight(weight[1], scales[o]) << 16;
                        memcpy(to++, &both, sizeof both);
                    } else if (words == QE_WORDS_BFLOAT16) {
                        *to++ = pair_bf16(weight[0], weight[1]);
                    } else {
                        *to++ = precision == QE_BFLOAT16 ? round_bf16(weight[0]) : weight[0];
                    }
                }
    }
    return matrix;
}
