"""Which parameters tell the failures of one cause from other tests.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from math import exp, lgamma

from pytest_qeattention.defects.record import FailureRecord

Passed = Mapping[tuple[str, str], Mapping[tuple[str, str], int]]
"""How many tests passed: by path and qualified name of their function, and by name and text of a parameter."""

SIGNIFICANT = 0.01
"""How probable such a share may be by chance, all values that were looked at taken together."""
FEWEST = 3
LEAST_SHARE = 0.6
MOST_NAMED = 3


class Others:
    """Count the tests that a cause's failures are compared with: those that passed, or else all that failed."""

    def __init__(self, records: Sequence[FailureRecord], passed: Passed | None = None) -> None:
        self._passed = passed
        self._failed = Counter(pair for record in records for pair in record.test.parameters)
        self._by_name = Counter(name for record in records for name in {name for name, _ in record.test.parameters})

    def apart_from(self, inside: Sequence[FailureRecord]) -> tuple[Counter[tuple[str, str]], Counter[str]]:
        """Count the tests that are none of *inside*, by parameter and by its name."""
        if self._passed is None:
            mine = Counter(pair for record in inside for pair in record.test.parameters)
            named = Counter(name for record in inside for name in {name for name, _ in record.test.parameters})
            return self._failed - mine, self._by_name - named
        there: Counter[tuple[str, str]] = Counter()
        by_name: Counter[str] = Counter()
        for function in sorted({(record.test.path, record.test.qualname) for record in inside}):
            for pair, count in self._passed.get(function, {}).items():
                there[pair] += count
                by_name[pair[0]] += count
        return there, by_name


def shared_parameters(records: Sequence[FailureRecord], failures: Sequence[int], others: Others) -> tuple[str, ...]:
    """Name the parameters that *failures* have more often than chance gives: ``17 of 22 have provider=azure``.

    They are compared with the tests of the same functions that passed, and where these are not known with the other
    failures of the run that have a parameter of that name. Hypergeometric tail, times the number of values
    (Bonferroni); what all other tests have as well tells nothing.
    """
    inside = [records[at] for at in failures]
    here = Counter(pair for record in inside for pair in record.test.parameters)
    if len(inside) < FEWEST or not here:
        return ()
    with_name = Counter(name for record in inside for name in {name for name, _ in record.test.parameters})
    there, by_name = others.apart_from(inside)
    found = []
    for (name, text), count in here.items():
        if count < FEWEST or count < LEAST_SHARE * len(inside) or not by_name[name]:
            continue
        chance = len(here) * tail(count, with_name[name], count + there[name, text], with_name[name] + by_name[name])
        if chance < SIGNIFICANT:
            found.append((chance, -count, name, text))
    return tuple(
        f"{-count} of {len(inside)} have {f'{name}={text}' if name else f'[{text}]'}"
        for _, count, name, text in sorted(found)[:MOST_NAMED]
    )


def passed_counts(tests: Sequence[tuple[str, str, Sequence[tuple[str, str]]]]) -> Passed:
    """Count tests that passed, given as path, qualified name and parameters."""
    counted: defaultdict[tuple[str, str], Counter[tuple[str, str]]] = defaultdict(Counter)
    for path, qualname, parameters in tests:
        counted[path, qualname].update(dict.fromkeys(parameters, 1))
    return counted


def tail(hits: int, drawn: int, marked: int, total: int) -> float:
    """Return how probable at least *hits* marked ones are among *drawn* of *total*, of which *marked* are marked."""
    most = min(drawn, marked)
    return min(1.0, sum(exp(_log_chance(k, drawn, marked, total)) for k in range(hits, most + 1)))


def _log_chance(hits: int, drawn: int, marked: int, total: int) -> float:
    if drawn - hits > total - marked:
        return -float("inf")
    return _log_ways(marked, hits) + _log_ways(total - marked, drawn - hits) - _log_ways(total, drawn)


def _log_ways(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)
