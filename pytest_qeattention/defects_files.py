"""The files that a run with ``--qe-defects`` writes: the JSON document, SARIF, Markdown, annotations, JUnit properties.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_qeattention.contributions import FAILURES
from pytest_qeattention.outputs import STANDARD_OUTPUT, begin_line
from pytest_qeattention.settings import Settings

if TYPE_CHECKING:
    from pytest_qeattention.outputs import FoundCauses


class DefectsFiles:
    """Write what was found. *warn* says what cannot be written, *fail* what failed; neither costs the other files."""

    def __init__(
        self,
        config: pytest.Config,
        settings: Settings,
        warn: Callable[[str], None],
        fail: Callable[[BaseException], None],
    ) -> None:
        self._config = config
        self._settings = settings
        self._warn = warn
        self._fail = fail
        self.has_json = False
        """Whether the JSON document is written, or another one writes it."""
        self.has_others = False
        """Whether SARIF, Markdown and annotations are."""

    @property
    def are_asked_for(self) -> bool:
        outputs = self._settings.outputs
        paths = (self._settings.json, outputs.sarif, outputs.markdown, self._settings.junit)
        return outputs.github or any(path is not None for path in paths)

    def write(self, found: FoundCauses) -> None:
        """Write all files that no other has written."""
        if self._settings.json is not None and not self.has_json:
            self._write_json(self._settings.json, found)
        if not self.has_others:
            self._write_others(found)
        if self._settings.junit is not None:
            self._complete_junit(self._settings.junit, found)

    def _write_json(self, path: str, found: FoundCauses) -> None:
        try:
            from pytest_qeattention.information import backend_info
            from pytest_qeattention.report.document import document, dumps

            part = part_of(found)
            text = dumps(document(backend=backend_info(), defects=part, defects_failed=part is None))
        except FAILURES as error:
            self._fail(error)
        else:
            self._write_text(path, text)

    def _write_others(self, found: FoundCauses) -> None:
        try:
            from pytest_qeattention.outputs import rendered

            base = self._config.rootpath
            texts = list(rendered(self._settings.outputs, None, base=base, causes=found, is_similar=False))
        except FAILURES as error:
            self._fail(error)
        else:
            for path, text in texts:
                self._write_text(path, text)

    def _complete_junit(self, file: Path, found: FoundCauses) -> None:
        if found.report is None:
            return
        from pytest_qeattention.store import OutputError

        try:
            from pytest_qeattention.junit import add_properties, case_of
            from pytest_qeattention.report.defects_junit import failing_properties, run_properties

            prefix = self._config.getoption("junitprefix", None)
            of_tests = failing_properties(found.report)
            cases = {case_of(nodeid, prefix): properties for nodeid, properties in of_tests.items()}
            add_properties(file, run_properties(found.report), cases)
        except OutputError as error:
            self._warn(f"qe-defects: {error}; the file is as pytest wrote it")
        except FAILURES as error:
            self._fail(error)

    def _write_text(self, path: str, text: str) -> None:
        from pytest_qeattention.store import OutputError, write_atomically

        if path == STANDARD_OUTPUT:
            begin_line(self._config)
        try:
            write_atomically(path, text)
        except OutputError as error:
            self._warn(f"qe-defects: {error}; the run goes on without that file")


def part_of(found: FoundCauses) -> dict[str, Any] | None:
    """Return the part of the JSON document; None where the analysis failed."""
    if found.report is None:
        return None
    from pytest_qeattention.report.defects_document import defects_part

    return defects_part(found.report, found.beside)
