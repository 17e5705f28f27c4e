from __future__ import annotations

import pytest

from pytest_qeattention.report.lines import Line, printable
from pytest_qeattention.report.terminal import Section, similar_lines, summary, unique_problems
from pytest_qeattention.similarity.model import Group, Kind, Neighbor, Problem, SimilarReport, Unit
from pytest_qeattention.wording import counted


def unit(name: str, line: int = 3, path: str = "tests/test_a.py") -> Unit:
    return Unit(
        nodeid=f"{path}::{name}",
        path=path,
        line=line,
        name=name.rpartition("::")[2],
        qualname=name,
        first_line=line,
        end_line=line + 1,
        source=f"def {name}(): pass\n",
    )


def group(kind: Kind = "duplicate", count: int = 2, score: float = 1.0, start: int = 1) -> Group:
    tests = tuple(unit(f"test_{number}", line=number) for number in range(start, start + count))
    return Group(f"id-{kind}-{start}", kind, score, tests, reasons=("the same statements",))


def report(*groups: Group, tests: int = 50, **changes: object) -> SimilarReport:
    return SimilarReport("test-similarity", tests, groups, **changes)  # type: ignore[arg-type]


def texts(*sections: Section, **options: object) -> list[str]:
    return [line.text for line in similar_lines(sections, **options)]  # type: ignore[arg-type]


def test_a_group_shows_kind_score_places_and_reasons() -> None:
    lines = texts(Section(report(group(count=3, score=0.996))))

    assert lines == [
        "duplicate  3 tests  score 0.99",
        "  tests/test_a.py:1  test_1",
        "  tests/test_a.py:2  test_2",
        "  tests/test_a.py:3  test_3",
        "    the same statements",
        "",
        "qe-similar: 50 tests, 1 group (1 duplicate) covering 3 tests",
    ]


def test_only_the_whole_score_is_called_one() -> None:
    assert "score 1.00" in texts(Section(report(group(score=1.0))))[0]
    assert "score 0.99" in texts(Section(report(group(score=0.999999))))[0]
    assert "score 0.29" in texts(Section(report(group(score=0.29))))[0]


def test_kinds_and_names_carry_markup() -> None:
    first, second, *_ = similar_lines([Section(report(group()))])

    assert (first.spans[0].text, first.spans[0].markup) == ("duplicate", ("bold", "yellow"))
    assert [span.text for span in second.spans if span.markup == ("bold",)] == ["  test_1"]


def test_the_order_of_the_groups_is_that_of_the_engine() -> None:
    groups = (group("similar"), group("duplicate", start=5), group("parametrize", start=9))

    heads = [line.split()[0] for line in texts(Section(report(*groups))) if "score" in line]

    assert heads == ["similar", "duplicate", "parametrize"]


def test_summary_counts_each_kind_and_each_test_once() -> None:
    groups = (group("duplicate"), group("parametrize", count=3, start=2), group("parametrize", start=9))

    assert summary(Section(report(*groups))) == (
        "qe-similar: 50 tests, 3 groups (1 duplicate, 2 parametrize) covering 6 tests"
    )


def test_summary_without_groups_or_tests() -> None:
    assert summary(Section(report(tests=1))) == "qe-similar: 1 test, no groups"
    assert summary(Section(report(tests=0))) == "qe-similar: no tests, no groups"


def test_summary_of_another_workload_has_its_name_and_no_kinds() -> None:
    section = Section(
        SimilarReport("same-fixtures", 50, (group("similar"),)),
        title="Tests with the same fixtures",
        is_builtin=False,
    )

    assert summary(section) == "qe-similar [same-fixtures]: 50 tests, 1 group covering 2 tests"


def test_quiet_is_the_summary_only() -> None:
    sections = [
        Section(report(group(), problems=(Problem("a.py", "is empty"),), left_out={"doctest": 2})),
        Section(SimilarReport("other", 50), "Other", is_builtin=False),
    ]

    assert texts(*sections, verbosity=-1) == [
        "qe-similar: 50 tests, 1 group (1 duplicate) covering 2 tests; 1 problem",
        "qe-similar [other]: 50 tests, no groups",
    ]


def test_default_shows_the_first_twenty_groups_and_says_where_the_rest_is() -> None:
    groups = tuple(group(start=number * 10) for number in range(54))

    lines = texts(Section(report(*groups)), more="-v shows all, --qe-json=PATH writes all")

    assert sum("score" in line for line in lines) == 20
    assert "... and 34 more groups (-v shows all, --qe-json=PATH writes all)" in lines


def test_twenty_groups_leave_nothing_to_say() -> None:
    lines = texts(Section(report(*(group(start=number * 10) for number in range(20)))))

    assert sum("score" in line for line in lines) == 20
    assert not [line for line in lines if "more" in line]


def test_default_shows_ten_tests_of_a_group() -> None:
    lines = texts(Section(report(group(count=11))))

    assert sum(line.startswith("  tests/test_a.py:") for line in lines) == 10
    assert "  ... and 1 more test (-v shows all)" in lines


def test_verbose_shows_everything() -> None:
    groups = tuple(group(count=12, start=number * 20) for number in range(25))

    lines = texts(Section(report(*groups)), verbosity=1)

    assert sum(line.startswith("  tests/test_a.py:") for line in lines) == 25 * 12
    assert not [line for line in lines if "more" in line]
    assert lines[0] == "duplicate  12 tests  score 1.00  id id-duplicate-0"


def test_a_suggestion_is_shown_when_verbose() -> None:
    found = Group("id", "parametrize", 1.0, (unit("test_1"), unit("test_2")), (), "@pytest.mark.parametrize\ndef x")

    assert "    def x" in texts(Section(report(found)), verbosity=1)
    assert "    def x" not in texts(Section(report(found)))


def test_problems_are_listed_once_with_their_place() -> None:
    parse = Problem("tests/test_b.py", "does not parse", 7)
    empty = Problem("tests/test_a.py", "is empty")
    sections = [
        Section(report(problems=(parse, empty))),
        Section(report(problems=(empty, parse)), "Other", False),
    ]

    lines = texts(*sections)

    assert [line for line in lines if "test_a.py" in line] == ["  tests/test_a.py: is empty"]
    assert [line for line in lines if "test_b.py" in line] == ["  tests/test_b.py:7: does not parse"]


def test_problems_of_the_run_are_listed_and_counted() -> None:
    hook = Problem("conftest.py", "hook raised", 3)

    lines = texts(Section(report()), problems=[hook])

    assert lines == [
        "problems",
        "  conftest.py:3: hook raised",
        "",
        "qe-similar: 50 tests, no groups; 1 problem",
    ]


def test_problems_of_the_run_are_counted_in_one_summary() -> None:
    sections = [Section(report()), Section(SimilarReport("other", 50), "Other", is_builtin=False)]

    assert texts(*sections, verbosity=-1, problems=[Problem("conftest.py", "hook raised", 3)]) == [
        "qe-similar: 50 tests, no groups; 1 problem",
        "qe-similar [other]: 50 tests, no groups",
    ]


def test_many_problems_are_cut_unless_verbose() -> None:
    section = Section(report(problems=tuple(Problem(f"test_{number:02}.py", "is empty") for number in range(12))))

    assert "  ... and 2 more problems (-v shows all)" in texts(section)
    assert sum("is empty" in line for line in texts(section, verbosity=1)) == 12


def test_unique_problems_are_sorted_by_path_and_line() -> None:
    problems = [Problem("b", "x", 2), Problem("b", "x"), Problem("a", "y", 9), Problem("b", "x", 2)]

    assert unique_problems(problems) == [Problem("a", "y", 9), Problem("b", "x"), Problem("b", "x", 2)]


def test_items_left_out_are_counted_by_reason() -> None:
    lines = texts(Section(report(left_out={"no source": 1, "doctest": 12})))

    assert "left out: 12 doctest, 1 no source" in lines


def test_lines_of_a_workload_replace_the_standard_rendering() -> None:
    section = Section(report(group(), lines=("my own line",)), "Mine", is_builtin=False)

    lines = texts(section)

    assert lines[:4] == ["Mine", "", "my own line", ""]
    assert not [line for line in lines if "score" in line]


def test_ranked_tests_are_listed_with_reasons() -> None:
    answers = (Neighbor(unit("test_1"), 0.75, ("calls the same functions",)), Neighbor(unit("test_2"), 0.5))

    assert texts(Section(report(ranked=("first line\nsecond line", answers)))) == [
        "nearest to first line ...",
        "  0.75  tests/test_a.py:3  test_1",
        "        calls the same functions",
        "  0.50  tests/test_a.py:3  test_2",
        "",
        "qe-similar: 50 tests",
    ]


def test_no_answer_to_a_query_is_said() -> None:
    assert "  nothing that resembles it" in texts(Section(report(ranked=("xyzzy", ()))))


def test_neighbours_are_listed_when_verbose() -> None:
    section = Section(report(neighbors=((unit("test_1"), (Neighbor(unit("test_2"), 0.25),)),)))

    assert texts(section, verbosity=1)[:2] == [
        "nearest to tests/test_a.py:3  test_1",
        "  0.25  tests/test_a.py:3  test_2",
    ]
    assert texts(section)[0] == "nearest tests found for 1 test (-v shows all)"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain äß 茶", "plain äß 茶"),
        ("a\x1b[31mred", r"a\x1b[31mred"),
        ("two\nlines\tand a tab", r"two\nlines\tand a tab"),
        ("\udc80", r"\udc80"),
        ("", ""),
    ],
)
def test_nothing_that_steers_the_terminal_is_printed(text: str, expected: str) -> None:
    assert printable(text) == expected
    assert Line.plain(text).text == expected


def test_names_and_paths_of_tests_are_made_printable() -> None:
    hostile = Group("id", "similar", 0.9, (unit("test_\x1b[2J", path="a\nb.py"), unit("test_x")), ("\x07",))

    assert all(line.isprintable() for line in texts(Section(report(hostile)), verbosity=1))


@pytest.mark.parametrize(("count", "expected"), [(0, "no tests"), (1, "1 test"), (2, "2 tests")])
def test_counted(count: int, expected: str) -> None:
    assert counted(count, "test") == expected
