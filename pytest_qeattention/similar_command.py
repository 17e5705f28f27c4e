"""``qeattention similar``: its flags, the analysis, and the reports that were asked for.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_qeattention.console import (
    EXIT_DONE,
    EXIT_FAILED,
    CommandUsage,
    Display,
    check_output,
    count_of,
    store_of,
    threads_of,
    write_error,
    write_lines,
    write_output,
)
from pytest_qeattention.outputs import shared_file
from pytest_qeattention.settings import MAX_NEIGHBORS
from pytest_qeattention.wording import counted

if TYPE_CHECKING:
    from pytest_qeattention.similarity.model import SimilarReport
    from pytest_qeattention.similarity.policy import Policy
    from pytest_qeattention.similarity.suite import Suite
    from pytest_qeattention.similarity.workload import Progress, Request

_MAX_RANKED = 10_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a file of tests, or a directory to search")
    parser.add_argument("--json", metavar="PATH", help="write the whole report as JSON; '-' for standard output")
    parser.add_argument("--sarif", metavar="PATH", help="write the groups as SARIF 2.1.0; '-' for standard output")
    parser.add_argument(
        "--markdown", metavar="PATH", help="write a summary for a pull request; '-' for standard output"
    )
    parser.add_argument(
        "--github", action="store_true", help="print the groups as annotations of a GitHub workflow as well"
    )
    parser.add_argument("--baseline", metavar="PATH", help="report only groups that this file has not accepted")
    parser.add_argument(
        "--baseline-update",
        action="store_true",
        help="have the baseline accept all groups (default: .qeattention/similar-baseline.jsonl in the rootdir)",
    )
    parser.add_argument(
        "--fail-on",
        metavar="KINDS",
        help="end with exit code 1 when there are groups of these kinds: duplicate, parametrize, similar, new "
        "(not in the baseline), separated by commas",
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="run the suggested parametrized tests and the tests they stand for in a copy of the project, and say "
        "which of them do the same",
    )
    parser.add_argument(
        "--write-patch",
        metavar="FILE",
        help="write the verified suggestions as a patch for 'git apply'; '-' for standard output; implies --verify",
    )
    parser.add_argument(
        "--verify-timeout", metavar="SECONDS", help="longest time for one of the runs of --verify (default: 600)"
    )
    parser.add_argument("--neighbors", metavar="COUNT", help="add the COUNT nearest tests of every test")
    parser.add_argument(
        "--rank",
        metavar="QUERY",
        help="rank the tests by similarity to a test (path::name), a file, a function, a diff on standard "
        "input ('-'), or plain text",
    )
    parser.add_argument("-k", metavar="COUNT", help="with --rank: number of tests to list (default: 10)")
    parser.add_argument("--threads", metavar="COUNT", help="number of threads; environment: QE_THREADS")
    parser.add_argument("--qe-store", metavar="DIR", help="keep caches in DIR; environment: QE_STORE")
    verbosity = parser.add_mutually_exclusive_group()
    verbosity.add_argument(
        "-v", "--verbose", action="count", dest="verbosity", default=0, help="show everything that was found"
    )
    verbosity.add_argument(
        "-q", "--quiet", action="store_const", const=-1, dest="verbosity", help="show the summary only"
    )


def run(options: argparse.Namespace) -> int:
    """Analyse, report, and return the exit code; raise CommandUsage for what cannot be served."""
    if options.k is not None and options.rank is None:
        raise CommandUsage("-k says how many tests --rank lists, and --rank is not given; give --rank=QUERY")
    if options.rank is not None and options.neighbors is not None:
        raise CommandUsage("--rank and --neighbors are two questions; ask one at a time")
    if options.rank is not None:
        for flag in ("sarif", "markdown", "github", "baseline", "baseline_update", "fail_on", "verify", "write_patch"):
            if getattr(options, flag) not in (None, False):
                raise CommandUsage(
                    f"--{flag.replace('_', '-')} is about groups, and --rank finds none; leave one of them out"
                )
    if "" in options.paths:
        raise CommandUsage("PATH is empty, so nothing was analysed; name a file or a directory ('.' for this one)")
    written = _written(options)
    for flag, path in written.items():
        check_output(path, flag)
    _check_shared(written)
    if list(written.values()).count("-") + options.github > 1:
        raise CommandUsage(
            "--json, --sarif, --markdown, --write-patch and --github cannot share standard output; give files to all "
            "but one"
        )
    seconds = _seconds(options)
    neighbors = count_of("--neighbors", options.neighbors, 0, MAX_NEIGHBORS) or 0
    ranked = count_of("-k", options.k, 1, _MAX_RANKED) or 10
    threads = threads_of(options.threads)

    from pytest_qeattention.report.terminal import Section, similar_lines
    from pytest_qeattention.similarity.workload import Request

    cache_dir = store_of(options.qe_store)
    policy, fail_on = _policy(options, cache_dir)
    with Display(sys.stderr) as display:
        request = Request(
            neighbors=neighbors,
            num_threads=threads,
            cache_dir=cache_dir,
            progress=display.progress,
        )
        report, suite = _analyse(options.paths, options.rank, ranked, request, policy)
        report, patch = _folded(options, report, policy.root, seconds, display.progress, cache_dir)
    if "-" not in written.values():
        # A ranking is what was asked for: -q does not take it away.
        verbosity = options.verbosity if options.rank is None else max(options.verbosity, 0)
        more = "-v shows all, --json PATH writes all"
        sections = [Section(report)]
        write_lines(similar_lines(sections, verbosity=verbosity, more=more))
    for notice in suite.notices():
        write_error(f"qeattention: {notice}")
    code = _write_similar(options, report, fail_on)
    if patch is None:
        return code
    code = max(code, write_output(options.write_patch, patch))
    verified = sum(1 for group in report.groups if group.verdict is not None and group.verdict.state == "verified")
    if options.write_patch != "-":
        what = counted(verified, "verified suggestion") if patch else "empty, no suggestion was verified"
        write_error(f"qeattention: {options.write_patch}: {what}")
    return code


def _written(options: argparse.Namespace) -> dict[str, str | None]:
    """Return the path of each flag that names a file to write."""
    flags = ("--json", "--sarif", "--markdown", "--write-patch")
    return {flag: getattr(options, flag[2:].replace("-", "_")) for flag in flags}


def _check_shared(files: Mapping[str, str | Path | None]) -> None:
    clash = shared_file(files)
    if clash is not None:
        raise CommandUsage(clash)


def _seconds(options: argparse.Namespace) -> float | None:
    """Return the time limit of a verification; None without one."""
    if options.verify_timeout is None:
        return None
    if not options.verify and options.write_patch is None:
        raise CommandUsage("--verify-timeout is about --verify, which is not given; add it, or leave both out")
    return count_of("--verify-timeout", options.verify_timeout, 1, 86_400)


def _folded(
    options: argparse.Namespace,
    report: SimilarReport,
    rootdir: Path,
    seconds: float | None,
    progress: Progress | None,
    cache_dir: Path | None,
) -> tuple[SimilarReport, bytes | None]:
    """Add the suggestions, and what running them shows; also return the patch that was asked for."""
    if report.ranked is not None:
        return report, None
    from dataclasses import replace

    from pytest_qeattention.similarity import advice

    cwd = Path.cwd()
    if not options.verify and options.write_patch is None:
        return advice.with_suggestions(report, cwd, cache_dir, only=_seen(options, report)), None
    from pytest_qeattention.similarity.fold import service
    from pytest_qeattention.similarity.fold.verification import SECONDS, verify
    from pytest_qeattention.similarity.model import Problem, Verdict

    suggested = service.with_suggestions(report, cwd)
    try:
        verdicts = verify(suggested.folds, root=rootdir, base=cwd, seconds=seconds or SECONDS, progress=progress)
        problems: tuple[Problem, ...] = ()
    except Exception as error:
        # The report and its gate are worth more than what running the suggestions would add.
        reason = f"running the suggestions failed with {type(error).__name__}: {error}"
        verdicts = dict.fromkeys(suggested.folds, Verdict("not run", reason))
        problems = (Problem(".", f"{reason}; none is verified; please tell the authors"),)
    report = service.with_verdicts(suggested.report, verdicts)
    report = replace(report, problems=(*report.problems, *problems))
    if options.write_patch is None:
        return report, None
    patch, left_out = service.patch(suggested.folds, verdicts, cwd)
    for line in left_out:
        write_error(f"qeattention: not in the patch: {line}")
    return report, patch


def _seen(options: argparse.Namespace, report: SimilarReport) -> frozenset[str] | None:
    """Return the ids of the groups whose suggestion is counted or shown; None for all."""
    from pytest_qeattention.report.terminal import shown_groups

    if options.github or any(path is not None for path in (options.json, options.sarif, options.markdown)):
        return None
    return frozenset(group.id for group in shown_groups(report, options.verbosity))


def _write_similar(options: argparse.Namespace, report: SimilarReport, fail_on: frozenset[str]) -> int:
    from pytest_qeattention.outputs import Outputs, rendered
    from pytest_qeattention.similarity.gate import failure

    failing = failure(report.groups, fail_on)
    verdict = None if failing is None else f"failed by --fail-on: {failing}"
    codes = [EXIT_DONE if verdict is None else EXIT_FAILED]
    if report.baseline is not None and report.baseline.error is not None:
        write_error(f"qeattention: error: {report.baseline.error}")
        codes.append(EXIT_FAILED)
    if options.json is not None:
        from pytest_qeattention.information import backend_info
        from pytest_qeattention.report.document import document, dumps

        codes.append(write_output(options.json, dumps(document(backend=backend_info(), similar=report))))
    outputs = Outputs(options.sarif, options.markdown, options.github)
    for path, text in rendered(outputs, report, base=Path.cwd(), failure=verdict):
        codes.append(write_output(path, text))
    if verdict is not None:
        write_error(f"qeattention: {verdict}")
    return max(codes)


def _policy(options: argparse.Namespace, store: Path | None) -> tuple[Policy, frozenset[str]]:
    """Return what counts as a finding, and what fails the command."""
    from pytest_qeattention.similarity import baseline as baselines
    from pytest_qeattention.similarity import discover, policy
    from pytest_qeattention.similarity.naming import display_path

    cwd = Path.cwd()
    has_baseline = options.baseline is not None or options.baseline_update
    if options.baseline == "":
        raise CommandUsage("--baseline is given no path; give --baseline PATH")
    try:
        fail_on: frozenset[str] = frozenset()
        if options.fail_on is not None:
            fail_on = policy.parse_fail_on("--fail-on", options.fail_on, has_baseline=has_baseline)
        setup = discover.find_setup(options.paths, cwd=cwd)
        thresholds = policy.parse_thresholds(setup.lines(policy.THRESHOLDS_KEY))
        ignore = policy.parse_ignore(setup.lines(policy.IGNORE_KEY))
        accepted = None
        if has_baseline:
            default = (store or setup.rootdir / baselines.DIRECTORY) / baselines.FILE_NAME
            file = default if options.baseline is None else cwd / Path(options.baseline).expanduser()
            _check_shared({**_written(options), "--baseline": file})
            accepted = baselines.read_baseline(
                file, display_path(file, cwd), update=options.baseline_update, update_flag="--baseline-update"
            )
    except ValueError as error:
        raise CommandUsage(str(error)) from error
    return policy.Policy(setup.rootdir, cwd, thresholds, ignore, accepted, options.baseline_update), fail_on


def _analyse(
    paths: Sequence[str], query: str | None, ranked: int, request: Request, policy: Policy
) -> tuple[SimilarReport, Suite]:
    from pytest_qeattention.similarity import discover, service

    cwd = Path.cwd()
    try:
        suite = service.suite_from_paths(
            paths,
            cwd=cwd,
            is_ignored=policy.is_ignored if policy.ignore else None,
            num_processes=request.num_threads,
            progress=request.progress,
            cache_dir=request.cache_dir,
        )
        return _answer(suite, query, ranked, request, policy), suite
    except discover.UsageError as error:
        raise CommandUsage(str(error)) from error


def _answer(suite: Suite, query: str | None, ranked: int, request: Request, policy: Policy) -> SimilarReport:
    try:
        if query is not None:
            from pytest_qeattention.similarity import ranking

            return ranking.rank(suite, query, ranked, cwd=Path.cwd(), request=request)
        from pytest_qeattention.similarity import gate
        from pytest_qeattention.similarity.builtin import TestSimilarity

        report = TestSimilarity().analyse(suite, request)
        return gate.settle(report, suite, policy)
    except RuntimeError as error:
        # Imported here, because the core brings NumPy, which a report that is kept needs not.
        from pytest_qeattention.attention.backend import BackendError

        if isinstance(error, BackendError):
            raise CommandUsage(str(error)) from error
        raise
