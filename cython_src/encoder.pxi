# The encoder: layers packed for a variant, and whole sequences as tasks; see EncoderLayers.

cdef enum:
    # Rows of a task, unless one sequence alone has more: enough that a block of weights is read for several strips, few
    # enough that they stay in the second-level cache and that tasks balance.
    PACK_ROWS = 384


cdef class EncoderLayers:
    """Layers of an encoder, packed for one variant and precision; of the arrays nothing is kept.

    Each layer is 12 float32 arrays: gain and bias of the first norm, weight (outputs, inputs) and bias of qkv and of
    out, gain and bias of the second norm, weight and bias of up and of down. Raises ValueError where shapes do not fit.
    """

    cdef const qe_variant *variant
    cdef qe_encoder encoder
    cdef qe_encoder_layer *layers
    cdef Scratch weights
    cdef float *next

    def __cinit__(
        self,
        str variant not None,
        ptrdiff_t d,
        ptrdiff_t heads,
        ptrdiff_t ffn,
        double eps,
        bint post_norm,
        bint erf,
        str precision not None,
        list layers not None,
    ):
        cdef ptrdiff_t i, floats = 0
        cdef qe_encoder_layer *layer
        self.variant = find(variant)
        if precision not in ("float32", "bfloat16", "int8"):
            raise ValueError(f"precision {precision!r} does not exist")
        if d < 8 or ffn < 8 or heads < 1 or d > 1 << 20 or ffn > 1 << 20 or d % 8 or ffn % 8 or d % (8 * heads):
            raise ValueError("d, ffn and d / heads must be multiples of 8")
        self.encoder.d, self.encoder.heads, self.encoder.ffn = d, heads, ffn
        self.encoder.count, self.encoder.eps = len(layers), <float>eps
        self.encoder.post_norm, self.encoder.erf = post_norm, erf
        self.encoder.precision = ("float32", "bfloat16", "int8").index(precision)
        # That of very many keys is a whole one.
        self.encoder.block = key_block(self.variant, <ptrdiff_t>1 << 40)
        self.layers = <qe_encoder_layer *>PyMem_RawMalloc((len(layers) + 1) * sizeof(qe_encoder_layer))
        if self.layers is NULL:
            raise MemoryError("layers of the encoder")
        self.encoder.layers = self.layers
        floats = 9 * d + ffn
        floats += self.packed(3 * d, d, False) + self.packed(d, d, False)
        floats += self.packed(ffn, d, False) + self.packed(d, ffn, True)
        # Every array begins at a cache line.
        self.weights = Scratch((floats + 12 * 16) * max(1, <ptrdiff_t>len(layers)), 1)
        self.next = self.weights.piece(0)
        for i in range(len(layers)):
            arrays = tuple(layers[i])
            if len(arrays) != 12:
                raise ValueError(f"layer {i} has {len(arrays)} arrays, expected 12")
            layer = self.layers + i
            layer.norm1.gain, layer.norm1.bias = self.copy(arrays[0], d), self.copy(arrays[1], d)
            layer.qkv = self.pack(arrays[2], arrays[3], 3 * d, d, False)
            layer.out = self.pack(arrays[4], arrays[5], d, d, False)
            layer.norm2.gain, layer.norm2.bias = self.copy(arrays[6], d), self.copy(arrays[7], d)
            layer.up = self.pack(arrays[8], arrays[9], ffn, d, False)
            layer.down = self.pack(arrays[10], arrays[11], d, ffn, True)

    def __dealloc__(self):
        PyMem_RawFree(self.layers)

    cdef ptrdiff_t packed(self, ptrdiff_t outputs, ptrdiff_t inputs, bint hidden) noexcept:
        return self.variant.encoder_packed(outputs, inputs, self.encoder.precision, hidden)

    cdef float *take(self, ptrdiff_t floats) noexcept:
        cdef float *place = self.next
        self.next += (floats + 15) // 16 * 16
        return place

    cdef const float *copy(self, const float[::1] array, ptrdiff_t n) except NULL:
        cdef float *place
        if array is None or array.shape[0] != n:
            raise ValueError(f"expected a vector of {n} in a layer")
        place = self.take(n)
        memcpy(place, &array[0], n * sizeof(float))
        return place

    cdef qe_matrix pack(
        self, const float[:, ::1] weight, const float[::1] bias, ptrdiff_t outputs, ptrdiff_t inputs, bint hidden
    ) except *:
        cdef const float *added = self.copy(bias, outputs)
        if weight is None or weight.shape[0] != outputs or weight.shape[1] != inputs:
            raise ValueError(f"expected a matrix of {outputs} x {inputs} in a layer")
        return self.variant.encoder_pack(
            &weight[0, 0], added, outputs, inputs, self.encoder.precision, hidden,
            self.take(self.packed(outputs, inputs, hidden)),
        )


cdef class EncoderTokens:
    """Tables that give tokens their first vectors, and what makes one vector of a sequence; the arrays are kept.

    roles (R, d), kinds (K, d) and positions (P, d) are float32; vocabulary uint32 (V,), rising strictly; words float32
    (V, d), or int8 (V, d) with word_scales float32 (V,); gain, bias and pool float32 (d,). Raises ValueError where
    shapes do not fit or the vocabulary does not rise.
    """

    cdef qe_tokens tokens
    cdef qe_pooling pooling
    cdef tuple kept
    cdef ptrdiff_t roles
    cdef ptrdiff_t kinds

    def __cinit__(
        self,
        const float[:, ::1] roles not None,
        const float[:, ::1] kinds not None,
        const float[:, ::1] positions not None,
        const uint32_t[::1] vocabulary not None,
        object words,
        const float[::1] word_scales,
        double code_scale,
        const float[::1] gain not None,
        const float[::1] bias not None,
        const float[::1] pool not None,
        double eps,
    ):
        cdef const float[:, ::1] floats
        cdef const int8_t[:, ::1] whole
        cdef ptrdiff_t d = pool.shape[0], n = vocabulary.shape[0], i
        if d < 8 or d % 8 or roles.shape[1] != d or kinds.shape[1] != d or positions.shape[1] != d:
            raise ValueError("shapes of roles, kinds, positions and pool do not fit")
        if gain.shape[0] != d or bias.shape[0] != d:
            raise ValueError("shapes of gain and bias do not fit")
        if roles.shape[0] == 0 or kinds.shape[0] == 0 or positions.shape[0] == 0:
            raise ValueError("roles, kinds and positions have at least one row")
        if n > <ptrdiff_t>0xFFFFFFFF:
            raise ValueError("vocabulary is too long")
        for i in range(1, n):
            if vocabulary[i] <= vocabulary[i - 1]:
                raise ValueError("vocabulary must rise strictly")
        if word_scales is None:
            floats = words
            if floats.shape[0] != n or floats.shape[1] != d:
                raise ValueError("shapes of words and vocabulary do not fit")
            self.tokens.word_rows = &floats[0, 0] if n else NULL
            self.kept = (roles, kinds, positions, vocabulary, gain, bias, pool, floats)
        else:
            whole = words
            if whole.shape[0] != n or whole.shape[1] != d or word_scales.shape[0] != n:
                raise ValueError("shapes of words, word_scales and vocabulary do not fit")
            self.tokens.word_bytes = &whole[0, 0] if n else NULL
            self.tokens.word_scales = &word_scales[0] if n else NULL
            self.kept = (roles, kinds, positions, vocabulary, gain, bias, pool, whole, word_scales)
        self.tokens.vocabulary = &vocabulary[0] if n else NULL
        self.tokens.d, self.tokens.words, self.tokens.places = d, n, positions.shape[0]
        self.tokens.roles, self.tokens.kinds, self.tokens.positions = &roles[0, 0], &kinds[0, 0], &positions[0, 0]
        self.tokens.code_scale = <float>code_scale
        self.pooling.d, self.pooling.eps, self.pooling.direction = d, <float>eps, &pool[0]
        self.pooling.norm.gain, self.pooling.norm.bias = &gain[0], &bias[0]
        self.roles, self.kinds = roles.shape[0], kinds.shape[0]


cdef struct Pack:
    # Sequences from first up to last, and their rows.
    ptrdiff_t first
    ptrdiff_t last
    ptrdiff_t rows


cdef int most_rows_first(const void *left, const void *right) noexcept nogil:
    cdef const Pack *a = <const Pack *>left
    cdef const Pack *b = <const Pack *>right
    if a.rows != b.rows:
        return -1 if a.rows > b.rows else 1
    return -1 if a.first < b.first else 1


cdef struct EncoderPlan:
    const qe_variant *variant
    const qe_encoder *encoder
    const qe_tokens *tokens
    const qe_pooling *pooling
    const int64_t *offsets
    # Rows of a hidden state, or tokens and the vectors that they end in.
    float *x
    const uint8_t *kinds
    const uint8_t *roles
    const int64_t *starts
    const uint32_t *parts
    float *out
    Pack *packs
    ptrdiff_t count
    ptrdiff_t scratch_floats


cdef int plan_packs(EncoderPlan *plan, ptrdiff_t sequences) except -1:
    """Cut sequences into packs of about PACK_ROWS rows: by their order alone, so that threads change nothing."""
    cdef const int64_t *offsets = plan.offsets
    cdef ptrdiff_t i, rows, floats
    cdef Pack *pack = NULL
    cdef qe_encoder_task task
    plan.packs = <Pack *>PyMem_RawMalloc((sequences + 1) * sizeof(Pack))
    if plan.packs is NULL:
        raise MemoryError("tasks of the encoder")
    for i in range(sequences):
        rows = offsets[i + 1] - offsets[i]
        if pack is NULL or pack.rows + rows > PACK_ROWS:
            pack = plan.packs + plan.count
            plan.count += 1
            pack.first, pack.rows = i, 0
        pack.last = i + 1
        pack.rows += rows
    for i in range(plan.count):
        pack = plan.packs + i
        task = pack_task(plan, pack)
        floats = plan.variant.encoder_scratch(&task)
        if plan.tokens is not NULL:
            floats = max(floats, plan.variant.encoder_pool_scratch(plan.pooling, pack.rows))
            floats += pack_floats(plan, pack)
        plan.scratch_floats = max(plan.scratch_floats, floats)
    qsort(plan.packs, plan.count, sizeof(Pack), most_rows_first)
    return 0


cdef inline ptrdiff_t pack_floats(const EncoderPlan *plan, const Pack *pack) noexcept nogil:
    return (pack.rows * plan.encoder.d + 15) // 16 * 16


cdef qe_encoder_task pack_task(const EncoderPlan *plan, const Pack *pack) noexcept nogil:
    cdef qe_encoder_task task
    task.encoder, task.offsets, task.sequences = plan.encoder, plan.offsets + pack.first, pack.last - pack.first
    task.x = NULL if plan.x is NULL else plan.x + plan.offsets[pack.first] * plan.encoder.d
    task.scratch = NULL
    return task


cdef const char *encode_pack(const EncoderPlan *plan, ptrdiff_t number, float *scratch) noexcept nogil:
    cdef const Pack *pack = plan.packs + number
    cdef qe_encoder_task task = pack_task(plan, pack)
    cdef const char *ran
    cdef ptrdiff_t i
    cdef int64_t row
    task.scratch = scratch
    if plan.tokens is NULL:
        return plan.variant.encoder(&task)
    task.x = scratch
    task.scratch = scratch + pack_floats(plan, pack)
    for i in range(pack.first, pack.last):
        row = plan.offsets[i]
        plan.variant.encoder_embed(
            plan.tokens, plan.kinds[i], plan.roles + row, plan.starts + row, plan.parts, plan.offsets[i + 1] - row,
            task.x + (row - plan.offsets[pack.first]) * plan.encoder.d,
        )
    ran = plan.variant.encoder(&task)
    plan.variant.encoder_pool(
        plan.pooling, task.x, task.offsets, task.sequences, plan.out + pack.first * plan.encoder.d, task.scratch
    )
    return ran


cdef int run_packs(EncoderPlan *plan, ptrdiff_t sequences, ptrdiff_t num_threads) except -1:
    global ran_last
    cdef const char *ran = NULL
    cdef ptrdiff_t number
    cdef int threads
    cdef Scratch scratch
    try:
        plan_packs(plan, sequences)
        if plan.count == 0:
            return 1
        threads = limit_threads(num_threads, plan.count)
        scratch = Scratch(plan.scratch_floats, threads)
        with nogil:
            if threads == 1:
                for number in range(plan.count):
                    ran = encode_pack(plan, number, scratch.piece(0))
            else:
                for number in prange(plan.count, num_threads=threads, schedule="dynamic", chunksize=1):
                    ran = encode_pack(plan, number, scratch.piece(threadid()))
        ran_last = ran
    finally:
        PyMem_RawFree(plan.packs)
    return threads


def encode_rows(
    EncoderLayers layers not None, float[:, ::1] x not None, const int64_t[::1] offsets not None, ptrdiff_t num_threads
):
    """Run the layers over *x* (n, d) in place; return the threads used.

    Rows offsets[i] up to offsets[i + 1] are sequence i, which attends to itself. Raises ValueError where shapes do not
    fit.
    """
    cdef EncoderPlan plan
    memset(&plan, 0, sizeof(plan))
    if x.shape[1] != layers.encoder.d:
        raise ValueError("shapes of x and the layers do not fit")
    check_offsets(offsets, x.shape[0])
    plan.variant, plan.encoder, plan.offsets = layers.variant, &layers.encoder, &offsets[0]
    if x.shape[0] == 0:
        return 1
    plan.x = &x[0, 0]
    return run_packs(&plan, offsets.shape[0] - 1, num_threads)


def encode_tokens(
    EncoderLayers layers not None,
    EncoderTokens tables not None,
    const uint8_t[::1] kinds not None,
    const int64_t[::1] offsets not None,
    const uint8_t[::1] roles not None,
    const int64_t[::1] starts not None,
    const uint32_t[::1] parts not None,
    ptrdiff_t num_threads,
    float[:, ::1] out not None,
):
    """Fill *out* (s, d) with the unit vectors of s sequences of tokens; return the threads used.

    Tokens offsets[i] up to offsets[i + 1] are sequence i of kind kinds[i]; parts starts[t] up to starts[t + 1] belong
    to token t. An empty sequence gives zeros. Raises ValueError where shapes, offsets, kinds or roles do not fit.
    """
    cdef EncoderPlan plan
    cdef ptrdiff_t sequences = kinds.shape[0], n = roles.shape[0], i, wrong = 0
    cdef uint32_t no_part = 0
    cdef uint8_t no_role = 0
    memset(&plan, 0, sizeof(plan))
    if tables.tokens.d != layers.encoder.d or out.shape[1] != layers.encoder.d or out.shape[0] != sequences:
        raise ValueError("shapes of layers, tables, kinds and out do not fit")
    if offsets.shape[0] != sequences + 1 or starts.shape[0] != n + 1:
        raise ValueError("shapes of kinds, offsets, roles and starts do not fit")
    check_offsets(offsets, n)
    check_offsets(starts, parts.shape[0])
    for i in range(sequences):
        wrong += kinds[i] >= tables.kinds
    for i in range(n):
        wrong += roles[i] >= tables.roles
    if wrong:
        raise ValueError("a kind or role is not in its table")
    if sequences == 0:
        return 1
    plan.variant, plan.encoder, plan.offsets = layers.variant, &layers.encoder, &offsets[0]
    plan.tokens, plan.pooling = &tables.tokens, &tables.pooling
    plan.kinds, plan.starts, plan.out = &kinds[0], &starts[0], &out[0, 0]
    plan.roles = &roles[0] if n else &no_role
    plan.parts = &parts[0] if parts.shape[0] else &no_part
    return run_packs(&plan, sequences, num_threads)


cdef int check_offsets(const int64_t[::1] offsets, ptrdiff_t rows) except -1:
    cdef ptrdiff_t i, last = offsets.shape[0] - 1
    if last < 0 or offsets[0] != 0 or offsets[last] != rows:
        raise ValueError("offsets must go from 0 to the number of rows")
    for i in range(last):
        if offsets[i] > offsets[i + 1]:
            raise ValueError("offsets must ascend")
    return 0
