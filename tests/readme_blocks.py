"""The blocks of README.md: read, run, compared; and filled anew.

    python tests/readme_blocks.py

in an environment where the package is installed writes into the README what its commands answer now, and the tables
that benchmarks/results holds.
"""

from __future__ import annotations

import difflib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
RESULTS = ROOT / "benchmarks" / "results"
QUALITY = RESULTS / "similar_quality.md"
SPEED = RESULTS / "bench_comprehensive.md"
MEMORY = RESULTS / "bench_memory.md"
# Each shows its first table.
PUBLISHED = {
    "quality": QUALITY,
    "answers": RESULTS / "encoder_answers.md",
    "speed": SPEED,
    "memory": MEMORY,
    "encoder": RESULTS / "encoder_speed.md",
    "causes": RESULTS / "defect_grouping.md",
    "defects": RESULTS / "defect_matching_unseen.md",
}
EXAMPLES = ("quickstart", "custom_workload", "red_run", "failures")
ANY_LINES = "..."


def published_block(name: str) -> re.Pattern[str]:
    """Return what finds the text between the marks of a table that is copied from benchmarks/results."""
    return re.compile(rf"(?<=-->\n)[^\n]*(?:\n(?!<!--)[^\n]*)*(?=\n<!-- end of {name} -->)")


def first_table(text: str) -> str:
    """Return the first table of a Markdown document."""
    table = re.search(r"^\|.*(?:\n\|.*)*", text, re.MULTILINE)
    if table is None:
        raise ValueError("there is no table to show in the README")
    return table.group()


def published(name: str) -> str | None:
    """Return the table that the README shows between the marks of *name*; None where there are no results."""
    source = PUBLISHED[name]
    return first_table(source.read_text(encoding="utf-8")) if source.is_file() else None


def blocks(text: str, language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def sessions(block: str) -> list[tuple[str, list[str]]]:
    """Return each command of a console block with the lines that it is shown to answer."""
    found: list[tuple[str, list[str]]] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


def normalised(line: str) -> str:
    """Leave out of a line what differs from run to run: seconds, and the width that they take."""
    return re.sub(r"=* (.*) in [\d.]+s =*", r"= \1 in N s =", re.sub(r"\bin [\d.]+s$", "in N s", line))


def matches(shown: Sequence[str], real: Sequence[str]) -> bool:
    """Tell whether *real* is what is *shown*, where a line ``...`` stands for any number of lines."""
    parts = ["(?:.*\n)*" if line == ANY_LINES else re.escape(normalised(line)) + "\n" for line in shown]
    return re.fullmatch("".join(parts), "".join(normalised(line) + "\n" for line in real)) is not None


def renewed(shown: Sequence[str], real: Sequence[str]) -> list[str]:
    """Return the lines of *real* that stand for those *shown*, with the same lines left out."""
    if matches(shown, real):
        return list(shown)
    result: list[str] = []
    segment: list[str] = []
    at = 0
    for line in [*shown, None]:
        if line is not None and line != ANY_LINES:
            segment.append(line)
            continue
        if line is None and ANY_LINES not in shown:
            return list(real)
        if segment:
            starts = range(at, max(len(real) - len(segment), at) + 1)
            wanted = "\n".join(segment)
            at = max(
                starts,
                key=lambda start: difflib.SequenceMatcher(
                    None, wanted, "\n".join(real[start : start + len(segment)]), autojunk=False
                ).ratio(),
            )
            result.extend(real[at : at + len(segment)])
            at += len(segment)
            segment = []
        if line is not None:
            result.append(line)
    return result


def environment() -> dict[str, str]:
    """Return the environment of a user who has set nothing, with the scripts of this installation first."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "QE_"))}
    kept.pop("PYTHONPATH", None)
    return {
        **kept,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "COLUMNS": "80",
        "PYTHONIOENCODING": "utf-8",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def run(command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command as a shell does."""
    return subprocess.run(
        command,
        shell=True,
        cwd=cwd,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def copy_example(name: str, target: Path) -> Path:
    """Copy an example into the directory *target*."""
    ignored = shutil.ignore_patterns("__pycache__", ".pytest_cache")
    return Path(shutil.copytree(ROOT / "examples" / name, target / name, ignore=ignored))


def copy_repository(target: Path) -> Path:
    """Copy what the README's commands name; without the package, so that the installed one runs."""
    for name in EXAMPLES:
        copy_example(name, target / "examples")
    return target


def expected_code(command: str) -> int:
    """Return the exit code of a command of the README: the tests of one example fail."""
    return 1 if command.startswith("pytest examples/red_run ") else 0


def updated(text: str, tree: Path) -> str:
    """Return the README's *text* with what its commands answer in *tree*, and what was measured."""
    for block in blocks(text, "console"):
        lines = []
        for command, shown in sessions(block):
            done = run(command, tree)
            if done.returncode != expected_code(command):
                raise SystemExit(f"$ {command}\n{done.stdout}{done.stderr}")
            lines += [f"$ {command}", *renewed(shown, done.stdout.splitlines())]
        text = text.replace(f"```console\n{block}```", "```console\n" + "\n".join(lines) + "\n```")
    for name in PUBLISHED:
        measured = published(name)
        if measured is not None:
            shown = published_block(name).search(text)
            if shown is not None:
                text = text[: shown.start()] + measured + text[shown.end() :]
    return text


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        README.write_text(updated(README.read_text(encoding="utf-8"), copy_repository(Path(directory))), "utf-8")
