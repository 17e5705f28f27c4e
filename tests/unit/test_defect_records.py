"""Which defects are drawn for a project, and which of their failures are kept."""

from __future__ import annotations

import random
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pytest_qeattention.defects.record import FailureRecord, Raised, TestFacts

ROOT = Path(__file__).parents[2]
# Appended, the source tree lends the benchmarks and leaves the installed package first; it goes again.
sys.path.append(str(ROOT))

from benchmarks.defects.candidates import MOST_OF_A_FUNCTION, Candidate, candidates  # noqa: E402
from benchmarks.defects.operators import Defect  # noqa: E402
from benchmarks.defects.records import described  # noqa: E402
from benchmarks.defects.variants import RENAMED_END, make_variants  # noqa: E402
from benchmarks.quality.projects import Plan, Project  # noqa: E402

sys.path.remove(str(ROOT))

PRODUCT = "import json\n\n\n" + "\n\n".join(
    f"def f{at}(a, b):\n    c = a + b\n    return c > {at}\n" for at in range(6)
)
CONFTEST = (
    "import pytest\n\n\n@pytest.fixture\ndef pond():\n    return [1]\n\n\n"
    "@pytest.fixture\ndef drained():\n    yield os.unlink('a')\n"
)
TESTS = "from pond import f0\n\n\ndef test_a(pond):\n    assert f0(1, 2)\n"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    place = tmp_path / "pond-1.0"
    for name, text in (("pond/__init__.py", PRODUCT), ("tests/conftest.py", CONFTEST), ("tests/test_a.py", TESTS)):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text, encoding="utf-8")
    return Project("pond", "1.0", place, place, place, Plan(("pond",)))


def learned() -> dict[str, Any]:
    """Return what runner.py says of a project whose third test fails by itself, and whose fourth is slow."""
    lines = [at for at, line in enumerate(PRODUCT.splitlines(), 1) if line.startswith("def ")]
    places = [("pond/__init__.py", line) for line in lines]
    fixtures = [("tests/conftest.py", 4), ("tests/conftest.py", 9)]
    return {
        "items": [
            {"nodeid": f"tests/test_a.py::test_{name}", "passed": name != "c", "seconds": 9.0 if name == "d" else 0.1}
            for name in "abcd"
        ],
        "functions": [{"path": path, "line": line, "items": [0, 2, 3]} for path, line in [*places, *fixtures]]
        + [{"path": "tests/test_a.py", "line": 4, "items": [0]}],
        "fixtures": [{"path": path, "line": line} for path, line in fixtures],
    }


def test_defects_of_all_kinds_are_drawn(project: Project) -> None:
    drawn = candidates(project, learned(), project.copy, random.Random(0))
    assert {one.defect.kind for one in drawn} == {"fixture", "missing fixture", "import", "timeout", "product"}
    for one in drawn:
        source = (project.copy / one.defect.path).read_bytes()
        assert one.defect.mutation(source).of(source) != source
        assert {"tests/test_a.py::test_c", "tests/test_a.py::test_d"}.isdisjoint(one.items)
    # What deletes files is left alone, but for its name.
    fixtures = {(one.defect.kind, one.defect.qualname) for one in drawn if one.defect.path == "tests/conftest.py"}
    assert fixtures == {("fixture", "pond"), ("missing fixture", "pond"), ("missing fixture", "drained")}
    of_functions = Counter(one.defect.qualname for one in drawn if one.defect.kind == "product")
    assert sorted(of_functions) == [f"f{at}" for at in range(6)]
    assert max(of_functions.values()) == MOST_OF_A_FUNCTION
    again = candidates(project, learned(), project.copy, random.Random(0))
    assert [one.defect for one in again] == [one.defect for one in drawn]


def failure(test: str, type: str) -> dict[str, Any]:
    facts = TestFacts.of("tests/test_a.py", test, source="def test(): ...")
    record = FailureRecord.of(f"tests/test_a.py::{test}", "call", facts, (Raised.of(type, "no"),))
    junit = {"kind": "failure", "classname": "tests.test_a", "name": test, "message": f"{type}: no"}
    return {"record": record.to_plain(), "text": f"E   {type}: no", "crash": f"{type}: no", "junit": junit}


def test_failures_are_kept_that_are_the_same_in_every_variant(project: Project, tmp_path: Path) -> None:
    variants = make_variants(project.copy, ("pond",), ("tests",), tmp_path / "variants")
    candidate = Candidate(Defect("product", "pond/__init__.py", "f0", "flipped comparison", 0), ["tests/test_a.py"])
    tests = ("test_a", "test_b", "test_changed", "test_flaky", "test_gone")
    failed = [[failure(test, "ValueError") for test in tests] for _ in variants]
    failed[1][2] = failure("test_changed", "TypeError")
    failed[2] = [failure(f"test_a{RENAMED_END}", "ValueError"), *failed[2][1:4]]
    sources: dict[str, int] = {}
    row = described(candidate, variants, failed, {"tests/test_a.py::test_flaky"}, sources)
    assert row is not None
    assert (row["before"], row["after"], row["line"]) == ("c > 0", "(c) >= (0)", 6)
    assert list(row["runs"]) == ["plain", "moved", "edited"]
    for kept in row["runs"].values():
        assert [each["test"] for each in kept] == ["tests/test_a.py::test_a", "tests/test_a.py::test_b"]
    (renamed, _) = row["runs"]["edited"]
    assert renamed["junit"]["name"] == f"test_a{RENAMED_END}"
    assert renamed["crash"] == "ValueError: no"
    # Sources are kept once, beside the records.
    assert sources == {"def test(): ...": renamed["source"]}
    assert "source" not in renamed["record"]["test"]
    assert described(candidate, variants, [failed[0], [], failed[2]], set(), sources) is None
