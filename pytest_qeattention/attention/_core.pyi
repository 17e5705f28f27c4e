from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

INTERFACE: int
FLOAT32: np.dtype[np.float32]

class _Variant(TypedDict):
    name: str
    lanes: int
    tile_queries: int
    tile_keys: int
    bfloat16_dots: bool
    needs: list[str]
    missing: list[str]

def openmp() -> bool: ...
def cpu_name() -> str: ...
def cpu_features() -> list[str]: ...
def cache_bytes() -> list[int]: ...
def variants() -> list[_Variant]: ...
def last_variant() -> str: ...
def fma_peak(variant: str, num_threads: int, bfloat16: bool, seconds: float) -> float | None: ...
def all_finite(x: NDArray[np.float32]) -> bool: ...
def flash_attention(
    variant: str,
    q: NDArray[np.float32],
    k: NDArray[np.float32],
    v: NDArray[np.float32],
    mask: NDArray[np.bool_] | NDArray[np.float32] | None,
    causal: bool,
    scale: float,
    bfloat16: bool,
    num_threads: int,
    query_chunk: int,
    key_chunk: int,
    cu_q: NDArray[np.int64] | None,
    cu_k: NDArray[np.int64] | None,
    out: NDArray[np.float32],
    lse: NDArray[np.float32],
) -> tuple[int, int]: ...
def attend_small(
    variant: str,
    q: object,
    k: object,
    v: object,
    causal: object,
    scale: object,
    precision: object,
) -> tuple[NDArray[np.float32], NDArray[np.float32], int] | None: ...
def few_queries(variant: str) -> int: ...
def topk_similarity(
    variant: str,
    queries: NDArray[np.float32],
    keys: NDArray[np.float32],
    num_threads: int,
    scores: NDArray[np.float32],
    indices: NDArray[np.int64],
) -> bool: ...
def csr_pair_dots(
    indptr: NDArray[np.int64],
    indices: NDArray[np.uint32],
    values: NDArray[np.float32],
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    num_threads: int,
    out: NDArray[np.float32],
) -> None: ...
def lcs_lengths(
    tokens: NDArray[np.uint32],
    offsets: NDArray[np.int64],
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    num_threads: int,
    out: NDArray[np.int64],
) -> None: ...
def sorted_positions(
    ascending: NDArray[np.uint32],
    values: NDArray[np.uint32],
    num_threads: int,
    out: NDArray[np.uint32],
) -> None: ...
def place_rows(
    indptr: NDArray[np.int64],
    columns: NDArray[np.uint32],
    amounts: NDArray[np.float32],
    first_column: int,
    starts: NDArray[np.int64],
    num_threads: int,
    out_columns: NDArray[np.uint32],
    out_amounts: NDArray[np.float32],
) -> None: ...
def weigh_rows(
    indptr: NDArray[np.int64],
    columns: NDArray[np.uint32],
    amounts: NDArray[np.float32],
    column_weights: NDArray[np.float32],
    squared_length: float,
    num_threads: int,
    out: NDArray[np.float32],
) -> None: ...
def project_rows(
    indptr: NDArray[np.int64],
    indices: NDArray[np.uint32],
    values: NDArray[np.float32],
    touches: NDArray[np.uint16],
    num_threads: int,
    out: NDArray[np.float32],
) -> None: ...
def block_dots(
    indptr: NDArray[np.int64],
    indices: NDArray[np.uint32],
    values: NDArray[np.float32],
    n_columns: int,
    first: NDArray[np.int64],
    size: NDArray[np.int64],
    num_threads: int,
    out: NDArray[np.float32],
) -> None: ...
def row_dots(
    indptr: NDArray[np.int64],
    indices: NDArray[np.uint32],
    values: NDArray[np.float32],
    n_columns: int,
    bounds: NDArray[np.int64],
    partners: NDArray[np.int64],
    num_threads: int,
    out: NDArray[np.float32],
) -> None: ...

class EncoderLayers:
    def __init__(
        self,
        variant: str,
        d: int,
        heads: int,
        ffn: int,
        eps: float,
        post_norm: bool,
        erf: bool,
        precision: str,
        layers: list[tuple[NDArray[np.float32], ...]],
    ) -> None: ...

class EncoderTokens:
    def __init__(
        self,
        roles: NDArray[np.float32],
        kinds: NDArray[np.float32],
        positions: NDArray[np.float32],
        vocabulary: NDArray[np.uint32],
        words: NDArray[np.float32] | NDArray[np.int8],
        word_scales: NDArray[np.float32] | None,
        code_scale: float,
        gain: NDArray[np.float32],
        bias: NDArray[np.float32],
        pool: NDArray[np.float32],
        eps: float,
    ) -> None: ...

def encode_rows(layers: EncoderLayers, x: NDArray[np.float32], offsets: NDArray[np.int64], num_threads: int) -> int: ...
def encode_tokens(
    layers: EncoderLayers,
    tables: EncoderTokens,
    kinds: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    roles: NDArray[np.uint8],
    starts: NDArray[np.int64],
    parts: NDArray[np.uint32],
    num_threads: int,
    out: NDArray[np.float32],
) -> int: ...
