"""Reports as JSON, for the cache: each unit once, and everything else by the fields of its class.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from pytest_qeattention.similarity.model import Group, Neighbor, Problem, SimilarReport, Unit

_REPORT_TYPES = {cls.__name__: cls for cls in (Group, Neighbor, Problem, SimilarReport)}


def pack_report(report: SimilarReport, notice: str | None) -> bytes:
    """Write *report* with its units, each once, and what was said beside it."""
    units: dict[int, int] = {}
    rows: list[list[Any]] = []

    def plain(value: Any) -> Any:
        if isinstance(value, Unit):
            number = units.setdefault(id(value), len(rows))
            if number == len(rows):
                rows.append([getattr(value, field.name) for field in dataclasses.fields(Unit)])
            return {"unit": number}
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            name = type(value).__name__
            if name not in _REPORT_TYPES:
                raise ValueError(f"a report that holds a {name} cannot be kept")
            return {"type": name, "fields": [plain(getattr(value, field.name)) for field in dataclasses.fields(value)]}
        if isinstance(value, tuple | list):
            return [plain(item) for item in value]
        if isinstance(value, Mapping):
            return {"items": [[plain(key), plain(item)] for key, item in value.items()]}
        if value is None or isinstance(value, bool | int | float | str):
            return value
        raise ValueError(f"a report that holds a {type(value).__name__} cannot be kept")

    body = plain(report)
    return json.dumps([rows, body, notice], separators=(",", ":")).encode("ascii")


def unpack_report(data: bytes) -> tuple[SimilarReport, str | None]:
    """Read what `pack_report` wrote."""
    rows, body, notice = json.loads(data)
    units = [Unit(*map(_plain, row)) for row in rows]

    def value(plain: Any) -> Any:
        if isinstance(plain, list):
            return tuple(value(item) for item in plain)
        if not isinstance(plain, dict):
            return plain
        if "unit" in plain:
            return units[plain["unit"]]
        if "items" in plain:
            return {value(key): value(item) for key, item in plain["items"]}
        return _REPORT_TYPES[plain["type"]](*(value(item) for item in plain["fields"]))

    report = value(body)
    if not isinstance(report, SimilarReport):
        raise ValueError("not a report")
    return report, notice


def _plain(value: Any) -> Any:
    """Return *value* with tuples for lists, which a unit does not hold."""
    return tuple(map(_plain, value)) if isinstance(value, list) else value
