"""Names in a folded test: of its parameters, of the test, and those it imports."""

from __future__ import annotations

import ast
from pathlib import Path

from fold_texts import folded, suggestion

from pytest_qeattention.similarity.candidates import FileScan
from pytest_qeattention.similarity.fold.folding import Fold, suggest
from pytest_qeattention.similarity.fold.module import Module
from pytest_qeattention.similarity.scan import scan_source


def test_names_of_fixtures_are_not_taken(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("import pytest\n\n@pytest.fixture\ndef total():\n    return 1\n")
    source = """
        import pytest

        @pytest.fixture
        def expected():
            return 1

        def test_a():
            total = 1
            assert f(total) == 2

        def test_b():
            total = 2
            assert f(total) == 3
    """
    names = ast.parse(folded(source, root=tmp_path)).body[0]
    assert isinstance(names, ast.FunctionDef)
    assert not {"total", "expected", "f", "pytest"} & {argument.arg for argument in names.args.args}


def test_names_are_no_keywords_or_builtins() -> None:
    source = """
        import pytest

        def test_a():
            assert f(type=1, lambda_=2)["class"] == 2

        def test_b():
            assert f(type=2, lambda_=3)["class"] == 4
    """
    result = suggestion(source)
    assert isinstance(result, Fold)
    assert result.parameters == ("kind", "lambda_value", "expected")


def test_names_do_not_collide_within_a_file() -> None:
    text = (
        "import pytest\n\ndef test_f_a():\n    assert f(1)\n\ndef test_f_b():\n    assert f(2)\n\n"
        "def test_f_c():\n    g(1)\n\ndef test_f_d():\n    g(2)\n\ndef test_f():\n    h()\n"
    )
    scan: FileScan[None] = scan_source(text.encode(), "test_it.py")
    units = [found.unit for found in scan.functions]
    module = Module("test_it.py", text)
    first, second = suggest(units[:2], module), suggest(units[2:4], module)
    assert isinstance(first, Fold)
    assert isinstance(second, Fold)
    assert first.name == "test_f_cases"
    assert second.name not in {"test_f", "test_f_cases"}


def test_names_and_attributes_of_the_module_may_differ() -> None:
    source = """
        import pytest
        from http import HTTPStatus
        from shop import add, sub

        def test_add():
            assert add(1, 2) is HTTPStatus.OK

        def test_sub():
            assert sub(1, 2) is HTTPStatus.GONE
    """
    written = folded(source)
    assert 'pytest.param(add, HTTPStatus.OK, id="add")' in written
    assert "assert function(1, 2) is expected" in written


def test_hints_are_given_where_tests_are_annotated() -> None:
    source = """
        import pytest

        def test_a(client: Client) -> None:
            assert client.get("a", None) == [1, 2]

        def test_b(client: Client) -> None:
            assert client.get("b", 1.5) == [3]
    """
    assert "(client: Client, key: str, value: float | None, expected: list[int]) -> None:" in folded(source)


def test_locals_may_have_other_names() -> None:
    source = """
        import pytest

        def test_a():
            result = f(1)
            assert result == 2

        def test_b():
            outcome = f(2)
            assert outcome == 3
    """
    assert "    result = f(number)\n    assert result == expected" in folded(source)


def test_pytest_is_imported_where_it_was_not() -> None:
    source = "def test_a():\n    assert f(1)\n\ndef test_b():\n    assert f(2)\n"
    result = suggestion(source)
    assert isinstance(result, Fold)
    assert result.imports == ("import pytest",)
    renamed = suggestion("import pytest as pt\n" + source)
    assert isinstance(renamed, Fold)
    assert renamed.imports == ()
    assert renamed.source.startswith("@pt.mark.parametrize(")
