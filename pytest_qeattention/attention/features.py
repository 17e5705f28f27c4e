"""Sparse rows of weighted features: columns, weights, projections, and the products of the rows of a block.

Each function hands over to the compiled core, or to NumPy with the same results.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pytest_qeattention.attention import reference
from pytest_qeattention.attention.arguments import FloatArray, IndexArray
from pytest_qeattention.attention.backend import active, threads_for

ColumnArray = NDArray[np.uint32]

_BLOCK_ROWS = 2048


def sorted_positions(ascending: ColumnArray, values: ColumnArray, *, num_threads: int | None = None) -> ColumnArray:
    """Return the place of each of *values* in *ascending*, both uint32; *ascending* rises strictly and has them all."""
    out = np.empty(len(values), np.uint32)
    core = active().core
    if core is None:
        out[:] = np.searchsorted(ascending, values)
    else:
        core.sorted_positions(ascending, values, threads_for(num_threads, 16 * len(values)), out)
    return out


def place_rows(
    indptr: IndexArray,
    columns: ColumnArray,
    amounts: FloatArray,
    out_columns: ColumnArray,
    out_amounts: FloatArray,
    *,
    first_column: int,
    starts: IndexArray,
    num_threads: int | None = None,
) -> None:
    """Copy row i of the CSR arrays indptr int64, columns uint32 and amounts float32 to the outputs from starts[i] on.

    *first_column* is added to the columns.
    """
    core = active().core
    if core is not None:
        threads = threads_for(num_threads, 4 * len(columns))
        core.place_rows(indptr, columns, amounts, first_column, starts, threads, out_columns, out_amounts)
        return
    n = np.diff(indptr)
    at = np.repeat(starts - indptr[:-1], n) + np.arange(len(columns))
    out_columns[at] = columns + np.uint32(first_column)
    out_amounts[at] = amounts


def weigh_rows(
    indptr: IndexArray,
    columns: ColumnArray,
    amounts: FloatArray,
    column_weights: FloatArray,
    squared_length: float,
    *,
    num_threads: int | None = None,
) -> FloatArray:
    """Return ``amount * weight of its column``, float32, each row of the CSR arrays scaled to *squared_length*."""
    core = active().core
    if core is not None:
        out = np.empty(len(columns), np.float32)
        threads = threads_for(num_threads, 8 * len(columns))
        core.weigh_rows(indptr, columns, amounts, column_weights, squared_length, threads, out)
        return out
    n = np.diff(indptr)
    row = np.repeat(np.arange(len(n)), n)
    weights = amounts * column_weights[columns]
    length = np.sqrt(np.bincount(row, weights=weights.astype(np.float64) ** 2, minlength=len(n)) / squared_length)
    scaled: FloatArray = (weights / length[row]).astype(np.float32)
    return scaled


def project_rows(
    indptr: IndexArray,
    indices: ColumnArray,
    values: FloatArray,
    touches: NDArray[np.uint16],
    dimension: int,
    *,
    num_threads: int | None = None,
) -> FloatArray:
    """Return signed sums of the values of each row, float32 (rows, *dimension*).

    *touches* (columns, t) says to which sums a column's value goes: each is twice the sum's number, plus 1 where the
    value is added and 0 where it is taken away.
    """
    rows = len(indptr) - 1
    out = np.zeros((rows, dimension), np.float32)
    core = active().core
    if core is not None:
        work = touches.shape[1] * len(indices) + out.size
        core.project_rows(indptr, indices, values, touches, threads_for(num_threads, work), out)
        return out
    place = (touches >> 1).astype(np.int32)
    sign = (touches & np.uint16(1)).astype(np.int8) * 2 - 1
    for start in range(0, rows, _BLOCK_ROWS):
        stop = min(start + _BLOCK_ROWS, rows)
        columns = indices[indptr[start] : indptr[stop]]
        row = np.repeat(np.arange(stop - start), np.diff(indptr[start : stop + 1]))
        cell = (row[:, None] * dimension + place[columns]).ravel()
        amount = (values[indptr[start] : indptr[stop], None] * sign[columns]).ravel()
        sums = np.bincount(cell, weights=amount, minlength=(stop - start) * dimension)
        out[start:stop] = sums.reshape(stop - start, dimension)
    return out


def block_dots(
    indptr: IndexArray,
    indices: ColumnArray,
    values: FloatArray,
    n_columns: int,
    first: IndexArray,
    size: IndexArray,
    *,
    num_threads: int | None = None,
) -> FloatArray:
    """Return the dot products of all pairs of rows of each block, float32, by block, left row and right row.

    Block b holds size[b] rows from first[b] on. Sums are taken in float64, as `csr_pair_dots` takes them.
    """
    out = np.zeros(int((size * (size - 1) // 2).sum()), np.float32)
    core = active().core
    if core is not None:
        work = int(size.max(initial=0)) * len(indices)
        core.block_dots(indptr, indices, values, n_columns, first, size, threads_for(num_threads, work), out)
        return out
    at = 0
    for start, rows in zip(first.tolist(), size.tolist(), strict=True):
        span = slice(indptr[start], indptr[start + rows])
        distinct, column = np.unique(indices[span], return_inverse=True)
        dense = np.zeros((rows, len(distinct)))
        dense[np.repeat(np.arange(rows), np.diff(indptr[start : start + rows + 1])), column] = values[span]
        dots = (dense @ dense.T)[np.triu_indices(rows, 1)]
        out[at : at + len(dots)] = dots
        at += len(dots)
    return out


def row_dots(
    indptr: IndexArray,
    indices: ColumnArray,
    values: FloatArray,
    n_columns: int,
    bounds: IndexArray,
    partners: IndexArray,
    *,
    num_threads: int | None = None,
) -> FloatArray:
    """Return the dot products of each row i with the rows partners[bounds[i]:bounds[i + 1]], float32, in that order.

    Sums are taken in float64, as `csr_pair_dots` takes them; a row is spread out once for all its partners.
    """
    out = np.zeros(len(partners), np.float32)
    core = active().core
    rows = np.diff(indptr)
    if core is not None:
        work = 4 * len(partners) * (1 + len(indices) // max(len(rows), 1))
        core.row_dots(indptr, indices, values, n_columns, bounds, partners, threads_for(num_threads, work), out)
    elif len(partners) and len(indices):
        left = np.repeat(np.arange(len(rows)), np.diff(bounds))
        reference.csr_pair_dots(indptr, indices, values, left, partners, out)
    return out
