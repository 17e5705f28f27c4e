"""Which failures of a run belong together whatever they look like, and which never do.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

from pytest_qeattention.defects.record import FailureRecord
from pytest_qeattention.defects.signals import address, plain_template, root_frames


def together(record: FailureRecord) -> tuple[Hashable, ...] | None:
    """Return what failures have equal that must stand together; None where nothing binds one.

    That is a fixture that fails for the same reason, what keeps modules from being collected, and a crash.
    """
    if record.phase == "collect":
        return ("collection", *_origin(record))
    if record.phase == "crash":
        return ("crash", record.signature())
    if record.test.failing_fixture is not None:
        kind = "" if record.root is None else record.root.type
        return ("fixture", record.test.failing_fixture, kind, _raising(record))
    return None


class Constraints:
    """Say of each two of *records* whether they have to stand together, or must not for how they came about.

    A fixture, a collection error or a crash can fail more tests than all else; it takes in no failure of another
    origin: exception, message and the frame that raised have to be the same.
    """

    def __init__(self, records: Sequence[FailureRecord]) -> None:
        keys = [together(record) for record in records]
        numbers: dict[Hashable, int] = {}
        self.groups = np.array(
            [numbers.setdefault(at if key is None else key, len(numbers)) for at, key in enumerate(keys)], np.int64
        )
        """Failures of the same number stand together."""
        self._bound = np.array([key is not None for key in keys], bool)
        origins: dict[Hashable, int] = {}
        self._origin = np.array([origins.setdefault(_origin(record), len(origins)) for record in records], np.int64)

    def forbidden(self, rows: slice, columns: slice) -> npt.NDArray[np.bool_]:
        """Tell which pairs never belong together, (rows, columns)."""
        never: npt.NDArray[np.bool_] = self._bound[rows][:, None] | self._bound[columns][None, :]
        never &= self._origin[rows][:, None] != self._origin[columns][None, :]
        never &= self.groups[rows][:, None] != self.groups[columns][None, :]
        return never


def _origin(record: FailureRecord) -> tuple[Hashable, ...]:
    if record.root is None:
        return (record.phase, record.signature())
    return (record.root.type, plain_template(record), record.root.masked.typed, _raising(record))


def _raising(record: FailureRecord) -> str:
    frames = root_frames(record)
    return address(frames[-1]) if frames and frames[-1].role != "test" else ""
