"""Patterns and a model made up for the tests of how failures are matched with known defects."""

from __future__ import annotations

import random
from dataclasses import replace

from defect_failures import failure

from pytest_qeattention.defects.match_model import MatchModel
from pytest_qeattention.defects.pattern import Pattern
from pytest_qeattention.defects.record import Assertion

WORDS = ("no", "free", "connection", "left", "in", "pool", "price", "bad", "disk", "quota", "volume", "stage", "timed")
_KNOWN = {
    ("exception", "of one"): 1.0,
    ("message", "of one"): 3.0,
    ("message", "other"): -1.0,
    ("words of the message", "nearest"): 2.0,
    ("test function", "of one"): 1.0,
}
_FRAMED = {**_KNOWN, ("product frame that raised", "of one"): 2.0, ("product frame that raised", "other"): -1.0}
MODEL = MatchModel(
    (_KNOWN, {("always", "1"): 3.0}, _FRAMED, {("always", "1"): 4.0}),
    known=0.9,
    known_again=0.6,
    likely=0.5,
    fitted_on=("made up",),
)
"""One whose probabilities can be reckoned by hand."""


def drawn(count: int, seed: int) -> list[Pattern]:
    """Return *count* patterns that share much and lack much, drawn at random."""
    chosen = random.Random(seed)

    def some(most: int) -> list[str]:
        return chosen.choices(WORDS, k=chosen.randint(0, most))

    def maybe(values: list[str]) -> str:
        return chosen.choice(["", *values])

    found = []
    for _ in range(count):
        frames = tuple((f"src/{name}/{chosen.choice('ab')}.py", f"{name.title()}.get") for name in some(4))
        kinds = maybe(["int", "float"]), maybe(["str"]), maybe(["order", "length"]), maybe(["f.g", "h"])
        facts = Assertion(chosen.choice(["==", "in"]), *kinds)
        found.append(
            replace(
                Pattern.of(failure()),
                signature=f"{chosen.randrange(6):016x}",
                phase=chosen.choice(["call", "setup", "crash"]),
                type=maybe(["ValueError", "KeyError", "pool.Exhausted"]),
                outermost=maybe(["RuntimeError", "LookupError"]),
                template=" ".join(some(6)),
                typed=tuple(("status", str(chosen.randint(500, 503))) for _ in range(chosen.randrange(3))),
                frames=frames,
                statement=maybe(["raise Exhausted(size)", "return rows[0]"]) if frames else "",
                culprit=chosen.choice([None, *frames]),
                fixture=chosen.choice([None, None, "database", "client"]),
                path=chosen.choice(["", "tests/test_shop.py", "tests/test_disk.py"]),
                test=maybe(["test_order", "TestDisk::test_quota", "TestDisk::test_volume"]),
                parameters=tuple(("size", word) for word in some(2)),
                test_statement=maybe(["assert order()", "run()"]),
                assertion=chosen.choice([None, facts]),
                uses=tuple(dict.fromkeys(some(3))),
                digest=maybe(["0" * 16, "1" * 16]),
            )
        )
    return found
