"""Count how common features are in the tests of other projects, and write the table that the package ships.

    python -m benchmarks.training.background DIR...

Each DIR holds one unpacked distribution, named ``NAME-VERSION``; every distribution weighs the same. Only counts of
hashed features are kept. The names and numbers of what was counted go to benchmarks/results/background.json.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from pytest_qeattention.similarity.background import FILE, MAGIC, VERSION, Background, pack
from pytest_qeattention.similarity.describe import Description, bag_features, describe
from pytest_qeattention.similarity.discover import SourcePath
from pytest_qeattention.similarity.evidence import BAGS
from pytest_qeattention.similarity.scan import scan_file
from pytest_qeattention.store import write_checked

RESULT = Path(__file__).parents[1] / "results" / "background.json"
# Distributions with fewer tests say more about themselves than about tests at large.
LEAST_TESTS = 100
# Large suites are thinned evenly to this many tests.
MOST_TESTS = 2500
LEAST_SHARE = 1 / 300


def described_tests(directory: Path) -> Iterator[Description]:
    """Describe every test below *directory*, in order of path and line."""
    for path in sorted(directory.rglob("*.py")):
        if path.name.startswith("test") or path.name.endswith("_test.py"):
            scan = scan_file(SourcePath(path.absolute(), path.as_posix()), None, describe)
            yield from (found.described for found in scan.functions if found.described is not None)


def shares(tests: Sequence[Description], bag: str) -> Counter[int]:
    """Count in how many of *tests* each feature of *bag* stands."""
    counts: Counter[int] = Counter()
    for test in tests:
        counts.update(np.frombuffer(bag_features(getattr(test, bag)), np.uint32).tolist())
    return counts


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the table from the distributions named; 1 when fewer than two have enough tests."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directories", nargs="+", type=Path, metavar="DIR")
    parser.add_argument("--table", type=Path, default=FILE, metavar="FILE", help="the table to write")
    parser.add_argument("--result", type=Path, default=RESULT, metavar="FILE", help="the record to write")
    options = parser.parse_args(arguments)
    used: list[dict[str, object]] = []
    totals: list[Counter[int]] = [Counter() for _ in BAGS]
    for directory in sorted(options.directories, key=lambda path: path.name.lower()):
        tests = list(described_tests(directory))
        if len(tests) < LEAST_TESTS:
            print(f"{directory.name}: {len(tests)} tests are too few, left out")
            continue
        found, step = len(tests), -(-len(tests) // MOST_TESTS)
        tests = tests[::step]
        print(f"{directory.name}: {found} tests, {len(tests)} counted")
        used.append({"distribution": directory.name, "tests": found, "counted": len(tests)})
        for total, bag in zip(totals, BAGS, strict=True):
            for feature, count in shares(tests, bag).items():
                total[feature] += count / len(tests)  # type: ignore[assignment]
    if len(used) < 2:
        print("fewer than two distributions with enough tests: no table was written")
        return 1
    bags = []
    for total in totals:
        kept = sorted(feature for feature, share in total.items() if share / len(used) >= LEAST_SHARE)
        bags.append(Background(np.array(kept, np.uint32), np.array([total[feature] / len(used) for feature in kept])))
    # It is installed for everybody.
    problem = write_checked(options.table, pack(bags), magic=MAGIC, version=VERSION, mode=0o644)
    if problem is not None:
        print(problem)
        return 1
    record = {
        "features": {bag: len(background.features) for bag, background in zip(BAGS, bags, strict=True)},
        "least_share": LEAST_SHARE,
        "distributions": used,
    }
    options.result.parent.mkdir(exist_ok=True)
    options.result.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
