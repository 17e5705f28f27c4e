"""Whether hnswlib can be used here, found out by a subprocess before this process imports it.

hnswlib is built with ``-march=native``: a wheel that was built on another CPU (a build cache, a container
image) kills the process that loads it. So a child builds and queries a small index first. Its verdict is
remembered per CPU and per file, in memory and, where a directory is given, on disk.

Standard library only, so that ``qeattention info`` can report the state without numpy.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_qeattention.store import open_store

_TIMEOUT_S = 60.0
"""Importing numpy and hnswlib takes well under a second; a loaded machine may take many."""

_FILE = "hnswlib-probe.json"
_MAGIC = b"QEPROBE"
_VERSION = 1
_KEPT_VERDICTS = 16

_DONE = "qeattention: hnswlib works"
# One dimension for each of hnswlib's distance loops: multiples of 16 and of 4, and those with a remainder.
_CHILD = f"""
import json, sys
sys.path[:] = json.loads(sys.argv[1])
try:
    import resource
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
except (ImportError, OSError, ValueError):
    pass
import numpy
import hnswlib
for dim in (64, 20, 35, 7):
    rows = numpy.sin(numpy.arange(64 * dim, dtype=numpy.float32)).reshape(64, dim)
    rows /= numpy.sqrt((rows * rows).sum(axis=1, keepdims=True))
    index = hnswlib.Index(space="ip", dim=dim)
    index.init_index(max_elements=64, M=8, ef_construction=64, random_seed=1)
    index.add_items(rows, numpy.arange(64), num_threads=1)
    index.set_ef(64)
    labels, distances = index.knn_query(rows, k=1, num_threads=1)
    if labels.shape != (64, 1) or not numpy.allclose(distances, 0, atol=1e-4):
        sys.exit("its answers are wrong")
print({_DONE!r})
"""

_NOT_INSTALLED = "hnswlib is not installed; exact search serves; `pip install hnswlib` adds HNSW"
_REINSTALL = (
    "exact search serves; `HNSWLIB_NO_NATIVE=1 pip install "
    "--force-reinstall --no-cache-dir --no-deps hnswlib` builds it for any CPU"
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Say whether hnswlib can be imported by this process, and why or why not."""

    usable: bool
    reason: str
    lasting: bool = True
    """Whether the same file on the same CPU would be judged the same: a time-out would not."""


_verdicts: dict[str, Verdict] = {}


def hnsw_state(cache_dir: Path | None = None, *, probe: bool = False) -> dict[str, Any]:
    """Describe hnswlib as it is found here, without importing it.

    Returns ``installed`` (bool), ``version`` (str or None), ``state`` (``usable``, ``unusable``, ``not
    installed`` or ``not probed``) and ``reason`` (str). With *probe*, a verdict that neither this process nor
    *cache_dir* remembers is found out by a subprocess.
    """
    file = _find()
    if file is None:
        return {"installed": False, "version": None, "state": "not installed", "reason": _NOT_INSTALLED}
    verdict = _verdict(file, cache_dir) if probe else _remembered(_key(file), cache_dir)
    if verdict is None:
        state, reason = "not probed", "nothing has needed HNSW yet"
    else:
        state, reason = "usable" if verdict.usable else "unusable", verdict.reason
    return {"installed": True, "version": _version("hnswlib"), "state": state, "reason": reason}


def load_hnswlib(cache_dir: Path | None = None) -> tuple[Any, str]:
    """Import hnswlib if a probe shows that it can be; return the module, or None, and the reason."""
    file = _find()
    if file is None:
        return None, _NOT_INSTALLED
    verdict = _verdict(file, cache_dir)
    if not verdict.usable:
        return None, verdict.reason
    try:
        return importlib.import_module("hnswlib"), verdict.reason
    except Exception as error:  # what loads in a fresh process can still fail beside what is loaded here
        return None, f"hnswlib loads in a fresh process but not in this one ({error}); exact search serves"


def _find() -> str | None:
    """Return the file that ``import hnswlib`` would load, or None."""
    try:
        spec = importlib.util.find_spec("hnswlib")
    except (ImportError, ValueError, AttributeError):  # ValueError: a stand-in in sys.modules without a spec
        return None
    if spec is None or spec.origin is None:
        return None
    return spec.origin


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _key(file: str) -> str:
    """Return what a verdict holds for: CPU, interpreter, numpy's version and the very file."""
    try:
        status = os.stat(file)
        identity = [os.path.realpath(file), status.st_size, status.st_mtime_ns]
    except OSError:
        identity = [file]
    facts = [_cpu_fingerprint(), sys.implementation.cache_tag, _version("numpy"), *identity]
    return hashlib.blake2b(json.dumps(facts).encode(), digest_size=16).hexdigest()


def _cpu_fingerprint() -> str:
    """Return model name and a hash of the feature flags, as far as the operating system tells them."""
    fields: dict[str, str] = {}
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                name, _, value = line.partition(":")
                fields.setdefault(name.strip().lower(), value.strip())
    except OSError:
        pass
    names = ("model name", "cpu implementer", "cpu part", "cpu variant")
    model = " ".join(fields[name] for name in names if name in fields) or platform.processor()
    flags = sorted((fields.get("flags") or fields.get("features") or "").split())
    digest = hashlib.blake2b(" ".join(flags).encode(), digest_size=8).hexdigest()
    return f"{platform.machine()} {model} {digest}"


def _verdict(file: str, cache_dir: Path | None) -> Verdict:
    key = _key(file)
    verdict = _remembered(key, cache_dir)
    if verdict is None:
        verdict = _probe()
        _verdicts[key] = verdict
        if cache_dir is not None and verdict.lasting:
            _remember(key, verdict, cache_dir)
    return verdict


def _remembered(key: str, cache_dir: Path | None) -> Verdict | None:
    if key in _verdicts:
        return _verdicts[key]
    if cache_dir is None:
        return None
    for stored_key, usable, reason in _stored(cache_dir):
        if stored_key == key:
            return _verdicts.setdefault(key, Verdict(usable, reason))
    return None


def _stored(cache_dir: Path) -> list[tuple[str, bool, str]]:
    """Return the verdicts on disk.

    A file that cannot be used costs a new probe and nothing else, so it is not reported.
    """
    payload = open_store(cache_dir).read(_FILE, magic=_MAGIC, version=_VERSION).payload
    if payload is None:
        return []
    try:
        rows = json.loads(payload)
    except (ValueError, RecursionError):
        return []
    verdicts = []
    for row in rows if isinstance(rows, list) else []:
        match row:
            case [str(key), bool(usable), str(reason)]:
                verdicts.append((key, usable, reason))
    return verdicts


def _remember(key: str, verdict: Verdict, cache_dir: Path) -> None:
    rows = [row for row in _stored(cache_dir) if row[0] != key]
    rows = [*rows, (key, verdict.usable, verdict.reason)][-_KEPT_VERDICTS:]
    open_store(cache_dir).write(_FILE, json.dumps(rows).encode(), magic=_MAGIC, version=_VERSION)


def _probe() -> Verdict:
    if not sys.executable:
        return Verdict(False, "no Python interpreter to try hnswlib in; exact search serves", lasting=False)
    # -I and -S: nothing but sys.path as it is here; no user site, no .pth file that starts a coverage
    # measurement.
    path = json.dumps([entry for entry in sys.path if isinstance(entry, str)])
    command = [sys.executable, "-I", "-S", "-B", "-c", _CHILD, path]
    try:
        child = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Verdict(False, f"hnswlib gave no answer within {_TIMEOUT_S:g} s; exact search serves", lasting=False)
    except (OSError, ValueError) as error:
        return Verdict(False, f"hnswlib could not be tried ({error}); exact search serves", lasting=False)
    if child.returncode == 0 and _DONE.encode() in child.stdout:
        return Verdict(True, "a small index was built and searched in a subprocess")
    if child.returncode in (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT):
        name = _signal_name(-child.returncode)
        return Verdict(False, f"the trial of hnswlib was ended by {name}; exact search serves", lasting=False)
    if child.returncode < 0:
        killed = f"hnswlib ends the process that loads it ({_signal_name(-child.returncode)})"
        return Verdict(False, f"{killed}: it was probably built on another CPU; {_REINSTALL}")
    last_line = child.stderr.decode(errors="replace").strip().rpartition("\n")[2].strip()
    return Verdict(False, f"hnswlib does not work here ({last_line or 'no message'}); {_REINSTALL}")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
