from __future__ import annotations

from typing import Any

from pytest_qeattention.report.markdown import LONGEST, similar_markdown
from pytest_qeattention.similarity.model import BaselineUse, Group, Problem, SimilarReport, Unit


def unit(name: str, line: int = 3, path: str = "test_a.py") -> Unit:
    return Unit(f"{path}::{name}", path, line, name, name, line, line + 1, "")


def group(*tests: Unit, reasons: tuple[str, ...] = ("the same",), **changes: Any) -> Group:
    return Group("abc", "parametrize", 0.917, tests, reasons, **changes)


def markdown(*groups: Group, failure: str | None = None, **changes: Any) -> str:
    return similar_markdown(SimilarReport("test-similarity", 9, groups, **changes), failure=failure)


PAIR = (unit("test_one"), unit("TestB::test_two", 9))


def test_groups_are_rows_of_a_table() -> None:
    assert markdown(group(*PAIR, reasons=("the same shape", "1 name differs"))) == (
        "## Tests that repeat each other\n"
        "\n"
        "qe-similar: 9 tests, 1 group (1 parametrize) covering 2 tests\n"
        "\n"
        "| kind | score | tests | why |\n"
        "| --- | ---: | --- | --- |\n"
        "| parametrize | 0.91 | `test_a.py:3 test_one`<br>`test_a.py:9 TestB::test_two` "
        "| the same shape<br>1 name differs |\n"
    )


def test_without_groups_there_is_no_table() -> None:
    assert markdown() == "## Tests that repeat each other\n\nqe-similar: 9 tests, no groups\n"


def test_the_gate_and_what_is_new_are_told() -> None:
    use = BaselineUse("b.jsonl")
    text = markdown(
        group(*PAIR, status="new", new_tests=PAIR[1:]), group(*PAIR, status="accepted"), baseline=use, failure="failed"
    )

    assert "\n\n**failed**\n\n" in text
    assert "qe-similar: 9 tests, 1 new group (1 parametrize) covering 2 tests; 1 group accepted" in text
    assert "| parametrize, new | 0.91 | `test_a.py:3 test_one`<br>`test_a.py:9 TestB::test_two` **new** |" in text
    assert text.count("\n| parametrize") == 1


def test_nothing_in_a_cell_ends_it_or_is_markup() -> None:
    reasons = ("'a|b' / '<b>' & `x` *y* _z_ [l](u) \\ @team #12 a\nb",)
    text = markdown(group(unit("test_`a`|b", path="x|y.py"), unit("test_`"), reasons=reasons))

    row = text.splitlines()[-1]
    assert row == (
        "| parametrize | 0.91 | ``x\\|y.py:3 test_`a`\\|b``<br>`` test_a.py:3 test_` `` | "
        "'a\\|b' / '&lt;b&gt;' &amp; \\`x\\` \\*y\\* \\_z\\_ \\[l\\](u) \\\\ @<!-- -->team #<!-- -->12 a\\\\nb |"
    )


def test_problems_are_listed() -> None:
    problems = tuple(Problem(f"t{number:02}.py", "can't be read", number or None) for number in range(12))

    text = markdown(problems=problems)

    assert "**Problems**\n\n- `t00.py`: can't be read\n- `t01.py:1`: can't be read\n" in text
    assert text.endswith("- and 2 problems more\n")


def test_a_long_report_fits_a_comment() -> None:
    groups = [group(*(unit(f"test_{'x' * 80}_{number}", number) for number in range(1, 12))) for _ in range(200)]

    text = markdown(*groups)

    assert len(text) < LONGEST + 1_000
    shown = text.count("\n| parametrize")
    assert 10 < shown < 200
    assert f"{200 - shown} groups more, which the JSON and SARIF reports have." in text
    assert "<br>and 1 test more |" in text
