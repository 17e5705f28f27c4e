"""What a run with ``--qe-defects`` knows of earlier ones: the labels that people gave, and the history.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_qeattention.defects.history import History, HistoryError, Seen
from pytest_qeattention.defects.knowledge import Knowledge, default_directory, knowledge_file
from pytest_qeattention.defects.knowledge_file import KnowledgeError
from pytest_qeattention.defects.matching import Matcher
from pytest_qeattention.defects.model import DefectsReport
from pytest_qeattention.report.defect_lines import seen_part, seen_text

_SOURCE = "pytest --qe-defects"


class Memory:
    """Match a run with what is known, and keep it so that its causes can be named.

    Labels lie in *store* or in the project at *root*, the history in *cache*; None keeps none. What cannot be read or
    written is said in `problems`, and costs no more than itself.
    """

    def __init__(self, root: Path, store: Path | None, cache: Path | None) -> None:
        self._file = knowledge_file(store if store is not None else default_directory(root))
        self._cache = cache
        self._seen: dict[str, Seen] = {}
        self.is_kept = False
        self.problems: list[str] = []

    def matched(self, report: DefectsReport) -> DefectsReport:
        """Return *report* with a match for each cause; without any where the labels cannot be read."""
        try:
            knowledge = Knowledge.load(self._file)
        except KnowledgeError as error:
            self.problems.append(f"{error}; no cause is looked up")
            return report
        found = tuple(f"{self._file.name}: {problem}" for problem in knowledge.problems)
        return Matcher(knowledge).match(replace(report, problems=(*report.problems, *found)))

    def keep(self, report: DefectsReport) -> None:
        """Look up when the causes were seen before, and add the run to the history."""
        if self._cache is None or not report.records:
            return
        history = History(self._cache)
        try:
            signatures = {cause.id: report.records[cause.representative].signature() for cause in report.causes}
            before = history.seen("signature", signatures.values())
            self._seen = {id_: before[name] for id_, name in signatures.items() if name in before}
            history.add(report, source=_SOURCE)
            self.is_kept = True
        except HistoryError as error:
            self.problems.append(f"{error}; this run is not kept, and no command can speak of its causes")
        self.problems.extend(history.problems)

    def texts(self) -> dict[str, str]:
        """Return in words when causes were seen before, by their ids."""
        return {id_: seen_text(each) for id_, each in self._seen.items()}

    def add_dates(self, part: dict[str, Any]) -> None:
        """Add to the groups of the JSON *part* when they were seen before."""
        for group in part["groups"]:
            group.update(seen_part(self._seen.get(group["id"])))
