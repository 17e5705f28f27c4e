"""The settings of a run, from its flags, environment variables and ini keys.

The command line wins over the environment, that over the ini file, and that over the default; None says
"not given". pytest is imported where it is needed, because the command line reads settings without it.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from pytest_qeattention.outputs import Outputs, shared_file
from pytest_qeattention.similarity.baseline import DIRECTORY, FILE_NAME, BaselineError, read_baseline
from pytest_qeattention.similarity.naming import display_path
from pytest_qeattention.similarity.policy import (
    IGNORE_KEY,
    THRESHOLDS_KEY,
    Policy,
    Threshold,
    parse_fail_on,
    parse_ignore,
    parse_thresholds,
)

if TYPE_CHECKING:
    import pytest

MAX_THREADS = 1024
MAX_NEIGHBORS = 10_000


@dataclass(frozen=True, slots=True)
class Settings:
    """Hold what one run was asked for."""

    similar: bool = False
    run: bool = False
    """Run the tests as well as analysing them."""
    json: str | None = None
    """Absolute path, or ``-`` for standard output."""
    store: Path | None = None
    threads: int | None = None
    neighbors: int = 0
    workloads: tuple[str, ...] | None = None
    """Names of the workloads to run; None for all."""
    outputs: Outputs = field(default_factory=Outputs)
    junit: Path | None = None
    """The file of ``--junitxml`` that properties are added to; None for none."""
    baseline: Path | None = None
    baseline_update: bool = False
    fail_on: frozenset[str] = frozenset()
    known_ok: bool = False
    """Let a run pass whose failures are all known defects."""
    thresholds: tuple[Threshold, ...] = ()
    ignore: tuple[str, ...] = ()


def read_settings(config: pytest.Config, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings of a run; raise UsageError for a value that cannot be served."""
    threads = _first(
        ("--qe-threads", config.getoption("qe_threads")),
        ("QE_THREADS", environ.get("QE_THREADS")),
        ("qe_threads", _ini(config, "qe_threads")),
    )
    neighbors = _first(
        ("--qe-neighbors", config.getoption("qe_neighbors")), ("qe_neighbors", _ini(config, "qe_neighbors"))
    )
    store = _store_path(config, environ)
    baseline = _baseline_path(config, store)
    fail_on = config.getoption("qe_fail_on")
    try:
        thread_count = None if threads is None else parse_count(*threads, least=1, most=MAX_THREADS)
        neighbor_count = 0 if neighbors is None else parse_count(*neighbors, least=0, most=MAX_NEIGHBORS)
        gate = frozenset[str]()
        if fail_on is not None:
            gate = parse_fail_on("--qe-fail-on", fail_on, has_baseline=baseline is not None)
        thresholds = parse_thresholds(config.getini(THRESHOLDS_KEY) or ())
        ignore = parse_ignore(config.getini(IGNORE_KEY) or ())
    except ValueError as error:
        _usage(str(error))
    settings = Settings(
        similar=bool(config.getoption("qe_similar")),
        # Failures are those of a run.
        run=bool(config.getoption("qe_run") or config.getoption("qe_defects")),
        json=_output_path(config, "--qe-json"),
        store=store,
        threads=thread_count,
        neighbors=neighbor_count,
        workloads=_workloads(config),
        outputs=Outputs(
            sarif=_output_path(config, "--qe-sarif"),
            markdown=_output_path(config, "--qe-markdown"),
            github=bool(config.getoption("qe_github")),
        ),
        junit=_junit_path(config),
        baseline=baseline,
        baseline_update=bool(config.getoption("qe_baseline_update")),
        fail_on=gate,
        known_ok=bool(config.getoption("qe_known_ok")),
        thresholds=thresholds,
        ignore=ignore,
    )
    _check_together(settings, has_defects=bool(config.getoption("qe_defects")))
    return settings


def read_policy(config: pytest.Config, settings: Settings) -> Policy:
    """Return what the run counts as a finding; raise UsageError for a baseline that cannot be used."""
    baseline = None
    if settings.baseline is not None:
        try:
            baseline = read_baseline(
                settings.baseline,
                display_path(settings.baseline, config.rootpath),
                update=settings.baseline_update,
                update_flag="--qe-baseline-update",
            )
        except BaselineError as error:
            _usage(str(error))
    return Policy(
        root=config.rootpath,
        base=config.rootpath,
        thresholds=settings.thresholds,
        ignore=settings.ignore,
        baseline=baseline,
        update=settings.baseline_update,
    )


def parse_count(name: str, text: str, *, least: int, most: int) -> int:
    """Return the whole number that *text* gives for the setting *name*; raise ValueError out of range."""
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(most))
    value = int(text) if is_number else -1
    if not least <= value <= most:
        raise ValueError(
            f"{name} is {text!r}, not a whole number from {least} to {most}, so it cannot be served; "
            "give such a number, or leave it out"
        )
    return value


def _first(*given: tuple[str, Any]) -> tuple[str, str] | None:
    """Return name and value of the first setting that was given."""
    for name, value in given:
        if value is not None and value != "":
            return name, str(value)
    return None


def _ini(config: pytest.Config, name: str) -> str | None:
    # Before pytest 9 an ini key of type "string" that is not set reads as "".
    value = config.getini(name)
    return None if value is None or value == "" else str(value)


def _output_path(config: pytest.Config, flag: str) -> str | None:
    given = config.getoption(flag[2:].replace("-", "_"))
    if given is None:
        return None
    if given == "-":
        return "-"
    if given == "":
        _usage(f"{flag} is given no path; give {flag}=PATH, or '-' for standard output")
    path = config.invocation_params.dir / given
    if path.is_dir():
        _usage(f"{flag}={given} is a directory, so the report could not be written; give the path of a file")
    if not path.parent.is_dir():
        _usage(
            f"{flag}={given}: directory {path.parent} does not exist, so the report could not be written; "
            "create it, or give another path"
        )
    return str(path)


def _check_together(settings: Settings, *, has_defects: bool) -> None:
    from pytest_qeattention.contributions import BUILTIN

    outputs = settings.outputs
    if (settings.json, outputs.sarif, outputs.markdown).count("-") > 1:
        _usage("--qe-json, --qe-sarif and --qe-markdown cannot share standard output; give files to all but one")
    files = {"--qe-json": settings.json, "--qe-sarif": outputs.sarif, "--qe-markdown": outputs.markdown}
    clash = shared_file({**files, "--qe-baseline": settings.baseline, "--junitxml": settings.junit})
    if clash is not None:
        _usage(clash)
    if settings.workloads is None or BUILTIN in settings.workloads:
        return
    asked: dict[str, object] = {"--qe-fail-on": settings.fail_on, "--qe-baseline": settings.baseline}
    if not has_defects:
        asked |= {
            "--qe-sarif": outputs.sarif,
            "--qe-markdown": outputs.markdown,
            "--qe-github": outputs.github,
            "--qe-junit": settings.junit,
        }
    for flag, value in asked.items():
        if value:
            _usage(f"{flag} is about the analysis {BUILTIN}, which is not run; add --qe-workload={BUILTIN}")


def _junit_path(config: pytest.Config) -> Path | None:
    if not config.getoption("qe_junit"):
        return None
    # Absent with -p no:junitxml.
    given = config.getoption("xmlpath", None)
    if not given or not (config.getoption("qe_run") or config.getoption("qe_defects")):
        _usage(
            "--qe-junit adds to the file of --junitxml, which is written of a run; add --qe-run and --junitxml=PATH "
            "(with --qe-defects --junitxml alone)"
        )
    return config.invocation_params.dir / Path(os.path.expandvars(os.path.expanduser(str(given))))


def _baseline_path(config: pytest.Config, store: Path | None) -> Path | None:
    given = config.getoption("qe_baseline")
    if given is None:
        directory = store if store is not None else config.rootpath / DIRECTORY
        return directory / FILE_NAME if config.getoption("qe_baseline_update") else None
    if given == "":
        _usage("--qe-baseline is given no path; give --qe-baseline=PATH")
    return config.invocation_params.dir / Path(given).expanduser()


def _store_path(config: pytest.Config, environ: Mapping[str, str]) -> Path | None:
    base = config.invocation_params.dir
    given = _first(("--qe-store", config.getoption("qe_store")), ("QE_STORE", environ.get("QE_STORE")))
    if given is None:
        given = _first(("qe_store", _ini(config, "qe_store")))
        base = config.inipath.parent if config.inipath is not None else config.rootpath
    if given is None:
        return None
    name, value = given
    path = base / Path(value).expanduser()
    if path.exists() and not path.is_dir():
        _usage(f"{name}={value} is not a directory, so nothing could be kept there; give a directory")
    return path


def cache_directory(config: pytest.Config, store: Path | None) -> Path | None:
    """Return where caches and history lie: *store* where one is given; None where nothing is kept."""
    if store is not None:
        return store
    # Absent with -p no:cacheprovider.
    if getattr(config, "cache", None) is None:
        return None
    # What Cache.mkdir() returns; but that makes the directory also when nothing will be kept.
    cache = os.path.expandvars(os.path.expanduser(str(config.getini("cache_dir"))))
    return config.rootpath / cache / "d" / "qeattention"


def _workloads(config: pytest.Config) -> tuple[str, ...] | None:
    given = config.getoption("qe_workload")
    if given is None:
        given = config.getini("qe_workloads")
    return tuple(dict.fromkeys(given)) if given else None


def _usage(message: str) -> NoReturn:
    import pytest

    raise pytest.UsageError(message)
