"""Which implementation runs, and why: the compiled core's variants, or NumPy.

The choice is made at first use, not at import, and can be forced: QE_BACKEND=native|numpy, QE_ISA=<variant>,
QE_THREADS=<count>. Nothing here raises at import, whatever the environment says.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import json
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_qeattention import __version__

DISTRIBUTION = "pytest-qeattention"
VARIANTS = ("native", "avx512bf16", "avx512", "avx2", "neon", "scalar")
"""Best first. ``native`` was compiled for the machine that built the package."""

_forked = False


class BackendError(RuntimeError):
    """Say that QE_BACKEND, QE_ISA or QE_THREADS asks for what this machine or build does not have."""


@dataclass(frozen=True)
class Implementation:
    """Hold what serves the calls: the compiled core and one of its variants, or NumPy (core is None)."""

    core: Any
    variant: str
    reason: str

    @property
    def name(self) -> str:
        return "numpy" if self.core is None else "native-core"


def _mark_forked() -> None:
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    # An OpenMP runtime that has started threads hangs in a forked child; a child computes on its one thread.
    os.register_at_fork(after_in_child=_mark_forked)


def forked() -> bool:
    """Tell whether this process is a forked child, which must not start an OpenMP region."""
    return _forked


@functools.cache
def _load_core() -> tuple[Any, str | None]:
    """Import the compiled core: the module, or None and why."""
    try:
        core = importlib.import_module("pytest_qeattention.attention._core")
    except ModuleNotFoundError as error:
        if error.name != "pytest_qeattention.attention._core":
            return None, f"the compiled core does not load: {error}"
        return None, _why_missing()
    except ImportError as error:
        return None, f"the compiled core does not load: {error}"
    if getattr(core, "INTERFACE", None) != INTERFACE:
        return None, (
            f"the compiled core has interface {getattr(core, 'INTERFACE', None)}, this package needs "
            f"{INTERFACE}: it is left over from another version; reinstall"
        )
    return core, None


INTERFACE = 4
"""Number of the calling convention between flash.py, functional.py and _core; both sides carry it."""


@functools.cache
def _build_record() -> dict[str, Any]:
    """Read what setup.py wrote beside the core; empty where nothing was built."""
    try:
        record = json.loads(Path(__file__).with_name("_build.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _why_missing() -> str:
    package = Path(__file__).resolve().parents[1]
    reason = _build_record().get("reason")
    if isinstance(reason, str):
        return f"the compiled core was not built: {reason}"
    if any((package.parent / name).is_file() for name in ("setup.py", "pyproject.toml")):
        installed = _installed_package()
        if installed is not None and installed != package:
            return (
                f"this is the source tree {package}, which has no compiled core, while {installed} is "
                "installed; run `pytest` instead of `python -m pytest`, or start from another directory"
            )
        return f"the source tree {package} has no compiled core; run `pip install .`, then `pytest`"
    return "the compiled core is missing from this installation; reinstall with a C compiler at hand"


def _installed_package() -> Path | None:
    try:
        place = importlib.metadata.distribution(DISTRIBUTION).locate_file("pytest_qeattention")
    except (importlib.metadata.PackageNotFoundError, OSError):
        return None
    path = Path(str(place)).resolve()
    return path if path.is_dir() else None


def _states(core: Any) -> dict[str, dict[str, Any]]:
    """Return, for every variant known, whether it was built, whether it may run here, and why not."""
    built = {} if core is None else {entry["name"]: entry for entry in core.variants()}
    recorded = _build_record().get("variants", {})
    states: dict[str, dict[str, Any]] = {}
    for name in VARIANTS:
        entry = built.get(name)
        if entry is None:
            why = recorded.get(name, {}).get("reason") or "no compiled core"
            states[name] = {"built": False, "usable": False, "reason": f"not built: {why}"}
            continue
        missing = entry["missing"]
        states[name] = {
            "built": True,
            "usable": not missing,
            "reason": f"not usable: needs {', '.join(missing)}" if missing else None,
            "lanes": entry["lanes"],
            "tile": [entry["tile_queries"], entry["tile_keys"]],
            "bfloat16_dots": entry["bfloat16_dots"],
            "flags": recorded.get(name, {}).get("flags"),
        }
    return states


@functools.cache
def active() -> Implementation:
    """Return what serves the calls of this process, chosen now if it was not before.

    Raises BackendError for a QE_BACKEND or QE_ISA that cannot be served.
    """
    asked, isa = os.environ.get("QE_BACKEND", ""), os.environ.get("QE_ISA", "")
    if asked not in ("", "numpy", "native"):
        raise BackendError(f"QE_BACKEND is {asked!r}; expected 'native' or 'numpy', or leave it unset")
    if isa not in ("", *VARIANTS):
        raise BackendError(f"QE_ISA is {isa!r}; expected one of {', '.join(VARIANTS)}, or leave it unset")
    if asked == "numpy":
        if isa:
            raise BackendError(
                f"QE_ISA={isa} has no effect on QE_BACKEND=numpy, which runs no kernel; unset one of them"
            )
        return Implementation(None, "numpy", "QE_BACKEND=numpy")
    core, why = _load_core()
    if core is None:
        if asked or isa:
            setting = f"QE_ISA={isa}" if isa else f"QE_BACKEND={asked}"
            raise BackendError(f"{setting} cannot be served: {why}; available: QE_BACKEND=numpy")
        return Implementation(None, "numpy", str(why))
    states = _states(core)
    usable = [name for name in VARIANTS if states[name]["usable"]]
    if isa:
        if isa not in usable:
            available = ", ".join(usable) or "none"
            raise BackendError(f"QE_ISA={isa} cannot be served: {states[isa]['reason']}; available: {available}")
        return Implementation(core, isa, f"QE_ISA={isa}")
    if not usable:
        reasons = "; ".join(f"{name} {state['reason']}" for name, state in states.items() if state["built"])
        return Implementation(None, "numpy", f"no variant of the compiled core runs on this processor ({reasons})")
    if usable[0] == "native":
        return Implementation(core, "native", "compiled for this kind of processor")
    return Implementation(core, usable[0], f"best usable; native is {states['native']['reason']}")


def thread_limit() -> int:
    """Return how many threads a call may use when it names no number.

    QE_THREADS if set, else the processors this process may run on; 1 in a forked child and without OpenMP.
    Raises BackendError for a QE_THREADS that is not a positive integer.
    """
    setting = os.environ.get("QE_THREADS", "")
    if setting and not _is_thread_count(setting):
        raise BackendError(f"QE_THREADS is {setting!r}; expected a whole number from 1 to 1024, or leave it unset")
    core = active().core
    if _forked or core is None or not core.openmp():
        return 1
    return int(setting) if setting else available_processors()


# Below this many multiply-adds (40 microseconds of one Zen 3 core) a second thread saves little, and on a busy machine
# the call may wait for that thread's turn: 16 ms were seen.
TINY_WORK = 1 << 22


def threads_for(asked: int | None, work: int) -> int:
    """Return the threads of a call of *work* multiply-adds that asks for some number, or for None in particular."""
    if asked is not None:
        return 1 if _forked else asked
    return 1 if work < TINY_WORK else thread_limit()


def fma_peak(num_threads: int = 1, *, precision: str = "float32", seconds: float = 0.02) -> float | None:
    """Measure the multiply-add peak of the active variant: registers only, in GFLOP/s, best of about *seconds*.

    *precision* "bfloat16" is that of the instruction that multiplies pairs. None without the compiled core, and for
    bfloat16 where that instruction is missing. Raises ValueError for a precision that does not exist.
    """
    from pytest_qeattention.attention.arguments import precision_name

    bfloat16 = precision_name(precision) == "bfloat16"
    implementation = active()
    if implementation.core is None:
        return None
    threads = 1 if _forked else num_threads
    peak = implementation.core.fma_peak(implementation.variant, threads, bfloat16, seconds)
    return None if peak is None else float(peak)


def _is_thread_count(setting: str) -> bool:
    # Digits are counted first: int() refuses very long numbers with an error of its own.
    return setting.isascii() and setting.isdigit() and len(setting) <= 4 and 0 < int(setting) <= 1024


def available_processors() -> int:
    """Return the number of processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1


def core_problem() -> str | None:
    """Say why calls that the compiled core should serve are slower than need be; None if they are not.

    Never raises: a setting that cannot be served is itself the problem named. QE_BACKEND=numpy is a wish,
    not a problem.
    """
    try:
        implementation = active()
    except BackendError as error:
        return str(error)
    if implementation.core is not None or os.environ.get("QE_BACKEND") == "numpy":
        return None
    return f"{implementation.reason}. NumPy serves instead: same results, slower"


def core_info() -> dict[str, Any]:
    """Describe what serves the calls and why, as plain values that JSON can hold.

    Keys: version, package, backend ("native-core", "numpy", or None when a setting cannot be served),
    reason, variant, variants (built, usable, reason of each), openmp, threads, forked, cpu, numpy,
    build. What is not known is None.
    """
    core, _ = _load_core()
    info: dict[str, Any] = {
        "version": __version__,
        "package": str(Path(__file__).resolve().parents[1]),
        "backend": None,
        "variant": None,
        "threads": None,
    }
    try:
        implementation = active()
        info.update(backend=implementation.name, reason=implementation.reason)
        info["variant"] = None if implementation.core is None else implementation.variant
        info["threads"] = thread_limit()
    except BackendError as error:
        info["reason"] = str(error)
    record = _build_record()
    info["variants"] = _states(core)
    info["openmp"] = {
        "built": bool(core is not None and core.openmp()),
        "reason": record.get("openmp", {}).get("reason"),
        "processors": available_processors(),
    }
    info["forked"] = _forked
    info["cpu"] = {
        "name": _processor_name(core),
        "architecture": platform.machine() or None,
        "features": None if core is None else core.cpu_features(),
        "caches": _caches(core),
    }
    info["numpy"] = _numpy_state()
    info["build"] = {key: record.get(key) for key in ("compiler", "march", "reason")}
    return info


def _caches(core: Any) -> dict[str, int | None]:
    sizes = [0, 0, 0] if core is None else core.cache_bytes()
    return {name: size or None for name, size in zip(("l1d", "l2", "l3"), sizes, strict=True)}


def _processor_name(core: Any) -> str | None:
    if core is not None and core.cpu_name():
        return str(core.cpu_name())
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip() or None
    except OSError:
        pass
    return platform.processor() or None


def _numpy_state() -> dict[str, Any]:
    import numpy as np

    blas = None
    try:
        config: Any = np.show_config(mode="dicts")
        blas = config["Build Dependencies"]["blas"]["name"]
    except (TypeError, KeyError):
        pass
    return {"version": np.__version__, "blas": blas}
