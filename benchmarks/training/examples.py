"""Training examples of one distribution: token sequences, and which pairs of them belong together."""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pytest_qeattention.encoder.tokens import KINDS, TOKENISER, Kind, TokenBatch, TokenSequence, pieces

IntArray = npt.NDArray[np.int64]

# What a pair says of its two sequences; the order is that of the arrays in a file.
SIGNALS = ("calls", "docstring", "name", "rows", "siblings", "copies", "message")
# Tokens of a function past this many are not kept.
MOST_TOKENS = 256


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Hold the sequences and pairs of one distribution; s sequences with n tokens and p parts in all."""

    kinds: npt.NDArray[np.uint8]
    """(s,)"""
    files: npt.NDArray[np.int32]
    """Number of the file that each sequence comes from, (s,)."""
    offsets: IntArray
    """The tokens of sequence i are ``offsets[i]:offsets[i + 1]``, (s + 1,)."""
    roles: npt.NDArray[np.uint8]
    """(n,)"""
    counts: npt.NDArray[np.uint8]
    """How many parts each token has, (n,)."""
    part_offsets: IntArray
    """The parts of sequence i are ``parts[part_offsets[i]:part_offsets[i + 1]]``, (s + 1,)."""
    parts: npt.NDArray[np.uint32]
    """(p,)"""
    bag_offsets: IntArray
    """The bag of sequence i is ``bags[bag_offsets[i]:bag_offsets[i + 1]]``, (s + 1,)."""
    bags: npt.NDArray[np.uint32]
    """Hashed parts by which words alone compare sequences: those of code have the names of locals too, (b,)."""
    contents: npt.NDArray[np.uint32]
    """Checksum of what each sequence says, equal for equal ones, (s,)."""
    pairs: npt.NDArray[np.int32]
    """Signal, first and second sequence of each pair, (k, 3)."""
    tests: npt.NDArray[np.int32]
    """Sequences of each test's body, name and docstring, -1 for one that it has not, (t, 3)."""

    def of(self, signal: str) -> npt.NDArray[np.int32]:
        """Return the pairs of one signal, (k, 2)."""
        pairs: npt.NDArray[np.int32] = self.pairs[self.pairs[:, 0] == SIGNALS.index(signal), 1:]
        return pairs

    def batch(self, chosen: Sequence[int] | IntArray, longest: int) -> TokenBatch:
        """Return the first *longest* tokens of each of the *chosen* sequences."""
        rows = np.asarray(chosen, np.int64)
        lengths = np.minimum(np.diff(self.offsets)[rows], longest)
        offsets = np.concatenate(([0], np.cumsum(lengths)))
        tokens = _ranges(self.offsets[rows], lengths)
        starts = np.concatenate(([0], np.cumsum(self.counts[tokens], dtype=np.int64)))
        parts = _ranges(self.part_offsets[rows], starts[offsets[1:]] - starts[offsets[:-1]])
        return TokenBatch(self.kinds[rows], offsets, self.roles[tokens], starts, self.parts[parts])


def _ranges(first: IntArray, lengths: IntArray) -> IntArray:
    """Return ``first[0], first[0] + 1, ...`` for *lengths* each, one after the other."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    places: IntArray = np.arange(total) + np.repeat(first - (ends - lengths), lengths)
    return places


class Collector:
    """Collect sequences and pairs; equal sequences of one kind and file are kept once."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, Kind, TokenSequence], int] = {}
        self._kinds, self._roles, self._counts = bytearray(), bytearray(), bytearray()
        self._files, self._contents = array("i"), array("I")
        self._parts = array("I")
        self._bags = array("I")
        self._lengths, self._part_lengths, self._bag_lengths = array("q", [0]), array("q", [0]), array("q", [0])
        self.pairs: list[tuple[int, int, int]] = []
        self.tests: list[tuple[int, int, int]] = []

    def add(self, sequence: TokenSequence, kind: Kind, file: int, bag: bytes | None = None) -> int:
        """Return the number of *sequence*, of which at most `MOST_TOKENS` are kept; *bag* is its own parts if None."""
        bag = sequence.parts if bag is None else bag
        sequence = pieces(sequence, MOST_TOKENS)[0]
        key = (file, kind, sequence)
        known = self._known.get(key)
        if known is not None:
            return known
        self._kinds.append(KINDS.index(kind))
        self._files.append(file)
        self._roles += sequence.roles
        self._counts += sequence.counts
        self._parts.frombytes(sequence.parts)
        self._bags.frombytes(bag)
        self._bag_lengths.append(len(bag) // 4)
        self._lengths.append(len(sequence))
        self._part_lengths.append(len(sequence.parts) // 4)
        self._contents.append(zlib.crc32(sequence.roles + b"\0" + sequence.counts + sequence.parts))
        return self._known.setdefault(key, len(self._known))

    def pair(self, signal: str, first: int, second: int) -> None:
        """Say that two sequences belong together."""
        self.pairs.append((SIGNALS.index(signal), first, second))

    def examples(self) -> Examples:
        """Return what was collected."""
        return Examples(
            kinds=np.frombuffer(bytes(self._kinds), np.uint8),
            files=np.array(self._files, np.int32),
            offsets=np.cumsum(np.array(self._lengths, np.int64)),
            roles=np.frombuffer(bytes(self._roles), np.uint8),
            counts=np.frombuffer(bytes(self._counts), np.uint8),
            part_offsets=np.cumsum(np.array(self._part_lengths, np.int64)),
            parts=np.array(self._parts, np.uint32),
            bag_offsets=np.cumsum(np.array(self._bag_lengths, np.int64)),
            bags=np.array(self._bags, np.uint32),
            contents=np.array(self._contents, np.uint32),
            pairs=np.array(self.pairs, np.int32).reshape(-1, 3),
            tests=np.array(self.tests, np.int32).reshape(-1, 3),
        )


def write_examples(path: Path, examples: Examples) -> None:
    """Write *examples* as a file of arrays."""
    arrays = {field.name: getattr(examples, field.name) for field in fields(Examples)}
    np.savez(path, tokeniser=np.uint32(TOKENISER), **arrays)


def read_examples(path: Path) -> Examples:
    """Read what `write_examples` wrote; raises ValueError where another tokeniser made it."""
    with np.load(path, allow_pickle=False) as arrays:
        if int(arrays["tokeniser"]) != TOKENISER:
            raise ValueError(f"{path} was made with other roles of tokens; make the pairs again")
        return Examples(**{field.name: arrays[field.name] for field in fields(Examples)})
