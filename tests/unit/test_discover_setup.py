"""Where the rootdir is, which ini file holds the rules, and how its values are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_qeattention.similarity.discover import Discovery, discover
from pytest_qeattention.similarity.naming import NamingRules, parse_ini


def setup(root: Path, *paths: str, **files: str) -> Discovery:
    for name, text in files.items():
        path = root / NAMES[name]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (root / "tests").mkdir(exist_ok=True)
    (root / "tests" / "test_x.py").write_text("", encoding="utf-8")
    return discover(paths or ["tests"], cwd=root)


NAMES = {
    "toml": "pytest.toml",
    "hidden_toml": ".pytest.toml",
    "ini": "pytest.ini",
    "hidden_ini": ".pytest.ini",
    "pyproject": "pyproject.toml",
    "tox": "tox.ini",
    "cfg": "setup.cfg",
    "setup_py": "setup.py",
    "inner": "tests/pytest.ini",
}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("toml", '[pytest]\npython_functions = ["check_*", "test"]\n'),
        ("hidden_toml", '[pytest]\npython_functions = ["check_*", "test"]\n'),
        ("ini", "[pytest]\npython_functions = check_* test\n"),
        ("hidden_ini", "[pytest]\npython_functions =\n    check_*\n    test\n"),
        ("pyproject", '[tool.pytest.ini_options]\npython_functions = "check_* test"\n'),
        ("pyproject", '[tool.pytest.ini_options]\npython_functions = ["check_*", "test"]\n'),
        ("pyproject", '[tool.pytest]\npython_functions = ["check_*", "test"]\n'),
        ("tox", "[tox]\nenvlist = py\n[pytest]\npython_functions: check_* 'test'\n"),
        ("cfg", "[metadata]\nname = x\n[tool:pytest]\npython_functions = check_* test\n"),
    ],
)
def test_each_kind_of_file_is_read(tmp_path: Path, name: str, text: str) -> None:
    discovery = setup(tmp_path, **{name: text})
    assert discovery.rules.python_functions == ("check_*", "test")
    assert discovery.rules.python_classes == ("Test",)
    assert discovery.inifile == tmp_path / NAMES[name]
    assert discovery.rootdir == tmp_path
    assert discovery.problems == ()


def test_pytest_ini_wins_even_if_empty(tmp_path: Path) -> None:
    discovery = setup(tmp_path, ini="", pyproject='[tool.pytest.ini_options]\npython_classes = "Check"\n')
    assert discovery.inifile == tmp_path / "pytest.ini"
    assert discovery.rules == NamingRules()


def test_a_section_is_needed_elsewhere(tmp_path: Path) -> None:
    discovery = setup(tmp_path, pyproject="[project]\nname = 'x'\n", tox="[tox]\n", cfg="[tool:pytest]\n")
    assert discovery.inifile == tmp_path / "setup.cfg"


def test_the_nearest_file_counts(tmp_path: Path) -> None:
    discovery = setup(tmp_path, ini="[pytest]\n", inner="[pytest]\npython_classes = Check\n")
    assert discovery.rootdir == tmp_path / "tests"
    assert discovery.rules.python_classes == ("Check",)


def test_the_search_starts_at_the_common_ancestor(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    discovery = setup(tmp_path, "tests", "more", ini="[pytest]\n", inner="[pytest]\npython_classes = Check\n")
    assert discovery.rootdir == tmp_path
    assert discovery.rules.python_classes == ("Test",)


def test_without_ini_setup_py_marks_the_root(tmp_path: Path) -> None:
    discovery = setup(tmp_path, setup_py="")
    assert (discovery.rootdir, discovery.inifile) == (tmp_path, None)


def test_a_pyproject_without_pytest_marks_the_root(tmp_path: Path) -> None:
    discovery = setup(tmp_path, pyproject="[project]\nname = 'x'\n")
    assert (discovery.rootdir, discovery.inifile) == (tmp_path, tmp_path / "pyproject.toml")


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("ini", "[pytest\npython_classes = Check\n", "line 1"),
        ("ini", "[pytest]\n[pytest]\n", "there twice"),
        ("ini", "[pytest]\njust words\n", "neither key nor section"),
        ("pyproject", "[tool.pytest.ini_options\n", "can't be read as configuration"),
        ("pyproject", "tool = 3\n", "tool is not a table"),
        ("pyproject", "[tool.pytest]\na = 1\n[tool.pytest.ini_options]\nb = 2\n", "both"),
        ("toml", "[pytest]\npython_classes = 3\n", "python_classes that is neither"),
        ("ini", "[pytest]\npython_classes = 'Check\n", "can't be split"),
        ("ini", "[pytest]\ncollect_imported_tests = maybe\n", "neither true nor false"),
    ],
)
def test_a_broken_file_is_one_problem_and_the_defaults(tmp_path: Path, name: str, text: str, what: str) -> None:
    discovery = setup(tmp_path, **{name: text})
    assert discovery.rules == NamingRules()
    assert [problem.path for problem in discovery.problems] == [NAMES[name]]
    assert what in discovery.problems[0].message
    assert [file.display for file in discovery.files] == ["tests/test_x.py"]


def test_an_ini_file_that_is_not_utf8_is_one_problem(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_bytes(b"[pytest]\npython_classes = \xff\n")
    assert [problem.path for problem in setup(tmp_path).problems] == ["pytest.ini"]


def test_ini_comments_and_continuations() -> None:
    text = "\N{BYTE ORDER MARK}# top\n[a]\n; note\nx = 1 # stays\n  # gone\n  2\n\ny: z=3\n[b]  # why\nk=%(no)s\n"
    assert parse_ini(text) == {"a": {"x": "1 # stays\n2", "y": "z=3"}, "b": {"k": "%(no)s"}}


@pytest.mark.parametrize(
    ("options", "name", "expected"),
    [
        (("test",), "test", True),
        (("test",), "tester", True),
        (("test",), "atest", False),
        (("*_test",), "a_test", True),
        (("check[ab]",), "checkb", True),
        (("check",), "Check", False),
        ((), "test", False),
    ],
)
def test_names_match_by_prefix_or_glob(options: tuple[str, ...], name: str, expected: bool) -> None:
    assert NamingRules(python_functions=options).is_function(name) is expected
    assert NamingRules(python_classes=options).is_class(name) is expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("test_*.py", True),
        ("check_*.py", False),
        ("tests/*.py", True),
        ("unit/test_*.py", True),
        ("x/*.py", False),
    ],
)
def test_files_match_by_name_or_by_path(tmp_path: Path, pattern: str, expected: bool) -> None:
    rules = NamingRules(python_files=(pattern,))
    assert rules.is_file(tmp_path / "tests" / "unit" / "test_a.py") is expected
