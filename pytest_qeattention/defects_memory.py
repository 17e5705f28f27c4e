"""What a run with ``--qe-defects`` knows of earlier ones: the labels that people gave, and the history.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pytest_qeattention.defects.history import History, HistoryError, Seen
from pytest_qeattention.defects.knowledge import Knowledge, default_directory, knowledge_file
from pytest_qeattention.defects.knowledge_file import KnowledgeError
from pytest_qeattention.defects.matching import Matcher
from pytest_qeattention.defects.model import DefectsReport

_SOURCE = "pytest --qe-defects"


class Memory:
    """Match a run with what is known, and keep it so that its causes can be named.

    Labels lie in *store* or in the project at *root*, the history in *cache*; None keeps none. What cannot be read or
    written is said in `problems`, and costs no more than itself.
    """

    def __init__(self, root: Path, store: Path | None, cache: Path | None) -> None:
        self._file = knowledge_file(store if store is not None else default_directory(root))
        self._cache = cache
        self.knowledge: Knowledge | None = None
        """What is known; None before a report was matched, and where it cannot be read."""
        self.seen: Mapping[str, Seen] = {}
        """When causes were seen before, by their ids."""
        self.is_kept = False
        self.problems: list[str] = []

    def matched(self, report: DefectsReport) -> DefectsReport:
        """Return *report* with a match for each cause; without any where the labels cannot be read."""
        try:
            knowledge = Knowledge.load(self._file)
        except KnowledgeError as error:
            self.problems.append(f"{error}; no cause is looked up")
            return report
        self.knowledge = knowledge
        found = tuple(f"{self._file.name}: {problem}" for problem in knowledge.problems)
        return Matcher(knowledge).match(replace(report, problems=(*report.problems, *found)))

    @property
    def urls(self) -> dict[str, str]:
        """Return where defects are described, by their names."""
        return urls_of(self.knowledge)

    def keep(self, report: DefectsReport) -> None:
        """Look up when the causes were seen before, and add the run to the history."""
        if self._cache is None or not report.records:
            return
        history = History(self._cache)
        try:
            self.seen = seen_before(history, report)
            history.add(report, source=_SOURCE)
            self.is_kept = True
        except HistoryError as error:
            self.problems.append(f"{error}; this run is not kept, and no command can speak of its causes")
        self.problems.extend(history.problems)


def urls_of(knowledge: Knowledge | None) -> dict[str, str]:
    """Return where defects are described, by their names; those that are nowhere are absent."""
    defects = {} if knowledge is None else knowledge.defects
    return {name: defect.url for name, defect in defects.items() if defect.url is not None}


def seen_before(history: History, report: DefectsReport) -> dict[str, Seen]:
    """Return when the causes of *report* were seen, by their ids: they themselves, or the defects that they are.

    Causes that were never seen are absent. Raises HistoryError.
    """
    signatures = {cause.id: report.records[cause.representative].signature() for cause in report.causes}
    defects = {
        cause.id: cause.match.defect
        for cause in report.causes
        if cause.match is not None and cause.match.defect is not None and cause.match.state != "likely"
    }
    of_signature = history.seen("signature", signatures.values())
    of_defect = history.seen("defect", defects.values())
    found: dict[str, Seen] = {}
    for id_, signature in signatures.items():
        met = [of_signature.get(signature), of_defect.get(defects.get(id_, ""))]
        each = [seen for seen in met if seen is not None]
        if each:
            found[id_] = Seen(
                min(seen.first for seen in each), max(seen.last for seen in each), max(seen.runs for seen in each)
            )
    return found
