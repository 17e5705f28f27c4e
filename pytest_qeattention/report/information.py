"""What serves the calls on this machine, as lines.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_qeattention.report.lines import Line, Span, printable

_INDENT = "  "


def information_lines(info: Mapping[str, Any]) -> list[Line]:
    """Return the lines of ``qeattention info`` for what `backend_info` gives."""
    return _mapping_lines(info, "")


def _mapping_lines(values: Mapping[str, Any], indent: str) -> list[Line]:
    lines: list[Line] = []
    width = max((len(str(key)) for key, value in values.items() if not isinstance(value, Mapping)), default=0)
    for key, value in values.items():
        if isinstance(value, Mapping):
            lines.append(Line((Span(indent), Span(f"{key}:", ("bold",)))))
            lines.extend(_mapping_lines(value, indent + _INDENT))
        else:
            lines.append(Line((Span(indent), Span(f"{key + ':':{width + 1}}", ("bold",)), Span(f" {_shown(value)}"))))
    return lines


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(_shown(item) for item in value) or "none"
    return printable(str(value))
