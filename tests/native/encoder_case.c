/* Runs the encoder over drawn networks and sequences and compares with plain loops in double. Included by harness.c. */

typedef struct {
    ptrdiff_t outputs, inputs;
    float *weights, *bias, *packed;
    qe_matrix matrix;
} plain_matrix;

static float *normals(ptrdiff_t n, float size, float middle) {
    float *all = (float *)exactly(n * (ptrdiff_t)sizeof *all);
    for (ptrdiff_t i = 0; i < n; ++i) all[i] = middle + size * normal();
    return all;
}

static plain_matrix draw_matrix(ptrdiff_t outputs, ptrdiff_t inputs, int precision, int hidden) {
    plain_matrix plain = {outputs, inputs, normals(outputs * inputs, 1.0f / sqrtf((float)inputs), 0.0f), NULL, NULL, {0}};
    plain.bias = normals(outputs, 0.1f, 0.0f);
    plain.packed = (float *)exactly(QE_SYMBOL(qe_encoder_packed)(outputs, inputs, precision, hidden) * (ptrdiff_t)4);
    plain.matrix = QE_SYMBOL(qe_encoder_pack)(
        plain.weights, plain.bias, outputs, inputs, precision, hidden, plain.packed);
    return plain;
}

static qe_norm draw_norm(ptrdiff_t d) { return (qe_norm){normals(d, 0.1f, 1.0f), normals(d, 0.1f, 0.0f)}; }

static void free_norm(qe_norm norm) { free((void *)norm.gain), free((void *)norm.bias); }

static void norm_in_double(double *to, const double *x, ptrdiff_t n, ptrdiff_t d, qe_norm norm, double eps) {
    for (ptrdiff_t i = 0; i < n; ++i) {
        double mean = 0, variance = 0;
        for (ptrdiff_t t = 0; t < d; ++t) mean += x[i * d + t] / (double)d;
        for (ptrdiff_t t = 0; t < d; ++t) variance += (x[i * d + t] - mean) * (x[i * d + t] - mean) / (double)d;
        for (ptrdiff_t t = 0; t < d; ++t)
            to[i * d + t] = (x[i * d + t] - mean) / sqrt(variance + eps) * norm.gain[t] + norm.bias[t];
    }
}

static void multiply_in_double(double *to, const double *x, ptrdiff_t n, const plain_matrix *by, int adds) {
    for (ptrdiff_t i = 0; i < n; ++i)
        for (ptrdiff_t o = 0; o < by->outputs; ++o) {
            double sum = by->bias[o] + (adds ? to[i * by->outputs + o] : 0);
            for (ptrdiff_t t = 0; t < by->inputs; ++t) sum += x[i * by->inputs + t] * by->weights[o * by->inputs + t];
            to[i * by->outputs + o] = sum;
        }
}

static void attend_in_double(double *mixed, const double *qkv, ptrdiff_t n, ptrdiff_t d, ptrdiff_t heads, double *shares) {
    const ptrdiff_t size = d / heads;
    for (ptrdiff_t i = 0; i < n; ++i)
        for (ptrdiff_t head = 0; head < heads; ++head) {
            const double *q = qkv + i * 3 * d + head * size;
            double most = -INFINITY, total = 0;
            for (ptrdiff_t j = 0; j < n; ++j) {
                shares[j] = 0;
                for (ptrdiff_t t = 0; t < size; ++t)
                    shares[j] += q[t] * qkv[j * 3 * d + d + head * size + t] / sqrt((double)size);
                most = shares[j] > most ? shares[j] : most;
            }
            for (ptrdiff_t j = 0; j < n; ++j) total += shares[j] = exp(shares[j] - most);
            for (ptrdiff_t t = 0; t < size; ++t) {
                double sum = 0;
                for (ptrdiff_t j = 0; j < n; ++j) sum += shares[j] / total * qkv[j * 3 * d + 2 * d + head * size + t];
                mixed[i * d + head * size + t] = sum;
            }
        }
}

/* One layer over one sequence of n rows, in place. */
static void layer_in_double(
    double *x, ptrdiff_t n, const qe_encoder *encoder, const plain_matrix *matrices, const qe_norm *norms
) {
    const ptrdiff_t d = encoder->d, ffn = encoder->ffn;
    double *room = (double *)exactly(n * (5 * d + ffn + 1) * (ptrdiff_t)sizeof *room);
    double *inputs = room, *qkv = room + n * d, *mixed = qkv + n * 3 * d, *inner = mixed + n * d;
    for (int half = 0; half < 2; ++half) {
        if (encoder->post_norm)
            memcpy(inputs, x, (size_t)(n * d) * sizeof *x);
        else
            norm_in_double(inputs, x, n, d, norms[half], encoder->eps);
        if (half == 0) {
            multiply_in_double(qkv, inputs, n, &matrices[0], 0);
            attend_in_double(mixed, qkv, n, d, encoder->heads, inner);
            multiply_in_double(x, mixed, n, &matrices[1], 1);
        } else {
            multiply_in_double(inner, inputs, n, &matrices[2], 0);
            for (ptrdiff_t i = 0; i < n * ffn; ++i) {
                const double y = inner[i], cube = 0.7978845608028654 * (y + 0.044715 * y * y * y);
                inner[i] = 0.5 * y * (1 + (encoder->erf ? erf(y / sqrt(2.0)) : tanh(cube)));
            }
            multiply_in_double(x, inner, n, &matrices[3], 1);
        }
        if (encoder->post_norm) norm_in_double(x, x, n, d, norms[half], encoder->eps);
    }
    free(room);
}

static void run_encoder(const qe_encoder *encoder, float *x, const int64_t *offsets, ptrdiff_t sequences) {
    qe_encoder_task task = {encoder, x, offsets, sequences, NULL};
    task.scratch = (float *)exactly(QE_SYMBOL(qe_encoder_scratch)(&task) * (ptrdiff_t)sizeof(float));
    QE_SYMBOL(qe_encoder)(&task);
    free(task.scratch);
}

static int check_encoder(long number) {
    const ptrdiff_t sizes[] = {8, 16, 24, 40}, inner[] = {8, 88, 96, 104, 200}, blocks[] = {1, 7, 32, 128};
    const ptrdiff_t lengths[] = {0, 1, 2, QE_FEW + 1, QE_LANES, QE_TILE - 1, QE_TILE, QE_TILE + 1, 2 * QE_TILE + 3};
    const ptrdiff_t heads = 1 + draw(3), d = heads * PICK(sizes), ffn = PICK(inner), sequences = 1 + draw(4);
    const int precision = (int)(number % 3);
    const double allowed[] = {1e-4, 0.1, 0.1};
    int64_t offsets[5] = {draw(9)};
    for (ptrdiff_t i = 0; i < sequences; ++i) offsets[i + 1] = offsets[i] + PICK(lengths);
    const ptrdiff_t n = offsets[sequences] - offsets[0];
    plain_matrix matrices[] = {
        draw_matrix(3 * d, d, precision, 0), draw_matrix(d, d, precision, 0), draw_matrix(ffn, d, precision, 0),
        draw_matrix(d, ffn, precision, 1)};
    const qe_norm norms[] = {draw_norm(d), draw_norm(d)};
    const qe_encoder_layer layer = {
        norms[0], norms[1], matrices[0].matrix, matrices[1].matrix, matrices[2].matrix, matrices[3].matrix};
    const qe_encoder encoder = {&layer, 1, d, heads, ffn, 1e-5f, (int)draw(2), (int)draw(2), precision, PICK(blocks)};
    float *x = normals(n * d, 1.0f, 0.0f), *alone = (float *)exactly(n * d * (ptrdiff_t)sizeof *alone);
    double *expected = (double *)exactly(n * d * (ptrdiff_t)sizeof *expected), worst = 0;
    for (ptrdiff_t i = 0; i < n * d; ++i) expected[i] = alone[i] = x[i];
    run_encoder(&encoder, x, offsets, sequences);
    for (ptrdiff_t i = 0; i < sequences; ++i) {
        const ptrdiff_t row = offsets[i] - offsets[0];
        if (offsets[i] == offsets[i + 1]) continue;
        layer_in_double(expected + row * d, offsets[i + 1] - offsets[i], &encoder, matrices, norms);
        run_encoder(&encoder, alone + row * d, offsets + i, 1);
    }
    const int together = memcmp(x, alone, (size_t)(n * d) * sizeof *x) == 0;
    for (ptrdiff_t i = 0; i < n * d; ++i) {
        const double error = fabs(x[i] - expected[i]);
        worst = error <= worst ? worst : error;
    }
    for (int i = 0; i < 4; ++i) free(matrices[i].weights), free(matrices[i].bias), free(matrices[i].packed);
    free_norm(norms[0]), free_norm(norms[1]), free(x), free(alone), free(expected);
    if (together && worst <= allowed[precision]) return 0;
    fprintf(
        stderr, "case %ld: the encoder is wrong by %g: rows %td, d %td, heads %td, ffn %td, precision %d, alike alone %d\n",
        number, worst, n, d, heads, ffn, precision, together);
    return 1;
}
