from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from pytest_qeattention.similarity.acknowledge import Acknowledgements, find_acknowledgements
from pytest_qeattention.similarity.scan import scan_source


def read(tmp_path: Path, text: str, encoding: str = "utf-8") -> Acknowledgements:
    data = textwrap.dedent(text).lstrip("\n").encode(encoding)
    (tmp_path / "test_a.py").write_bytes(data)
    scan = scan_source(data, "test_a.py", describe=lambda node, unit: None)
    assert scan.problem is None
    return find_acknowledgements([found.unit for found in scan.functions], tmp_path)


def reasons(found: Acknowledgements) -> dict[str, tuple[int, str]]:
    return {nodeid.partition("::")[2]: (each.line, each.reason) for nodeid, each in found.by_test.items()}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("def test_x():  # qe: similar-ok the reason\n    assert 1\n", 1),
        ("# qe: similar-ok the reason\ndef test_x():\n    assert 1\n", 1),
        ("# qe: similar-ok the reason\n# and more to say\ndef test_x():\n    assert 1\n", 1),
        ("@mark\n@mark  # qe: similar-ok the reason\ndef test_x():\n    assert 1\n", 2),
        ("# qe: similar-ok the reason\n@mark\ndef test_x():\n    assert 1\n", 1),
        ("@mark\n# qe: similar-ok the reason\ndef test_x():\n    assert 1\n", 2),
        ("def test_x():\n    # qe: similar-ok the reason\n    assert 1\n", 2),
        ("def test_x():\n    assert 1  # qe: similar-ok the reason\n", 2),
        ("def test_x():\n    assert 1\n\n    # qe: similar-ok the reason\n\ndef test_y():\n    assert 2\n", 4),
        ("class TestA:\n    # qe: similar-ok the reason\n    def test_x(self):\n        assert 1\n", 2),
        ("class TestA:\n    def test_x(self):\n        assert 1\n        # qe: similar-ok the reason\n", 4),
        ("async def test_x(): # qe:similar-ok: the reason\n    assert 1\n", 1),
        ("def test_x():  # noqa: F811  # qe: similar-ok the reason  # type: ignore\n    assert 1\n", 1),
        ("def test_x(\n    a,  # qe: similar-ok the reason\n):\n    assert 1\n", 2),
        ("def test_x():\n    assert '''\n    ''' == 1  # qe: similar-ok the reason\n", 3),
    ],
)
def test_a_comment_at_a_test_acknowledges_it(tmp_path: Path, text: str, line: int) -> None:
    found = read(tmp_path, text)

    (acknowledged,) = reasons(found).items()
    assert acknowledged[0].endswith("test_x")
    assert acknowledged[1] == (line, "the reason")
    assert found.problems == ()


@pytest.mark.parametrize(
    "text",
    [
        "def test_x():\n    assert '# qe: similar-ok a string'\n",
        "def test_x():\n    '''\n    # qe: similar-ok a docstring\n    '''\n",
        "'''\n# qe: similar-ok of the module'''\ndef test_x():\n    assert 1\n",
        "def helper():  # qe: similar-ok no test\n    return 1\n\ndef test_x():\n    assert 1\n",
        "class Shop:\n    # qe: similar-ok no test\n    def buy(self):\n        pass\n\ndef test_x():\n    pass\n",
        "# qe: similar things are below\n\ndef test_x():\n    assert 1\n",
        "TEXT = '''\n# qe: similar-ok in a string\n'''\n\ndef test_x():\n    assert 1\n",
        "def test_x():  # qe: something else\n    assert 1\n",
        "def test_x():  # QE: similar-ok shouted\n    assert 1\n",
    ],
)
def test_what_is_no_comment_at_a_test_says_nothing(tmp_path: Path, text: str) -> None:
    found = read(tmp_path, text)

    assert reasons(found) == {}
    assert found.problems == ()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("value = 1  # qe: similar-ok behind code\ndef test_x():\n    assert 1\n", 1),
        ("# qe: similar-ok far above\n\ndef test_x():\n    assert 1\n", 1),
        ("def test_x():\n    assert 1\n# qe: similar-ok behind it, at its column\n", 3),
        ("class TestA:  # qe: similar-ok on a class\n    def test_x(self):\n        assert 1\n", 1),
        ("# qe: similar-ok above a class\nclass TestA:\n    def test_x(self):\n        assert 1\n", 1),
        ("# qe: similar-ok\nclass TestA:\n    def test_x(self):\n        assert 1\n", 1),
    ],
)
def test_a_comment_that_belongs_to_no_function_is_a_problem(tmp_path: Path, text: str, line: int) -> None:
    found = read(tmp_path, text)

    assert reasons(found) == {}
    (problem,) = found.problems
    assert (problem.path, problem.line) == ("test_a.py", line)
    assert "'qe: similar-ok' belongs to no test, so it acknowledges none; write it at the def" in problem.message


def test_the_comment_of_a_test_that_is_not_analysed_is_no_problem(tmp_path: Path) -> None:
    data = b"def test_x():\n    assert 1\n\n# qe: similar-ok reason\n@mark\ndef test_y():\n    assert 1\n"
    (tmp_path / "test_a.py").write_bytes(data)
    first = scan_source(data, "test_a.py", describe=lambda node, unit: None).functions[0].unit

    assert find_acknowledgements([first], tmp_path) == Acknowledgements({})


def test_a_comment_between_two_methods_belongs_to_the_one_whose_column_it_has(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        """
        class TestA:
            def test_one(self):
                assert 1
                # qe: similar-ok of the first
            # qe: similar-ok of the second
            def test_two(self):
                assert 2
        """,
    )

    assert reasons(found) == {"TestA::test_one": (4, "of the first"), "TestA::test_two": (5, "of the second")}


@pytest.mark.parametrize(
    ("comment", "message"),
    [
        ("# qe: similar-ok", "gives no reason, so test_x is not acknowledged; say why"),
        ("# qe: similar-ok:  ", "gives no reason"),
        ("# qe: similar-ok  # noqa", "gives no reason"),
        ("# qe: similar_ok because", "'qe: similar_ok' is not known, so test_x is not acknowledged"),
        ("# qe: similar because", "'qe: similar' is not known"),
        ("# qe: similar-okay because", "'qe: similar-okay' is not known"),
    ],
)
def test_without_a_reason_or_misspelt_it_is_a_problem_and_acknowledges_nothing(
    tmp_path: Path, comment: str, message: str
) -> None:
    found = read(tmp_path, f"\n\ndef test_x():\n    assert 1  {comment}\n")

    assert reasons(found) == {}
    (problem,) = found.problems
    assert (problem.path, problem.line) == ("test_a.py", 2)
    assert message in problem.message


def test_the_first_comment_of_a_test_counts(tmp_path: Path) -> None:
    found = read(tmp_path, "def test_x():  # qe: similar-ok one\n    assert 1  # qe: similar-ok two\n")

    assert reasons(found) == {"test_x": (1, "one")}


def test_a_reason_may_name_an_issue(tmp_path: Path) -> None:
    assert reasons(read(tmp_path, "def test_x():  # qe: similar-ok see #123  # noqa\n    assert 1\n")) == {
        "test_x": (1, "see #123")
    }


def test_encodings_and_line_ends_are_those_of_python(tmp_path: Path) -> None:
    latin = read(
        tmp_path, "# -*- coding: latin-1 -*-\ndef test_x():  # qe: similar-ok déjà vu\n    assert 1\n", "latin-1"
    )
    windows = read(tmp_path, "a = 1\r\n\r\ndef test_x():\r\n    assert a  # qe: similar-ok Zeilen\r\n")

    assert reasons(latin) == {"test_x": (2, "déjà vu")}
    assert reasons(windows) == {"test_x": (4, "Zeilen")}


def test_a_file_that_is_gone_has_no_comments(tmp_path: Path) -> None:
    read(tmp_path, "def test_x():  # qe: similar-ok reason\n    assert 1\n")
    data = (tmp_path / "test_a.py").read_bytes()
    units = [found.unit for found in scan_source(data, "test_a.py", describe=lambda node, unit: None).functions]
    (tmp_path / "test_a.py").unlink()

    assert find_acknowledgements(units, tmp_path) == Acknowledgements({})


def test_files_without_the_mark_are_not_tokenized(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tokenize

    def never(*_: object) -> None:
        raise AssertionError("tokenized")

    monkeypatch.setattr(tokenize, "generate_tokens", never)

    assert reasons(read(tmp_path, "def test_x():  # similar, and ok\n    assert 1\n")) == {}
