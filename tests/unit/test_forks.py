"""What a fork returns, and what is said of one that returns nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that fork")


def said(script: str, place: Path) -> list[object]:
    """Return the lines of JSON that *script* prints, in a process of its own: this one may have threads."""
    command = [sys.executable, "-c", textwrap.dedent(script), str(place)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line) for line in ended.stdout.splitlines()]


def test_how_forks_end(tmp_path: Path) -> None:
    script = """
        import json, sys, time
        from pathlib import Path
        from benchmarks.quality.forks import Forks

        forks = Forks(Path(sys.argv[1]) / "answer.json", limit=30, most_bytes=8 << 30)
        impatient = Forks(Path(sys.argv[1]) / "answer.json", limit=0.2, most_bytes=8 << 30)
        kept = []
        for each, function in (
            (forks, lambda: kept.append(1) or {"seen": [1, None]}),
            (forks, lambda: sys.exit(3)),
            (impatient, lambda: time.sleep(60)),
            (forks, lambda: kept),
        ):
            print(json.dumps(each.run(function)))
        """
    # What happened in a fork stayed there, and an answer is that of its own fork.
    assert said(script, tmp_path) == [{"seen": [1, None]}, "ended early", "did not end", []]


def test_functions_get_the_code_of_a_changed_file(tmp_path: Path) -> None:
    script = """
        import json, linecache, sys
        from pathlib import Path

        place = Path(sys.argv[1])
        source = "def one():\\n    return 1\\n\\n\\ndef two():\\n    return 2\\n\\n\\nONE = [one]\\n"
        for name in ("pond.py", "other_pond.py"):
            (place / name).write_text(source)
        sys.path.insert(0, str(place))
        import other_pond, pond
        from benchmarks.quality.forks import apply

        path = str(place / "pond.py")
        print(json.dumps(apply(path, source.replace("return 2", "return 3"))))
        print(json.dumps([pond.one(), pond.two(), pond.ONE[0](), other_pond.two()]))
        print(json.dumps(linecache.getline(path, 6)))
        print(json.dumps(apply(path, source.replace("return 2", "return 3"))))
        print(json.dumps(apply(path, source.replace("def two", "# Moved.\\ndef two"))))
        """
    assert said(script, tmp_path) == [True, [1, 3, 1, 2], "    return 3\n", False, False]
