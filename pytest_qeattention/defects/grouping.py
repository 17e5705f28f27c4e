"""The causes behind the failures of a run: which of them belong together, why, and what tells them from other tests.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from pytest_qeattention.defects.constraints import Constraints
from pytest_qeattention.defects.families import families
from pytest_qeattention.defects.linkage import NEVER, FloatArray, IntArray, linked
from pytest_qeattention.defects.model import Cause
from pytest_qeattention.defects.pair_model import SHIPPED, PairModel
from pytest_qeattention.defects.reasons import reasons_of
from pytest_qeattention.defects.record import FailureRecord, Frame
from pytest_qeattention.defects.shared import Others, Passed, shared_parameters
from pytest_qeattention.defects.signals import Background, Signals, address
from pytest_qeattention.wording import counted

MOST_DISTINCT = 3_000
"""Failures that are compared pair by pair; of more, those with the same exception, message and culprit count as one."""
_BLOCK = 256
_NOTHING = Background()


def causes_of(
    records: Sequence[FailureRecord],
    *,
    vectors: npt.NDArray[np.floating] | None = None,
    passed: Passed | None = None,
    background: Background = _NOTHING,
    model: PairModel = SHIPPED,
) -> tuple[Cause, ...]:
    """Group the failures of one run by their cause; causes with most failures first, then by their first failure.

    *vectors* are those of the tests' functions, one row a record, rows of zeros where there is none; *passed* counts
    the tests that passed by parameter. What comes out is the same for any order of *records*, but for their places.
    Failures of the same fixture for the same reason, of the same collection error and of the same crash stand together;
    those that met different status codes or errno values never do, nor do a fixture, a collection error or a crash and
    what has another origin. Time grows with the square of the number of distinct failures, memory too: 4 bytes a pair.
    """
    if not records:
        return ()
    compared = compare(records, vectors=vectors, background=background, model=model)
    cluster = compared.clusters(model.threshold)
    others = Others(records, passed)
    causes = [
        _cause(records, compared, np.flatnonzero(cluster == number), model, others)
        for number in range(int(cluster.max()) + 1)
    ]
    return _named_apart(records, causes)


@dataclass(frozen=True, slots=True)
class Compared:
    """Hold the distinct failures of a run, and how likely each two have one cause."""

    places: list[list[int]]
    """Of each distinct failure, the places of its records."""
    signals: Signals
    constraints: Constraints
    score: FloatArray
    """As `pair_scores` returns it."""

    def clusters(self, threshold: float) -> IntArray:
        """Return the number of the cluster of each distinct failure."""
        # Linkage overwrites what it is given.
        return linked(self.score.copy(), self.constraints.groups.tolist(), threshold)


def compare(
    records: Sequence[FailureRecord],
    *,
    vectors: npt.NDArray[np.floating] | None = None,
    background: Background = _NOTHING,
    model: PairModel = SHIPPED,
) -> Compared:
    """Find the distinct failures of *records*, at least one, and score their pairs."""
    places = _distinct(records)
    firsts = [records[at[0]] for at in places]
    of_firsts = None if vectors is None else np.asarray(vectors)[[at[0] for at in places]]
    signals = Signals(firsts, vectors=of_firsts, background=background)
    constraints = Constraints(firsts)
    return Compared(places, signals, constraints, pair_scores(signals, constraints, model))


def pair_scores(signals: Signals, constraints: Constraints, model: PairModel) -> FloatArray:
    """Return the score of each pair of failures, 0 to 1, float32 (n, n), `NEVER` for those that stay apart."""
    n = signals.count
    weights = model.row()
    score = np.empty((n, n), np.float32)
    everyone = np.arange(n)
    for start in range(0, n, _BLOCK):
        rows = slice(start, min(start + _BLOCK, n))
        rest = slice(start, n)
        value = signals.weighed(weights, rows, rest)
        block = 0.5 + 0.5 * np.tanh(0.5 * (value + np.float32(model.intercept)))
        never = signals.conflict(everyone[rows][:, None], everyone[rest][None, :])
        never |= constraints.forbidden(rows, rest)
        block[never] = NEVER
        score[rows, rest] = block
        score[rest, rows] = block.T
    return score


def _distinct(records: Sequence[FailureRecord]) -> list[list[int]]:
    """Return the places of failures that do not differ, in an order that does not depend on that of *records*."""
    texts = [_text(record) for record in records]
    by_text: defaultdict[str, list[int]] = defaultdict(list)
    for at, text in enumerate(texts):
        by_text[text].append(at)
    if len(by_text) > MOST_DISTINCT:
        by_text.clear()
        for at in sorted(range(len(records)), key=lambda at: (texts[at], at)):
            by_text[records[at].signature()].append(at)
    if len(by_text) > MOST_DISTINCT:
        by_text.clear()
        for at in sorted(range(len(records)), key=lambda at: (texts[at], at)):
            by_text[_coarse(records[at])].append(at)
    return [by_text[text] for text in sorted(by_text)]


def _coarse(record: FailureRecord) -> str:
    root = record.root
    return repr((record.phase, "" if root is None else root.type, record.test.path))


def _text(record: FailureRecord) -> str:
    """Return all of a record that signals look at, lines aside."""
    test, asserted = record.test, record.assertion
    parts = [record.phase, test.path, test.qualname, repr(test.parameters), repr(test.failing_fixture)]
    parts += ["" if record.culprit is None else address(record.culprit), *record.logs, "\1", *test.fixtures]
    if asserted is not None:
        parts += [asserted.operator, asserted.left, asserted.right, asserted.difference, asserted.called]
    for raised in record.chain:
        parts += ["\2", raised.type, raised.masked.template, repr(raised.masked.typed)]
        parts += [f"{frame.path}\3{frame.qualname}\3{frame.statement}" for frame in raised.frames]
    parts.append(blake2b(test.source.encode("utf-8", "replace"), digest_size=8).hexdigest())
    return "\0".join(parts)


def _cause(
    records: Sequence[FailureRecord],
    compared: Compared,
    numbers: IntArray,
    model: PairModel,
    others: Others,
) -> Cause:
    places, score = compared.places, compared.score
    members = [(place, int(number)) for number in numbers for place in places[number]]
    failures = tuple(sorted(place for place, _ in members))
    inside = np.maximum(score[np.ix_(numbers, numbers)], 0.0)
    np.fill_diagonal(inside, 0.0)
    size = len(numbers)
    medoid = int(numbers[inside.sum(axis=1, dtype=np.float64).round(4).argmax()])
    representative = min(places[medoid], key=lambda at: (records[at].nodeid, at))
    mean = None if size < 2 else float(inside.sum(dtype=np.float64) / (size * (size - 1)))
    first = records[representative]
    return Cause(
        id=_digest(first.signature(), 0),
        failures=failures,
        reasons=reasons_of(records, members, compared.signals, model, mean),
        shared=shared_parameters(records, failures, others),
        culprit=_common_culprit(records, failures),
        families=tuple(family.title for family in families(first)),
        representative=representative,
    )


def _common_culprit(records: Sequence[FailureRecord], failures: Sequence[int]) -> Frame | None:
    met = Counter(culprit for at in failures if (culprit := records[at].culprit) is not None)
    if not met:
        return None
    return min(met, key=lambda frame: (-met[frame], frame.path, frame.line, frame.qualname, frame.statement))


def parted(
    records: Sequence[FailureRecord], causes: Sequence[Cause], defect_of: Mapping[int, str]
) -> tuple[Cause, ...]:
    """Take causes apart whose failures are known to be several defects; *defect_of* has those that are, by place.

    What is not known stays with the defect that most of its cause are. Words of people weigh more than likeness.
    """
    found = []
    for cause in causes:
        by_defect: defaultdict[str, list[int]] = defaultdict(list)
        for place in cause.failures:
            if place in defect_of:
                by_defect[defect_of[place]].append(place)
        if len(by_defect) < 2:
            found.append(cause)
            continue
        most = max(sorted(by_defect), key=lambda name: len(by_defect[name]))
        by_defect[most] += [place for place in cause.failures if place not in defect_of]
        found += [_part(records, cause, tuple(sorted(places))) for places in by_defect.values()]
    return tuple(causes) if len(found) == len(causes) else _named_apart(records, found)


def _part(records: Sequence[FailureRecord], cause: Cause, failures: tuple[int, ...]) -> Cause:
    representative = cause.representative if cause.representative in failures else failures[0]
    first = records[representative]
    others = len(cause.failures) - len(failures)
    return Cause(
        id=_digest(first.signature(), 0),
        failures=failures,
        reasons=(f"known to be another defect than {counted(others, 'failure')} that it is like",),
        shared=(),
        culprit=_common_culprit(records, failures),
        families=tuple(family.title for family in families(first)),
        representative=representative,
    )


def _named_apart(records: Sequence[FailureRecord], causes: Sequence[Cause]) -> tuple[Cause, ...]:
    """Order *causes*; of those with the same id all but the first get one of their own."""
    by_id: defaultdict[str, list[Cause]] = defaultdict(list)
    for cause in causes:
        by_id[cause.id].append(cause)
    named = []
    for same in by_id.values():
        same.sort(key=lambda cause: (-len(cause.failures), min(records[at].nodeid for at in cause.failures)))
        for number, cause in enumerate(same):
            id_ = cause.id if not number else _digest(records[cause.representative].signature(), number)
            named.append(replace(cause, id=id_))
    return tuple(sorted(named, key=lambda cause: (-len(cause.failures), cause.failures[0])))


def _digest(signature: str, number: int) -> str:
    return blake2b(f"{signature} {number}".encode(), digest_size=6).hexdigest()
