"""What grouping of failures is measured with: defects found again in drifted sources, runs put together, measures."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from pytest_qeattention.defects.record import FailureRecord, Raised, TestFacts

ROOT = Path(__file__).parents[2]
# Appended, the source tree lends the benchmarks and leaves the installed package first; it goes again.
sys.path.append(str(ROOT))

from benchmarks.defects.grouping import ceiling, prepared  # noqa: E402
from benchmarks.defects.mixtures import Failure, Mixture, Mutant, Recorded, draw, fewer  # noqa: E402
from benchmarks.defects.operators import Defect, imports_of, possible  # noqa: E402
from benchmarks.defects.partitions import b_cubed, is_perfect, nmi  # noqa: E402
from benchmarks.defects.rivals import edit_distance_groups  # noqa: E402
from benchmarks.defects.variants import RENAMED_END, first_name, renamed, shifted  # noqa: E402

sys.path.remove(str(ROOT))

SOURCE = '''import json
from pkg.db import connect, close


def load(path, *, strict=False):
    """Read."""
    data = connect(path, strict=strict)
    return data.rows["first"] if len(data) > 1 else None


class Store:
    def put(self, value):
        self.items.append(value)
'''


def operators(qualname: str = "load") -> set[str]:
    return set(possible("product", qualname, SOURCE.encode()))


def test_functions_have_defects_of_many_kinds() -> None:
    assert operators() >= {
        "raises at once",
        "misspelled attribute",
        "wrong key",
        "wrong keyword",
        "None for an argument",
    }
    assert "removed statement" in operators("Store.put")
    assert possible("product", "missing", SOURCE.encode()) == {}


@pytest.mark.parametrize("operator", sorted(operators()))
def test_a_defect_is_found_again_where_lines_moved(operator: str) -> None:
    source, moved = SOURCE.encode(), shifted(SOURCE).encode()
    assert moved != source
    defect = Defect("product", "pkg/a.py", "load", operator, 0)
    changed, drifted = (defect.mutation(each).of(each) for each in (source, moved))
    assert changed != source
    # Comments are all that differ between the two.
    assert ast.dump(ast.parse(changed)) == ast.dump(ast.parse(drifted))
    assert changed.count(b"\n") == source.count(b"\n")


def test_a_place_that_is_gone_is_told() -> None:
    defect = Defect("product", "pkg/a.py", "load", "wrong key", 9)
    with pytest.raises(LookupError, match="no place 9 for wrong key in load"):
        defect.mutation(SOURCE.encode())


def test_imports_miss_a_name_or_a_module() -> None:
    assert len(imports_of(SOURCE.encode())) == 2
    found = possible("import", "1", SOURCE.encode())
    assert found["missing name"][0].text == "from pkg.db import connects, close"
    assert found["missing module"][0].text == "from pkg.db_compat import connect, close"


def test_a_fixture_that_is_renamed_is_missing() -> None:
    (mutation,) = possible("missing fixture", "load", SOURCE.encode())["missing fixture"]
    assert b"def load_old(path" in mutation.of(SOURCE.encode())


def test_tests_are_renamed_and_known_again() -> None:
    source = "def test_a():\n    pass\n\n\ndef test_b():\n    test_c = 1\n"
    assert renamed(source) == source.replace("test_a", f"test_a{RENAMED_END}")
    assert first_name(f"t.py::test_a{RENAMED_END}[1-x]") == "t.py::test_a[1-x]"


def failure(test: str, message: str) -> Failure:
    record = FailureRecord.of(test, "call", TestFacts.of("t.py", test), (Raised.of("ValueError", message),))
    return Failure(test, record, message)


def recorded() -> Recorded:
    mutants = []
    for number in range(6):
        failures = tuple(failure(f"t.py::test_{number + at}", f"broken {number}") for at in range(number + 1))
        mutants.append(Mutant("product", "return None", ("pkg/a.py", f"f{number // 2}"), {"plain": failures}))
    return Recorded("project", tuple(mutants))


def test_runs_are_drawn_the_same_and_show_each_test_once() -> None:
    runs = draw(recorded(), 20, 0)
    assert [run.cause for run in runs] == [run.cause for run in draw(recorded(), 20, 0)]
    assert len({run.cause for run in runs}) > 5
    for run in runs:
        tests = [one.test for one in run.failures]
        assert tests == sorted(set(tests))
        assert len(run.cause) == len(tests)


def test_defects_that_fail_much_can_be_left_out() -> None:
    assert len(fewer(recorded(), 3).mutants) == 3


@pytest.mark.parametrize(
    ("found", "f1", "information", "perfect"),
    [
        ("aabb", 1.0, 1.0, True),
        ("ccdd", 1.0, 1.0, True),
        ("aaaa", 2 * 0.5 / 1.5, 0.0, False),
        ("abcd", 2 * 0.5 / 1.5, 2 / 3, False),
    ],
)
def test_measures_of_partitions(found: str, f1: float, information: float, perfect: bool) -> None:
    true = [1, 1, 2, 2]
    assert b_cubed(found, true) == pytest.approx(f1)
    assert nmi(found, true) == pytest.approx(information)
    assert is_perfect(found, true) is perfect


def test_one_cluster_of_one_cause_is_right() -> None:
    assert nmi("aaa", [1, 1, 1]) == 1.0


def test_the_ceiling_parts_what_differs_and_nothing_else() -> None:
    failures = tuple(failure(f"t.py::test_{at}", message) for at, message in enumerate(["a", "a", "a", "b"]))
    assert ceiling([prepared(Mixture("project", failures, (0, 0, 0, 1)), 0)]) == [1.0, 1.0, 1.0]
    # The third fails for another reason and looks the same.
    found = [0, 0, 0, 1]
    expected = [b_cubed(found, [0, 0, 2, 1]), nmi(found, [0, 0, 2, 1]), 0.0]
    assert ceiling([prepared(Mixture("project", failures, (0, 0, 2, 1)), 0)]) == pytest.approx(expected)


def test_texts_within_a_tenth_are_one_cluster() -> None:
    message = "the quick brown fox jumps over the lazy dog"
    texts = [message, message.replace("quick", "quack"), message.replace("quick brown", "slow and red"), "another text"]
    assert edit_distance_groups([failure("t", text) for text in texts]) == [0, 0, 1, 2]
