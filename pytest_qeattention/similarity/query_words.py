"""How often a word of a docstring or name stands in the function that it describes.

Counted by benchmarks/training/query_words.py over the distributions that benchmarks/results/query_words.json names:
"email" does in most of its functions, "correctly" in none.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pytest_qeattention.store import read_checked

FILE = Path(__file__).with_name("query_words.bin")
MAGIC = b"QEQUERYW"
VERSION = 1
# Of a word that is not in the table.
USUAL_CHANCE = 0.45


class QueryWordsError(RuntimeError):
    """Say that the installed table cannot be used."""


@dataclass(frozen=True, slots=True, eq=False)
class QueryWords:
    """Hold hashed words, uint32 ascending, and the chance of each, float64 from 0 to 1."""

    words: npt.NDArray[np.uint32]
    chances: npt.NDArray[np.float64]

    def of(self, word: str) -> float:
        """Return the chance that a function has *word*, in lower case, when its docstring or name has it."""
        key = np.uint32(hashed_word(word))
        at = int(np.searchsorted(self.words, key))
        return float(self.chances[at]) if at < len(self.words) and self.words[at] == key else USUAL_CHANCE


def hashed_word(word: str) -> int:
    """Hash a word; all whole numbers are one."""
    return zlib.crc32(b"#" if word.isdecimal() else word.encode("utf-8", "surrogatepass"))


def pack(table: QueryWords) -> bytes:
    """Write *table* as the payload of the file: the count, the words and chances in steps of 1/255."""
    chances = np.rint(table.chances * 255).astype(np.uint8)
    return np.array(len(chances), "<u4").tobytes() + table.words.astype("<u4").tobytes() + chances.tobytes()


@cache
def load_query_words() -> QueryWords:
    """Read the installed table; raises QueryWordsError when it is missing or damaged."""
    checked = read_checked(FILE, magic=MAGIC, version=VERSION)
    if checked.payload is None:
        problem = checked.problem or f"{FILE} is missing"
        raise QueryWordsError(f"{problem}; tests cannot be asked for in words without it; reinstall pytest-qeattention")
    count = int(np.frombuffer(checked.payload, "<u4", 1)[0])
    words = np.frombuffer(checked.payload, "<u4", count, 4).astype(np.uint32)
    return QueryWords(words, np.frombuffer(checked.payload, np.uint8, count, 4 + 4 * count) / 255)
