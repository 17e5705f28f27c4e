"""Record how projects fail with defects put in, three times each, as `FailureRecord` holds it.

    python -m benchmarks.defects.records OUT NAME==VERSION... --work DIR [--most N] [--seconds N]

Defects (operators.py) are put into functions of the product that tests call, up to three into one function, into
fixtures and conftest files, into imports; some never end. Each is tried in three variants of the project (variants.py),
and tests that fail in all of them, with the same type, are kept. It is best run in namespaces of its own, and needs a
system that can fork. Projects in `UNSEEN` are for the last measurement alone: nothing may be fitted or chosen on them.

OUT/NAME-VERSION.json.gz: ``items`` (node ids that pass), ``sources`` (of tests, which their records leave out, by
number), ``mutants``: kind, operator, path, qualname, line, before, after, ``ran`` (node ids), and ``runs``, by variant:
for each failing test ``test`` (node id without drift), ``record`` (made as ``pytest --qe-defects`` makes it),
``source``, ``text`` (the traceback as pytest writes it), ``crash`` (the message alone, null where pytest has none) and
``junit`` (what a JUnit file says of it: ``kind`` of element, ``classname``, ``name``, ``message``). ``problems``
counts, by reason, failures that got no record.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import shutil
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest_qeattention
from benchmarks.defects.candidates import Candidate, candidates
from benchmarks.defects.variants import RENAMED_END, Variant, first_name, make_variants
from benchmarks.quality.projects import FORKS, Project, ProjectError, install, limited, unpacked

UNSEEN = ("arrow", "glom", "jinja2", "werkzeug")
"""Projects that nothing is fitted or chosen on."""
MOST = 60
SECONDS = 400
LEARN_S = 400
CASE_S = 15
MOST_BYTES = 8 << 30
TRIED_FOR_ONE = 2
TIMEOUT_S = 0.5
_HERE = Path(__file__).parent
_PACKAGE = Path(pytest_qeattention.__file__).parent


class Runs:
    """Run pytest on variants of a project with the plugin runner.py."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self.problems: Counter[str] = Counter()
        """Why failures of all runs have no record."""

    def run(self, variant: Variant, mode: str, *, within: float, **request: Any) -> dict[str, Any]:
        """Return what the plugin writes; ProjectError where it writes nothing *within* so many seconds."""
        plan = self._project.plan
        with tempfile.TemporaryDirectory() as name:
            place = Path(name).resolve()
            shutil.copyfile(_HERE / "runner.py", place / "qe_runner.py")
            shutil.copyfile(FORKS, place / "qe_forks.py")
            shutil.copytree(_PACKAGE, place / _PACKAGE.name, ignore=_not_python)
            (place / "qe_prepare.py").write_text(plan.prepare, encoding="utf-8")
            base: dict[str, Any] = {"order": variant.order, "tests": None, "cases": [], "most": 0, "seconds": within}
            full = {
                **base,
                "root": str(variant.root),
                "record": str(place / "record.json"),
                "answer": str(place / "answer.json"),
                "limit": CASE_S,
                "most_bytes": MOST_BYTES,
                "mode": mode,
                **request,
            }
            (place / "request.json").write_text(json.dumps(full), encoding="utf-8")
            parents = dict.fromkeys(str((variant.root / part).parent) for part in plan.source)
            environment = {**os.environ, **dict(each.split("=", 1) for each in plan.variables)}
            environment |= {
                "QE_DEFECT_RUN": str(place / "request.json"),
                "PYTHONPATH": os.pathsep.join([str(place), *parents]),
                "PYTHONHASHSEED": variant.hash_seed,
            }
            for variable in ("PYTEST_ADDOPTS", "FORCE_COLOR", "COLUMNS", "PYTHONDONTWRITEBYTECODE"):
                environment.pop(variable, None)
            command = [str(self._project.python), "-m", "pytest", "-p", "qe_runner", "-p", "qe_prepare"]
            command += ["-p", "no:cacheprovider", "--quiet", f"--tb={variant.style}"]
            command += ["--continue-on-collection-errors", *plan.options, *plan.tests]
            said, code = limited(command, variant.root, environment, within)
            if not (place / "record.json").is_file():
                raise ProjectError(f"pytest ended with {code} and without a record:\n{said[-1500:]}")
            document: dict[str, Any] = json.loads((place / "record.json").read_text(encoding="utf-8"))
            self.problems.update(document["problems"])
            return {**document, "said": said[-1500:]}


def _not_python(directory: str, names: list[str]) -> list[str]:
    folders = {name for name in names if os.path.isdir(os.path.join(directory, name))}
    return [name for name in names if name == "__pycache__" or not (name in folders or name.endswith(".py"))]


def tried(
    runs: Runs, variant: Variant, wanted: Sequence[Candidate], most: int, seconds: float
) -> tuple[list[list[dict[str, Any]] | None], Counter[str]]:
    """Return for each of *wanted* what failed in *variant*, None where that is not known; and how the tries ended."""
    results: list[list[dict[str, Any]] | None] = [None] * len(wanted)
    ends: Counter[str] = Counter()
    cases, numbers = [], []
    for number, candidate in enumerate(wanted):
        path = variant.root / candidate.defect.path
        source = path.read_bytes()
        try:
            changed = candidate.defect.mutation(source).of(source).decode()
            compile(changed, str(path), "exec")
        except (LookupError, SyntaxError, ValueError) as error:
            ends[type(error).__name__] += 1
            continue
        names = candidate.items
        if candidate.is_whole:
            stat = path.stat()
            try:
                path.write_text(changed, encoding="utf-8")
                os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + (number + 2) * 10**9))
                said = runs.run(variant, "whole", within=LEARN_S, tests=_drifted(variant, names))
                results[number] = said["failures"]
                ends["ran"] += 1
            except ProjectError:
                ends["no record"] += 1
            finally:
                path.write_bytes(source)
                os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
            continue
        timeout = TIMEOUT_S if candidate.defect.kind == "timeout" else None
        tests = _drifted(variant, names)
        cases.append({"path": candidate.defect.path, "source": changed, "tests": tests, "timeout": timeout})
        numbers.append(number)
    if cases:
        said = runs.run(variant, "forks", within=seconds + LEARN_S, seconds=seconds, cases=cases, most=most)
        for number, result in zip(numbers, said["cases"], strict=False):
            ends[result["end"]] += 1
            results[number] = result["failures"] if result["end"] == "ran" else None
    return results, ends


def _drifted(variant: Variant, names: Iterable[str]) -> list[str]:
    """Return *names*, and what tests of these names are called in *variant*."""
    if variant.name != "edited":
        return list(names)
    parts = [name.partition("[") for name in names]
    return [text for a, b, c in parts for text in (f"{a}{b}{c}", f"{a}{RENAMED_END}{b}{c}")]


def measure(project: Project, place: Path, most: int, seconds: float) -> dict[str, Any]:
    """Try defects of *project* until *most* are noticed, or *seconds* are over."""
    variants = make_variants(project.copy, project.plan.source, project.plan.tests, place)
    runs, chosen = Runs(project), random.Random(0)
    learned = runs.run(variants[0], "learn", within=LEARN_S)
    if "items" not in learned:
        raise ProjectError(f"no test was collected:\n{learned['said']}")
    drawn = candidates(project, learned, variants[0].root, chosen)[: most * TRIED_FOR_ONE]
    first, ends = tried(runs, variants[0], drawn, most, seconds)
    noticed = [(one, failed) for one, failed in zip(drawn, first, strict=True) if failed]
    kept = [one for one, _ in noticed]
    by_variant = [[failed for _, failed in noticed]]
    flaky: set[str] = set()
    for variant in variants[1:]:
        results, _ = tried(runs, variant, kept, len(kept), seconds)
        by_variant.append([failed or [] for failed in results])
    failed_once = sorted({failure["record"]["nodeid"] for failed in by_variant[0] for failure in failed})
    for variant in variants:
        case = {"path": "", "source": None, "tests": _drifted(variant, failed_once), "timeout": None}
        clean = runs.run(variant, "forks", within=LEARN_S, cases=[case], most=1, limit=LEARN_S)["cases"][0]
        flaky |= {first_name(failure["record"]["nodeid"]) for failure in clean["failures"]}
        if clean["end"] != "ran":
            ends[f"{variant.name}, without a defect: {clean['end']}"] += 1
    sources: dict[str, int] = {}
    mutants = []
    for at, candidate in enumerate(kept):
        row = described(candidate, variants, [failed[at] for failed in by_variant], flaky, sources)
        if row is not None:
            mutants.append(row)
    return {
        "name": project.name,
        "version": project.version,
        "python": learned["python"],
        "pytest": learned["pytest"],
        "drawn": len(drawn),
        "ends": dict(sorted(ends.items())),
        "kinds": dict(sorted(Counter(mutant["kind"] for mutant in mutants).items())),
        "operators": dict(sorted(Counter(mutant["operator"] for mutant in mutants).items())),
        "problems": dict(sorted(runs.problems.items())),
        "items": [item["nodeid"] for item in learned["items"] if item["passed"]],
        "sources": list(sources),
        "mutants": mutants,
    }


def described(
    candidate: Candidate,
    variants: Sequence[Variant],
    failed: Sequence[Sequence[dict[str, Any]]],
    flaky: set[str],
    sources: dict[str, int],
) -> dict[str, Any] | None:
    """Return what is written of a defect; None where no test failed in the same way in every variant."""
    by_test: list[dict[str, dict[str, Any]]] = []
    types: defaultdict[str, list[str]] = defaultdict(list)
    for failures in failed:
        first: dict[str, dict[str, Any]] = {}
        for failure in failures:
            first.setdefault(first_name(failure["record"]["nodeid"]), failure)
        by_test.append(first)
        for test, failure in first.items():
            raised = failure["record"]["chain"]
            types[test].append(raised[-1]["type"] if raised else "")
    stable = [
        test
        for test in by_test[0]
        if test not in flaky and len(types[test]) == len(variants) and len(set(types[test])) == 1
    ]
    if not stable:
        return None
    runs: dict[str, list[dict[str, Any]]] = {}
    for variant, first in zip(variants, by_test, strict=True):
        rows = []
        for test in stable:
            record = first[test]["record"]
            source = record["test"].pop("source")
            rows.append(
                {
                    "test": test,
                    "record": record,
                    "source": sources.setdefault(source, len(sources)),
                    **{name: first[test][name] for name in ("text", "crash", "junit")},
                }
            )
        runs[variant.name] = rows
    defect = candidate.defect
    written = (variants[0].root / defect.path).read_bytes()
    mutation = defect.mutation(written)
    return {
        "kind": defect.kind,
        "operator": defect.operator,
        "path": defect.path,
        "qualname": defect.qualname,
        "line": mutation.line,
        "before": written[mutation.start : mutation.end].decode(),
        "after": mutation.text,
        "ran": candidate.items,
        "runs": runs,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the records of each project; 1 when there is one without."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("projects", nargs="+", metavar="NAME==VERSION")
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="where projects are unpacked")
    parser.add_argument("--variants", type=Path, metavar="DIR", help="where copies are made, in place of --work")
    parser.add_argument("--most", type=int, default=MOST, metavar="N", help=f"defects to record ({MOST})")
    parser.add_argument("--seconds", type=float, default=SECONDS, metavar="N", help=f"a project ({SECONDS})")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    left_out = 0
    for wanted in options.projects:
        try:
            project = unpacked(wanted, options.work.resolve())
            install(project)
            place = (options.variants or options.work / "variants").resolve() / project.label
            document = measure(project, place, options.most, options.seconds)
        except ProjectError as error:
            left_out += 1
            print(f"{wanted}: left out: {error}", file=sys.stderr, flush=True)
            continue
        target = options.out / f"{project.label}.json.gz"
        with gzip.open(target, "wt", encoding="utf-8", compresslevel=6) as file:
            json.dump(document, file)
        print(
            f"{project.label}: {len(document['mutants'])} of {document['drawn']}, {document['kinds']}, "
            f"{document['ends']}",
            flush=True,
        )
    return 1 if left_out else 0


if __name__ == "__main__":
    raise SystemExit(main())
