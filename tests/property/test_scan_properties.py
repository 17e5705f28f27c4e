"""Scanning holds for any bytes and any module."""

from __future__ import annotations

import pickle

from hypothesis import given
from hypothesis import strategies as st

from pytest_qeattention.similarity.naming import NamingRules, parse_ini
from pytest_qeattention.similarity.resolve import resolve_units
from pytest_qeattention.similarity.scan import scan_source

PIECES = st.sampled_from(
    [
        "def test_{n}({a}): pass",
        "async def test_{n}(): pass",
        "def helper_{n}(): pass",
        "test_{n} = None",
        "del test_{n}",
        "class TestC{n}(TestC{m}, Base): __test__ = {flag}",
        "class TestC{n}:\n    def test_{m}(self): 'é'\n    class TestC{m}(TestC{n}): pass",
        "class C{n}(TestCase):\n    def test_{m}(self): yield",
        "from test_{m} import *",
        "from . import TestC{n} as TestC{m}",
        "TestC{n} = TestC{m}",
        "if x:\n    def test_{n}(): pass\nelse:\n    del test_{m}",
        "# {n}\x0c\u2028",
        "",
    ]
)
DIGITS = st.integers(0, 3)


@st.composite
def modules(draw: st.DrawFn) -> str:
    lines = []
    for piece in draw(st.lists(PIECES, max_size=12)):
        flag = draw(st.booleans())
        lines.append(piece.format(n=draw(DIGITS), m=draw(DIGITS), a=draw(st.sampled_from(["", "a, b=1"])), flag=flag))
    return draw(st.sampled_from(["\n", "\r\n"])).join("\n".join(lines).split("\n"))


@given(st.binary(max_size=200))
def test_any_bytes_give_a_scan(data: bytes) -> None:
    scan = scan_source(data, "test_x.py")
    if scan.problem is not None:
        assert scan.problem.path == "test_x.py"
        assert scan.functions == ()


@given(modules())
def test_units_cover_the_lines_they_name(text: str) -> None:
    scan = scan_source(text.encode(), "test_0.py")
    assert scan.problem is None
    lines = text.replace("\r\n", "\n").split("\n")
    for function in scan.functions:
        unit = function.unit
        assert unit.source.split("\n") == lines[unit.first_line - 1 : unit.end_line]
        assert f"def {unit.name}(" in lines[unit.line - 1]
        assert unit.qualname == (unit.name if function.owner is None else f"{function.owner}::{unit.name}")
    assert pickle.loads(pickle.dumps(scan)) == scan


@given(st.lists(modules(), max_size=4), st.randoms(use_true_random=False))
def test_resolving_ends_and_does_not_depend_on_order(texts: list[str], random: object) -> None:
    scans = [scan_source(text.encode(), f"test_{number}.py") for number, text in enumerate(texts)]
    units = resolve_units(scans, NamingRules()).units
    known = {function.unit for scan in scans for function in scan.functions}
    assert set(units) <= known
    assert list(units) == sorted(units, key=lambda unit: (unit.path, unit.line, unit.qualname))
    assert len({(unit.path, unit.line) for unit in units}) == len(units)
    random.shuffle(scans)  # type: ignore[attr-defined]
    assert resolve_units(scans, NamingRules()).units == units


@given(st.text(alphabet="[]ab=:#; \n\t", max_size=60))
def test_ini_text_is_parsed_or_refused_with_a_line(text: str) -> None:
    message = "line 0"
    sections: dict[str, dict[str, str]] = {}
    try:
        sections = parse_ini(text)
    except ValueError as error:
        message = str(error)
    assert message.startswith("line ")
    assert "" not in sections
