"""The flags and ini keys of the plugin.

Imported by every pytest run, so it holds no more than that; `settings` reads what was given.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import pytest

_NEEDS_SIMILAR = {
    "qe_neighbors": "--qe-neighbors",
    "qe_workload": "--qe-workload",
    "qe_run": "--qe-run",
    "qe_baseline": "--qe-baseline",
    "qe_baseline_update": "--qe-baseline-update",
    "qe_fail_on": "--qe-fail-on",
}
_NEEDS_REPORT = {
    "qe_json": "--qe-json",
    "qe_sarif": "--qe-sarif",
    "qe_markdown": "--qe-markdown",
    "qe_github": "--qe-github",
    "qe_junit": "--qe-junit",
}


def add_options(parser: pytest.Parser) -> None:
    """Declare the flags and ini keys."""
    group = parser.getgroup("qeattention", "tests that repeat each other (pytest-qeattention)")
    group.addoption(
        "--qe-similar",
        action="store_true",
        default=False,
        help="Report tests that repeat each other. Collects and compares the tests, and runs none of them "
        "(--qe-run runs them too).",
    )
    group.addoption(
        "--qe-run",
        action="store_true",
        default=False,
        help="With --qe-similar: run the tests as usual, and add the report to the summary.",
    )
    group.addoption(
        "--qe-defects",
        action="store_true",
        default=False,
        help="Say which causes are behind the failures of the run. With --qe-similar the tests are run.",
    )
    group.addoption(
        "--qe-known-ok",
        action="store_true",
        default=False,
        help="With --qe-defects: end with exit code 0 instead of 1 when every failure of the run is a known, open "
        "defect that a person confirmed in the last 90 days, or until a day that is still to come "
        "(qeattention defects label --until), matched by signature, rule or a confidence of at least 0.95, and by "
        "more than what test it is. A run that was stopped early (-x, --maxfail), could not collect a file or lost a "
        "worker keeps its code.",
    )
    group.addoption(
        "--qe-json",
        metavar="PATH",
        default=None,
        help="Write the whole report to PATH as JSON ('-' for standard output).",
    )
    group.addoption(
        "--qe-sarif",
        metavar="PATH",
        default=None,
        help="Write groups and causes to PATH as SARIF 2.1.0 ('-' for standard output).",
    )
    group.addoption(
        "--qe-markdown",
        metavar="PATH",
        default=None,
        help="Write a summary for a pull request to PATH as Markdown ('-' for standard output).",
    )
    group.addoption(
        "--qe-github",
        action="store_true",
        default=False,
        help="Print groups and causes as annotations of a GitHub workflow.",
    )
    group.addoption(
        "--qe-junit",
        action="store_true",
        default=False,
        help="With --junitxml, and --qe-run or --qe-defects: add groups and causes to that file as properties of its "
        "test cases.",
    )
    group.addoption(
        "--qe-baseline",
        metavar="PATH",
        default=None,
        help="Report only groups that the baseline file PATH has not accepted.",
    )
    group.addoption(
        "--qe-baseline-update",
        action="store_true",
        default=False,
        help="Have the baseline accept all groups, and drop what it accepts in vain. "
        "Default place: .qeattention/similar-baseline.jsonl in the rootdir.",
    )
    group.addoption(
        "--qe-fail-on",
        metavar="KINDS",
        default=None,
        help="End with exit code 1 when there are groups of these kinds, after all reports are written: "
        "duplicate, parametrize, similar, new (not in the baseline), separated by commas.",
    )
    group.addoption(
        "--qe-neighbors",
        metavar="COUNT",
        default=None,
        help="Add the COUNT nearest tests of every test to the report. Ini: qe_neighbors.",
    )
    group.addoption(
        "--qe-workload",
        metavar="NAME",
        action="append",
        default=None,
        help="Run only the analysis of this name (may be repeated). The built-in one is test-similarity; "
        "plugins add theirs with pytest_qe_workloads. Ini: qe_workloads.",
    )
    group.addoption(
        "--qe-threads",
        metavar="COUNT",
        default=None,
        help="Number of threads of the analysis. Environment: QE_THREADS, ini: qe_threads. "
        "Default: all processors that the process may use.",
    )
    group.addoption(
        "--qe-store",
        metavar="DIR",
        default=None,
        help="Keep caches and knowledge in DIR instead of pytest's cache directory. "
        "Environment: QE_STORE, ini: qe_store.",
    )
    parser.addini("qe_threads", "Number of threads of the analysis.", type="string", default=None)
    parser.addini("qe_neighbors", "Number of nearest tests to report for every test.", type="string", default=None)
    parser.addini("qe_store", "Directory of caches and knowledge, relative to this file.", type="string", default=None)
    parser.addini("qe_workloads", "Names of the analyses that --qe-similar runs.", type="args", default=None)
    parser.addini(
        "qe_similar_thresholds",
        "Least score of the groups to report, by path: one 'glob: score' a line, the last that matches decides.",
        type="linelist",
        default=None,
    )
    parser.addini("qe_similar_ignore", "Globs of test files to leave out, one a line.", type="linelist", default=None)


def analysis_asked_for(config: pytest.Config) -> bool:
    """Tell whether a flag asks for an analysis of the tests; raise UsageError for flags that need one."""
    if config.getoption("qe_known_ok") and not defects_asked_for(config):
        raise pytest.UsageError("--qe-known-ok lets known defects pass, and none is looked for; add --qe-defects")
    if config.getoption("qe_similar"):
        return True
    for dest, flag in _NEEDS_SIMILAR.items():
        if config.getoption(dest) not in (None, False):
            raise pytest.UsageError(f"{flag} says how to report an analysis, and none was asked for; add --qe-similar")
    for dest, flag in _NEEDS_REPORT.items():
        if config.getoption(dest) not in (None, False) and not defects_asked_for(config):
            raise pytest.UsageError(
                f"{flag} says how to report an analysis, and none was asked for; add --qe-similar or --qe-defects"
            )
    return False


def defects_asked_for(config: pytest.Config) -> bool:
    """Tell whether a flag asks for the causes of failures."""
    return bool(config.getoption("qe_defects"))
