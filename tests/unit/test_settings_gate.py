"""The settings of baselines, gates and outputs."""

from __future__ import annotations

import pytest

from pytest_qeattention.options import analysis_asked_for
from pytest_qeattention.outputs import Outputs
from pytest_qeattention.settings import Settings, read_policy, read_settings


def settings(pytester: pytest.Pytester, *arguments: str) -> Settings:
    return read_settings(pytester.parseconfig("--qe-similar", *arguments), {})


def test_flags_are_read(pytester: pytest.Pytester) -> None:
    given = settings(
        pytester,
        "--qe-run",
        "--qe-sarif=-",
        "--qe-markdown=m.md",
        "--qe-github",
        "--qe-junit",
        "--junitxml=out/j.xml",
        "--qe-baseline=kept.jsonl",
        "--qe-baseline-update",
        "--qe-fail-on=new, duplicate",
    )

    assert given.outputs == Outputs("-", str(pytester.path / "m.md"), True)
    assert given.junit == pytester.path / "out" / "j.xml"
    assert given.baseline == pytester.path / "kept.jsonl"
    assert given.baseline_update is True
    assert given.fail_on == {"new", "duplicate"}


def test_an_update_has_its_place_and_the_store_moves_it(pytester: pytest.Pytester) -> None:
    assert settings(pytester).baseline is None
    update = settings(pytester, "--qe-baseline-update").baseline
    assert update == pytester.path / ".qeattention" / "similar-baseline.jsonl"
    moved = settings(pytester, "--qe-baseline-update", "--qe-store=kept").baseline
    assert moved == pytester.path / "kept" / "similar-baseline.jsonl"


def test_ini_keys_are_read_one_a_line(pytester: pytest.Pytester) -> None:
    pytester.makeini(
        "[pytest]\n"
        "qe_similar_thresholds =\n    tests/legacy/*: 0.95\n    tests/core: 0\n"
        "qe_similar_ignore = tests/made/*\n"
    )

    config = pytester.parseconfig("--qe-similar")
    policy = read_policy(config, read_settings(config, {}))

    assert policy.thresholds == (("tests/legacy/*", 0.95), ("tests/core", 0.0))
    assert policy.ignore == ("tests/made/*",)
    assert policy.root == policy.base == pytester.path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--qe-fail-on=copies"], "--qe-fail-on is 'copies', and 'copies' is nothing to fail on; give one or more of"),
        (["--qe-fail-on="], "--qe-fail-on is ''"),
        (["--qe-fail-on=new"], "nothing tells what is new; give --qe-baseline PATH"),
        (["--qe-fail-on=duplicate", "--qe-workload=other"], "--qe-fail-on is about the analysis test-similarity"),
        (["--qe-sarif=x", "--qe-workload=other"], "--qe-sarif is about the analysis .*add --qe-workload=test-similari"),
        (["--qe-sarif=-", "--qe-json=-"], "cannot share standard output; give files to all but one"),
        (["--qe-junit"], "--qe-junit adds to the file of --junitxml, .*add --qe-run and --junitxml=PATH"),
        (["--qe-junit", "--junitxml=j.xml"], "--qe-junit adds to the file of --junitxml"),
        (["--qe-sarif=none/x.sarif"], "--qe-sarif=none/x.sarif: directory .*none does not exist"),
        (["--qe-sarif=."], r"--qe-sarif=\. is a directory"),
        (["--qe-markdown="], "--qe-markdown is given no path"),
        (["--qe-baseline="], "--qe-baseline is given no path"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_served_is_a_usage_error(pytester: pytest.Pytester, arguments: list[str], message: str) -> None:
    with pytest.raises(pytest.UsageError, match=message):
        settings(pytester, *arguments)


@pytest.mark.parametrize(
    ("ini", "message"),
    [
        ("qe_similar_thresholds = tests/*", r"qe_similar_thresholds has the line 'tests/\*', which is not a glob"),
        ("qe_similar_thresholds = tests/*: 2", "and a score from 0 to 1; write it like"),
        ("qe_similar_ignore = /tests", "qe_similar_ignore has '/tests', which is not a glob"),
    ],
)
def test_a_bad_ini_value_names_its_key(pytester: pytest.Pytester, ini: str, message: str) -> None:
    pytester.makeini(f"[pytest]\n{ini}")

    with pytest.raises(pytest.UsageError, match=message):
        settings(pytester)


def test_a_baseline_that_is_missing_is_a_usage_error(pytester: pytest.Pytester) -> None:
    config = pytester.parseconfig("--qe-similar", "--qe-baseline=none.jsonl")

    with pytest.raises(
        pytest.UsageError, match=r"baseline none.jsonl does not exist.*write it with --qe-baseline-update"
    ):
        read_policy(config, read_settings(config, {}))


@pytest.mark.parametrize(
    "flag",
    [
        "--qe-sarif=x",
        "--qe-markdown=x",
        "--qe-github",
        "--qe-junit",
        "--qe-baseline=x",
        "--qe-baseline-update",
        "--qe-fail-on=duplicate",
    ],
)
def test_without_the_analysis_the_flags_are_a_usage_error(pytester: pytest.Pytester, flag: str) -> None:
    config = pytester.parseconfig(flag)

    with pytest.raises(pytest.UsageError, match=f"{flag.partition('=')[0]} .*add --qe-similar"):
        analysis_asked_for(config)
