"""What helpers send is all that was scanned, and says nothing of paths."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest

from pytest_qeattention.similarity.describe import describe
from pytest_qeattention.similarity.discover import SourcePath
from pytest_qeattention.similarity.packing import pack_scan, unpack_scan
from pytest_qeattention.similarity.scan import package_root, scan_file

CONTENTS = {
    "functions": '''
        import pytest
        from .helpers import *
        from a import Base as B
        __all__ = ["TestA", "test_plain"]

        @pytest.fixture
        def stock(): ...

        def test_plain(stock):
            """Say it."""
            assert stock.size == "é"
        test_plain.__test__ = True

        @pytest.mark.parametrize("x", [1, 2])
        async def test_async(x): yield x

        class TestA(B[int], metaclass=M):
            __test__ = True
            size = 1
            def __init__(self): ...
            class TestB:
                def test_it(self): self.size
        alias = TestA
        ''',
    "nothing": "",
    "syntax error": "def test_(:",
}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_what_is_unpacked_equals_what_was_packed(tmp_path: Path, content: str) -> None:
    path = tmp_path / "test_it.py"
    path.write_text(dedent(content), encoding="utf-8")
    source = SourcePath(path, "here/test_it.py", selected=("TestA",))
    scan = scan_file(source, None, describe)
    packed = pickle.loads(pickle.dumps(pack_scan(scan)))
    assert unpack_scan(packed, source, package_root(str(tmp_path))) == scan


def test_content_packs_the_same_wherever_it_lies(tmp_path: Path) -> None:
    data = dedent(CONTENTS["functions"])
    sources = [SourcePath(tmp_path / "test_a.py", "test_a.py"), SourcePath(tmp_path / "b" / "test_b.py", "b/test_b.py")]
    (tmp_path / "b").mkdir()
    scans = []
    for source in sources:
        source.path.write_text(data, encoding="utf-8")
        scans.append(scan_file(source, None, describe))
    assert pack_scan(scans[0]) == pack_scan(scans[1])
    moved = unpack_scan(pack_scan(scans[0]), sources[1], scans[1].root)
    assert moved == scans[1]
    assert moved.functions[0].unit.nodeid == "b/test_b.py::test_plain"


def test_a_scan_without_descriptions_is_packed_too(tmp_path: Path) -> None:
    source = SourcePath(tmp_path / "test_it.py", "test_it.py")
    source.path.write_text("def test_it(): ...\n", encoding="utf-8")
    scan = scan_file(source)
    described = scan_file(source, None, describe)
    assert unpack_scan(pack_scan(scan), source, scan.root) == scan != described
    assert replace(described, functions=scan.functions) == scan
