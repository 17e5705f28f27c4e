"""Edit one in a hundred of the test files of a copy of a suite, as a day's work would.

    python benchmarks/edit_suite.py SUITE COPY

Makes COPY of SUITE where it does not exist. Each edited file gets one more test; the files are spread over the suite,
and every call takes others. For ``benchmarks.rival_speed``:

    --before "edited={python} $PWD/benchmarks/edit_suite.py {suite} {work}/copy"
    --command 'edited={python} -m pytest_qeattention similar {work}/copy -q --qe-store {work}/edited'
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

EVERY = 100
TEST = """

def test_edited_{number}():
    numbers = [{number}, {number} + 1]
    assert sorted(numbers) == numbers
"""


def edit(copy: Path) -> int:
    """Add a test to every hundredth test file of *copy*, from another start on each call; return how many files."""
    files = sorted(copy.rglob("test_*.py"))
    counter = copy / ".edited"
    number = int(counter.read_text(encoding="utf-8")) + 1 if counter.exists() else 0
    counter.write_text(str(number), encoding="utf-8")
    edited = files[number % EVERY :: EVERY]
    for file in edited:
        with file.open("a", encoding="utf-8") as stream:
            stream.write(TEST.format(number=number))
    return len(edited)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the copy and edit it."""
    given = sys.argv[1:] if arguments is None else arguments
    if len(given) != 2:
        sys.exit("usage: python benchmarks/edit_suite.py SUITE COPY")
    suite, copy = map(Path, given)
    if not copy.exists():
        shutil.copytree(suite, copy)
    edit(copy)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
