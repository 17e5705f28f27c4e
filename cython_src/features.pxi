# Sparse rows of weighted features: look up their columns, weigh them, project them, and compare the rows of a block.

cdef enum:
    LOOKUPS_PER_TASK = 16384
    ROWS_PER_TASK = 256


def sorted_positions(
    const uint32_t[::1] ascending not None,
    const uint32_t[::1] values not None,
    ptrdiff_t num_threads,
    uint32_t[::1] out not None,
):
    """Fill *out* with the place of each of *values* in *ascending*, which rises strictly.

    Raises ValueError where a value is not there or lengths do not fit.
    """
    cdef ptrdiff_t n = values.shape[0], k = ascending.shape[0], buckets = 1, i, task, tasks
    cdef int shift = 32, threads
    cdef ptrdiff_t missing = 0
    cdef uint32_t[::1] first
    if out.shape[0] != n or k > <ptrdiff_t>0xFFFFFFFE:
        raise ValueError("lengths do not fit")
    for i in range(1, k):
        if ascending[i] <= ascending[i - 1]:
            raise ValueError("values to look up in must rise strictly")
    if n == 0:
        return
    if k == 0:
        raise ValueError("a value is not among those to look up in")
    # Features are hashes: as many buckets of their first bits as there are features hold about one each.
    while buckets < k and shift > 0:
        buckets *= 2
        shift -= 1
    first = empty(buckets + 1, "uint32")
    tasks = (n + LOOKUPS_PER_TASK - 1) // LOOKUPS_PER_TASK
    threads = limit_threads(num_threads, tasks)
    with nogil:
        fill_buckets(&ascending[0], k, shift, buckets, &first[0])
        if threads == 1:
            missing = look_up(&ascending[0], &first[0], shift, &values[0], n, &out[0])
        else:
            for task in prange(tasks, num_threads=threads, schedule="static"):
                missing += look_up(
                    &ascending[0], &first[0], shift, &values[task * LOOKUPS_PER_TASK],
                    min(<ptrdiff_t>LOOKUPS_PER_TASK, n - task * LOOKUPS_PER_TASK), &out[task * LOOKUPS_PER_TASK],
                )
    if missing:
        raise ValueError("a value is not among those to look up in")


cdef void fill_buckets(
    const uint32_t *ascending, ptrdiff_t k, int shift, ptrdiff_t buckets, uint32_t *first
) noexcept nogil:
    cdef ptrdiff_t i, bucket = 0, own
    for i in range(k):
        own = <ptrdiff_t>(<uint64_t>ascending[i] >> shift)
        while bucket <= own:
            first[bucket] = <uint32_t>i
            bucket += 1
    while bucket <= buckets:
        first[bucket] = <uint32_t>k
        bucket += 1


cdef ptrdiff_t look_up(
    const uint32_t *ascending, const uint32_t *first, int shift, const uint32_t *values, ptrdiff_t n, uint32_t *out
) noexcept nogil:
    cdef ptrdiff_t i, missing = 0
    cdef uint32_t at, stop
    for i in range(n):
        at = first[<uint64_t>values[i] >> shift]
        stop = first[(<uint64_t>values[i] >> shift) + 1]
        while at < stop and ascending[at] < values[i]:
            at += 1
        missing += at == stop or ascending[at] != values[i]
        out[i] = at
    return missing


def place_rows(
    const int64_t[::1] indptr not None,
    const uint32_t[::1] columns not None,
    const float[::1] amounts not None,
    uint32_t first_column,
    const int64_t[::1] starts not None,
    ptrdiff_t num_threads,
    uint32_t[::1] out_columns not None,
    float[::1] out_amounts not None,
):
    """Copy row i to *out_columns*, *first_column* added, and *out_amounts*, from starts[i] on.

    Raises ValueError where a length or an offset does not fit.
    """
    cdef ptrdiff_t rows = indptr.shape[0] - 1, nnz = columns.shape[0], i
    cdef int threads
    if rows < 0 or amounts.shape[0] != nnz or starts.shape[0] != rows or out_columns.shape[0] != out_amounts.shape[0]:
        raise ValueError("lengths do not fit")
    for i in range(rows):
        if indptr[i] < 0 or indptr[i] > indptr[i + 1] or indptr[i + 1] > nnz:
            raise ValueError("indptr must ascend from 0 to the number of columns")
        if starts[i] < 0 or starts[i] + indptr[i + 1] - indptr[i] > out_columns.shape[0]:
            raise ValueError("a row ends beyond the output")
    if rows == 0 or nnz == 0 or out_columns.shape[0] == 0:
        return
    threads = limit_threads(num_threads, (rows + ROWS_PER_TASK - 1) // ROWS_PER_TASK)
    with nogil:
        if threads == 1:
            for i in range(rows):
                place_row(
                    &columns[0] + indptr[i], &amounts[0] + indptr[i], indptr[i + 1] - indptr[i], first_column,
                    &out_columns[0] + starts[i], &out_amounts[0] + starts[i],
                )
        else:
            for i in prange(rows, num_threads=threads, schedule="static", chunksize=ROWS_PER_TASK):
                place_row(
                    &columns[0] + indptr[i], &amounts[0] + indptr[i], indptr[i + 1] - indptr[i], first_column,
                    &out_columns[0] + starts[i], &out_amounts[0] + starts[i],
                )


cdef void place_row(
    const uint32_t *columns, const float *amounts, ptrdiff_t n, uint32_t first_column, uint32_t *out_columns,
    float *out_amounts,
) noexcept nogil:
    cdef ptrdiff_t i
    for i in range(n):
        out_columns[i] = columns[i] + first_column
        out_amounts[i] = amounts[i]


def weigh_rows(
    const int64_t[::1] indptr not None,
    const uint32_t[::1] columns not None,
    const float[::1] amounts not None,
    const float[::1] column_weights not None,
    double squared_length,
    ptrdiff_t num_threads,
    float[::1] out not None,
):
    """Fill *out* with ``amount * weight of its column``, each row scaled to *squared_length*.

    Raises ValueError where a length, a column or *indptr* does not fit.
    """
    cdef ptrdiff_t rows = indptr.shape[0] - 1, nnz = columns.shape[0], n_columns = column_weights.shape[0], i
    cdef int threads
    if rows < 0 or amounts.shape[0] != nnz or out.shape[0] != nnz:
        raise ValueError("lengths do not fit")
    for i in range(rows):
        if indptr[i] < 0 or indptr[i] > indptr[i + 1] or indptr[i + 1] > nnz:
            raise ValueError("indptr must ascend from 0 to the number of columns")
    for i in range(nnz):
        if columns[i] >= n_columns:
            raise ValueError("column number out of range")
    if rows == 0 or nnz == 0:
        return
    threads = limit_threads(num_threads, (rows + ROWS_PER_TASK - 1) // ROWS_PER_TASK)
    with nogil:
        if threads == 1:
            for i in range(rows):
                weigh_row(
                    &columns[0] + indptr[i], &amounts[0] + indptr[i], indptr[i + 1] - indptr[i], &column_weights[0],
                    squared_length, &out[0] + indptr[i],
                )
        else:
            for i in prange(rows, num_threads=threads, schedule="static", chunksize=ROWS_PER_TASK):
                weigh_row(
                    &columns[0] + indptr[i], &amounts[0] + indptr[i], indptr[i + 1] - indptr[i], &column_weights[0],
                    squared_length, &out[0] + indptr[i],
                )


cdef void weigh_row(
    const uint32_t *columns, const float *amounts, ptrdiff_t n, const float *weights, double squared_length, float *out
) noexcept nogil:
    cdef ptrdiff_t i
    cdef double squares = 0, length
    for i in range(n):
        out[i] = amounts[i] * weights[columns[i]]
        squares += <double>out[i] * <double>out[i]
    length = sqrt(squares / squared_length)
    for i in range(n):
        out[i] = <float>(<double>out[i] / length)


def project_rows(
    const int64_t[::1] indptr not None,
    const uint32_t[::1] indices not None,
    const float[::1] values not None,
    const uint16_t[:, ::1] touches not None,
    ptrdiff_t num_threads,
    float[:, ::1] out not None,
):
    """Fill *out* (rows, dimension) with signed sums: touch t of a column adds its value, or takes it away, at t // 2.

    The lowest bit of a touch is set where the value is added. Raises ValueError where a length, a column, a touch or
    *indptr* does not fit.
    """
    cdef ptrdiff_t rows = indptr.shape[0] - 1, nnz = indices.shape[0], dimension = out.shape[1]
    cdef ptrdiff_t each = touches.shape[1], i, t
    cdef int threads
    cdef Scratch scratch
    if rows < 0 or out.shape[0] != rows or values.shape[0] != nnz:
        raise ValueError("lengths do not fit")
    for i in range(rows):
        if indptr[i] < 0 or indptr[i] > indptr[i + 1] or indptr[i + 1] > nnz:
            raise ValueError("indptr must ascend from 0 to the number of indices")
    for i in range(nnz):
        if indices[i] >= touches.shape[0]:
            raise ValueError("column number out of range")
    for i in range(touches.shape[0]):
        for t in range(each):
            if touches[i, t] // 2 >= dimension:
                raise ValueError("a touch lies beyond the dimension")
    if rows == 0 or dimension == 0:
        return
    if nnz == 0 or each == 0:
        out[:, :] = 0
        return
    threads = limit_threads(num_threads, (rows + ROWS_PER_TASK - 1) // ROWS_PER_TASK)
    scratch = Scratch(2 * dimension, threads)
    with nogil:
        if threads == 1:
            for i in range(rows):
                project_row(
                    &indices[0] + indptr[i], &values[0] + indptr[i], indptr[i + 1] - indptr[i], &touches[0, 0], each,
                    <double *>scratch.piece(0), dimension, &out[i, 0],
                )
        else:
            for i in prange(rows, num_threads=threads, schedule="static", chunksize=ROWS_PER_TASK):
                project_row(
                    &indices[0] + indptr[i], &values[0] + indptr[i], indptr[i + 1] - indptr[i], &touches[0, 0], each,
                    <double *>scratch.piece(threadid()), dimension, &out[i, 0],
                )


cdef void project_row(
    const uint32_t *columns, const float *values, ptrdiff_t n, const uint16_t *touches, ptrdiff_t each,
    double *sums, ptrdiff_t dimension, float *out,
) noexcept nogil:
    cdef ptrdiff_t i, t
    cdef const uint16_t *own
    cdef double value
    memset(sums, 0, dimension * sizeof(double))
    for i in range(n):
        own = touches + columns[i] * each
        value = values[i]
        for t in range(each):
            # No branch on the sign: it cannot be predicted.
            sums[own[t] >> 1] += value * <double>(2 * <int>(own[t] & 1) - 1)
    for i in range(dimension):
        out[i] = <float>sums[i]


def block_dots(
    const int64_t[::1] indptr not None,
    const uint32_t[::1] indices not None,
    const float[::1] values not None,
    ptrdiff_t n_columns,
    const int64_t[::1] first not None,
    const int64_t[::1] size not None,
    ptrdiff_t num_threads,
    float[::1] out not None,
):
    """Fill *out* with the dot products of all pairs of rows in each block, by block, left row and right row.

    Block b holds size[b] rows from first[b] on. Sums are those of `csr_pair_dots`. Raises ValueError where a length, a
    row, a column or *indptr* does not fit.
    """
    cdef ptrdiff_t rows = indptr.shape[0] - 1, nnz = indices.shape[0], blocks = first.shape[0], b, i
    cdef ptrdiff_t most_rows = 0, most_entries = 0, pairs = 0, doubles
    cdef int threads
    cdef Scratch scratch
    cdef int64_t[::1] offsets
    if rows < 0 or values.shape[0] != nnz or size.shape[0] != blocks:
        raise ValueError("lengths do not fit")
    for i in range(rows):
        if indptr[i] < 0 or indptr[i] > indptr[i + 1] or indptr[i + 1] > nnz:
            raise ValueError("indptr must ascend from 0 to the number of indices")
    for i in range(nnz):
        if indices[i] >= n_columns:
            raise ValueError("column number out of range")
    offsets = empty(blocks + 1, "int64")
    for b in range(blocks):
        if first[b] < 0 or size[b] < 0 or first[b] + size[b] > rows or size[b] > 1 << 20:
            raise ValueError("block out of range")
        offsets[b] = pairs
        pairs += size[b] * (size[b] - 1) // 2
        most_rows = max(most_rows, size[b])
        most_entries = max(most_entries, indptr[first[b] + size[b]] - indptr[first[b]])
    if out.shape[0] != pairs:
        raise ValueError("lengths do not fit")
    if pairs == 0:
        return
    if nnz == 0:
        out[:] = 0
        return
    threads = limit_threads(num_threads, blocks)
    # Sums of one row; of each entry its number in the block, its row and its value; of each number two offsets; and of
    # each column its number in the block.
    doubles = most_rows + (3 * most_entries + 2 * (most_entries + 1) + n_columns) // 2 + 4
    scratch = Scratch(2 * doubles, threads)
    with nogil:
        for i in range(threads):
            memset(scratch.piece(i), 0, <size_t>(8 * doubles))
        if threads == 1:
            for b in range(blocks):
                dot_block(
                    &indptr[0], &indices[0], &values[0], n_columns, first[b], size[b], most_rows, most_entries,
                    <double *>scratch.piece(0), &out[0] + offsets[b],
                )
        else:
            for b in prange(blocks, num_threads=threads, schedule="dynamic", chunksize=1):
                dot_block(
                    &indptr[0], &indices[0], &values[0], n_columns, first[b], size[b], most_rows, most_entries,
                    <double *>scratch.piece(threadid()), &out[0] + offsets[b],
                )


cdef void dot_block(
    const int64_t *indptr, const uint32_t *indices, const float *values, ptrdiff_t n_columns, ptrdiff_t first,
    ptrdiff_t size, ptrdiff_t most_rows, ptrdiff_t most_entries, double *scratch, float *out,
) noexcept nogil:
    cdef double *sums = scratch
    cdef uint32_t *number = <uint32_t *>(scratch + most_rows)
    cdef uint32_t *row = number + most_entries
    cdef float *value = <float *>(row + most_entries)
    cdef uint32_t *start = <uint32_t *>(value + most_entries)
    cdef uint32_t *cursor = start + most_entries + 1
    # 0 for a column that the block has not met; the block leaves it so.
    cdef uint32_t *known = cursor + most_entries + 1
    cdef ptrdiff_t base = indptr[first], entries = indptr[first + size] - base, e, i, j, written = 0
    cdef uint32_t numbers = 0, own, at, stop
    cdef double factor
    for e in range(entries):
        own = known[indices[base + e]]
        if own == 0:
            numbers += 1
            own = known[indices[base + e]] = numbers
            start[own] = 0
        number[e] = own - 1
        start[own] += 1
    start[0] = 0
    for own in range(numbers):
        start[own + 1] += start[own]
        cursor[own] = start[own]
    # Each column's entries, by row.
    for i in range(size):
        for e in range(indptr[first + i] - base, indptr[first + i + 1] - base):
            at = cursor[number[e]]
            row[at] = <uint32_t>i
            value[at] = values[base + e]
            cursor[number[e]] = at + 1
    for own in range(numbers):
        cursor[own] = start[own]
    for i in range(size - 1):
        for j in range(i + 1, size):
            sums[j] = 0
        for e in range(indptr[first + i] - base, indptr[first + i + 1] - base):
            own = number[e]
            # The row's own entry is the first that is left.
            cursor[own] += 1
            factor = values[base + e]
            stop = start[own + 1]
            for at in range(cursor[own], stop):
                sums[row[at]] += factor * <double>value[at]
        for j in range(i + 1, size):
            out[written] = <float>sums[j]
            written += 1
    for e in range(entries):
        known[indices[base + e]] = 0


def row_dots(
    const int64_t[::1] indptr not None,
    const uint32_t[::1] indices not None,
    const float[::1] values not None,
    ptrdiff_t n_columns,
    const int64_t[::1] bounds not None,
    const int64_t[::1] partners not None,
    ptrdiff_t num_threads,
    float[::1] out not None,
):
    """Fill *out* with the dot products of each row i with the rows partners[bounds[i]:bounds[i + 1]].

    Sums are those of `csr_pair_dots`. Raises ValueError where a length, a row, a column or an offset does not fit.
    """
    cdef ptrdiff_t rows = indptr.shape[0] - 1, nnz = indices.shape[0], i
    cdef int threads
    cdef Scratch scratch
    if rows < 0 or values.shape[0] != nnz or bounds.shape[0] != rows + 1 or out.shape[0] != partners.shape[0]:
        raise ValueError("lengths do not fit")
    for i in range(rows):
        if indptr[i] < 0 or indptr[i] > indptr[i + 1] or indptr[i + 1] > nnz:
            raise ValueError("indptr must ascend from 0 to the number of indices")
        if bounds[i] < 0 or bounds[i] > bounds[i + 1] or bounds[i + 1] > partners.shape[0]:
            raise ValueError("bounds must ascend from 0 to the number of partners")
    for i in range(nnz):
        if indices[i] >= n_columns:
            raise ValueError("column number out of range")
    for i in range(partners.shape[0]):
        if partners[i] < 0 or partners[i] >= rows:
            raise ValueError("row number out of range")
    if rows == 0 or partners.shape[0] == 0:
        return
    if nnz == 0:
        out[:] = 0
        return
    threads = limit_threads(num_threads, (rows + 63) // 64)
    scratch = Scratch(n_columns, threads)
    with nogil:
        for i in range(threads):
            memset(scratch.piece(i), 0, <size_t>(n_columns * sizeof(float)))
        if threads == 1:
            for i in range(rows):
                dot_row(
                    &indptr[0], &indices[0], &values[0], i, &partners[0] + bounds[i], bounds[i + 1] - bounds[i],
                    scratch.piece(0), &out[0] + bounds[i],
                )
        else:
            for i in prange(rows, num_threads=threads, schedule="dynamic", chunksize=64):
                dot_row(
                    &indptr[0], &indices[0], &values[0], i, &partners[0] + bounds[i], bounds[i + 1] - bounds[i],
                    scratch.piece(threadid()), &out[0] + bounds[i],
                )


cdef void dot_row(
    const int64_t *indptr, const uint32_t *indices, const float *values, ptrdiff_t row, const int64_t *partners,
    ptrdiff_t n, float *spread, float *out,
) noexcept nogil:
    cdef ptrdiff_t i, e
    cdef double sum
    if n == 0:
        return
    for e in range(indptr[row], indptr[row + 1]):
        spread[indices[e]] = values[e]
    for i in range(n):
        sum = 0
        for e in range(indptr[partners[i]], indptr[partners[i] + 1]):
            sum = sum + <double>spread[indices[e]] * <double>values[e]
        out[i] = <float>sum
    for e in range(indptr[row], indptr[row + 1]):
        spread[indices[e]] = 0
