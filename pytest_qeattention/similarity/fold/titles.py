"""The name of a folded test, and the ids of its rows: what the names of its tests have in common, and the rest.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from itertools import chain, count

from pytest_qeattention.similarity.fold.lifting import words as word_set


def split_name(name: str) -> list[str]:
    """Split the name of a test into words: at underscores, or at capitals where it has none after ``test``."""
    words = [word for word in name.split("_") if word]
    if len(words) == 1:
        words = re.sub(r"(?<=[^\W_A-Z])(?=[A-Z])", "_", words[0]).split("_")
    return words


def _common(sequences: Sequence[Sequence[str]]) -> list[str]:
    """Return the words that all *sequences* have in the same order, found greedily from both ends."""
    first = sequences[0]
    head = 0
    while all(len(each) > head and each[head] == first[head] for each in sequences) and head < len(first):
        head += 1
    tail = 0
    shortest = min(len(each) for each in sequences)
    while tail < shortest - head and all(each[-1 - tail] == first[-1 - tail] for each in sequences):
        tail += 1
    middle = [list(each[head : len(each) - tail]) for each in sequences]
    inner = middle[0]
    for each in middle[1:]:
        inner = _longest_common(inner, each)
    return [*first[:head], *inner, *first[len(first) - tail :]]


def _longest_common(left: Sequence[str], right: Sequence[str]) -> list[str]:
    table = [[0] * (len(right) + 1) for _ in range(len(left) + 1)]
    for i in range(len(left) - 1, -1, -1):
        for j in range(len(right) - 1, -1, -1):
            table[i][j] = table[i + 1][j + 1] + 1 if left[i] == right[j] else max(table[i + 1][j], table[i][j + 1])
    found, i, j = [], 0, 0
    while i < len(left) and j < len(right):
        if left[i] == right[j]:
            found.append(left[i])
            i, j = i + 1, j + 1
        elif table[i + 1][j] >= table[i][j + 1]:
            i += 1
        else:
            j += 1
    return found


_SMALL_WORDS = word_set("a an the with without in on of to for and or when if is are not by from as at no")


def name_test(names: Sequence[str], taken: Collection[str], subject: str = "", claimed: Collection[str] = ()) -> str:
    """Name the folded test by the words that *names* have in common; *subject* says more where they have none.

    The name is not among *taken*, unless it is one of *names*, and not among *claimed*.
    """
    split = [split_name(name) for name in names]
    words = _common(split)
    while len(words) > 1 and words[-1].lower() in _SMALL_WORDS:
        words.pop()
    is_camel = "_" not in names[0].strip("_") and len(words) > 0 and any(c.isupper() for c in names[0])
    if not words or words[0].lower() != "test":
        words = [split[0][0] if split[0][0].lower().startswith("test") else "test", *words]
    if len(words) == 1 and subject:
        words.extend(split_name(subject) if is_camel else map(str.lower, split_name(subject)))
    if len(words) == 1:
        words = split[0]
    name = words[0] + "".join(w[:1].upper() + w[1:] for w in words[1:]) if is_camel else "_".join(words)
    cases = f"{name}Cases" if is_camel else f"{name}_cases"
    numbered = (f"{cases}{number}" if is_camel else f"{cases}_{number}" for number in count(2))
    for candidate in chain((name, cases, *names), numbered):
        if candidate.isidentifier() and candidate not in claimed and (candidate not in taken or candidate in names):
            return candidate
    return names[0]


def row_ids(names: Sequence[str], parts: Sequence[int], given: Sequence[str | None] | None = None) -> list[str]:
    """Name the rows by the words in which *names* differ; each test has as many rows as *parts* says.

    *given* holds what the tests themselves call each row. The ids are unique.
    """
    split = [split_name(name) for name in names]
    words = _common(split)
    ids: list[str] = []
    for each, amount in zip(split, parts, strict=True):
        rest = _without(each, words)
        text = "_".join(rest) or (each[-1] if len(each) > 1 else "default")
        text = _plain(text)
        ids.extend([text] if amount == 1 else [f"{text}_{number + 1}" for number in range(amount)])
    own = [_plain(text) if text else "" for text in given or [None] * len(ids)]
    if all(own) and len(set(own)) == len(own):
        return own
    ids = [
        f"{text.rpartition('_')[0]}_{mine}" if mine and text.rpartition("_")[2].isdigit() else text
        for text, mine in zip(ids, own, strict=True)
    ]
    seen: set[str] = set()
    unique: list[str] = []
    for text in ids:
        candidate = next(each for each in chain((text,), (f"{text}_{n}" for n in count(2))) if each not in seen)
        seen.add(candidate)
        unique.append(candidate)
    return unique


def _plain(text: str) -> str:
    """Return *text* without what would need an escape in a string or in a node id."""
    return re.sub(r"[^\w.+]", "_", text, flags=re.ASCII)


def _without(words: Sequence[str], common: Sequence[str]) -> list[str]:
    """Return *words* without the *common* ones, which they hold in order: those at the ends go first."""
    head = 0
    while head < len(common) and head < len(words) and words[head] == common[head]:
        head += 1
    rest, left = list(words[head:]), list(common[head:])
    while left and rest and rest[-1] == left[-1]:
        rest.pop()
        left.pop()
    kept = []
    for word in rest:
        if left and word == left[0]:
            left.pop(0)
        else:
            kept.append(word)
    return kept
