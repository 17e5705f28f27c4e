"""Which known defect a failure is: by its signature, by rules that people wrote, by what it is like.

A failure that a person labelled is known when the same test fails again in the same way. Then rules are asked, and what
is left is compared with all that the known defects were seen to do (`scoring`), which gives each a probability, and one
to the failure's being new.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

import numpy as np

from pytest_qeattention.defects.grouping import parted
from pytest_qeattention.defects.knowledge import Knowledge, Label
from pytest_qeattention.defects.match_model import MatchModel, MatchModelError, shipped
from pytest_qeattention.defects.match_reasons import against, for_defect, grounds_of, shown
from pytest_qeattention.defects.model import Basis, Cause, DefectsReport, Match, State
from pytest_qeattention.defects.pattern import Pattern
from pytest_qeattention.defects.pattern_table import COLUMNS, FloatArray
from pytest_qeattention.defects.record import FailureRecord
from pytest_qeattention.defects.scoring import Compared, Scorer
from pytest_qeattention.defects.statements import Rule
from pytest_qeattention.wording import counted, first_names

CAUSE_SHARE = 0.5
"""Share of a cause's failures that must be known as one defect for the cause to be known as it."""
OUTWEIGHS = 2.0
"""By how much another defect must be more probable than what the same test was labelled, to be named in its place."""
MOST_CANDIDATES = 5
MOST_MATCHED = 1_000
"""Different failures of one run that are compared with what is known, about; it takes a millisecond each."""
_LEAST_BETWEEN = 0.2
"""Probability of a second defect with which a failure is one of two."""
_LEAST_SHOWN = 0.01
"""Probability of a defect that is named beside the one that a failure is."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Say which defect one failure is."""

    state: State
    defect: str | None
    reasons: tuple[str, ...]
    candidates: tuple[tuple[str, float], ...]
    """Defects and their probabilities, best first."""
    basis: Basis | None = None
    grounds: frozenset[str] = frozenset()
    confidence: float | None = None
    """Probability of what is said; None where it was not measured."""

    @property
    def match(self) -> Match:
        """Return what is said of the failure."""
        return Match(self.state, self.defect, self.confidence, self.reasons, self.basis, self.grounds)


_NOTHING_KNOWN = Verdict("new", None, ("nothing is known of any defect yet",), ())


class Matcher:
    """Match failures with what is known. Making one reads all labels; matching a failure looks at a few.

    *model* weighs what failures have in common, that of the package if None; `problem` says why there is none.
    """

    def __init__(self, knowledge: Knowledge, model: MatchModel | None = None) -> None:
        self._knowledge = knowledge
        self.problem: str | None = None
        self._labels: list[Label] = list(knowledge.labels)
        self._by_signature: dict[str, list[Label]] = {}
        self._by_id: dict[str, list[Label]] = {}
        self._rejected: dict[str, list[Pattern]] = {}
        for label in self._labels:
            self._by_signature.setdefault(label.pattern.signature, []).append(label)
            self._by_id.setdefault(label.pattern.id, []).append(label)
            if not label.is_confirmed:
                self._rejected.setdefault(label.defect, []).append(label.pattern)
        confirmed = [label for label in self._labels if label.is_confirmed]
        self._names = sorted({label.defect for label in confirmed})
        self._scorer: Scorer | None = None
        self._verdicts: dict[str, Verdict] = {}
        if confirmed:
            number = {name: at for at, name in enumerate(self._names)}
            try:
                chosen = shipped() if model is None else model
            except MatchModelError as error:
                self.problem = str(error)
            else:
                patterns = [label.pattern for label in confirmed]
                self._scorer = Scorer(patterns, [number[label.defect] for label in confirmed], chosen)

    def match(self, report: DefectsReport) -> DefectsReport:
        """Return *report* with a match for each cause and failure, and the candidates of each failure."""
        verdicts = self._of_all(report)
        told = {
            place: verdict.defect
            for place, verdict in enumerate(verdicts)
            if verdict.defect is not None and verdict.state in ("known", "regressed") and verdict.basis != "score"
        }
        causes = parted(report.records, report.causes, told)
        causes = tuple(replace(cause, match=self._of_cause(cause, verdicts)) for cause in causes)
        candidates = {place: verdict.candidates for place, verdict in enumerate(verdicts) if verdict.candidates}
        matches = {place: verdict.match for place, verdict in enumerate(verdicts)}
        problems = report.problems if self.problem is None else (*report.problems, self.problem)
        return replace(
            report,
            causes=causes,
            candidates=candidates,
            matches=matches,
            problems=problems,
            knowledge=self._knowledge.summary,
        )

    def _of_all(self, report: DefectsReport) -> list[Verdict]:
        if self._knowledge.is_empty:
            return [_NOTHING_KNOWN] * len(report.records)
        patterns = [Pattern.of(record) for record in report.records]
        cause_of = {place: cause for cause in report.causes for place in cause.failures}
        # Of so many failures as nobody reads, those of one cause are spread evenly over it, and speak for the others.
        asked: Sequence[int] = range(len(patterns))
        if len({pattern.id for pattern in patterns}) > MOST_MATCHED:
            share = MOST_MATCHED / len(patterns)
            spread: set[int] = set()
            for cause in report.causes:
                step = len(cause.failures) / max(round(share * len(cause.failures)), 1)
                spread.update(cause.failures[int(at * step)] for at in range(int(len(cause.failures) / step)))
                spread.add(cause.representative)
            asked = sorted(spread)
        found = dict(zip(asked, self.verdicts([patterns[place] for place in asked]), strict=True))
        return [found.get(place) or _as(found[cause_of[place].representative]) for place in range(len(patterns))]

    def verdict(self, failure: FailureRecord | Pattern) -> Verdict:
        """Return which defect one failure is. It is new where nothing is known."""
        return self.verdicts([failure if isinstance(failure, Pattern) else Pattern.of(failure)])[0]

    def verdicts(self, patterns: Sequence[Pattern]) -> list[Verdict]:
        """Return which defect each failure is; one test that fails in one way is one, whatever its parameters."""
        if self._knowledge.is_empty:
            return [_NOTHING_KNOWN] * len(patterns)
        first: dict[str, Pattern] = {}
        ids = [pattern.id for pattern in patterns]
        for own, pattern in zip(ids, patterns, strict=True):
            if own not in self._verdicts:
                first.setdefault(own, pattern)
        asked = list(first.values())
        compared = [None] * len(asked) if self._scorer is None else self._scorer.compare(asked)
        for own, pattern, each in zip(first, asked, compared, strict=True):
            self._verdicts[own] = self._verdict(pattern, each)
        return [self._verdicts[own] for own in ids]

    def _verdict(self, pattern: Pattern, compared: Compared | None) -> Verdict:
        scored = self._scored(pattern, compared)
        found = self._by_own_label(pattern, scored)
        # A rule settles what labels leave in doubt, but for those of the test itself that say otherwise.
        if found is None or found.state == "likely":
            own = {label.defect for label in self._by_id.get(pattern.id, ()) if label.is_confirmed}
            ruled = self._by_rule(pattern, scored)
            found = ruled if ruled is not None and (not own or ruled.defect in own) else found
        if found is not None:
            return found
        if not pattern.type and not pattern.template:
            return Verdict("new", None, ("it says nothing of why it failed",), _ranked(scored.probabilities))
        return self._by_score(pattern, scored)

    def _scored(self, pattern: Pattern, compared: Compared | None) -> _Scored:
        """Return the probabilities of the defects that *pattern* may be; what was said against one is heeded."""
        if compared is None or self._scorer is None:
            return _NOTHING
        names = [self._names[number] for number in compared.defects]
        kept = [at for at, name in enumerate(names) if not self._is_rejected(pattern, name, compared.defects[at])]
        model = self._scorer.model
        numbers = compared.numbers[kept]
        odds = model.probabilities(numbers, compared.novelty, compared.is_framed)
        order = sorted(range(len(kept)), key=lambda at: (-odds[at], names[kept[at]]))
        return _Scored(
            tuple((names[kept[at]], float(odds[at])) for at in order), numbers[order], float(odds[-1]), model
        )

    def _is_rejected(self, pattern: Pattern, name: str, number: int) -> bool:
        """Tell whether *pattern* is more like failures that were said not to be the defect than like those that are."""
        rejected = self._rejected.get(name)
        if not rejected or self._scorer is None:
            return False
        if any(other.id == pattern.id for other in rejected):
            return True
        return self._scorer.likeness(pattern, rejected) >= self._scorer.likeness_of(pattern, number)

    def _by_own_label(self, pattern: Pattern, scored: _Scored) -> Verdict | None:
        """Judge by what was said of the same test failing in the same way, and else of that way of failing."""
        labels = self._by_signature.get(pattern.signature, [])
        own = self._by_id.get(pattern.id, [])
        rejected_here = {label.defect for label in own if not label.is_confirmed}
        claims = [label for label in labels if label.is_confirmed and label.defect not in rejected_here]
        if not claims:
            return None
        of_test = [label for label in own if label.is_confirmed]
        newest = max(of_test or claims, key=lambda label: (label.at, label.defect))
        name = newest.defect
        others = sorted({label.defect for label in claims} - {name})
        same = sum(label.defect == name for label in claims)
        by = f" by {newest.by}" if newest.by else ""
        reason = f"same exception, message and place as {counted(same, 'labelled failure')} (last {newest.at[:10]}{by})"
        grounds = _of_signature(pattern)
        of = dict(scored.probabilities)
        if of_test and scored.probabilities and scored.probabilities[0][1] > OUTWEIGHS * of.get(name, 0.0):
            found = self._by_score(pattern, scored)
            said = f"the same test failing in the same way was labelled {name} ({of.get(name, 0.0):.2f})"
            return replace(found, reasons=(*found.reasons, said))
        if of_test:
            if not pattern.type and not pattern.template:
                reason = f"the same test failed as {name}; it says nothing of why"
                return Verdict("likely", name, (reason,), _ranked(scored.probabilities, name), "signature", grounds)
            candidates = _ranked(scored.probabilities, name)
            found = Verdict("known", name, (reason,), candidates, "signature", grounds, of.get(name))
            if scored.model is None or of.get(name, 0.0) >= scored.model.known_again:
                return self._certain(found)
            # What it says is said of much else too.
            other = next((each for each in scored.probabilities if each[0] != name), ("a new defect", scored.new))
            is_new = other[1] < scored.new
            why = f"it says so little that it may be {'a new defect' if is_new else other[0]} as well"
            shares = f"probability {of.get(name, 0.0):.2f}, of {'a new one' if is_new else other[0]} "
            shares += f"{scored.new if is_new else other[1]:.2f}; a rule settles it"
            return replace(found, state="likely", reasons=(reason, f"{why} ({shares})"))
        is_disputed = any(not label.is_confirmed and label.defect == name for label in labels)
        if others or is_disputed:
            why = (
                f"so do failures of {first_names(others)}" if others else f"one such failure was said not to be {name}"
            )
            candidates = _ranked(scored.probabilities, name)
            return Verdict("likely", name, (reason, why), candidates, "signature", grounds, of.get(name))
        if scored.model is None:
            return Verdict("likely", name, (reason,), ((name, 1.0),), "signature", grounds)
        found = self._by_score(pattern, scored)
        if found.defect != name:
            return None
        reasons = (reason, *found.reasons)
        return replace(found, reasons=reasons, basis="signature", grounds=found.grounds | grounds)

    def _by_rule(self, pattern: Pattern, scored: _Scored) -> Verdict | None:
        signature = self._by_signature.get(pattern.signature, ())
        rejected = {label.defect for label in signature if not label.is_confirmed}
        for name, rule in self._knowledge.rules:
            if name not in rejected and matches(rule, pattern):
                reasons = (f"by the rule {shown_rule(rule)}",)
                candidates = _ranked(scored.probabilities, name, 1.0)
                return self._certain(Verdict("known", name, reasons, candidates, "rule", _of_rule(rule)))
        return None

    def _by_score(self, pattern: Pattern, scored: _Scored) -> Verdict:
        candidates = _ranked(scored.probabilities)
        if scored.model is None:
            return Verdict("new", None, ("neither a signature nor a rule fits, and nothing else was compared",), ())
        if not scored.probabilities:
            return Verdict("new", None, ("shares nothing with a labelled failure",), ())
        (name, probability), *rest = scored.probabilities
        model = scored.model
        own = scored.numbers[0]
        weights, _ = model.rows(bool(pattern.frames))
        is_between = bool(rest) and probability + rest[0][1] >= model.likely and rest[0][1] >= _LEAST_BETWEEN
        if probability < model.likely and is_between:
            between = " and ".join(f"{other} ({share:.2f})" for other, share in scored.probabilities[:2])
            reasons = [f"one of two that are known, with probability {probability + rest[0][1]:.2f}: {between}"]
            grounds = grounds_of(own, weights)
            return Verdict("likely", name, tuple(reasons), candidates, "score", grounds, probability)
        if probability < model.likely:
            differs = against(pattern, own, weights)
            has = f", which has {differs}" if differs else ""
            reason = f"new with probability {scored.new:.2f}; nearest is {name} with {probability:.2f}{has}"
            return Verdict("new", None, (reason,), candidates, confidence=scored.new)
        second = scored.numbers[1] if rest else None
        because = for_defect(pattern, own, second, weights)
        reasons = [f"probability {probability:.2f}: {shown(because)}" if because else f"probability {probability:.2f}"]
        if rest and rest[0][1] >= _LEAST_SHOWN and second is not None:
            differs = against(pattern, second, weights)
            reasons.append(f"not {rest[0][0]} ({rest[0][1]:.2f})" + (f": {differs}" if differs else ""))
        grounds = grounds_of(own, weights)
        if probability >= model.known:
            found = Verdict("known", name, tuple(reasons), candidates, "score", grounds, probability)
            return self._certain(found)
        if self._knowledge.defects[name].state == "closed":
            reasons.append(f"{name} is closed")
        return Verdict("likely", name, tuple(reasons), candidates, "score", grounds, probability)

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
            alike = [each for each in own if each.defect == name and (each.state != "likely") is is_certain]
            # What is said of a cause is what is said of most of it.
            said = Counter(each.reasons[:1] for each in alike)
            first = max(alike, key=lambda each: said[each.reasons[:1]])
            reasons = list(first.reasons)
            if said[first.reasons[:1]] < count:
                reasons.append(
                    f"that is said of {said[first.reasons[:1]]} of its {total} failures, of others more or less"
                )
            agree = is_certain and count + guessed[name] == total
            if count < total:
                rest_of = ", and the others are likely it" if agree else ""
                reasons.append(f"that holds for {count} of its {total} failures{rest_of}")
            reasons.extend(f"{counted(other_count, 'failure')} of it: {other}" for other, other_count in rest[:2])
            is_most = agree or (count >= CAUSE_SHARE * total and (not rest or count > rest[0][1]))
            state = first.state if is_most else "likely"
            # Failures of the cause that are not the defect speak against it.
            sure = [each.confidence if each.defect == name else dict(each.candidates).get(name, 0.0) for each in own]
            numbers = [value for value in sure if value is not None]
            confidence = float(np.mean(numbers)) if len(numbers) == total else None
            return Match(state, name, confidence, tuple(reasons), first.basis, first.grounds)
        representative = verdicts[cause.representative]
        return Match("new", None, representative.confidence, representative.reasons)


def _grounds_of(verdict: Verdict) -> tuple[str | None, tuple[str, ...]]:
    """Return what verdicts have in common that say the same but for numbers."""
    return verdict.basis, () if verdict.basis == "score" else verdict.reasons[:1]


def _as(verdict: Verdict) -> Verdict:
    """Return what the verdict on the representative of a cause says of a failure that was not compared itself."""
    state: State = "likely" if verdict.state in ("known", "regressed") else verdict.state
    said = f"as the representative of its cause; of one run {MOST_MATCHED:,} failures are compared"
    return replace(verdict, state=state, reasons=(*verdict.reasons, said))


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


def _ranked(
    probabilities: Sequence[tuple[str, float]], first: str | None = None, certain: float | None = None
) -> tuple[tuple[str, float], ...]:
    """Return the likest defects; *first* leads, and has the probability *certain* if that is more than its own."""
    of = dict(probabilities)
    if first is not None:
        of[first] = max(of.get(first, 0.0), certain or 0.0)
        rest = sum(value for name, value in of.items() if name != first)
        room = 1.0 - of[first]
        if rest > room:
            of = {name: value if name == first else value * room / rest for name, value in of.items()}
    order = sorted(of.items(), key=lambda entry: (entry[0] != first, -entry[1], entry[0]))
    return tuple((name, round(value, 6)) for name, value in order[:MOST_CANDIDATES])


@dataclass(frozen=True, slots=True)
class _Scored:
    """Hold what scoring says of a failure."""

    probabilities: tuple[tuple[str, float], ...]
    """Best first."""
    numbers: FloatArray
    """Of the same defects."""
    new: float
    model: MatchModel | None


_NOTHING = _Scored((), np.zeros((0, len(COLUMNS))), 1.0, None)
