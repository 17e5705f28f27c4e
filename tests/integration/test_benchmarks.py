"""Small runs of the benchmarks and builders, so that they still work when somebody needs them."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_qeattention.similarity.background import MAGIC, VERSION
from pytest_qeattention.similarity.query_words import MAGIC as QUERY_WORDS_MAGIC
from pytest_qeattention.store import read_checked

ROOT = Path(__file__).parents[2]


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    # Appended, the source tree lends the benchmarks and leaves the installed package first.
    code = f"import runpy, sys; sys.path.append({str(ROOT)!r}); sys.argv = sys.argv[1:]; "
    code += "runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=cwd, capture_output=True, text=True, timeout=120
    )


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory of a process tree is read from /proc")
def test_suite_speed(tmp_path: Path) -> None:
    quickstart = ROOT / "examples" / "quickstart"
    result = run(
        "benchmarks.suite_speed", f"quickstart={quickstart}", "--runs", "1", "--results", str(tmp_path), cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr
    (suite,) = json.loads((tmp_path / "suite_speed.json").read_text())["suites"]
    assert suite["tests"] == 26
    assert len(suite["samples"]) == 1
    assert suite["samples"][0]["peak_mb"] > 10
    assert "| quickstart | 26 |" in (tmp_path / "suite_speed.md").read_text()


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory of a process tree is read from /proc")
def test_suite_scale(tmp_path: Path) -> None:
    quickstart = str(ROOT / "examples" / "quickstart")
    runs = run("benchmarks.suite_scale", quickstart, "--sizes", "1", "2", "--results", str(tmp_path), cwd=tmp_path)
    assert runs.returncode == 0, runs.stderr
    rows = json.loads((tmp_path / "suite_scale.json").read_text())["runs"]
    assert [(row["copies"], row["tests"], row["search"]) for row in rows] == [(1, 26, "exact"), (2, 52, "exact")]
    assert all(row["peak_mb"] > 10 and row["groups"] >= row["copies"] * 5 for row in rows)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory of a process tree is read from /proc")
def test_collection_cost(tmp_path: Path) -> None:
    result = run("benchmarks.collection_cost", "--tests", "90", "--runs", "1", "--results", str(tmp_path), cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    document = json.loads((tmp_path / "collection_cost.json").read_text())
    assert (document["tests"], [len(each) for each in document["commands"].values()]) == (90, [1, 1])
    assert document["groups"] > 5
    (hooks,) = document["hooks"]
    assert 0 < hooks["hooks_s"] < hooks["total_s"]
    assert document["added"]["hooks"] == pytest.approx(hooks["hooks_s"] / (hooks["total_s"] - hooks["hooks_s"]))
    assert "90 tests, " in (tmp_path / "collection_cost.md").read_text()


def test_suite_search(tmp_path: Path) -> None:
    quickstart = str(ROOT / "examples" / "quickstart")
    arguments = (quickstart, "--search", "--sizes", "1", "2", "--results", str(tmp_path))
    result = run("benchmarks.suite_scale", *arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    cells = json.loads((tmp_path / "suite_search.json").read_text())["cells"]
    assert [cell["rows"] for cell in cells] == [26, 52]
    assert all(0 <= cell["recall_at_10"] <= 1 for cell in cells)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory of a process tree is read from /proc")
def test_rival_speed(tmp_path: Path) -> None:
    """Any command can be the rival, and what comes before a command is not in its time."""
    result = run(
        "benchmarks.rival_speed",
        f"quickstart={ROOT / 'examples' / 'quickstart'}",
        *("--command", "biston={python} -c 'import time; time.sleep(0.1)'"),
        *("--command", "kept={python} -c 'import pathlib; pathlib.Path(\"kept\").unlink()'"),
        *("--before", "kept={python} -c 'import pathlib; pathlib.Path(\"kept\").touch()'"),
        *("--runs", "1", "--results", str(tmp_path)),
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stderr
    document = json.loads((tmp_path / "rival_speed.json").read_text())
    commands = document["commands"]
    assert list(commands) == ["cold", "biston", "kept"]
    assert commands["biston"]["ratio"] == 1
    assert commands["biston"]["wall_median_s"] >= 0.1
    assert commands["cold"]["ratio"] == commands["cold"]["wall_median_s"] / commands["biston"]["wall_median_s"]
    assert [len(row["samples"]) for row in commands.values()] == [1, 1, 1]
    assert "| kept |" in (tmp_path / "rival_speed.md").read_text()


def test_one_file_in_a_hundred_is_edited_another_on_every_call(tmp_path: Path) -> None:
    suite, copy = tmp_path / "suite", tmp_path / "copy"
    suite.mkdir()
    for number in range(200):
        (suite / f"test_{number:03}.py").write_text("def test(): pass\n", encoding="utf-8")
    edited = []
    for _ in range(2):
        assert run("benchmarks.edit_suite", str(suite), str(copy), cwd=tmp_path).returncode == 0
        edited.append([file.name for file in sorted(copy.glob("*.py")) if "test_edited" in file.read_text()])

    assert edited[0] == ["test_000.py", "test_100.py"]
    assert edited[1] == ["test_000.py", "test_001.py", "test_100.py", "test_101.py"]
    assert not any("test_edited" in file.read_text() for file in suite.iterdir())


def test_rank_of_changed_functions(tmp_path: Path) -> None:
    project = tmp_path / "shop-1.0"
    (project / "tests").mkdir(parents=True)
    (project / "shop.py").write_text("".join(f"def price_of_{name}(n):\n    return n + 1\n" for name in "abcd"))
    tests = "".join(f"def test_{name}():\n    assert shop.price_of_{name}(4) == 5\n" for name in "abcd")
    tests += "".join(f"def test_other_{n}():\n    assert shop.load({n})\n" for n in range(40))
    (project / "tests" / "test_shop.py").write_text(tests)
    result = run("benchmarks.quality.rank", str(project), "--results", str(tmp_path), cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    (row,) = json.loads((tmp_path / "rank.json").read_text())["projects"]
    assert (row["project"], row["tests"], row["cases"]) == ("shop-1.0", 44, 4)
    assert row["at"]["5"]["found"] == 1
    assert row["at"]["5"]["by_chance"] == pytest.approx(5 / 44)


def test_background_table(tmp_path: Path) -> None:
    for name in ("one-1.0", "two-2.0"):
        (tmp_path / name).mkdir()
        tests = "".join(f"def test_{n}(client):\n    assert client.get({n})\n" for n in range(120))
        (tmp_path / name / "test_it.py").write_text(tests)
    (tmp_path / "small-1.0").mkdir()
    table, record = tmp_path / "table.bin", tmp_path / "record.json"
    result = run(
        "benchmarks.training.background",
        *(str(tmp_path / name) for name in ("one-1.0", "two-2.0", "small-1.0")),
        *("--table", str(table), "--result", str(record)),
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stderr
    assert "small-1.0: 0 tests are too few" in result.stdout
    assert read_checked(table, magic=MAGIC, version=VERSION).payload
    written = json.loads(record.read_text())
    assert [entry["distribution"] for entry in written["distributions"]] == ["one-1.0", "two-2.0"]
    assert all(count > 0 for count in written["features"].values())


def test_query_words_table(tmp_path: Path) -> None:
    project = tmp_path / "shop-1.0"
    project.mkdir()
    functions = "".join(
        f'def send_email_{n}(email):\n    """Sends an email correctly."""\n    return email.sent({n})\n'
        for n in range(60)
    )
    (project / "shop.py").write_text(functions)
    table, record = tmp_path / "table.bin", tmp_path / "record.json"
    result = run(
        *("benchmarks.training.query_words", str(project), "--table", str(table), "--result", str(record)), cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr
    # Whole numbers are one word, and the two forms of "send" are two.
    assert json.loads(record.read_text()) == {"words": 6, "distributions": ["shop-1.0"]}
    assert read_checked(table, magic=QUERY_WORDS_MAGIC, version=1).payload
    empty = run("benchmarks.training.query_words", str(tmp_path / "none"), "--table", str(table), cwd=tmp_path)
    assert (empty.returncode, "no table was written" in empty.stdout) == (1, True)


needs_sklearn = pytest.mark.skipif(
    importlib.util.find_spec("sklearn") is None, reason="TF-IDF is scikit-learn's: install it"
)


def quality(task: str, project: Path, tmp_path: Path, *options: str) -> dict[str, float]:
    """Return what benchmarks.quality.encoder measures on *project*."""
    result = run(
        *("benchmarks.quality.encoder", task, f"{project.name}={project}", "--results", str(tmp_path), *options),
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stderr
    document = json.loads((tmp_path / f"encoder_{task}.json").read_text())
    measured: dict[str, float] = document["projects"][project.name]
    assert all(0 <= value <= 1 for value in measured.values())
    return measured


@needs_sklearn
@pytest.mark.parametrize("task", ["words", "copies"])
def test_encoder_quality(tmp_path: Path, task: str) -> None:
    measured = quality(task, ROOT / "examples" / "quickstart", tmp_path)
    assert measured["TF-IDF"] > 0
    assert measured["ranking"] > 0.3
    if task == "copies":
        assert measured["ranking"] > measured["pair model"] > 0.3
    refused = run("benchmarks.quality.encoder", task, "pandas-3.1.1=.", cwd=tmp_path)
    assert (refused.returncode, "among the corpora of the training" in refused.stderr) == (2, True)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Make a project of which each test runs one function, and a truth that says so, in ``truth``."""
    project = tmp_path / "shop-1.0"
    (project / "tests").mkdir(parents=True)
    names = ("price", "weight", "colour", "origin", "maker", "stock", "label")
    (project / "shop.py").write_text("".join(f"def find_{name}(n):\n    return n + 1\n" for name in names))
    (project / "tests" / "test_shop.py").write_text(
        "".join(f"def test_{name}():\n    assert shop.find_{name}(4) == 5\n" for name in names)
        + "def test_skipped():\n    assert shop.find_price(5) == 6\n"
    )
    functions = [
        {"path": "shop.py", "qualname": f"find_{name}", "tests": [f"tests/test_shop.py::test_{name}"]} for name in names
    ]
    failures = [
        {
            "failures": [
                {"test": f"tests/test_shop.py::test_{name}", "type": "ValueError", "message": f"bad {cause}"}
                for name in some
            ]
        }
        for cause, some in (("kilo", names[:3]), ("euro", names[3:]))
    ]
    truth = tmp_path / "truth"
    truth.mkdir()
    document = {"suite": ["tests"], "not_run": ["tests/test_shop.py::test_skipped"], "functions": functions}
    (truth / "shop-1.0.json").write_text(json.dumps({**document, "mutants": failures}))
    return project


@needs_sklearn
def test_encoder_quality_of_functions(shop: Path, tmp_path: Path) -> None:
    measured = quality("functions", shop, tmp_path, "--truth", str(tmp_path / "truth"))
    assert measured["ranking"] == 1
    assert set(measured) == {"names", "TF-IDF", "ranking", "ranking without references"}


@needs_sklearn
def test_encoder_quality_of_failures(shop: Path, tmp_path: Path) -> None:
    measured = quality("failures", shop, tmp_path, "--truth", str(tmp_path / "truth"))
    assert measured["message words"] == 1
    assert measured["test names"] < 1


@pytest.mark.parametrize("task", ["functions", "failures"])
def test_encoder_quality_needs_the_truth(tmp_path: Path, task: str) -> None:
    refused = run("benchmarks.quality.encoder", task, "shop-1.0=.", cwd=tmp_path)
    assert (refused.returncode, "needs --truth" in refused.stderr) == (2, True)


def test_encoder_on_folds_says_that_it_skips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QE_GOLD", raising=False)
    skipped = run("benchmarks.quality.folds", cwd=tmp_path)
    assert (skipped.returncode, skipped.stdout.startswith("skipped: QE_GOLD is not set")) == (0, True)


def test_counterparts_of_folded_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QE_GOLD", raising=False)
    skipped = run("benchmarks.quality.counterparts", cwd=tmp_path)
    assert (skipped.returncode, skipped.stdout.startswith("skipped: QE_GOLD is not set")) == (0, True)
    box = (
        "    def test_box_{at}(self):\n        box = Box({at})\n        box.add({more})\n        assert box == {more}\n"
    )
    file = (
        "def test_{more}_of_file():\n    with open({at}) as lines:\n        assert {more} in lines\n    lines.close()\n"
    )
    lone = "def test_alone():\n    if box.size > 2:\n        raise Box\n    assert lines\n"
    rows = []
    for project in range(8):
        some = [(3 * project + at, at + 7) for at in range(3)]
        boxes = [box.format(at=at, more=more) for at, more in some]
        files = [file.format(at=at, more=more) for at, more in some]
        tests = [
            *(
                {"id": f"TestBox::test_box_{at}", "group": "box", "source": each}
                for (at, _), each in zip(some, boxes, strict=True)
            ),
            *(
                {"id": f"test_{more}_of_file", "group": "file", "source": each}
                for (_, more), each in zip(some, files, strict=True)
            ),
            {"id": "test_alone", "group": None, "same": True, "source": lone},
        ]
        source = "\n".join(["class TestBox:", *boxes, lone, *files])
        rows.append({"repo": f"p{project}", "path": "test_it.py", "parent_source": source, "tests": tests})
    (tmp_path / "similar_dev.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setenv("QE_GOLD", str(tmp_path))
    done = run("benchmarks.quality.counterparts", "--results", str(tmp_path), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    measured = json.loads((tmp_path / "ranking_folds.json").read_text())["MAP"]
    assert measured["projects"] == {f"p{at}": {"pair model": 1.0, "ranking": 1.0} for at in range(8)}
    assert measured["differences"] == {"ranking less pair model": {"mean": 0.0, "low": 0.0, "high": 0.0}}


def test_the_summary_of_answers_says_what_was_met(tmp_path: Path) -> None:
    words = {
        "one-1.0": {"TF-IDF": 0.3, "MiniLM": 0.2, "ranking": 0.3, "ranking + qe": 0.4},
        "two-1.0": {"TF-IDF": 0.4, "MiniLM": 0.46, "ranking": 0.5, "ranking + qe": 0.48},
    }
    copies = {"one-1.0": {"AST tokens": 0.5, "AST tokens, locals as holes": 0.7, "ranking": 0.9}}
    for task, rows in (("words", words), ("copies", copies)):
        (tmp_path / f"encoder_{task}.json").write_text(json.dumps({"projects": rows}))
    done = run("benchmarks.quality.summary", "--results", str(tmp_path), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "encoder_answers.md").read_text().splitlines()
    assert lines[2] == (
        "| words for the test that they describe | MRR, 2 projects | 0.440 (0.400 to 0.480), ranking + qe "
        "| TF-IDF 0.350: +0.090 (+0.080 to +0.100)<br>MiniLM 0.330: +0.110 (+0.020 to +0.200) "
        "| 0.400, 0.440, -, - | +0.05 over each, interval above 0 | yes |"
    )
    assert lines[3].endswith("hit@5, not measured | | | | | |")
    assert lines[4].endswith("| 0.85 | yes |")
    words["two-1.0"]["MiniLM"] = 0.6
    (tmp_path / "encoder_words.json").write_text(json.dumps({"projects": words}))
    assert run("benchmarks.quality.summary", "--results", str(tmp_path), cwd=tmp_path).returncode == 0
    assert (tmp_path / "encoder_answers.md").read_text().splitlines()[2].endswith("| no |")
