"""Failures as JUnit files tell them: written to one and read back, as ``defects learn`` and ``triage`` do."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from benchmarks.defects.mixtures import Failure, Recorded
from pytest_qeattention.defects.junit_file import read_junit

_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_told(recorded: Recorded) -> Recorded:
    """Return *recorded* with each record as a JUnit file gives it. ValueError where records.py kept too little."""
    mutants = [
        replace(mutant, runs={name: _read_back(failures) for name, failures in mutant.runs.items()})
        for mutant in recorded.mutants
    ]
    return replace(recorded, mutants=tuple(mutants))


def _read_back(failures: Sequence[Failure]) -> tuple[Failure, ...]:
    if not all(failure.told for failure in failures):
        raise ValueError("records are of a version that says nothing of JUnit files; make them anew")
    cases = "".join(_case(failure) for failure in failures)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "report.xml")
        head = '<?xml version="1.0" encoding="utf-8"?>'
        text = f'{head}<testsuites><testsuite name="pytest">{cases}</testsuite></testsuites>'
        path.write_text(text, encoding="utf-8")
        read = read_junit(path)
    if len(read.failures) != len(failures):
        raise ValueError(f"of {len(failures)} failures {len(read.failures)} were read back: {read.problems}")
    return tuple(replace(failure, record=record) for failure, record in zip(failures, read.failures, strict=True))


def _case(failure: Failure) -> str:
    told = {name: _ILLEGAL.sub("?", text) for name, text in failure.told.items()}
    return (
        f'<testcase classname={quoteattr(told["classname"])} name={quoteattr(told["name"])} time="0.01">'
        f"<{told['kind']} message={quoteattr(told['message'])}>{escape(_ILLEGAL.sub('?', failure.text))}"
        f"</{told['kind']}></testcase>"
    )
