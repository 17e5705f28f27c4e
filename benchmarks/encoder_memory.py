"""Measure how much memory the encoder of this package needs for many functions, in processes of its own.

Functions are drawn: lines of a call each, with words drawn from a list, about 120 tokens on average. The peak is the
largest resident set that the kernel saw, weights and functions included.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CHILD = """
import json, sys
def peak_mb():
    try:
        with open("/proc/self/status") as lines:
            return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return None
found = {"interpreter_mb": peak_mb()}
import numpy as np
from pytest_qeattention.encoder.encoder import Encoder
found["imported_mb"] = peak_mb()
with open(sys.argv[1]) as file:
    functions = json.load(file)
found["functions_mb"] = peak_mb()
encoder = Encoder(precision=sys.argv[2], num_threads=int(sys.argv[3]))
vectors = encoder.functions(functions)
found["encoded_mb"] = peak_mb()
assert vectors.shape[0] == len(functions) and np.isfinite(vectors).all()
print(json.dumps(found))
"""
WORDS = (
    *("account", "address", "answer", "body", "cache", "client", "code", "count", "date", "delay", "entry", "error"),
    *("event", "field", "file", "group", "header", "host", "index", "item", "key", "level", "limit", "line", "list"),
    *(
        "message",
        "model",
        "name",
        "node",
        "option",
        "order",
        "page",
        "path",
        "port",
        "query",
        "queue",
        "rate",
        "record",
    ),
    *("reply", "request", "result", "role", "row", "rule", "server", "session", "size", "source", "state", "status"),
    *("stream", "table", "task", "text", "time", "token", "type", "user", "value", "view", "word", "worker", "zone"),
)
# Tokens of a drawn line.
_PER_LINE = 7


def drawn_functions(count: int, tokens: int = 120) -> list[str]:
    """Draw *count* functions of *tokens* tokens on average, from a normal distribution."""
    draw = random.Random(7)
    functions = []
    for number in range(count):
        lines = max(1, round(draw.gauss(tokens, tokens / 3) / _PER_LINE))
        body = "".join(
            "    {0}_{1} = {2}.{3}_{4}({0!r}, {5})\n".format(*draw.choices(WORDS, k=5), draw.randrange(1000))
            for _ in range(lines)
        )
        functions.append(f"def test_{number}():\n{body}")
    return functions


def peak_memory(functions: Sequence[str], precision: str, threads: int, place: Path) -> dict[str, Any]:
    """Encode *functions* in a new process, from *place*; return its peaks in MB, step by step: null outside Linux."""
    file = place / "functions.json"
    file.write_text(json.dumps(list(functions)), encoding="utf-8")
    command = [sys.executable, "-c", CHILD, str(file), precision, str(threads)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, cwd=place)
    found: dict[str, float | None] = json.loads(answer.stdout)
    first, last, imported = (found[f"{name}_mb"] for name in ("interpreter", "encoded", "imported"))
    return {
        **found,
        "over_interpreter_mb": None if first is None or last is None else last - first,
        "over_imported_mb": None if imported is None or last is None else last - imported,
    }
