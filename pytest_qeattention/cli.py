"""The command line: ``qeattention``, or ``python -m pytest_qeattention``.

The analyses of the plugin without a test run; nothing of the project is imported. Exit codes: 0 done, with or
without findings; 1 a gate failed, an output could not be written, or a benchmark found a wrong result; 2 interrupted;
4 usage.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TextIO

from pytest_qeattention import __version__
from pytest_qeattention.bench import plan
from pytest_qeattention.settings import MAX_NEIGHBORS, MAX_THREADS, parse_count

if TYPE_CHECKING:
    from pytest_qeattention.report.lines import Line
    from pytest_qeattention.similarity.model import SimilarReport
    from pytest_qeattention.similarity.policy import Policy
    from pytest_qeattention.similarity.suite import Suite
    from pytest_qeattention.similarity.workload import Progress, Request

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_INTERRUPTED = 2
EXIT_USAGE = 4

_MAX_RANKED = 10_000


class _Usage(Exception):
    """Say what is wrong with what the user asked for."""


class _Parser(argparse.ArgumentParser):
    """Report errors with pytest's exit code for usage, 4, where argparse has 2."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(EXIT_USAGE, f"{self.prog}: error: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line with *arguments* (those of the process by default); return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character of a test's name is no reason to fail.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    options = _parser().parse_args(arguments)
    try:
        code = int(options.command(options))
        sys.stdout.flush()
    except _Usage as error:
        _write_error(f"qeattention: error: {error}")
        return EXIT_USAGE
    except KeyboardInterrupt:
        _write_error("qeattention: interrupted")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader has seen enough. What is still buffered would fail again when the interpreter ends.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_DONE
    return code


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="qeattention", description="Questions about a test suite, answered without running it.")
    parser.add_argument("--version", action="version", version=f"pytest-qeattention {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    similar = commands.add_parser(
        "similar",
        help="report tests that repeat each other",
        description="Report tests that repeat each other. Reads the files, and imports nothing of them.",
    )
    similar.add_argument("paths", nargs="+", metavar="PATH", help="a file of tests, or a directory to search")
    similar.add_argument("--json", metavar="PATH", help="write the whole report as JSON; '-' for standard output")
    similar.add_argument("--sarif", metavar="PATH", help="write the groups as SARIF 2.1.0; '-' for standard output")
    similar.add_argument(
        "--markdown", metavar="PATH", help="write a summary for a pull request; '-' for standard output"
    )
    similar.add_argument(
        "--github", action="store_true", help="print the groups as annotations of a GitHub workflow as well"
    )
    similar.add_argument("--baseline", metavar="PATH", help="report only groups that this file has not accepted")
    similar.add_argument(
        "--baseline-update",
        action="store_true",
        help="have the baseline accept all groups (default: .qeattention/similar-baseline.jsonl in the rootdir)",
    )
    similar.add_argument(
        "--fail-on",
        metavar="KINDS",
        help="end with exit code 1 when there are groups of these kinds: duplicate, parametrize, similar, new "
        "(not in the baseline), separated by commas",
    )
    similar.add_argument(
        "--verify",
        action="store_true",
        help="run the suggested parametrized tests and the tests they stand for in a copy of the project, and say "
        "which of them do the same",
    )
    similar.add_argument(
        "--write-patch",
        metavar="FILE",
        help="write the verified suggestions as a patch for 'git apply'; '-' for standard output; implies --verify",
    )
    similar.add_argument(
        "--verify-timeout", metavar="SECONDS", help="longest time for one of the runs of --verify (default: 600)"
    )
    similar.add_argument("--neighbors", metavar="COUNT", help="add the COUNT nearest tests of every test")
    similar.add_argument(
        "--rank",
        metavar="QUERY",
        help="rank the tests by similarity to a test (path::name), a file, a function, a diff on standard "
        "input ('-'), or plain text",
    )
    similar.add_argument("-k", metavar="COUNT", help="with --rank: number of tests to list (default: 10)")
    similar.add_argument("--threads", metavar="COUNT", help="number of threads; environment: QE_THREADS")
    similar.add_argument("--qe-store", metavar="DIR", help="keep caches in DIR; environment: QE_STORE")
    _add_verbosity(similar)
    similar.set_defaults(command=_similar)

    bench = commands.add_parser(
        "bench",
        help="measure speed and memory on this machine, and check results",
        description="Measure speed and memory on this machine against other implementations; every result is checked.",
    )
    plan.add_arguments(bench)
    bench.add_argument("--qe-store", metavar="DIR", help="keep caches in DIR; environment: QE_STORE")
    bench.set_defaults(command=_bench)

    info = commands.add_parser(
        "info",
        help="say what serves the calls on this machine, and why",
        description="Say what serves the calls on this machine, and why: versions, kernel variants, threads.",
    )
    info.add_argument("--json", metavar="PATH", help="write it as JSON; '-' for standard output")
    info.add_argument("--qe-store", metavar="DIR", help="keep caches in DIR; environment: QE_STORE")
    info.set_defaults(command=_info)
    return parser


def _add_verbosity(parser: argparse.ArgumentParser) -> None:
    verbosity = parser.add_mutually_exclusive_group()
    verbosity.add_argument(
        "-v", "--verbose", action="count", dest="verbosity", default=0, help="show everything that was found"
    )
    verbosity.add_argument(
        "-q", "--quiet", action="store_const", const=-1, dest="verbosity", help="show the summary only"
    )


def _similar(options: argparse.Namespace) -> int:
    if options.k is not None and options.rank is None:
        raise _Usage("-k says how many tests --rank lists, and --rank is not given; give --rank=QUERY")
    if options.rank is not None and options.neighbors is not None:
        raise _Usage("--rank and --neighbors are two questions; ask one at a time")
    if options.rank is not None:
        for flag in ("sarif", "markdown", "github", "baseline", "baseline_update", "fail_on", "verify", "write_patch"):
            if getattr(options, flag) not in (None, False):
                raise _Usage(
                    f"--{flag.replace('_', '-')} is about groups, and --rank finds none; leave one of them out"
                )
    if "" in options.paths:
        raise _Usage("PATH is empty, so nothing was analysed; name a file or a directory ('.' for this one)")
    written = {name: getattr(options, name.replace("-", "_")) for name in ("json", "sarif", "markdown", "write-patch")}
    for flag, path in written.items():
        _check_output(path, f"--{flag}")
    if list(written.values()).count("-") + options.github > 1:
        raise _Usage(
            "--json, --sarif, --markdown, --write-patch and --github cannot share standard output; give files to all "
            "but one"
        )
    seconds = _seconds(options)
    neighbors = _count("--neighbors", options.neighbors, 0, MAX_NEIGHBORS) or 0
    ranked = _count("-k", options.k, 1, _MAX_RANKED) or 10
    threads = _threads(options.threads)

    from pytest_qeattention.report.terminal import Section, similar_lines
    from pytest_qeattention.similarity.workload import Request

    cache_dir = _store(options.qe_store)
    policy, fail_on = _policy(options, cache_dir)
    with _Display(sys.stderr) as display:
        request = Request(
            neighbors=neighbors,
            num_threads=threads,
            cache_dir=cache_dir,
            progress=display.progress,
        )
        report = _analyse(options.paths, options.rank, ranked, request, policy)
        report, patch = _folded(options, report, policy.root, seconds, display.progress, cache_dir)
    if "-" not in written.values():
        # A ranking is what was asked for: -q does not take it away.
        verbosity = options.verbosity if options.rank is None else max(options.verbosity, 0)
        more = "-v shows all, --json PATH writes all"
        sections = [Section(report)]
        _write_lines(similar_lines(sections, verbosity=verbosity, more=more))
    _tell_backend_problem()
    code = _write_similar(options, report, fail_on)
    return code if patch is None else max(code, _write_output(options.write_patch, patch))


def _seconds(options: argparse.Namespace) -> float | None:
    """Return the time limit of a verification; None without one."""
    if options.verify_timeout is None:
        return None
    if not options.verify and options.write_patch is None:
        raise _Usage("--verify-timeout is about --verify, which is not given; add it, or leave both out")
    return _count("--verify-timeout", options.verify_timeout, 1, 86_400)


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
    from pytest_qeattention.similarity import advice

    cwd = Path.cwd()
    if not options.verify and options.write_patch is None:
        return advice.with_suggestions(report, cwd, cache_dir, only=_seen(options, report)), None
    from pytest_qeattention.similarity.fold import service
    from pytest_qeattention.similarity.fold.verification import SECONDS, verify

    suggested = service.with_suggestions(report, cwd)
    verdicts = verify(suggested.folds, root=rootdir, base=cwd, seconds=seconds or SECONDS, progress=progress)
    report = service.with_verdicts(suggested.report, verdicts)
    if options.write_patch is None:
        return report, None
    patch, left_out = service.patch(suggested.folds, verdicts, cwd)
    for line in left_out:
        _write_error(f"qeattention: not in the patch: {line}")
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
        _write_error(f"qeattention: error: {report.baseline.error}")
        codes.append(EXIT_FAILED)
    if options.json is not None:
        from pytest_qeattention.information import backend_info
        from pytest_qeattention.report.document import document, dumps

        codes.append(_write_output(options.json, dumps(document(backend=backend_info(), similar=report))))
    outputs = Outputs(options.sarif, options.markdown, options.github)
    for path, text in rendered(outputs, report, base=Path.cwd(), failure=verdict):
        codes.append(_write_output(path, text))
    if verdict is not None:
        _write_error(f"qeattention: {verdict}")
    return max(codes)


def _policy(options: argparse.Namespace, store: Path | None) -> tuple[Policy, frozenset[str]]:
    """Return what counts as a finding, and what fails the command."""
    from pytest_qeattention.similarity import baseline as baselines
    from pytest_qeattention.similarity import discover, policy
    from pytest_qeattention.similarity.naming import display_path

    cwd = Path.cwd()
    has_baseline = options.baseline is not None or options.baseline_update
    if options.baseline == "":
        raise _Usage("--baseline is given no path; give --baseline PATH")
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
            accepted = baselines.read_baseline(
                file, display_path(file, cwd), update=options.baseline_update, update_flag="--baseline-update"
            )
    except ValueError as error:
        raise _Usage(str(error)) from error
    return policy.Policy(setup.rootdir, cwd, thresholds, ignore, accepted, options.baseline_update), fail_on


def _analyse(paths: Sequence[str], query: str | None, ranked: int, request: Request, policy: Policy) -> SimilarReport:
    from pytest_qeattention.similarity import discover, service

    cwd = Path.cwd()
    try:
        # What analyses is loaded after this: a large suite is read meanwhile.
        suite = service.suite_from_paths(
            paths,
            cwd=cwd,
            is_ignored=policy.is_ignored if policy.ignore else None,
            num_processes=request.num_threads,
            progress=request.progress,
            cache_dir=request.cache_dir,
        )
        return _answer(suite, query, ranked, request, policy)
    except discover.UsageError as error:
        raise _Usage(str(error)) from error


def _answer(suite: Suite, query: str | None, ranked: int, request: Request, policy: Policy) -> SimilarReport:
    from pytest_qeattention.attention.backend import BackendError
    from pytest_qeattention.similarity import gate, ranking
    from pytest_qeattention.similarity.builtin import TestSimilarity

    try:
        if query is not None:
            return ranking.rank(suite, query, ranked, cwd=Path.cwd(), num_threads=request.num_threads)
        report = TestSimilarity().analyse(suite, request)
        return gate.settle(report, suite, policy)
    except BackendError as error:
        raise _Usage(str(error)) from error


def _info(options: argparse.Namespace) -> int:
    from pytest_qeattention.information import backend_info
    from pytest_qeattention.report.document import SCHEMA, dumps
    from pytest_qeattention.report.information import information_lines

    _check_output(options.json)
    info = backend_info(probe=True, cache_dir=_store(options.qe_store))
    if options.json != "-":
        _write_lines(information_lines(info))
    if options.json is not None:
        return _write_output(options.json, dumps({"schema": SCHEMA, "backend": info}))
    return EXIT_DONE


def _bench(options: argparse.Namespace) -> int:
    for flag, path in (("--json", options.json), ("--markdown", options.markdown)):
        _check_output(path, flag)
    if options.json == "-" == options.markdown:
        raise _Usage("--json and --markdown cannot both go to standard output; give a file to one of them")
    try:
        asked = plan.read_plan(options, _threads(options.threads))
        plan.limit_blas(asked.threads)

        from pytest_qeattention.bench.suite import run_suite
        from pytest_qeattention.report.bench import bench_json, bench_lines, bench_markdown

        with _Display(sys.stderr) as display:
            document, failure = run_suite(asked, display.progress, cache_dir=_store(options.qe_store))
    except plan.BenchUsage as error:
        raise _Usage(str(error)) from error
    if document is not None:
        if "-" not in (options.json, options.markdown):
            _write_lines(bench_lines(document))
        for path, text in ((options.json, bench_json), (options.markdown, bench_markdown)):
            if path is not None and _write_output(path, text(document)) != EXIT_DONE:
                return EXIT_FAILED
    if failure is not None:
        _write_error(f"qeattention: {failure}")
        return EXIT_FAILED
    return EXIT_DONE


def _count(name: str, text: str | None, least: int, most: int) -> int | None:
    if text is None:
        return None
    try:
        return parse_count(name, text, least=least, most=most)
    except ValueError as error:
        raise _Usage(str(error)) from error


def _threads(given: str | None) -> int | None:
    if given is not None:
        return _count("--threads", given, 1, MAX_THREADS)
    return _count("QE_THREADS", os.environ.get("QE_THREADS") or None, 1, MAX_THREADS)


def _store(given: str | None) -> Path | None:
    name, value = ("--qe-store", given) if given is not None else ("QE_STORE", os.environ.get("QE_STORE"))
    if not value:
        return None
    path = Path(value).expanduser().absolute()
    if path.exists() and not path.is_dir():
        raise _Usage(f"{name}={value} is not a directory, so nothing could be kept there; give a directory")
    return path


def _check_output(path: str | None, flag: str = "--json") -> None:
    """Refuse an output that cannot be written before the work is done."""
    if path is None or path == "-":
        return
    if not path or Path(path).is_dir():
        raise _Usage(f"{flag} {path!r} names no file, so the report could not be written; give the path of a file")
    if not Path(path).absolute().parent.is_dir():
        raise _Usage(f"{flag} {path}: its directory does not exist; create it, or give another path")


def _write_output(path: str, text: str | bytes) -> int:
    from pytest_qeattention.store import OutputError, write_atomically

    try:
        write_atomically(path, text)
    except OutputError as error:
        if isinstance(error.__cause__, BrokenPipeError):
            raise error.__cause__ from error
        _write_error(f"qeattention: error: {error}")
        return EXIT_FAILED
    return EXIT_DONE


def _tell_backend_problem() -> None:
    from pytest_qeattention.attention import core_problem

    problem = core_problem()
    if problem is not None:
        _write_error(f"qeattention: {problem}")


def _write_lines(lines: Iterable[Line]) -> None:
    for line in lines:
        sys.stdout.write(line.text + "\n")


def _write_error(message: str) -> None:
    with contextlib.suppress(OSError):
        sys.stderr.write(message + "\n")


class _Display:
    """Show the progress of long work on one line of a terminal, and nothing anywhere else."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._width = 0
        self._shown: tuple[str, int] | None = None
        self.progress: Progress | None = self._show if stream.isatty() else None

    def __enter__(self) -> _Display:
        return self

    def __exit__(self, *_: object) -> None:
        if self._width:
            self._stream.write("\r" + " " * self._width + "\r")
            self._stream.flush()

    def _show(self, stage: str, done: int, total: int) -> None:
        percent = 100 * done // total if total > 0 else 100
        if (stage, percent) == self._shown:
            return
        self._shown = (stage, percent)
        text = f"{stage}: {done}/{total}"
        self._stream.write("\r" + text.ljust(self._width))
        self._stream.flush()
        self._width = max(self._width, len(text))


if __name__ == "__main__":
    sys.exit(main())
