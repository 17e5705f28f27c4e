"""``qeattention similar --verify`` and ``--write-patch``: on a project with folds that hold and one that does not."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_qeattention.cli import main
from pytest_qeattention.similarity.candidates import FileScan
from pytest_qeattention.similarity.fold.folding import Fold, suggest
from pytest_qeattention.similarity.fold.module import Module
from pytest_qeattention.similarity.fold.verification import verify
from pytest_qeattention.similarity.scan import scan_source

PRICES = """
def parse(text):
    return round(float(text.replace(",", ".")) * 100)


class TestParse:
    def test_parse_whole(self):
        price = parse("3")
        assert isinstance(price, int)
        assert price == 300

    def test_parse_cents(self):
        price = parse("3.50")
        assert isinstance(price, int)
        assert price == 350

    # The comma is German.
    def test_parse_comma(self):
        price = parse("3,25")
        assert isinstance(price, int)
        assert price == 325


def test_alone():
    assert parse("1") < parse("2") < parse("3")
"""

NAMES = """
import pytest


def test_knows_first(request):
    name = request.node.name
    assert name.startswith("test")
    assert name == "test_knows_first"


def test_knows_second(request):
    name = request.node.name
    assert name.startswith("test")
    assert name == "test_knows_second"


def test_knows_third(request):
    name = request.node.name
    assert name.startswith("test")
    assert name == "test_knows_third"
"""

LOOP = """
import unittest


class TestWords(unittest.TestCase):
    def test_upper_tea(self):
        word = "tea".upper()
        self.assertTrue(word.isupper())
        self.assertEqual(word, "TEA")

    def test_upper_cup(self):
        word = "cup".upper()
        self.assertTrue(word.isupper())
        self.assertEqual(word, "CUP")

    def test_upper_milk(self):
        word = "milk".upper()
        self.assertTrue(word.isupper())
        self.assertEqual(word, "MILK")
"""


def files_of(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".git" not in path.parts
    }


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    (root / "tests").mkdir(parents=True)
    (root / "pytest.ini").write_text("[pytest]\naddopts = -x --strict-markers\n")
    prices = PRICES.replace("\n", "\r\n").lstrip().encode()
    (root / "tests" / "test_prices.py").write_bytes(prices)
    (root / "tests" / "test_names.py").write_text(NAMES.lstrip())
    # Without an end of line at its end.
    (root / "tests" / "test_loop.py").write_text(LOOP.strip())
    return root


@pytest.fixture
def similar(project: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    monkeypatch.chdir(project)

    def run(*arguments: str) -> dict[str, Any]:
        report = project.parent / "report.json"
        assert main(["similar", "tests", "--json", str(report), *arguments]) == 0
        document = json.loads(report.read_text(encoding="utf-8"))
        return {group["tests"][0]["path"]: group for group in document["similar"]["groups"]}

    return run


def test_suggestions_are_part_of_the_report(similar: Callable[..., dict[str, Any]]) -> None:
    groups = similar()

    assert "def test_parse(self, text, expected):" in groups["tests/test_prices.py"]["suggestion"]
    assert "with self.subTest(" in groups["tests/test_loop.py"]["suggestion"]
    assert not any("fold" in group for group in groups.values())


def test_folds_are_verified_and_the_patch_applies(
    project: Path, similar: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    before = files_of(project)
    patch = project.parent / "folds.patch"

    groups = similar("--write-patch", str(patch))

    assert groups["tests/test_prices.py"]["fold"] == {
        "state": "verified",
        "reason": "3 cases with equal outcomes; 3 of 3 changed values noticed by both",
        "cases": 3,
        "noticed": 3,
    }
    assert groups["tests/test_loop.py"]["fold"]["state"] == "verified"
    assert groups["tests/test_loop.py"]["fold"]["noticed"] == 3
    assert groups["tests/test_names.py"]["fold"]["state"] == "failed"
    assert groups["tests/test_names.py"]["fold"]["reason"] == (
        "test_knows_first passed, its case fails with AssertionError"
    )
    assert "    as one test: failed: test_knows_first passed" in capsys.readouterr().out
    assert files_of(project) == before

    git = shutil.which("git")
    if git is None:
        pytest.skip("git is not here to apply the patch")
    subprocess.run([git, "init", "-q", "."], cwd=project, check=True)
    subprocess.run([git, "apply", "--check", str(patch)], cwd=project, check=True)
    subprocess.run([git, "apply", str(patch)], cwd=project, check=True)
    after = files_of(project)
    assert after["tests/test_names.py"] == before["tests/test_names.py"]
    assert b"\n" not in after["tests/test_prices.py"].replace(b"\r\n", b"")
    assert after["tests/test_prices.py"].startswith(b"import pytest\r\n\r\ndef parse(text):")
    assert b"# The comma is German.\r\n            pytest.param(" in after["tests/test_prices.py"]
    assert not after["tests/test_loop.py"].endswith(b"\n")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], cwd=project, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout
    assert "passed" in ran.stdout


FORMS = """
import unittest

import pytest

SEEN = []


@pytest.fixture(autouse=True)
def forget():
    SEEN.clear()


def small():
    return [1, 2]


@pytest.mark.parametrize("n", small())
def test_computed_small(n):
    assert n < 10


@pytest.mark.parametrize("n", [3, 12])
def test_computed_large(n):
    assert n < 10


@pytest.mark.parametrize("n, m", {1: 2, 2: 4}.items())
def test_double(n, m):
    assert n * 2 == m


@pytest.mark.parametrize("n, m", zip([1, 2], [3, 7]))
def test_triple(n, m):
    assert n * 3 == m


def test_box_short():
    box = list("ab")
    assert "a" in box
    assert len(box) == 2


def test_box_long():
    box = list("cde")
    assert "c" in box
    assert "d" in box
    assert len(box) == 3


def test_is_upper():
    assert "A".isupper()


def test_is_not_upper():
    assert not "a".isupper()


def test_union():
    box = {1, 2}
    assert (box | {3}) == {1, 2, 3}


def test_intersection():
    box = {1, 2}
    assert (box & {2}) == {2}


class TestState(unittest.TestCase):
    def test_state_a(self):
        SEEN.append("a")
        self.assertEqual(SEEN, ["a"])

    def test_state_b(self):
        SEEN.append("b")
        self.assertEqual(SEEN, ["b"])
"""


def test_every_form_does_what_its_tests_do(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_forms.py").write_text(FORMS)
    scan: FileScan[None] = scan_source(FORMS.encode(), "test_forms.py")
    units = [found.unit for found in scan.functions]
    module = Module("test_forms.py", FORMS, tmp_path)
    folds = {}
    for kind, names in {
        "rows": ("test_computed",),
        "tuples": ("test_double", "test_triple"),
        "loop": ("test_box",),
        "truth": ("test_is",),
        "operator": ("test_union", "test_intersection"),
        "state": ("test_state",),
    }.items():
        fold = suggest([unit for unit in units if unit.name.startswith(names)], module)
        assert isinstance(fold, Fold), fold
        folds[kind] = fold

    verdicts = verify(folds, root=tmp_path, base=tmp_path)

    assert verdicts.pop("state").reason == (
        "every case passes alone, and all of them in one test fails with AssertionError"
    )
    assert {kind: verdict.state for kind, verdict in verdicts.items()} == dict.fromkeys(verdicts, "verified"), verdicts
    assert verdicts["loop"].noticed == 2
    assert (tmp_path / "test_forms.py").read_text() == FORMS


def test_what_cannot_run_is_said(project: Path, similar: Callable[..., dict[str, Any]]) -> None:
    (project / "tests" / "test_names.py").write_text(f"import no_such_module\n{NAMES}")
    (project / "tests" / "test_loop.py").unlink()
    skipped = PRICES.replace("class TestParse", "@__import__('pytest').mark.skip\nclass TestParse")
    (project / "tests" / "test_prices.py").write_text(skipped)

    groups = similar("--verify")

    assert groups["tests/test_names.py"]["fold"]["state"] == "not run"
    assert "ModuleNotFoundError: No module named 'no_such_module'" in groups["tests/test_names.py"]["fold"]["reason"]
    assert groups["tests/test_prices.py"]["fold"] == {
        "state": "not run",
        "reason": "its tests are skipped here",
        "cases": None,
        "noticed": None,
    }


def test_a_test_that_runs_too_long_ends_its_run_and_not_the_command(
    project: Path, similar: Callable[..., dict[str, Any]]
) -> None:
    slow = "import time\n\n" + textwrap.dedent(PRICES.replace("return round", "time.sleep(30); return round"))
    (project / "tests" / "test_prices.py").write_text(slow)

    groups = similar("--verify", "--verify-timeout", "1")

    assert groups["tests/test_prices.py"]["fold"]["state"] == "not run"


LINKED = """
def test_upper_a():
    word = "a".upper()
    assert word.isupper()
    assert word == "A"


def test_upper_b():
    word = "b".upper()
    assert word.isupper()
    assert word == "B"


def test_upper_c():
    word = "c".upper()
    assert word.isupper()
    assert word == "C"
"""


@pytest.mark.parametrize("is_relative", [False, True], ids=["absolute", "relative"])
def test_no_file_outside_the_project_is_written_through_a_link(
    project: Path, similar: Callable[..., dict[str, Any]], is_relative: bool
) -> None:
    outside = project.parent / "out"
    (outside / "data").mkdir(parents=True)
    (outside / "test_upper.py").write_text(LINKED)
    target = Path("../../out") if is_relative else outside
    (project / "tests" / "test_upper.py").symlink_to(target / "test_upper.py")
    (project / "tests" / "more").symlink_to(target / "data", target_is_directory=True)
    # What a test writes beside itself would come through the link to the directory.
    writes = "from pathlib import Path\n\nPath(__file__).with_name('more').joinpath('new.txt').write_text('')\n"
    (project / "tests" / "test_writes.py").write_text(f"{writes}\n{LINKED.replace('upper', 'lower')}")
    before = files_of(outside)

    groups = similar("--verify")

    assert files_of(outside) == before
    assert groups["tests/test_upper.py"]["fold"]["state"] == "verified"
    assert groups["tests/test_writes.py"]["fold"]["state"] == "not run"
    assert "FileNotFoundError" in groups["tests/test_writes.py"]["fold"]["reason"]


def test_tests_that_the_copy_leaves_out_are_not_run_and_others_are(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "node_modules").mkdir()
    (project / "node_modules" / "test_upper.py").write_text(LINKED)
    report = project.parent / "report.json"
    monkeypatch.chdir(project)
    paths = ["tests/test_prices.py", "node_modules/test_upper.py"]

    assert main(["similar", *paths, "--json", str(report), "--verify"]) == 0

    groups = {
        group["tests"][0]["path"]: group["fold"]
        for group in json.loads(report.read_text(encoding="utf-8"))["similar"]["groups"]
    }
    assert groups["node_modules/test_upper.py"]["state"] == "not run"
    assert groups["node_modules/test_upper.py"]["reason"] == (
        "node_modules/test_upper.py is not in the copy of the project that tests run in"
    )
    assert groups["tests/test_prices.py"]["state"] == "verified"


def test_a_verification_that_breaks_leaves_the_report_and_the_gate(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*arguments: object, **named: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr("pytest_qeattention.similarity.fold.verification.verify", broken)
    monkeypatch.chdir(project)
    report, patch = project.parent / "report.json", project.parent / "folds.patch"
    arguments = ["--json", str(report), "--write-patch", str(patch), "--fail-on", "parametrize"]

    assert main(["similar", "tests", *arguments]) == 1

    document = json.loads(report.read_text(encoding="utf-8"))["similar"]
    reason = "running the suggestions failed with MemoryError: no room"
    assert {(group["fold"]["state"], group["fold"]["reason"]) for group in document["groups"]} == {("not run", reason)}
    assert [problem["message"] for problem in document["problems"]] == [
        f"{reason}; none is verified; please tell the authors"
    ]
    assert patch.read_bytes() == b""
    assert "failed by --fail-on" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rank", "x", "--verify"], "--verify is about groups"),
        (["--verify-timeout", "3"], "--verify-timeout is about --verify, which is not given"),
        (["--verify", "--verify-timeout", "soon"], "--verify-timeout is 'soon'"),
        (["--write-patch", "no/such/directory/x.patch"], "its directory does not exist"),
        (["--write-patch", "-", "--json", "-"], "cannot share standard output"),
    ],
)
def test_wrong_usage_is_said_before_anything_runs(
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(project)

    assert main(["similar", "tests", *arguments]) == 4

    assert message in capsys.readouterr().err
