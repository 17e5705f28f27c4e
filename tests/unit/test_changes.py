from __future__ import annotations

from pathlib import Path

import pytest

from pytest_qeattention.similarity.changes import Changes, changed_functions, read_diff


def names(changes: Changes, cwd: Path) -> tuple[str, ...]:
    return tuple(name for _, name in changed_functions(changes, cwd))


SHOP = """import math

class Shop:
    def price(self, item):
        total = item.net
        return math.ceil(total)

    @staged
    def refund(self):
        def inner():
            return 0
        return inner()

LIMIT = 3
"""

DIFF = """diff --git a/src/shop.py b/src/shop.py
index 1..2 100644
--- a/src/shop.py
+++ b/src/shop.py
@@ -3,3 +3,3 @@ class Shop:
     def price(self, item):
-        total = item.gross
+        total = item.net
         return math.ceil(total)
@@ -8,2 +8,4 @@
     @staged
     def refund(self):
+        def inner():
+            return 0
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / ".git").mkdir()
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "shop.py").write_text(SHOP, encoding="utf-8")
    return tmp_path


def test_changed_lines_and_places_are_the_text() -> None:
    changes = read_diff(DIFF.replace("+3,3 @@", "+4,3 @@").replace("+8,4 @@", "+8,4 @@"))

    assert changes.text.splitlines() == [
        "        total = item.gross",
        "        total = item.net",
        "        def inner():",
        "            return 0",
        "src/shop",
        "class Shop:",
    ]
    assert changes.lines == {"src/shop.py": (4, 5, 5, 10, 11)}


@pytest.mark.parametrize(
    "hunk",
    [
        pytest.param(
            "@@ -1,6 +1,5 @@\n def first():\n     a = 1\n-    b = 2\n \n def second():\n     c = 3\n", id="context"
        ),
        pytest.param("@@ -3 +2,0 @@ def first():\n-    b = 2\n", id="no-context"),
    ],
)
def test_a_function_that_lost_its_last_line_has_changed(tmp_path: Path, hunk: str) -> None:
    (tmp_path / "a.py").write_text("def first():\n    a = 1\n\ndef second():\n    c = 3\n", encoding="utf-8")

    changes = read_diff(f"--- a/a.py\n+++ b/a.py\n{hunk}")

    assert changes.lines == {"a.py": (2, 3)}
    assert names(changes, tmp_path) == ("first",)


def test_what_is_gone_between_two_functions_may_be_of_both(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def first():\n    a = 1\ndef second():\n    c = 3\n", encoding="utf-8")
    hunk = "@@ -1,5 +1,4 @@\n def first():\n     a = 1\n-@staged\n def second():\n     c = 3\n"

    assert names(read_diff(f"+++ b/a.py\n{hunk}"), tmp_path) == ("first", "second")


def test_before_the_first_line_there_is_none() -> None:
    assert read_diff("+++ b/a.py\n@@ -1,2 +1 @@\n-import os\n import re\n").lines == {"a.py": (1,)}


@pytest.mark.parametrize("end", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"])
def test_only_a_newline_ends_a_line(end: str) -> None:
    hunk = f"@@ -1,2 +1,3 @@\n {end}\n     a = '{end}'\n+    b = '{end}'\n"

    assert read_diff(f"+++ b/a.py\n{hunk}") == Changes(f"    b = '{end}'\na", {"a.py": (3,)})


def test_a_diff_with_windows_newlines_says_the_same() -> None:
    assert read_diff(DIFF.replace("\n", "\r\n")) == read_diff(DIFF)


def test_lines_of_a_hunk_are_no_headers() -> None:
    hunk = "@@ -1,3 +1,3 @@\n x = 1\n--- a\n-@@ -1 +9 @@\n+++ x\n+@@ -1 +9 @@\n"
    after = "--- a/b.py\n+++ b/b.py\n@@ -4 +4 @@\n-y\n+z\n\\ No newline at end of file\n"

    assert read_diff(f"--- a/a.py\n+++ b/a.py\n{hunk}{after}") == Changes(
        "-- a\n@@ -1 +9 @@\n++ x\n@@ -1 +9 @@\ny\nz\na\nb", {"a.py": (1, 2, 1, 2, 2, 3), "b.py": (3, 4, 4)}
    )


def test_a_hunk_that_is_cut_off_ends_with_the_next_file() -> None:
    cut = "+++ b/a.py\n@@ -1,9 +1,9 @@\n+x = 1\n"
    whole = "diff --git a/b.py b/b.py\n--- a/b.py\n+++ b/b.py\n@@ -0,0 +1 @@\n+y = 2\n"

    assert read_diff(cut + whole).lines == {"a.py": (1,), "b.py": (1,)}


def test_a_line_number_of_thousands_of_digits_is_none() -> None:
    assert read_diff(f"+++ b/a.py\n@@ -1 +{'9' * 5000} @@\n+x\n") == Changes("x\na", {})


@pytest.mark.parametrize(
    ("written", "path"),
    [
        (r'"b/t\303\251st.py"', "tést.py"),
        (r'"b/a\tb\"c\\d\n.py"', 'a\tb"c\\d\n.py'),
        (r'"b/\377.py"', "\udcff.py"),
        ('"b/tést\u2028\\".py"', 'tést\u2028".py'),
        ("b/two words.py\t", "two words.py"),
        ("b/tést.py", "tést.py"),
    ],
)
def test_names_are_read_as_git_writes_them(written: str, path: str) -> None:
    assert read_diff(f"+++ {written}\n@@ -0,0 +1 @@\n+x\n") == Changes(f"x\n{path[:-3]}", {path: (1,)})


def test_what_is_no_diff_is_text() -> None:
    assert read_diff("retries when the server is down") == Changes("retries when the server is down", {})
    assert read_diff("") == Changes("", {})


@pytest.mark.parametrize("below", ["", "src", "src/deep"])
def test_the_functions_that_hold_the_lines_are_named(project: Path, below: str) -> None:
    (project / below).mkdir(exist_ok=True)
    changes = Changes("", {"src/shop.py": (5, 8, 11, 14, 99)})

    found = changed_functions(changes, project / below)
    assert found == tuple(
        (project / "src/shop.py", name) for name in ("Shop.price", "Shop.refund", "Shop.refund.inner")
    )


@pytest.mark.parametrize("prefix", ["", "w/"])
def test_other_prefixes_are_understood(project: Path, prefix: str) -> None:
    text = DIFF.replace("+++ b/", f"+++ {prefix}").replace("+3,3 @@", "+4,3 @@")

    assert names(read_diff(text), project) == ("Shop.price", "Shop.refund.inner")


@pytest.mark.parametrize("name", ["/dev/null", "src/gone.py", "../{}/src/shop.py", "README.md", "src", "nul\0.py"])
def test_files_that_are_not_there_have_no_functions(project: Path, name: str) -> None:
    (project / "README.md").write_text("def no_python(", encoding="utf-8")

    assert changed_functions(Changes("", {name.format(project.name): (5,)}), project) == ()


def test_above_the_repository_nothing_is_looked_for(project: Path) -> None:
    (project / "inner" / ".git").mkdir(parents=True)

    assert changed_functions(Changes("", {"src/shop.py": (5,)}), project / "inner") == ()


def test_a_file_that_does_not_parse_has_no_functions(project: Path) -> None:
    (project / "src" / "shop.py").write_text("def (:", encoding="utf-8")

    assert changed_functions(Changes("", {"src/shop.py": (1,)}), project) == ()
