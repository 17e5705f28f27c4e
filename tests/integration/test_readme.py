"""README.md: its commands are run, its output is theirs, and its tables name what exists."""

from __future__ import annotations

import argparse
import doctest
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from readme_blocks import (
    PUBLISHED,
    QUALITY,
    README,
    ROOT,
    blocks,
    copy_example,
    copy_repository,
    expected_code,
    matches,
    published,
    published_block,
    renewed,
    run,
    sessions,
)

from pytest_qeattention import cli
from pytest_qeattention.attention.backend import VARIANTS, core_problem
from pytest_qeattention.bench import plan

if not README.is_file():
    pytest.skip("the README is not beside these tests", allow_module_level=True)

TEXT = README.read_text(encoding="utf-8")
SESSIONS = [session for block in blocks(TEXT, "console") for session in sessions(block)]


@pytest.fixture(scope="module", autouse=True)
def _scripts() -> None:
    for script in ("pytest", "qeattention"):
        if shutil.which(script, path=str(Path(sys.executable).parent)) is None:
            pytest.skip("the scripts of this installation are elsewhere")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the repository as far as the commands name it."""
    return copy_repository(tmp_path_factory.mktemp("repository"))


@pytest.mark.parametrize(("command", "shown"), [pytest.param(*session, id=session[0]) for session in SESSIONS])
def test_the_output_shown_is_that_of_the_command(copy: Path, command: str, shown: list[str]) -> None:
    if (problem := core_problem()) is not None:
        pytest.skip(f"the README shows what the compiled core answers; here {problem}")

    done = run(command, copy)

    assert done.returncode == expected_code(command), done.stdout + done.stderr
    assert matches(shown, done.stdout.splitlines()), (
        f"$ {command}\n{done.stdout}\n`python tests/readme_blocks.py` writes this into the README"
    )


@pytest.mark.parametrize(
    ("shown", "real", "same"),
    [
        (["a", "...", "d"], ["a", "b", "c", "d"], True),
        (["a", "...", "d"], ["a", "d"], True),
        (["a", "..."], ["b", "a"], False),
        (["a"], ["a", "b"], False),
        (["== 2 passed in 1.00s =="], ["=== 2 passed in 10.25s ==="], True),
        (["== 2 passed in 1.00s =="], ["=== 3 passed in 10.25s ==="], False),
        (["score 0.90"], ["score 0.91"], False),
    ],
)
def test_the_comparison_finds_differences(shown: list[str], real: list[str], same: bool) -> None:
    assert matches(shown, real) is same


@pytest.mark.parametrize(
    ("shown", "real", "new"),
    [
        (["a", "b"], ["a", "c", "d"], ["a", "c", "d"]),
        (["...", "one 1", "two"], ["head", "one 2", "two"], ["...", "one 2", "two"]),
        (["one 1", "...", "end 1"], ["one 2", "x", "y", "end 2"], ["one 2", "...", "end 2"]),
        (["...", "1 passed in 1.00s"], ["x", "1 passed in 3.00s"], ["...", "1 passed in 1.00s"]),
    ],
)
def test_an_update_keeps_what_was_left_out(shown: list[str], real: list[str], new: list[str]) -> None:
    assert renewed(shown, real) == new
    assert matches(new, real)


def test_the_commands_for_set_up_are_those_that_ci_runs() -> None:
    script = ROOT / ".ci" / "run"
    if not script.is_file():
        pytest.skip("a source distribution has no .ci/run")
    run_by_ci = [line.strip() for line in script.read_text(encoding="utf-8").splitlines()]
    commands = [line for block in blocks(TEXT, "sh") for line in block.splitlines()]

    assert len(commands) == 2
    for command in commands:
        assert command.startswith("pip install ")
        assert command in run_by_ci


@pytest.mark.parametrize("block", blocks(TEXT, "pycon"))
def test_python_sessions_give_what_they_show(block: str) -> None:
    test = doctest.DocTestParser().get_doctest(block, {}, README.name, str(README), None)
    assert test.examples
    said: list[str] = []

    results = doctest.DocTestRunner(verbose=False).run(test, out=said.append)

    assert results.failed == 0, "".join(said)


@pytest.mark.parametrize("block", blocks(TEXT, "python"))
def test_the_conftest_shown_adds_its_workload(block: str, tmp_path: Path) -> None:
    assert block.startswith("# conftest.py\n")
    suite = copy_example("quickstart", tmp_path)
    (suite / "conftest.py").write_text(block, encoding="utf-8")

    done = run("pytest --qe-similar --qe-json=report.json", suite)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "same-fixtures found 1 groups" in done.stdout.splitlines()
    report = json.loads((suite / "report.json").read_text(encoding="utf-8"))
    assert "problems" not in report
    (group,) = report["workloads"]["same-fixtures"]["groups"]
    assert {test["path"] for test in group["tests"]} == {"test_basket.py"}


def assert_shape(shape: Any, value: Any, place: str) -> None:
    """Compare a value of a JSON document with the README's sketch of it."""
    if isinstance(shape, dict):
        assert isinstance(value, dict), place
        wanted = {name for name in shape if not name.endswith("?") and name != "..."}
        allowed = {name.rstrip("?") for name in shape}
        assert wanted <= set(value), place
        assert "..." in shape or set(value) <= allowed, place
        for name, part in shape.items():
            if (key := name.rstrip("?")) in value:
                assert_shape(part, value[key], f"{place}.{key}")
    elif isinstance(shape, list):
        assert isinstance(value, list), place
        for item in value:
            assert_shape(shape[0], item, f"{place}[]")
    else:
        kinds = shape.split("|")
        kind = "null" if value is None else type(value).__name__
        assert kind in kinds or value in kinds, f"{place}: {value!r} is none of {shape}"


@pytest.mark.parametrize(
    ("command", "part", "names"),
    [
        ("pytest examples/quickstart --qe-similar --qe-neighbors=2 --qe-json=report.json", "groups", ["neighbors"]),
        ("qeattention similar examples/quickstart --rank tea --json report.json", "ranked", []),
    ],
    ids=["pytest", "command"],
)
def test_the_json_has_the_shape_shown(copy: Path, command: str, part: str, names: list[str]) -> None:
    shape = json.loads(blocks(TEXT, "json")[0])

    assert run(command, copy).returncode == 0

    report = json.loads((copy / "report.json").read_text(encoding="utf-8"))
    assert all(report["similar"][name] for name in [part, *names])
    assert_shape(shape, report, "document")


def test_the_json_of_defects_has_the_shape_shown(copy: Path) -> None:
    shape = json.loads(blocks(TEXT, "json")[0])

    done = run("qeattention defects triage examples/failures/tuesday.xml --qe-store store --json -", copy)

    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["defects"]["groups"]
    assert_shape(shape, report, "document")


def test_the_json_of_a_workload_and_of_problems_has_the_shape_shown(copy: Path) -> None:
    shape = json.loads(blocks(TEXT, "json")[0])
    suite = copy_example("custom_workload", copy)
    (suite / "test_broken.py").write_text("def test_x(: pass\n", encoding="utf-8")

    done = run("qeattention similar custom_workload --json broken.json", copy)
    assert done.returncode == 0, done.stderr
    broken = json.loads((copy / "broken.json").read_text(encoding="utf-8"))
    (suite / "test_broken.py").unlink()
    with (suite / "conftest.py").open("a", encoding="utf-8") as conftest:
        conftest.write("\n\ndef pytest_qe_similar_groups():\n    raise ValueError('on purpose')\n")
    done = run("pytest custom_workload --qe-similar --qe-json=report.json", copy)
    assert done.returncode == 0, done.stdout
    report = json.loads((copy / "report.json").read_text(encoding="utf-8"))

    assert broken["similar"]["problems"]
    assert_shape(shape, broken, "document")
    assert report["workloads"]["shared-strings"]["groups"]
    assert report["problems"]
    assert_shape(shape, report, "document")
    assert_shape(shape["similar?"], report["workloads"]["shared-strings"], "workload")


def table(heading: str) -> list[list[str]]:
    """Give the cells of the rows of the first table below a heading."""
    section = TEXT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    assert len(rows) > 2, f"the README has no table below {heading}"
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


def named(cells: list[str]) -> set[str]:
    return {name.split(" ")[0] for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def test_every_flag_and_ini_key_has_its_row(tmp_path: Path) -> None:
    rows = table("Flags, environment, ini keys")
    help_text = run("pytest --help", tmp_path).stdout

    assert named([row[0] for row in rows]) == set(re.findall(r"^  (--qe-[a-z-]+)", help_text, re.MULTILINE))
    assert named([row[2] for row in rows]) == set(re.findall(r"^  (qe_[a-z_]+)", help_text, re.MULTILINE))
    isa = next(row[3] for row in rows if "`QE_ISA`" in row)
    assert named([isa]) == set(VARIANTS)


def test_every_flag_of_the_command_has_its_row() -> None:
    parser = cli._parser()
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    section = TEXT.partition("\n## `qeattention info`\n")[2].partition("\n## ")[0]

    flags = {name: set(sub._option_string_actions) - {"-h", "--help"} for name, sub in commands.choices.items()}

    assert set(flags) == {"similar", "defects", "info", "bench"}
    assert named([row[0] for row in table("`qeattention similar PATH...`")]) == flags["similar"]
    assert {name for name in named([section]) if name.startswith("-")} == flags["info"]
    section = TEXT.partition("\n## `qeattention bench [SUITE]`\n")[2].partition("\n## ")[0]
    assert {name for name in named([section]) if name.startswith("--")} == flags["bench"]
    first_column = named([row[0] for row in table("`qeattention bench [SUITE]`")])
    assert {name for name in first_column if not name.startswith("--")} == set(plan.SUITES)


def test_every_command_about_defects_has_its_row() -> None:
    parser = cli._parser()
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    of_defects = commands.choices["defects"]._actions
    (nested,) = (action for action in of_defects if isinstance(action, argparse._SubParsersAction))
    everywhere = {"-h", "--help", "--qe-store"}

    rows = {row[0].strip("`").split()[0]: named([row[1]]) for row in table("`qeattention defects COMMAND`")}

    assert rows == {name: set(sub._option_string_actions) - everywhere for name, sub in nested.choices.items()}


def test_environment_variables_are_those_that_the_code_reads() -> None:
    rows = table("Flags, environment, ini keys")
    at_run = named([row[1] for row in rows])
    at_build = {name.partition("=")[0] for row in table("Building") for name in named([row[0]]) if "=" in name}
    package = Path(cli.__file__).parent
    read = {
        name
        for path in package.rglob("*.py")
        for name in re.findall(r"environ(?:\.get\(|\[)\"(QE_[A-Z_]+)\"", path.read_text(encoding="utf-8"))
    }
    setup = (ROOT / "setup.py").read_text(encoding="utf-8")

    assert at_run == read
    assert at_build == set(re.findall(r"(?:setting\(|environ\.get\()\"(QE_[A-Z_]+)\"", setup))


def test_links_lead_to_headings() -> None:
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", TEXT, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    links = set(re.findall(r"\]\(#([^)]+)\)", TEXT))

    assert links
    assert links <= anchors


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_the_tables_shown_are_those_of_the_results(name: str) -> None:
    found = published_block(name).findall(TEXT)
    measured = published(name)

    assert len(found) == 1
    if measured is not None:
        assert found[0].strip() == measured.strip()
    else:
        assert not re.search(r"\d", found[0])


def test_the_size_of_the_quality_measurement_is_that_of_the_results() -> None:
    if not QUALITY.is_file():
        pytest.skip("benchmarks/results is not beside these tests")
    measured = json.loads(QUALITY.with_suffix(".json").read_text(encoding="utf-8"))

    assert f"Measured on {measured['tests']:,} tests of {measured['projects']} open-source projects" in TEXT
