"""Which known defect a failure is: by its signature, by rules that people wrote, by what it is like.

A failure is first looked up by its exact signature, then by the rules; what is left is compared with the patterns of
labelled failures, and the scores are taken together for each defect over all that it was seen to do.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from pytest_qeattention.defects.knowledge import Knowledge, Label
from pytest_qeattention.defects.model import Basis, Cause, DefectsReport, Match, State
from pytest_qeattention.defects.pattern import Pattern
from pytest_qeattention.defects.pattern_index import Feature, PatternIndex
from pytest_qeattention.defects.record import FailureRecord
from pytest_qeattention.defects.statements import Rule
from pytest_qeattention.wording import counted, first_names

LIKELY = 0.5
"""Least score of a defect that a failure is likely to be.

Set by hand and not calibrated: scores are cosines, no probabilities, and so a score alone never makes a defect known.
"""
MARGIN = 0.05
"""By how much its score must be greater than that of the runner-up. Set by hand as well."""
CAUSE_SHARE = 0.5
"""Share of a cause's failures that must be known as one defect for the cause to be known as it."""
MOST_CANDIDATES = 5
_TOP = 3
_FEATURES_SHOWN = 4
# What a feature of each kind is part of.
_GROUND = {
    "value": "message",
    "word": "message",
    "exception": "exception",
    "culprit": "product frame",
    "frame": "product frame",
    "statement": "product frame",
    "fixture": "fixture",
    "assertion": "assertion",
    "test": "test",
    "test word": "test",
    "file": "test",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """Say which defect one failure is."""

    state: State
    defect: str | None
    reasons: tuple[str, ...]
    candidates: tuple[tuple[str, float], ...]
    """Defects and scores from 0 to 1, best first."""
    basis: Basis | None = None
    grounds: frozenset[str] = frozenset()

    @property
    def match(self) -> Match:
        """Return what is said of the failure."""
        return Match(self.state, self.defect, None, self.reasons, self.basis, self.grounds)


class Matcher:
    """Match failures with what is known. Making one reads all labels; matching one failure looks at a few."""

    def __init__(self, knowledge: Knowledge) -> None:
        self._knowledge = knowledge
        self._labels: list[Label] = list(knowledge.labels)
        self._ids = [label.pattern.id for label in self._labels]
        self._by_signature: dict[str, list[int]] = {}
        for place, label in enumerate(self._labels):
            self._by_signature.setdefault(label.pattern.signature, []).append(place)
        self._index = PatternIndex([label.pattern for label in self._labels])
        self._verdicts: dict[Pattern, Verdict] = {}

    def match(self, report: DefectsReport) -> DefectsReport:
        """Return *report* with a match for each cause, and the candidates of each failure."""
        verdicts = [self.verdict(record) for record in report.records]
        causes = tuple(replace(cause, match=self._of_cause(cause, verdicts)) for cause in report.causes)
        candidates = {place: verdict.candidates for place, verdict in enumerate(verdicts) if verdict.candidates}
        matches = {place: verdict.match for place, verdict in enumerate(verdicts)}
        return replace(report, causes=causes, candidates=candidates, matches=matches, knowledge=self._knowledge.summary)

    def verdict(self, failure: FailureRecord | Pattern) -> Verdict:
        """Return which defect one failure is. It is new where nothing is known."""
        pattern = failure if isinstance(failure, Pattern) else Pattern.of(failure)
        # Parameters decide nothing here, and a test may fail with thousands of them.
        pattern = replace(pattern, parameters=())
        found = self._verdicts.get(pattern)
        if found is None:
            found = self._verdicts[pattern] = self._verdict(pattern)
        return found

    def _verdict(self, pattern: Pattern) -> Verdict:
        if self._knowledge.is_empty:
            return Verdict("new", None, ("nothing is known of any defect yet",), ())
        scores, nearest = self._scores(pattern)
        certain = self._by_exact_signature(pattern, scores) or self._by_rule(pattern, scores)
        if certain is not None:
            return certain
        candidates = _ranked(scores)
        if not candidates:
            return Verdict("new", None, ("shares nothing with a labelled failure",), ())
        (name, score), rest = candidates[0], candidates[1:]
        runner_up = f"; runner-up {rest[0][0]} has {rest[0][1]:.2f}" if rest else ""
        if score < LIKELY:
            return Verdict("new", None, (f"nearest is {name} with {score:.2f}, less than {LIKELY:.2f}",), candidates)
        if rest and score - rest[0][1] < MARGIN:
            return Verdict("new", None, (f"between {name} with {score:.2f} and {rest[0][0]}{runner_up}",), candidates)
        shown = _shown(self._index.shared(pattern, nearest[name]))
        reasons = [f"like a failure of {name}: score {score:.2f}{runner_up}", f"both have {shown}"]
        if self._knowledge.defects[name].state == "closed":
            reasons.append(f"{name} is closed")
        grounds = frozenset(_GROUND[kind] for kind, _ in self._index.shared(pattern, nearest[name]))
        return Verdict("likely", name, tuple(reasons), candidates, "score", grounds)

    def _scores(self, pattern: Pattern) -> tuple[dict[str, float], dict[str, int]]:
        """Return the score of each defect near *pattern*, and the place of its nearest label."""
        confirmed: dict[str, list[float]] = {}
        rejected: dict[str, float] = {}
        nearest: dict[str, int] = {}
        own = pattern.id
        for score, place in self._index.nearest(pattern):
            label = self._labels[place]
            if not label.is_confirmed:
                # Said of this very failure, it holds whatever else is alike.
                against = 2.0 if self._ids[place] == own else score
                rejected[label.defect] = max(against, rejected.get(label.defect, 0.0))
                continue
            confirmed.setdefault(label.defect, []).append(score)
            nearest.setdefault(label.defect, place)
        scores = {
            name: (found[0] + sum(found[:_TOP]) / len(found[:_TOP])) / 2
            for name, found in confirmed.items()
            if rejected.get(name, -1.0) < found[0]
        }
        return scores, nearest

    def _by_exact_signature(self, pattern: Pattern, scores: Mapping[str, float]) -> Verdict | None:
        places = self._by_signature.get(pattern.signature, ())
        labels = [self._labels[place] for place in places]
        own = pattern.id
        of_own = [self._labels[place] for place in places if self._ids[place] == own]
        rejected_here = {each.defect for each in of_own if not each.is_confirmed}
        claims = [each for each in labels if each.is_confirmed and each.defect not in rejected_here]
        if not claims:
            return None
        # What was said of this very test counts before what was said of others.
        of_test = [each for each in of_own if each.is_confirmed]
        newest = max(of_test or claims, key=lambda each: (each.at, each.defect))
        name = newest.defect
        others = sorted({each.defect for each in claims} - {name})
        same = sum(each.defect == name for each in claims)
        by = f" by {newest.by}" if newest.by else ""
        reason = f"same exception, message and place as {counted(same, 'labelled failure')} (last {newest.at[:10]}{by})"
        candidates = _ranked({**scores, name: 1.0}, first=name)
        grounds = _of_signature(pattern)
        is_disputed = any(not each.is_confirmed and each.defect == name for each in labels)
        if not of_test and (others or is_disputed):
            why = (
                f"so do failures of {first_names(others)}" if others else f"one such failure was said not to be {name}"
            )
            return Verdict("likely", name, (reason, why), candidates, "signature", grounds)
        if not pattern.type and not pattern.template:
            reason = f"the same test failed as {name}; it says nothing of why"
            return Verdict("likely", name, (reason,), candidates, "signature", grounds)
        return self._certain(Verdict("known", name, (reason,), candidates, "signature", grounds))

    def _by_rule(self, pattern: Pattern, scores: Mapping[str, float]) -> Verdict | None:
        signature = self._by_signature.get(pattern.signature, ())
        rejected = {self._labels[place].defect for place in signature if not self._labels[place].is_confirmed}
        for name, rule in self._knowledge.rules:
            if name not in rejected and matches(rule, pattern):
                reasons = (f"by the rule {shown_rule(rule)}",)
                candidates = _ranked({**scores, name: 1.0}, name)
                return self._certain(Verdict("known", name, reasons, candidates, "rule", _of_rule(rule)))
        return None

    def _certain(self, verdict: Verdict) -> Verdict:
        defect = self._knowledge.defects[verdict.defect or ""]
        if defect.state == "open":
            return verdict
        closed = f"closed on {defect.closed[:10]}" if defect.closed else "closed"
        return replace(verdict, state="regressed", reasons=(*verdict.reasons, closed))

    def _of_cause(self, cause: Cause, verdicts: list[Verdict]) -> Match:
        """Return what most of a cause's failures are; a few that are known do not speak for many that are not."""
        own = [verdicts[place] for place in cause.failures]
        total = len(own)
        certain = Counter(each.defect for each in own if each.state in ("known", "regressed") and each.defect)
        guessed = Counter(each.defect for each in own if each.state == "likely" and each.defect)
        for counts, is_certain in ((certain, True), (guessed, False)):
            if not counts:
                continue
            (name, count), *rest = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
            first = next(each for each in own if each.defect == name and (each.state != "likely") is is_certain)
            reasons = list(first.reasons)
            if count < total:
                reasons.append(f"that holds for {count} of its {total} failures")
            reasons.extend(f"{counted(other_count, 'failure')} of it: {other}" for other, other_count in rest[:2])
            is_most = count >= CAUSE_SHARE * total and (not rest or count > rest[0][1])
            state = first.state if is_most else "likely"
            return Match(state, name, None, tuple(reasons), first.basis, first.grounds)
        representative = verdicts[cause.representative]
        return Match("new", None, None, representative.reasons)


def _of_signature(pattern: Pattern) -> frozenset[str]:
    found = {"message"} if pattern.template else set()
    if pattern.culprit is not None:
        found.add("product frame")
    elif pattern.fixture is not None:
        found.add("fixture")
    else:
        found.add("test")
    return frozenset(found)


def _of_rule(rule: Rule) -> frozenset[str]:
    parts = (("exception", rule.type), ("message", rule.template), ("product frame", rule.frame))
    return frozenset(ground for ground, glob in parts if glob)


def matches(rule: Rule, pattern: Pattern) -> bool:
    """Tell whether every glob of *rule* fits *pattern*; case counts."""
    if rule.type and not any(fnmatchcase(name, rule.type) for name in (pattern.type, pattern.type.rpartition(".")[2])):
        return False
    if rule.template and not fnmatchcase(pattern.template, rule.template):
        return False
    frames = pattern.frames if pattern.culprit is None else (*pattern.frames, pattern.culprit)
    places = [f"{path}::{qualname}" for path, qualname in frames]
    return not rule.frame or any(fnmatchcase(place, rule.frame) for place in places)


def shown_rule(rule: Rule) -> str:
    """Return *rule* as a line of text."""
    parts = (("type", rule.type), ("message", rule.template), ("frame", rule.frame))
    return ", ".join(f"{name} {glob}" for name, glob in parts if glob)


def _ranked(scores: Mapping[str, float], first: str | None = None) -> tuple[tuple[str, float], ...]:
    order = sorted(scores.items(), key=lambda entry: (entry[0] != first, -entry[1], entry[0]))
    return tuple((name, round(score, 6)) for name, score in order[:MOST_CANDIDATES])


def _shown(shared: Iterable[Feature]) -> str:
    return ", ".join(f"{kind} {text}" for kind, text in list(shared)[:_FEATURES_SHOWN])
