from __future__ import annotations

from pathlib import Path

import pytest

from pytest_qeattention.options import analysis_asked_for
from pytest_qeattention.settings import Settings, parse_count, read_settings


def settings(pytester: pytest.Pytester, *arguments: str, **environ: str) -> Settings:
    return read_settings(pytester.parseconfig(*arguments), environ)


def test_nothing_given_is_the_default(pytester: pytest.Pytester) -> None:
    assert settings(pytester) == Settings()


def test_flags_are_read(pytester: pytest.Pytester) -> None:
    given = settings(
        pytester,
        "--qe-similar",
        "--qe-run",
        "--qe-json=report.json",
        "--qe-store=kept",
        "--qe-threads=3",
        "--qe-neighbors=5",
        "--qe-workload=one",
        "--qe-workload=two",
        "--qe-workload=one",
    )

    assert given == Settings(
        similar=True,
        run=True,
        json=str(pytester.path / "report.json"),
        store=pytester.path / "kept",
        threads=3,
        neighbors=5,
        workloads=("one", "two"),
    )


def test_settings_are_frozen() -> None:
    with pytest.raises(AttributeError):
        Settings().threads = 2  # type: ignore[misc]


@pytest.mark.parametrize(
    ("flag", "environ", "ini", "expected"),
    [
        ("4", "3", "2", 4),
        (None, "3", "2", 3),
        (None, None, "2", 2),
        (None, None, None, None),
        (None, "", "2", 2),
    ],
)
def test_command_line_wins_over_environment_over_ini(
    pytester: pytest.Pytester, flag: str | None, environ: str | None, ini: str | None, expected: int | None
) -> None:
    if ini is not None:
        pytester.makeini(f"[pytest]\nqe_threads = {ini}")
    arguments = [] if flag is None else [f"--qe-threads={flag}"]
    variables = {} if environ is None else {"QE_THREADS": environ}

    assert settings(pytester, *arguments, **variables).threads == expected


def test_zero_neighbours_on_the_command_line_switch_the_ini_off(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nqe_neighbors = 7")

    assert settings(pytester).neighbors == 7
    assert settings(pytester, "--qe-neighbors=0").neighbors == 0


def test_workloads_of_the_ini_give_way_to_the_command_line(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nqe_workloads = one two")

    assert settings(pytester).workloads == ("one", "two")
    assert settings(pytester, "--qe-workload=three").workloads == ("three",)


def test_store_paths_are_relative_to_where_they_are_said(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nqe_store = from_ini")
    below = pytester.mkdir("below")

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(below)
        assert settings(pytester).store == pytester.path / "from_ini"
        assert settings(pytester, QE_STORE="from_env").store == below / "from_env"
        assert settings(pytester, "--qe-store=given", QE_STORE="from_env").store == below / "given"


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--qe-threads=0", "--qe-threads is '0', not a whole number from 1 to 1024"),
        ("--qe-threads=two", "--qe-threads is 'two', not a whole number"),
        ("--qe-threads=1.5", "--qe-threads is '1.5', not a whole number"),
        ("--qe-threads=99999", "--qe-threads is '99999', not a whole number from 1 to 1024"),
        ("--qe-neighbors=-1", "--qe-neighbors is '-1', not a whole number from 0 to 10000"),
        (
            "--qe-json=missing/report.json",
            r"--qe-json=missing/report.json: directory .*missing does not exist",
        ),
        ("--qe-json=.", r"--qe-json=\. is a directory"),
        ("--qe-json=", "--qe-json is given no path"),
        ("--qe-store=file.txt", "--qe-store=file.txt is not a directory"),
    ],
)
def test_a_value_that_cannot_be_served_is_a_usage_error(pytester: pytest.Pytester, argument: str, message: str) -> None:
    pytester.maketxtfile(file="x")

    with pytest.raises(pytest.UsageError, match=message):
        settings(pytester, argument)


def test_the_setting_that_is_wrong_is_named(pytester: pytest.Pytester) -> None:
    with pytest.raises(pytest.UsageError, match="QE_THREADS is 'many'"):
        settings(pytester, QE_THREADS="many")
    pytester.makeini("[pytest]\nqe_threads = none")
    with pytest.raises(pytest.UsageError, match="qe_threads is 'none'"):
        settings(pytester)


def test_standard_output_and_devices_are_outputs(pytester: pytest.Pytester) -> None:
    assert settings(pytester, "--qe-json=-").json == "-"
    device = Path("/dev/null")
    if device.exists():
        assert settings(pytester, f"--qe-json={device}").json == str(device)


@pytest.mark.parametrize("flag", ["--qe-json=x.json", "--qe-neighbors=3", "--qe-workload=x", "--qe-run"])
def test_a_flag_without_an_analysis_is_a_usage_error(pytester: pytest.Pytester, flag: str) -> None:
    config = pytester.parseconfig(flag)

    with pytest.raises(pytest.UsageError, match=f"{flag.partition('=')[0]} .*add --qe-similar"):
        analysis_asked_for(config)


@pytest.mark.parametrize("flags", [(), ("--qe-threads=2",), ("--qe-store=kept",)])
def test_settings_alone_ask_for_no_analysis(pytester: pytest.Pytester, flags: tuple[str, ...]) -> None:
    assert analysis_asked_for(pytester.parseconfig(*flags)) is False


def test_the_flag_asks_for_an_analysis(pytester: pytest.Pytester) -> None:
    assert analysis_asked_for(pytester.parseconfig("--qe-similar", "--qe-json=x.json")) is True


@pytest.mark.parametrize("text", ["", " ", "1e3", "0x10", "-0", "\u0661", "1_0", "+1", "9" * 5000])
def test_counts_out_of_range_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="--count is"):
        parse_count("--count", text, least=1, most=1000)


def test_counts_in_range_are_read() -> None:
    assert [parse_count("--count", text, least=0, most=9) for text in ("0", "9")] == [0, 9]
