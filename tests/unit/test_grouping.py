"""From files of tests to groups: kinds, reasons, order, and what must not be grouped."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_qeattention.similarity.builtin import TestSimilarity
from pytest_qeattention.similarity.model import Group, SimilarReport
from pytest_qeattention.similarity.service import suite_from_paths
from pytest_qeattention.similarity.workload import Request

Analyse = Callable[..., SimilarReport]

# Enough of other tests that common words weigh little, as in a real suite.
BACKGROUND = """
import json, os, re, socket, pytest

def test_temporary_directory_is_removed(tmp_path):
    inner = tmp_path / "inner"
    inner.mkdir()
    os.rmdir(inner)
    assert not inner.exists()

def test_json_round_trip():
    document = {"a": [1, 2, {"b": None}]}
    assert json.loads(json.dumps(document)) == document

def test_pattern_finds_all_digits():
    found = re.findall(r"[0-9]+", "a1b22c333")
    assert len(found) == 3
    assert found[-1] == "333"

def test_socket_pair_talks():
    left, right = socket.socketpair()
    with left, right:
        left.sendall(b"hello")
        assert right.recv(16) == b"hello"

def test_division_by_zero_raises():
    with pytest.raises(ZeroDivisionError, match="division"):
        1 // 0

def test_environment_is_inherited(monkeypatch):
    monkeypatch.setenv("QE_SAMPLE", "1")
    assert os.environ["QE_SAMPLE"] == "1"
"""


@pytest.fixture
def analyse(tmp_path: Path) -> Analyse:
    def run(neighbors: int = 0, background: bool = True, **files: str) -> SimilarReport:
        if background:
            files["test_background"] = BACKGROUND
        for name, source in files.items():
            (tmp_path / f"{name}.py").write_text(textwrap.dedent(source), encoding="utf-8")
        suite = suite_from_paths([str(tmp_path)], cwd=tmp_path)
        return TestSimilarity().analyse(suite, Request(neighbors=neighbors))

    return run


def names(group: Group) -> list[str]:
    return [unit.qualname for unit in group.tests]


def kinds(report: SimilarReport) -> list[tuple[str, list[str]]]:
    return [(group.kind, names(group)) for group in report.groups]


def test_copies_are_duplicates_whatever_their_formatting(analyse: Analyse) -> None:
    report = analyse(
        test_a="""
        from shop import Basket

        def test_total():
            basket = Basket()
            basket.add("apple", 2)   # two of them
            assert basket.total() == 6
        """,
        test_b="""
        from shop import Basket

        def test_sum_of_prices():
            \"\"\"The total is the sum.\"\"\"
            cart = Basket()
            cart.add('apple',
                     2)
            assert cart.total() == 6
        """,
    )
    (group,) = report.groups
    assert (group.kind, group.score, names(group)) == ("duplicate", 1.0, ["test_total", "test_sum_of_prices"])
    assert "in 2 files" in group.reasons[0]


@pytest.mark.parametrize(
    "other",
    [
        "from market import Basket",
        "class Basket: ...",
        "from .shop import Basket",
    ],
)
def test_same_text_about_another_thing_is_no_duplicate(analyse: Analyse, other: str) -> None:
    test = """
def test_total():
    basket = Basket()
    basket.add("apple", 2)
    assert basket.total() == 6
"""
    report = analyse(test_a="from shop import Basket\n" + test, test_b=other + "\n" + test)
    assert "duplicate" not in [group.kind for group in report.groups]


def test_methods_of_two_classes_that_use_self_are_no_duplicates(analyse: Analyse) -> None:
    report = analyse(
        test_a="""
        class TestFirst:
            value = 1
            def test_value(self):
                assert self.value + self.value == 2
        class TestSecond:
            value = 2
            def test_value(self):
                assert self.value + self.value == 2
        """
    )
    assert "duplicate" not in [group.kind for group in report.groups]


FIXTURE_TEST = """
from shop import check

{fixture}
def test_stock(shelf):
    check(shelf, "apple")
    assert shelf.count("apple") == 3
"""


@pytest.mark.parametrize(
    ("fixture", "is_duplicate"),
    [
        ("", True),
        ("@pytest.fixture\ndef shelf():\n    return 1\n", False),
        ("from stock import shelf\n", False),
    ],
)
def test_fixtures_of_two_files(analyse: Analyse, fixture: str, is_duplicate: bool) -> None:
    report = analyse(test_a=FIXTURE_TEST.format(fixture=""), test_b=FIXTURE_TEST.format(fixture=fixture))
    assert ("duplicate" in [group.kind for group in report.groups]) is is_duplicate


def test_fixtures_of_two_directories_may_be_two_things(tmp_path: Path) -> None:
    for directory in ("one", "two"):
        (tmp_path / directory).mkdir()
        (tmp_path / directory / "test_a.py").write_text(FIXTURE_TEST.format(fixture=""))
        (tmp_path / directory / "test_b.py").write_text(FIXTURE_TEST.format(fixture="").replace("shelf", "tmp_path"))
    report = TestSimilarity().analyse(suite_from_paths([str(tmp_path)], cwd=tmp_path), Request())
    duplicates = [[unit.path for unit in group.tests] for group in report.groups if group.kind == "duplicate"]
    assert duplicates == [["one/test_b.py", "two/test_b.py"]]


def test_sync_and_async_twins_are_no_duplicates(analyse: Analyse) -> None:
    report = analyse(
        test_a="""
        from shop import load
        def test_load():
            assert load("shelf").name == "shelf"
        async def test_load_async():
            assert load("shelf").name == "shelf"
        """
    )
    assert {kind for kind, _ in kinds(report)} <= {"similar"}


def test_placeholders_are_not_reported(analyse: Analyse) -> None:
    report = analyse(
        test_a="""
        def test_one(): pass
        def test_two(): pass
        def test_three():
            raise NotImplementedError
        def test_four():
            raise NotImplementedError
        """
    )
    assert report.groups == ()
    assert report.tests == 10


LITERALS_DIFFER = """
from text import slugify

def test_slugify_spaces():
    assert slugify("hello world") == "hello-world"

def test_slugify_dots():
    assert slugify("hello.world") == "hello-world"

def test_slugify_upper():
    assert slugify("HELLO World") == "hello-world"
"""


def test_tests_that_differ_in_literals_are_to_be_parametrised(analyse: Analyse) -> None:
    report = analyse(test_a=LITERALS_DIFFER)
    (group,) = report.groups
    assert group.kind == "parametrize"
    assert names(group) == ["test_slugify_spaces", "test_slugify_dots", "test_slugify_upper"]
    assert 0.8 < group.score <= 1
    assert any("1 literal differs: 'hello world' / 'hello.world' / 'HELLO World'" in reason for reason in group.reasons)


def test_names_that_differ_are_named(analyse: Analyse) -> None:
    report = analyse(
        test_a="""
        from words import Word
        class TestCase:
            def test_upper_of_accents(self):
                word = Word("été", language="fr")
                changed = word.upper()
                assert changed.language == "fr"
                assert str(changed) == "ÉTÉ"
            def test_title_of_accents(self):
                word = Word("été", language="fr")
                changed = word.title()
                assert changed.language == "fr"
                assert str(changed) == "Été"
        """
    )
    (group,) = report.groups
    assert group.kind == "parametrize"
    assert any("1 name differs: .upper / .title" in reason for reason in group.reasons)


def test_unrelated_tests_of_one_shape_are_not_grouped(analyse: Analyse) -> None:
    report = analyse(
        test_a="""
        from fleet import truck_weight
        from garden import flower_colour
        from kitchen import oven_heat
        def test_truck():
            assert truck_weight("volvo") == 12000
        """,
        test_b="""
        from garden import flower_colour
        def test_flower():
            assert flower_colour("rose") == "red"
        """,
        test_c="""
        from kitchen import oven_heat
        def test_oven():
            assert oven_heat("bread") == 230
        """,
    )
    assert report.groups == ()


def test_order_of_files_and_threads_do_not_matter(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / f"test_{number}.py").write_text(LITERALS_DIFFER.replace("hello", f"hello{number}"))
    (tmp_path / "test_z.py").write_text(BACKGROUND)
    paths = [str(path) for path in sorted(tmp_path.glob("test_*.py"))]
    reports = [
        TestSimilarity().analyse(
            suite_from_paths(order, cwd=tmp_path, num_processes=processes), Request(num_threads=threads)
        )
        for order, processes, threads in [(paths, 1, 1), (paths[::-1], 2, 2), ([str(tmp_path)], 1, 2)]
    ]
    assert reports[0] == reports[1] == reports[2]
    assert reports[0].groups


def test_asking_for_neighbours_leaves_the_groups_alone(analyse: Analyse) -> None:
    files = {f"test_{n}": LITERALS_DIFFER.replace("hello", f"hello{n}") for n in range(9)}
    assert analyse(**files).groups == analyse(neighbors=30, **files).groups


def test_neighbours_are_as_many_as_asked_for_best_first(analyse: Analyse) -> None:
    report = analyse(neighbors=4, test_a=LITERALS_DIFFER)
    assert report.neighbors is not None
    assert [unit for unit, _ in report.neighbors] == sorted(
        (unit for unit, _ in report.neighbors), key=lambda unit: (unit.path, unit.line)
    )
    for unit, nearest in report.neighbors:
        scores = [neighbor.score for neighbor in nearest]
        assert len(nearest) == 4
        assert scores == sorted(scores, reverse=True)
        assert unit not in [neighbor.unit for neighbor in nearest]
        assert all(0 <= score <= 1 for score in scores)
    dots = dict(report.neighbors)[report.groups[0].tests[1]]
    assert {neighbor.unit.name for neighbor in dots[:2]} == {"test_slugify_spaces", "test_slugify_upper"}


@pytest.mark.parametrize("tests", ["", "def test_one():\n    assert 1 + 1 == 2\n"])
def test_suites_of_no_and_one_test(analyse: Analyse, tests: str) -> None:
    report = analyse(neighbors=5, background=False, test_a=tests)
    assert report.groups == ()
    assert report.tests == bool(tests)


def test_group_ids_are_stable_and_distinct(analyse: Analyse) -> None:
    files = {f"test_{n}": LITERALS_DIFFER.replace("hello", f"hello{n}") for n in range(3)}
    first, second = analyse(**files), analyse(**files)
    assert [group.id for group in first.groups] == [group.id for group in second.groups]
    assert len({group.id for group in first.groups}) == len(first.groups) > 1


def test_groups_that_save_most_come_first(analyse: Analyse) -> None:
    body = "\n".join(f"    step_{n}(value)" for n in range(12))
    big = "\n".join(f'def test_big_{n}():\n    value = make("{n}")\n{body}\n    assert value\n' for n in range(4))
    report = analyse(test_a=LITERALS_DIFFER, test_b=f"from big import *\n{big}")
    assert [unit.name for unit in report.groups[0].tests] == [f"test_big_{n}" for n in range(4)]
    assert len(report.groups) == 2


@pytest.mark.parametrize("count", [3, 8, 40, 300])
def test_a_family_of_any_size_is_one_group(analyse: Analyse, count: int) -> None:
    words = [f"{a}{b}{c}" for a in "bdfglm" for b in "aeiou" for c in ("kan", "ras", "tol", "ner", "mit", "sut", "pod")]
    words = [word + end for word in words for end in ("", "ix")]
    tests = "\n".join(f"def test_{word}():\n    assert parse('{word}') == '{word[::-1]}'\n" for word in words[:count])
    report = analyse(test_a=f"from words import parse\n{tests}")
    (group,) = report.groups
    assert group.kind == "parametrize"
    assert len(group.tests) == count


def test_fifty_thousand_lines(analyse: Analyse) -> None:
    test = "def test_case_{0}():\n    value = make({0})\n    assert value.total == {0} * 3\n\n\n"
    report = analyse(background=False, test_a="".join(test.format(number) for number in range(10_000)))
    assert report.tests == 10_000
    (group,) = report.groups
    assert len(group.tests) == 10_000


def test_methods_of_unittest_are_told_apart(analyse: Analyse) -> None:
    report = analyse(
        test_a="""
        import unittest
        from text import slugify
        class SlugTests(unittest.TestCase):
            def test_spaces(self):
                self.assertEqual(slugify("hello world"), "hello-world")
            def test_dots(self):
                self.assertEqual(slugify("hello.world"), "hello-world")
        """
    )
    (group,) = report.groups
    assert group.kind == "parametrize"
    assert any("subTest" in reason for reason in group.reasons)
