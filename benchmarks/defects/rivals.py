"""Other ways to group failures, as tools in use do it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from benchmarks.defects.mixtures import Failure
from pytest_qeattention.defects.linkage import linked
from pytest_qeattention.defects.signals import address, product_frames
from pytest_qeattention.syntax.words import words_of

EDITED = 0.1
"""Share of the longer text by which two of one cluster may differ."""


def _message(failure: Failure) -> str:
    root = failure.record.root
    return failure.record.phase if root is None else f"{root.type}: {root.masked.template}"


def _frames(failure: Failure) -> Hashable:
    frames = tuple(address(frame) for frame in product_frames(failure.record))
    return frames or _message(failure)


def keyed(key: Callable[[Failure], Hashable], failures: Sequence[Failure]) -> list[Hashable]:
    """Group failures that have *key* equal."""
    return [key(failure) for failure in failures]


KEYED: dict[str, Callable[[Failure], Hashable]] = {
    "exact traceback": lambda failure: failure.text,
    "exception + masked message": _message,
    "frames hash": _frames,
}
"""A key each. Where there is no frame of the product, the message stands for the frames."""


def edit_distance_groups(failures: Sequence[Failure]) -> list[Hashable]:
    """Put each failure into the first cluster whose first text is within `EDITED`, as triage of Kubernetes does."""
    heads: list[str] = []
    known: dict[str, int] = {}
    found: list[Hashable] = []
    for failure in failures:
        text = _message(failure)
        if text not in known:
            near = (at for at, head in enumerate(heads) if _is_near(text, head))
            at = next(near, len(heads))
            if at == len(heads):
                heads.append(text)
            known[text] = at
        found.append(known[text])
    return found


def near_messages(one: Failure, other: Failure) -> bool:
    """Tell whether the masked messages of two failures are within `EDITED`."""
    left, right = sorted((_message(one), _message(other)))
    return left == right or _is_near(left, right)


@lru_cache(maxsize=200_000)
def _is_near(one: str, other: str) -> bool:
    limit = int(EDITED * max(len(one), len(other)))
    if abs(len(one) - len(other)) > limit:
        return False
    counts = Counter(one)
    counts.subtract(Counter(other))
    more = sum(count for count in counts.values() if count > 0)
    fewer = -sum(count for count in counts.values() if count < 0)
    return max(more, fewer) <= limit and _edits(one, other, limit) <= limit


def _edits(one: str, other: str, limit: int) -> int:
    """Return the edit distance, or more than *limit* where it is that."""
    width = len(other)
    row = list(range(width + 1))
    for at, letter in enumerate(one, 1):
        low, high = max(1, at - limit), min(width, at + limit)
        new = [limit + 1] * (width + 1)
        if at <= limit:
            new[0] = at
        for to in range(low, high + 1):
            new[to] = min(row[to] + 1, new[to - 1] + 1, row[to - 1] + (letter != other[to - 1]))
        row = new
        if min(row) > limit:
            return limit + 1
    return row[width]


def tfidf_cosines(failures: Sequence[Failure]) -> npt.NDArray[np.float32]:
    """Return the cosines of the words of tracebacks, type, message and frames, float32 (n, n)."""
    bags = []
    for failure in failures:
        record = failure.record
        texts = [_message(failure)]
        texts += [f"{address(frame)} {frame.statement}" for raised in record.chain for frame in raised.frames]
        bags.append(Counter(word for text in texts for word in words_of(text)))
    met = Counter(word for bag in bags for word in bag)
    column = {word: at for at, word in enumerate(sorted(met))}
    matrix = np.zeros((len(bags), len(column)))
    for at, bag in enumerate(bags):
        for word, count in bag.items():
            matrix[at, column[word]] = (1 + np.log(count)) * (1 + np.log((1 + len(bags)) / (1 + met[word])))
    matrix /= np.maximum(np.linalg.norm(matrix, axis=1), 1e-12)[:, None]
    return np.asarray(matrix @ matrix.T, np.float32)


def tfidf_groups(cosines: npt.NDArray[np.float32], threshold: float) -> list[Hashable]:
    """Group failures by average linkage of their cosines."""
    found: list[Hashable] = linked(cosines.copy(), range(len(cosines)), threshold).tolist()
    return found
