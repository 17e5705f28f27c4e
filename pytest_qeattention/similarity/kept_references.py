"""References of files that are read anew only when they have changed.

What a file holds is kept by its content, and the references between a set of files by what all of them hold.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import marshal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from pytest_qeattention.cache import Cache, code_key, key_of
from pytest_qeattention.similarity.candidates import source_digest
from pytest_qeattention.similarity.discover import SourcePath
from pytest_qeattention.similarity.kept import Files
from pytest_qeattention.similarity.links import Links, link
from pytest_qeattention.similarity.outlines import Outline, pack_outline, read_outline, unpack_outline
from pytest_qeattention.similarity.reading import FileReader, Job, read_files
from pytest_qeattention.similarity.references import References
from pytest_qeattention.similarity.scan import without_garbage_collection
from pytest_qeattention.similarity.workload import Progress

T = TypeVar("T")

_FILES_AT_ONCE = 128

_Read = tuple[str, Outline | None]
"""Digest of a file and what it holds; empty and None for one that cannot be read."""
_Content = tuple[list[tuple[str, list[str]]], Links]
"""What `References` are made of."""


def references_of(
    files: Sequence[SourcePath],
    *,
    cache_dir: Path | None = None,
    num_processes: int | None = None,
    progress: Progress | None = None,
) -> References:
    """Return the references between the functions of *files*, the same for any number of processes.

    With *cache_dir* only files that have changed are read again. What is no Python, or cannot be read, has none.
    """
    kept = _Kept(Files(Cache(cache_dir)), num_processes, progress)
    with kept.cache, without_garbage_collection():
        return References(*kept.content(files))


class _Outlining(FileReader[_Read]):
    def read(self, job: Job) -> _Read:
        try:
            data = job.source.path.read_bytes()
        except OSError:
            return "", None
        return source_digest(data), read_outline(data)

    def pack(self, found: _Read) -> object:
        digest, outline = found
        return digest, pack_outline(outline)

    def unpack(self, packed: Any, job: Job) -> _Read:
        digest, outline = packed
        return digest, unpack_outline(outline)


class _Kept:
    def __init__(self, files: Files, num_processes: int | None, progress: Progress | None) -> None:
        self.cache = files.cache
        self._files = files
        self._num_processes = num_processes
        self._progress = progress

    def content(self, sources: Sequence[SourcePath]) -> _Content:
        """Return what the references of *sources* are made of, from the last run if that found them as they are."""
        if not self.cache.is_on:
            return _linked(sources, self._read(sources))
        digests = [self._files.digest(source) for source in sources]
        state = key_of(digests)
        # One entry for the same files, however often they change.
        key = key_of("references", code_key(), [(str(source.path), source.display) for source in sources])
        data = self.cache.read([key]).get(key)
        known = None if data is None else _unpacked(data, state)
        if known is not None:
            return known
        found = self._outlines(sources, digests)
        content = _linked(sources, found)
        # What was read has to be what was named: a file that changed in between is left to the next run.
        if [digest for digest, _ in found] == digests:
            self.cache.write({key: _packed(content, state)})
        return content

    def _outlines(self, sources: Sequence[SourcePath], digests: Sequence[str]) -> list[_Read]:
        keys = {digest: key_of("names", code_key(), digest) for digest in digests if digest}
        known: dict[str, _Read] = {}
        for part in _parts(list(keys)):
            data = self.cache.read(keys[digest] for digest in part)
            for digest in part:
                if keys[digest] in data:
                    # Whole and of this version, as checksum and key say.
                    known[digest] = digest, unpack_outline(marshal.loads(data[keys[digest]]))
        missing = [at for at, digest in enumerate(digests) if digest not in known]
        fresh = dict(zip(missing, self._read([sources[at] for at in missing]), strict=True))
        for places in _parts(missing):
            entries = {keys[digests[at]]: fresh[at][1] for at in places if fresh[at][0] == digests[at] != ""}
            self.cache.write({key: marshal.dumps(pack_outline(outline)) for key, outline in entries.items()})
        return [fresh[at] if at in fresh else known[digest] for at, digest in enumerate(digests)]

    def _read(self, sources: Sequence[SourcePath]) -> list[_Read]:
        jobs = [Job(source) for source in sources]
        return read_files(jobs, _Outlining(), num_processes=self._num_processes, progress=self._progress)


def _parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + _FILES_AT_ONCE] for start in range(0, len(items), _FILES_AT_ONCE))


def _linked(sources: Sequence[SourcePath], found: Sequence[_Read]) -> _Content:
    outlines: dict[str, Outline] = {}
    for source, (_, outline) in zip(sources, found, strict=True):
        # A file that is named in two ways is the same.
        if outline is not None:
            outlines.setdefault(source.display, outline)
    names = [(path, [function.qualname for function in outline.functions]) for path, outline in outlines.items()]
    return names, link(outlines.values())


def _packed(content: _Content, state: bytes) -> bytes:
    names, links = content
    # Few shares are different: their places take a quarter of the room.
    shares, places = np.unique(np.asarray(links.weights, np.float64), return_inverse=True)
    plain = (state, names, _bytes(links.counts), _bytes(links.targets), shares.tobytes(), _bytes(places))
    return marshal.dumps(plain)


def _bytes(numbers: npt.ArrayLike) -> bytes:
    return np.asarray(numbers, np.int32).tobytes()


def _unpacked(data: bytes, state: bytes) -> _Content | None:
    """Return what `_packed` wrote, where that is of the same *state*."""
    known, names, *rest = marshal.loads(data)
    if known != state:
        return None
    counts, targets, places = (np.frombuffer(rest[at], np.int32) for at in (0, 1, 3))
    return names, Links(counts, targets, np.frombuffer(rest[2], np.float64)[places])
