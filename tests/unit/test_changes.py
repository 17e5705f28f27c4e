from __future__ import annotations

from pathlib import Path

import pytest

from pytest_qeattention.similarity.changes import Changes, changed_functions, read_diff

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
    assert changes.lines == {"src/shop.py": (5, 5, 10, 11)}


def test_what_is_no_diff_is_text() -> None:
    assert read_diff("retries when the server is down") == Changes("retries when the server is down", {})
    assert read_diff("") == Changes("", {})


@pytest.mark.parametrize("below", ["", "src", "src/deep"])
def test_the_functions_that_hold_the_lines_are_named(project: Path, below: str) -> None:
    (project / below).mkdir(exist_ok=True)
    changes = Changes("", {"src/shop.py": (5, 8, 11, 14, 99)})

    assert changed_functions(changes, project / below) == ("Shop.price", "Shop.refund", "Shop.refund.inner")


@pytest.mark.parametrize("prefix", ["", "w/"])
def test_other_prefixes_are_understood(project: Path, prefix: str) -> None:
    text = DIFF.replace("+++ b/", f"+++ {prefix}").replace("+3,3 @@", "+4,3 @@")

    assert changed_functions(read_diff(text), project) == ("Shop.price", "Shop.refund.inner")


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
