from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

INTERFACE: int

class _Variant(TypedDict):
    name: str
    lanes: int
    tile_queries: int
    tile_keys: int
    needs: list[str]
    missing: list[str]

def openmp() -> bool: ...
def cpu_name() -> str: ...
def cpu_features() -> list[str]: ...
def variants() -> list[_Variant]: ...
def last_variant() -> str: ...
def all_finite(x: NDArray[np.float32]) -> bool: ...
def flash_attention(
    variant: str,
    q: NDArray[np.float32],
    q_of: NDArray[np.int64],
    k: NDArray[np.float32],
    k_of: NDArray[np.int64],
    v: NDArray[np.float32],
    v_of: NDArray[np.int64],
    allowed: NDArray[np.uint8] | None,
    bias: NDArray[np.float32] | None,
    mask_of: NDArray[np.int64],
    causal: bool,
    scale: float,
    num_threads: int,
    out: NDArray[np.float32],
    lse: NDArray[np.float32],
) -> None: ...
def topk_similarity(
    variant: str,
    queries: NDArray[np.float32],
    keys: NDArray[np.float32],
    num_threads: int,
    scores: NDArray[np.float32],
    indices: NDArray[np.int64],
) -> None: ...
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
