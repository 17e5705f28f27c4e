from __future__ import annotations

import re
from dataclasses import replace

from cause_reports import HOSTILE, KNOWN, LIKELY, NEW, all_states, failures, red
from defect_failures import failure

from pytest_qeattention.defects.gate import Judgement
from pytest_qeattention.report.causes import Beside
from pytest_qeattention.report.defects_markdown import TESTS_SHOWN, defects_markdown
from pytest_qeattention.report.markdown import LONGEST

KEPT = Beside(is_kept=True)


def test_causes_are_a_table_by_state_and_a_block_each() -> None:
    found = red((KNOWN, failures(2)), (replace(NEW, reasons=("because",)), failures(1, "test_new")))
    beside = replace(KEPT, urls={"BUG-1": "https://bugs.example/1"})

    text = defects_markdown(found, beside=beside)

    said = "`pool.PoolExhausted: no free connection of 5 after 0.3 s`"
    assert text.startswith(
        "## 2 causes behind 3 failures\n"
        "\n"
        "qe-defects: 1 new, 1 known; knowledge base: 3 defects, 5 labelled failures\n"
        "\n"
        "| state | failures | cause | where | |\n"
        "| --- | ---: | --- | --- | --- |\n"
        f"| new | 1 | {said} | `src/pool.py:12` | last/2 |\n"
        f"| known | 2 | {said} | `src/pool.py:12` | BUG-1 |\n"
        "\n"
        "### new: pool.PoolExhausted: no free connection of 5 after 0.3 s\n"
        "\n"
        "1 failure, last/2, id 000000000001; `src/pool.py:12` `Pool.get`\n"
        "\n"
        "- because\n- 2 of 2 have provider=azure\n- same exception in all\n- messages agree\n- a third reason\n"
        "- not seen before\n- looks like: A resource that ran out\n- looks like: Another\n"
        "\n"
        "<details><summary>1 test</summary>\n"
        "\n"
        "- `tests/test_shop.py::test_new_0` (traceback ends at `src/pool.py:12`)\n"
        "\n"
        "</details>\n"
    )
    assert f"### known: BUG-1\n\n{said}\n\n2 failures, last/1, id 000000000000; " in text
    assert "\n- https://bugs.example/1\n- the same as a labelled failure\n" in text
    assert text.endswith("- `tests/test_shop.py::test_order_1`\n\n</details>\n")


def test_what_needs_attention_comes_first() -> None:
    text = defects_markdown(all_states(), beside=KEPT)

    rows = re.findall(r"^\| (\w+) \| \d+ ", text, re.MULTILINE)
    assert rows == re.findall(r"^### (\w+): ", text, re.MULTILINE) == ["regressed", "new", "likely", "known"]
    assert "| BUG-2, confidence 0.83 |" in text


def test_without_failures_there_is_no_table() -> None:
    assert defects_markdown(red(knowledge="empty")) == "## No failures\n\nqe-defects: knowledge base: empty\n"


def test_the_gate_is_told() -> None:
    beside = replace(KEPT, judgement=Judgement((), "test_a.py::test_[1] is new"))

    assert "\n\n**not passed by --qe-known-ok: test\\_a.py::test\\_\\[1\\] is new**\n\n" in defects_markdown(
        red((NEW, failures(1))), beside=beside
    )


def test_nothing_ends_a_cell_or_a_line_or_is_markup() -> None:
    record = failure(HOSTILE, test="test_`a`|b</details>\n\n# x", path="x|y.py")
    found = red((replace(LIKELY, defect="B|<i>", reasons=(HOSTILE,)), [record]), problems=(HOSTILE,))

    text = defects_markdown(found, beside=KEPT)

    (row,) = [line for line in text.splitlines() if line.startswith("| likely")]
    assert len(re.findall(r"(?<!\\)\|", row)) == 6
    assert "### likely: B\\|&lt;i&gt;, confidence 0.83" in text
    outside = re.sub(r"(`+)(?:(?!\1).)+?\1(?!`)", "", text)
    assert "<b>" not in outside
    assert text.count("<details>") == 1
    assert "\n# x" not in text
    assert "\n::error" not in text
    assert "- x\\|y \\`z\\` &lt;b&gt;::set-output" in text
    assert "@<!-- -->team #<!-- -->12 \\*y\\* \\\\x1b\\[31m" in text


def test_a_long_report_fits_a_comment_and_the_table_comes_first() -> None:
    found = red(*((NEW, failures(8, f"test_{'x' * 120}_{number}")) for number in range(200)))

    text = defects_markdown(found, beside=KEPT)

    assert len(text) < LONGEST + 1_000
    rows, blocks = text.count("\n| new |"), text.count("\n### new")
    assert rows == 200
    assert 10 < blocks < 200
    assert f"{200 - blocks} causes more, which the JSON and SARIF reports have in full." in text
    assert len(defects_markdown(found, beside=KEPT, longest=5_000)) < 6_000


def test_of_many_tests_the_first_are_listed() -> None:
    text = defects_markdown(red((NEW, failures(TESTS_SHOWN + 1))))

    assert f"<details><summary>{TESTS_SHOWN + 1} tests</summary>" in text
    assert "\n- and 1 test more\n" in text
