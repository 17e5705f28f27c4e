"""Files that are read anew only when they have changed, and the names of suites made of them.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import json
import marshal
import os
from collections.abc import Callable, Sequence

from pytest_qeattention.cache import Cache, code_key, key_of
from pytest_qeattention.similarity.bindings import bound_names
from pytest_qeattention.similarity.candidates import FileScan, source_digest
from pytest_qeattention.similarity.discover import Discovery, SourcePath
from pytest_qeattention.similarity.imports import Reference, support_files
from pytest_qeattention.similarity.naming import NamingRules
from pytest_qeattention.similarity.packing import pack_scan, unpack_scan
from pytest_qeattention.similarity.reading import Job, Scan, scan_files
from pytest_qeattention.similarity.scan import package_root, without_garbage_collection
from pytest_qeattention.similarity.workload import Progress

# What every comment for this plugin starts with.
REMARK = b"qe:"
_FILES_AT_ONCE = 128


class Files:
    """Read files, and scan them where *cache* does not hold what they were found to hold."""

    def __init__(self, cache: Cache) -> None:
        self.cache = cache
        self.has_remarks = False
        """Whether a file that was read holds a comment for this plugin."""
        self._digests: dict[str, str] = {}
        self._bindings: dict[int, str] = {}

    def digest(self, source: SourcePath) -> str:
        """Return `source_digest` of a file as it is when it is asked for first; empty when it cannot be read."""
        path = str(source.path)
        known = self._digests.get(path)
        if known is None:
            try:
                data = source.path.read_bytes()
            except OSError:
                known = ""
            else:
                known = source_digest(data)
                self.has_remarks = self.has_remarks or REMARK in data
            self._digests[path] = known
        return known

    def names(self, sources: Sequence[SourcePath]) -> list[object] | None:
        """Return what tells *sources*, their content and their packages from others; None if one cannot be read."""
        if not all(map(self.digest, sources)):
            return None
        return [
            (str(s.path), s.display, s.selected, s.deselected, self.digest(s), package_root(os.path.dirname(s.path)))
            for s in sources
        ]

    def scan(
        self,
        jobs: Sequence[Job],
        rules: NamingRules | None,
        *,
        num_processes: int | None = None,
        progress: Progress | None = None,
    ) -> list[Scan]:
        """Scan and describe the files of *jobs*, in their order."""
        if not self.cache.is_on:
            return scan_files(jobs, rules, num_processes=num_processes, progress=progress)
        keys = [self._key(job, rules) for job in jobs]
        scans: list[Scan | None] = [None] * len(jobs)
        with without_garbage_collection():
            for start in range(0, len(jobs), _FILES_AT_ONCE):
                part = range(start, min(start + _FILES_AT_ONCE, len(jobs)))
                known = self.cache.read(key for number in part if (key := keys[number]) is not None)
                for number in part:
                    key = keys[number]
                    if key is not None and key in known:
                        scans[number] = self._unpacked(known[key], jobs[number].source)
        missing = [number for number, scan in enumerate(scans) if scan is None]
        fresh = scan_files([jobs[number] for number in missing], rules, num_processes=num_processes, progress=progress)
        for number, scan in zip(missing, fresh, strict=True):
            scans[number] = scan
        for start in range(0, len(missing), _FILES_AT_ONCE):
            part_missing = missing[start : start + _FILES_AT_ONCE]
            self._keep({keys[number]: fresh[start + at] for at, number in enumerate(part_missing)})
        return [scan for scan in scans if scan is not None]

    def binding(self, found_id: int) -> str | None:
        """Return the bindings of the function of that `id`, where a scan of this object has it."""
        return self._bindings.get(found_id)

    def _key(self, job: Job, rules: NamingRules | None) -> bytes | None:
        digest = self.digest(job.source)
        if not digest:
            return None
        wanted = None if job.wanted is None else sorted(job.wanted)
        return key_of("file", code_key(), rules, job.source.display, digest, wanted)

    def _unpacked(self, data: bytes, source: SourcePath) -> Scan:
        # Whole and of this version, as checksum and key say.
        packed, bindings = marshal.loads(data)
        scan = unpack_scan(packed, source, package_root(os.path.dirname(source.path)))
        self._bindings.update(zip(map(id, scan.functions), bindings, strict=True))
        return scan

    def _keep(self, scans: dict[bytes | None, Scan]) -> None:
        entries: dict[bytes, bytes] = {}
        for key, scan in scans.items():
            # A file that changed after its digest was taken is kept by the next run.
            if key is None or scan.source is None or scan.digest != self.digest(scan.source):
                continue
            bindings = [
                "" if found.described is None else bound_names(found.unit, found.described, scan)
                for found in scan.functions
            ]
            self._bindings.update(zip(map(id, scan.functions), bindings, strict=True))
            entries[key] = marshal.dumps((pack_scan(scan), bindings))
        self.cache.write(entries)


class StaticKey:
    """Name a suite that is found by walking directories: by its files, and by what they made it look for elsewhere.

    Bases and imported tests lie in files that are looked for by name; one that appears or goes changes the suite,
    although no file that was read has changed.
    """

    def __init__(self, files: Files, discovery: Discovery, is_ignored: Callable[[str], bool]) -> None:
        self._files = files
        self._discovery = discovery
        self._is_ignored = is_ignored
        names = files.names(discovery.files) if files.cache.is_on else None
        self._name: bytes | None = None
        if names is not None:
            ignored = [is_ignored(source.display) for source in discovery.files]
            facts = (str(discovery.cwd), str(discovery.rootdir), discovery.rules, discovery.problems)
            self._name = key_of("static", code_key(), *facts, names, ignored)

    def known(self) -> bytes | None:
        """Return the key if an earlier run has read the same files, None otherwise."""
        if self._name is None:
            return None
        outline = key_of("outline", self._name)
        data = self._files.cache.read([outline]).get(outline)
        if data is None:
            return None
        try:
            missing = [Reference(*row) for row in json.loads(data)]
        except (ValueError, TypeError):
            return None
        return self._whole(missing)

    def keep(self, missing: Sequence[Reference]) -> bytes | None:
        """Keep what the suite looked for in other files, and return the key."""
        if self._name is None:
            return None
        rows = [[reference.directory, reference.dotted, reference.absolute] for reference in missing]
        self._files.cache.write({key_of("outline", self._name): json.dumps(rows).encode("ascii")})
        return self._whole(missing)

    def _whole(self, missing: Sequence[Reference]) -> bytes | None:
        read: list[Scan] = [FileScan(source.display, source=source) for source in self._discovery.files]
        support = support_files(missing, read, self._discovery)
        names = self._files.names(support)
        ignored = [self._is_ignored(source.display) for source in support]
        return None if names is None else key_of("suite", self._name, names, ignored)


def located_key(files: Files, sources: Sequence[SourcePath], *facts: object) -> bytes | None:
    """Name what pytest collected from *sources*, and what these hold now."""
    names = files.names(sources) if files.cache.is_on else None
    return None if names is None else key_of("located", code_key(), names, *facts)
