"""Public surface of pytest-qeattention; every name is loaded on first use.

The plugin is imported by every pytest run, so this module imports neither numpy nor the compiled core.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_qeattention.attention import AttentionConfig, QEAttention, flash_attention, topk_similarity
    from pytest_qeattention.encoder.encoder import Encoder
    from pytest_qeattention.exceptions import QEWarning
    from pytest_qeattention.information import backend_info
    from pytest_qeattention.similarity.model import Group, SimilarReport, Unit
    from pytest_qeattention.similarity.workload import Workload

__version__ = "0.1.0"

__all__ = [
    "AttentionConfig",
    "Encoder",
    "Group",
    "QEAttention",
    "QEWarning",
    "SimilarReport",
    "Unit",
    "Workload",
    "__version__",
    "backend_info",
    "flash_attention",
    "topk_similarity",
]

_HOME = {
    "AttentionConfig": "pytest_qeattention.attention",
    "Encoder": "pytest_qeattention.encoder.encoder",
    "Group": "pytest_qeattention.similarity.model",
    "QEAttention": "pytest_qeattention.attention",
    "QEWarning": "pytest_qeattention.exceptions",
    "SimilarReport": "pytest_qeattention.similarity.model",
    "Unit": "pytest_qeattention.similarity.model",
    "Workload": "pytest_qeattention.similarity.workload",
    "backend_info": "pytest_qeattention.information",
    "flash_attention": "pytest_qeattention.attention",
    "topk_similarity": "pytest_qeattention.attention",
}


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
