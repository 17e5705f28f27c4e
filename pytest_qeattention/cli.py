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
from collections.abc import Sequence
from typing import NoReturn

from pytest_qeattention import __version__, defects_command, similar_command
from pytest_qeattention.bench import plan
from pytest_qeattention.console import (
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_USAGE,
    CommandUsage,
    Display,
    check_output,
    store_of,
    threads_of,
    write_error,
    write_lines,
    write_output,
)


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
    except CommandUsage as error:
        write_error(f"qeattention: error: {error}")
        return EXIT_USAGE
    except KeyboardInterrupt:
        write_error("qeattention: interrupted")
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
    similar_command.add_arguments(similar)
    similar.set_defaults(command=similar_command.run)

    defects = commands.add_parser(
        "defects",
        help="say why a run was red, from JUnit files, and teach which defects there are",
        description="Say why a run was red, from JUnit files of any runner, and teach which defects there are.",
    )
    defects_command.add_arguments(defects)

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


def _info(options: argparse.Namespace) -> int:
    from pytest_qeattention.information import backend_info
    from pytest_qeattention.report.document import SCHEMA, dumps
    from pytest_qeattention.report.information import information_lines

    check_output(options.json)
    info = backend_info(probe=True, cache_dir=store_of(options.qe_store))
    if options.json != "-":
        write_lines(information_lines(info))
    if options.json is not None:
        return write_output(options.json, dumps({"schema": SCHEMA, "backend": info}))
    return EXIT_DONE


def _bench(options: argparse.Namespace) -> int:
    for flag, path in (("--json", options.json), ("--markdown", options.markdown)):
        check_output(path, flag)
    if options.json == "-" == options.markdown:
        raise CommandUsage("--json and --markdown cannot both go to standard output; give a file to one of them")
    try:
        asked = plan.read_plan(options, threads_of(options.threads))
        plan.limit_blas(asked.threads)

        from pytest_qeattention.bench.suite import run_suite
        from pytest_qeattention.report.bench import bench_json, bench_lines, bench_markdown

        with Display(sys.stderr) as display:
            document, failure = run_suite(asked, display.progress, cache_dir=store_of(options.qe_store))
    except plan.BenchUsage as error:
        raise CommandUsage(str(error)) from error
    if document is not None:
        if "-" not in (options.json, options.markdown):
            write_lines(bench_lines(document))
        for path, text in ((options.json, bench_json), (options.markdown, bench_markdown)):
            if path is not None and write_output(path, text(document)) != EXIT_DONE:
                return EXIT_FAILED
    if failure is not None:
        write_error(f"qeattention: {failure}")
        return EXIT_FAILED
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
