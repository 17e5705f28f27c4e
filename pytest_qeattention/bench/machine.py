"""What a benchmark ran on: processor, caches, memory, versions.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_CGROUP = Path("/sys/fs/cgroup")


def machine_facts(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is known of this machine as plain values; *info* is what `backend_info` gives. Unknown is None."""
    cpu = info.get("cpu") or {}
    return {
        "cpu": cpu.get("name"),
        "architecture": cpu.get("architecture"),
        "caches_bytes": cpu.get("caches"),
        "processors": info.get("openmp", {}).get("processors"),
        "memory_bytes": _meminfo("MemTotal"),
        "load_1min": _load(),
        "system": platform.system() or None,
        "kernel": platform.release() or None,
        "python": platform.python_version(),
        "python_implementation": sys.implementation.name,
    }


class OtherLoad:
    """Measure what other processes take of the processors while it lasts."""

    def __init__(self) -> None:
        self._start = self._read()

    def share(self) -> float | None:
        """Return the processor time of others since the start as a share of one processor; None if unknown."""
        now = self._read()
        if self._start is None or now is None:
            return None
        wall, busy, own = (after - before for before, after in zip(self._start, now, strict=True))
        return max(0.0, busy - own) / wall if wall > 0 else None

    @staticmethod
    def _read() -> tuple[float, float, float] | None:
        """Return seconds that passed, that all processors worked, and that this process and its children did."""
        try:
            fields = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()
            ticks = os.sysconf("SC_CLK_TCK")
        except (OSError, ValueError, AttributeError, IndexError):
            return None
        times = os.times()
        own = times.user + times.system + times.children_user + times.children_system
        # user, nice, system; then idle and waiting; then interrupts; then what a hypervisor took away.
        busy = [int(field) for number, field in enumerate(fields[1:9]) if number not in (3, 4)]
        return time.monotonic(), sum(busy) / ticks, own


def available_memory_bytes() -> int | None:
    """Return how much memory can still be taken, by the system and by the limit of a container; None if unknown."""
    rooms = [room for room in (_meminfo("MemAvailable"), _cgroup_room()) if room is not None]
    return min(rooms, default=None)


def current_bytes() -> int | None:
    """Return the resident size of this process."""
    return _status("VmRSS")


def peak_bytes() -> int | None:
    """Return the largest resident size that this process had since it started or `reset_peak`.

    On Linux the high-water mark of the address space: what getrusage gives outlives exec, so a child would start with
    its parent's peak.
    """
    peak = _status("VmHWM")
    if peak is not None:
        return peak
    try:
        import resource
    except ImportError:
        return None
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024


def reset_peak() -> bool:
    """Let the peak start again from the current size; tell whether the system can do that."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def _load() -> float | None:
    try:
        return os.getloadavg()[0]
    except (OSError, AttributeError):
        return None


def _meminfo(name: str) -> int | None:
    return _kilobytes(Path("/proc/meminfo"), name)


def _status(name: str) -> int | None:
    return _kilobytes(Path("/proc/self/status"), name)


def _kilobytes(file: Path, name: str) -> int | None:
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return None


def _cgroup_room() -> int | None:
    try:
        limit = (_CGROUP / "memory.max").read_text(encoding="ascii").strip()
        used = (_CGROUP / "memory.current").read_text(encoding="ascii").strip()
    except OSError:
        return None
    return max(0, int(limit) - int(used)) if limit.isdigit() and used.isdigit() else None
