"""What attention is configured for: the built-in workloads, block presets, and custom configurations.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TypeAlias

from pytest_qeattention.attention import arguments

Chunk: TypeAlias = int | Literal["auto"] | None

MAX_CHUNK = 1 << 30


class BlockPreset(NamedTuple):
    """Hold the chunks for calls up to some sequence length."""

    query_chunk: int
    key_chunk: int


BLOCK_PRESETS: Mapping[int, BlockPreset] = MappingProxyType(
    {
        128: BlockPreset(128, 128),
        256: BlockPreset(144, 96),
        512: BlockPreset(192, 96),
        1024: BlockPreset(192, 96),
        2048: BlockPreset(192, 96),
        4096: BlockPreset(192, 96),
    }
)
"""Chunks by sequence length, for little memory: what ``"auto"`` chooses from.

Of those tried, the least scratch memory within 1.5 % of the fastest, measured with heads of width 64 in float32 on one
thread of a Zen 3 (32 KiB and 512 KiB of cache): 27 to 145 KiB a thread, where None took 27 to 227 KiB. The presets
published for these workloads hold the scores of all keys at once, which took up to 2.1 MiB and 13 % longer than None.
"""


def block_preset(length: int) -> BlockPreset:
    """Return the preset of the shortest sequence length that holds *length* tokens, or the longest preset."""
    return next((preset for longest, preset in BLOCK_PRESETS.items() if length <= longest), BLOCK_PRESETS[4096])


def _chunk(name: str, value: object) -> Chunk:
    if value is None:
        return None
    if isinstance(value, str):
        if value != "auto":
            raise ValueError(f"{name} is {value!r}, available: a number of rows, 'auto' (little memory), None (speed)")
        return "auto"
    # No call has more rows than that, and the compiled core counts in machine integers.
    return min(arguments.integer(name, value, least=1), MAX_CHUNK)


def _shape(value: object) -> tuple[int, int] | None:
    if value is None:
        return None
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise TypeError(f"shape is {value!r}, expected (n, dim), or None")
    return arguments.integer("n of shape", value[0], least=1), arguments.integer("dim of shape", value[1], least=1)


def _target(name: str, value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number or None, not {type(value).__name__}")
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} is {value}, expected a number above 0, or None for no target")
    return float(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionConfig:
    """Describe how a workload attends, and what it was promised to cost.

    Raises TypeError for a knob that does not exist or has the wrong type, ValueError for a value that cannot be
    served; both say what can.
    """

    name: str
    heads: int = 1
    """Number of heads that the last axis of q, k and v is split into."""
    query_chunk: Chunk = None
    """Queries per task: more reuse keys better, fewer spread over more threads and take less memory. ``"auto"`` takes
    `BLOCK_PRESETS` by the number of queries of the call, None chooses for speed. Without the compiled core chunks have
    no effect."""
    key_chunk: Chunk = None
    """Keys whose scores are held at once. ``"auto"`` takes `BLOCK_PRESETS` by the number of keys of the call, None
    chooses for speed, by the cache sizes of the machine."""
    precision: str = "float32"
    """``"float32"``, or a lower precision of the products that `flash_attention` offers."""
    causal: bool = False
    """Let query i see keys j <= i only."""
    scale: float | None = None
    """Factor on the scores; None for 1/sqrt(width of a head)."""
    num_threads: int | None = None
    """Threads per call; None for what the machine and QE_THREADS allow."""
    shape: tuple[int, int] | None = None
    """(n, dim) that the targets are about, and that is measured where no arrays are given."""
    latency_target_ms: float | None = None
    """Milliseconds within which a call counts as a success; None sets no target."""
    memory_target_mb: float | None = None
    """Megabytes (10⁶ bytes) of scratch memory within which a call counts as a success; None sets no target."""

    def __new__(cls, *args: object, **knobs: object) -> AttentionConfig:
        # Here, because the generated __init__ refuses unknown names without saying which there are.
        unknown = [name for name in knobs if name not in KNOBS]
        if unknown:
            raise TypeError(f"{unknown[0]!r} is no knob of an attention workload; available: {', '.join(KNOBS)}")
        return object.__new__(cls)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise TypeError(f"name must be a string, not {type(self.name).__name__}")
        if not self.name.strip():
            raise ValueError("name is empty; give the workload a name, metrics are reported under it")
        self._set("heads", arguments.integer("heads", self.heads, least=1))
        self._set("query_chunk", _chunk("query_chunk", self.query_chunk))
        self._set("key_chunk", _chunk("key_chunk", self.key_chunk))
        arguments.precision_name(self.precision)
        self._set("causal", arguments.flag("causal", self.causal))
        if self.scale is not None:
            self._set("scale", arguments.scale_factor(self.scale, 1))
        self._set("num_threads", arguments.thread_count("num_threads", self.num_threads))
        self._set("shape", _shape(self.shape))
        self._set("latency_target_ms", _target("latency_target_ms", self.latency_target_ms))
        self._set("memory_target_mb", _target("memory_target_mb", self.memory_target_mb))

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def replace(self, **knobs: Any) -> AttentionConfig:
        """Return this configuration with other values for some knobs; raises as the class does."""
        return dataclasses.replace(self, **knobs)

    def chunks(self, n_q: int, n_k: int) -> tuple[int | None, int | None]:
        """Return query chunk and key chunk of a call with *n_q* queries and *n_k* keys; None as in the knobs."""
        query_chunk = block_preset(n_q).query_chunk if self.query_chunk == "auto" else self.query_chunk
        key_chunk = block_preset(n_k).key_chunk if self.key_chunk == "auto" else self.key_chunk
        return query_chunk, key_chunk

    def as_dict(self) -> dict[str, Any]:
        """Return the knobs as plain values that JSON can hold."""
        values = dataclasses.asdict(self)
        values["shape"] = None if self.shape is None else list(self.shape)
        return values


KNOBS = tuple(field.name for field in dataclasses.fields(AttentionConfig))


def _builtin(
    name: str, heads: int, shape: tuple[int, int], latency_target_ms: float, memory_target_mb: float
) -> AttentionConfig:
    return AttentionConfig(
        name=name,
        heads=heads,
        shape=shape,
        latency_target_ms=latency_target_ms,
        memory_target_mb=memory_target_mb,
    )


WORKLOADS: Mapping[str, AttentionConfig] = MappingProxyType(
    {
        config.name: config
        for config in (
            _builtin("test-similarity", 8, (512, 768), 15.0, 80.0),
            _builtin("code-embedding", 4, (1024, 1024), 15.0, 80.0),
            _builtin("defect-matching", 8, (256, 512), 5.0, 50.0),
            _builtin("coverage-analysis", 8, (256, 384), 1.0, 30.0),
            _builtin("pattern-adaptation", 4, (128, 256), 0.05, 20.0),
        )
    }
)
"""The built-in workloads by name.

Heads, shapes and targets are those published for these workloads, with one exception: 12 heads were published for
defect-matching, which do not divide its published width of 512, so it has 8. The published chunks (queries / keys, in
the order above: 512/512, 1024/1024, 256/256, 256/512, 128/128) are not the defaults: at the published shapes a Zen 3
took 0 to 9 % less time with chunks chosen by its caches. The targets are promises of those who published them and were
never measured by them; `QEAttention.metrics` says whether this machine keeps them.
"""


def workload_config(workload: str | AttentionConfig, **knobs: Any) -> AttentionConfig:
    """Return the configuration that *workload* names or is, with *knobs* in place of its own values.

    Raises TypeError for another type or an unknown knob, ValueError for an unknown name or a bad value.
    """
    if isinstance(workload, AttentionConfig):
        return workload.replace(**knobs) if knobs else workload
    if not isinstance(workload, str):
        raise TypeError(f"workload must be a name or an AttentionConfig, not {type(workload).__name__}")
    config = WORKLOADS.get(workload)
    if config is None:
        raise ValueError(
            f"workload {workload!r} is not known, available: {', '.join(WORKLOADS)}; "
            "for one of your own pass an AttentionConfig"
        )
    return config.replace(**knobs) if knobs else config
