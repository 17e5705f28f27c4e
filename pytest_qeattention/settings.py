"""The settings of a run, from its flags, environment variables and ini keys.

The command line wins over the environment, that over the ini file, and that over the default; None says
"not given". pytest is imported where it is needed, because the command line reads settings without it.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

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
    try:
        thread_count = None if threads is None else parse_count(*threads, least=1, most=MAX_THREADS)
        neighbor_count = 0 if neighbors is None else parse_count(*neighbors, least=0, most=MAX_NEIGHBORS)
    except ValueError as error:
        _usage(str(error))
    return Settings(
        similar=bool(config.getoption("qe_similar")),
        run=bool(config.getoption("qe_run")),
        json=_json_path(config),
        store=_store_path(config, environ),
        threads=thread_count,
        neighbors=neighbor_count,
        workloads=_workloads(config),
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


def _json_path(config: pytest.Config) -> str | None:
    given = config.getoption("qe_json")
    if given is None:
        return None
    if given == "-":
        return "-"
    if given == "":
        _usage("--qe-json is given no path; give --qe-json=PATH, or '-' for standard output")
    path = config.invocation_params.dir / given
    if path.is_dir():
        _usage(f"--qe-json={given} is a directory, so the report could not be written; give the path of a file")
    if not path.parent.is_dir():
        _usage(
            f"--qe-json={given}: directory {path.parent} does not exist, so the report could not be written; "
            "create it, or give another path"
        )
    return str(path)


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


def _workloads(config: pytest.Config) -> tuple[str, ...] | None:
    given = config.getoption("qe_workload")
    if given is None:
        given = config.getini("qe_workloads")
    return tuple(dict.fromkeys(given)) if given else None


def _usage(message: str) -> NoReturn:
    import pytest

    raise pytest.UsageError(message)
