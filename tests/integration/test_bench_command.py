"""``qeattention bench``: the command as people run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_qeattention import cli
from pytest_qeattention.bench import comprehensive, measure, memory, stress, workloads

ROOT = Path(__file__).parents[2]


def run(*arguments: str, cwd: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest_qeattention", "bench", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=120,
        **options,
    )


@pytest.fixture
def fast_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take a millisecond where the peak of the machine takes twenty."""
    monkeypatch.setattr(measure, "fma_peak", lambda threads, *, precision: 100.0)


def test_a_quick_run_from_end_to_end(tmp_path: Path) -> None:
    done = run("--quick", "--peers", "numpy", "--threads", "1", "--json", "r.json", "--markdown", "r.md", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    document = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    bench = document["bench"]
    assert document["schema"] == "qeattention/1"
    assert "package" not in document["backend"]
    assert str(tmp_path) not in (tmp_path / "r.json").read_text(encoding="utf-8")
    assert (bench["suite"], bench["quick"], bench["threads"], bench["samples"]) == ("comprehensive", True, 1, 5)
    # BLAS was told before it was loaded; None where it cannot be asked.
    assert bench["blas_threads"] in (1, None)
    assert bench["machine"]["cpu"]
    assert list(bench["peers"]) == ["numpy"]
    assert bench["remarks"][0].startswith("a quick run")
    assert {row["kind"] for row in bench["rows"]} == {"attention", "latency", "topk", "search"}
    for row in bench["rows"]:
        own = row["results"][0]
        assert own["name"] == "qeattention"
        assert own["state"] == "measured"
        assert len(own["samples_ns"]) == 5
        assert own["error"] < 0.03
    assert "attention, float32" in done.stdout
    assert "| 1,2,64,32 |" in (tmp_path / "r.md").read_text(encoding="utf-8")

    again = run("--quick", "--peers", "numpy", "--threads", "1", "--compare", "r.json", "--json", "-", cwd=tmp_path)

    assert again.returncode == 0, again.stderr
    comparison = json.loads(again.stdout)["bench"]["comparison"]
    assert comparison["same_machine"] is True
    assert comparison["unmatched"] == 0
    assert {change["name"] for change in comparison["changes"]} == {"qeattention", "numpy"}


def test_shapes_without_peers(tmp_path: Path, capsys: pytest.CaptureFixture[str], fast_peak: None) -> None:
    path = tmp_path / "r.json"

    code = cli.main(["bench", "--quick", "--peers", "none", "--shapes", "1,2,24,8", "--json", str(path)])

    assert code == 0
    bench = json.loads(path.read_text(encoding="utf-8"))["bench"]
    assert {row["label"] for row in bench["rows"]} == {"1,2,24,8"}
    assert [len(row["results"]) for row in bench["rows"]] == [1] * len(bench["rows"])
    assert bench["peers"] == {}
    assert "1,2,24,8" in capsys.readouterr().out


def test_markdown_on_standard_output_is_alone_there(capsys: pytest.CaptureFixture[str], fast_peak: None) -> None:
    assert cli.main(["bench", "--quick", "--peers", "none", "--shapes", "1,1,16,8", "--markdown", "-"]) == 0

    output = capsys.readouterr().out
    assert output.count("B,H,N,D") == output.count("| B,H,N,D |")
    assert "| 1,1,16,8 |" in output


@pytest.mark.parametrize("wrong_at", [1, 3])
def test_a_wrong_core_ends_the_run_before_anything_is_timed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fast_peak: None, wrong_at: int
) -> None:
    right = comprehensive.flash_attention
    calls = []

    def wrong(*arrays: Any, **options: Any) -> Any:
        calls.append(arrays[0].shape)
        return right(*arrays, **options) * (1.1 if len(calls) >= wrong_at else 1)

    monkeypatch.setattr(comprehensive, "flash_attention", wrong)

    assert cli.main(["bench", "--quick", "--peers", "numpy"]) == 1

    captured = capsys.readouterr()
    assert len(calls) == wrong_at
    assert captured.out == ""
    assert "qeattention is wrong at 1,2,64,32 in" in captured.err
    assert "no number is reported" in captured.err


def test_a_regression_ends_with_exit_code_1_only_where_that_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], fast_peak: None
) -> None:
    old = tmp_path / "old.json"
    arguments = ["bench", "--quick", "--peers", "none", "--shapes", "1,2,24,8"]
    assert cli.main([*arguments, "--json", str(old)]) == 0
    document = json.loads(old.read_text(encoding="utf-8"))
    for row in document["bench"]["rows"]:
        # As if the older version had been a hundred times as fast.
        row["results"][0]["samples_ns"] = [sample / 100 for sample in row["results"][0]["samples_ns"]]
    old.write_text(json.dumps(document), encoding="utf-8")

    assert cli.main([*arguments, "--compare", str(old)]) == 0
    assert "slower" in capsys.readouterr().out
    assert cli.main([*arguments, "--compare", str(old), "--fail-on-regression"]) == 1
    assert "slower than before: 1,2,24,8 in float32" in capsys.readouterr().err


def test_a_gate_on_nothing_is_no_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str], fast_peak: None) -> None:
    old = tmp_path / "old.json"
    arguments = ["bench", "--quick", "--peers", "none", "--shapes"]
    assert cli.main([*arguments, "1,2,24,8", "--json", str(old)]) == 0

    assert cli.main([*arguments, "1,1,16,8", "--compare", str(old), "--fail-on-regression"]) == 1

    assert "nothing was judged" in capsys.readouterr().err


def test_memory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "r.json"

    assert cli.main(["bench", "memory", "--max-n", "512", "--threads", "1", "--json", str(path)]) == 0

    (row,) = json.loads(path.read_text(encoding="utf-8"))["bench"]["rows"]
    assert row["label"] == "1,8,512,64"
    assert 0 < row["saved_share"] < 1
    assert "memory in MB" in capsys.readouterr().out


def test_stress(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stress.stress_case, "MOST_KEYS", 1000)
    path = tmp_path / "r.json"

    assert cli.main(["bench", "stress", "--duration", "0.5s", "--seed", "3", "--json", str(path)]) == 0

    (row,) = json.loads(path.read_text(encoding="utf-8"))["bench"]["rows"]
    assert row["cases"] >= 1
    assert row["seed"] == 3
    assert row["mismatch"] is None
    assert all(worst["error"] <= 1 for worst in row["worst"].values())
    assert "stress, seed 3" in capsys.readouterr().out


def test_a_mismatch_under_stress_ends_with_exit_code_1_and_a_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    case = stress.stress_case
    monkeypatch.setattr(case, "MOST_KEYS", 500)
    monkeypatch.setattr(case, "topk_similarity", lambda *rest, **more: 1 / 0)
    monkeypatch.setattr(case, "flash_attention", lambda *rest, **more: 1 / 0)
    path = tmp_path / "r.json"

    assert cli.main(["bench", "stress", "--duration", "1s", "--seed", "9", "--json", str(path)]) == 1

    assert "--seed 9 " in capsys.readouterr().err
    assert json.loads(path.read_text(encoding="utf-8"))["bench"]["rows"][0]["mismatch"]["seed"] == 9


def few_workloads(monkeypatch: pytest.MonkeyPatch) -> None:
    one = {name: config for name, config in workloads.WORKLOADS.items() if name == "pattern-adaptation"}
    monkeypatch.setattr(workloads, "WORKLOADS", one)


def test_workloads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, fast_peak: None
) -> None:
    few_workloads(monkeypatch)
    path = tmp_path / "r.json"

    assert cli.main(["bench", "workloads", "--quick", "--threads", "1", "--json", str(path)]) == 0

    (row,) = json.loads(path.read_text(encoding="utf-8"))["bench"]["rows"]
    assert row["shape"] == {"queries": 128, "keys": 128, "width": 256, "heads": 4}
    assert [(one["claim"], one["target"]) for one in row["verdicts"]] == [("latency", 0.05), ("memory", 20.0)]
    for one in row["verdicts"]:
        assert one["verdict"] == ("pass" if one["measured"] <= one["target"] else "fail")
    assert "pattern-adaptation" in capsys.readouterr().out


def test_validate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast_peak: None) -> None:
    few_workloads(monkeypatch)
    path = tmp_path / "r.json"

    assert cli.main(["bench", "validate", "--quick", "--threads", "1", "--json", str(path)]) == 0

    bench = json.loads(path.read_text(encoding="utf-8"))["bench"]
    assert [row["kind"] for row in bench["rows"]] == ["workload", "memory"]
    assert [one["claim"] for one in bench["verdicts"]] == ["speed-up", "latency", "memory saved"]
    for one in bench["verdicts"]:
        judged = [
            verdict["verdict"]
            for row in bench["rows"]
            for verdict in row["verdicts"]
            if verdict["claim"] == one["claim"]
        ]
        assert one["pass"] + one["fail"] + one["not_measured"] == len(judged)
        assert (one["verdict"] == "pass") == (set(judged) == {"pass"})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense"], "choose from"),
        (["--peers", "jax"], "available: numpy, torch, onnxruntime, faiss, usearch"),
        (["--shapes", "1,8,0,64"], "above zero"),
        (["--threads", "0"], "--threads is '0', not a whole number from 1"),
        (["--compare", "absent.json"], "--compare absent.json cannot be read"),
        (["--compare", "other.json"], "expected 'qeattention/1'"),
        (["--json", "missing/x.json"], "--json missing/x.json: its directory does not exist"),
        (["--markdown", "."], "--markdown '.' names no file"),
        (["--json", "-", "--markdown", "-"], "cannot both go to standard output"),
        (["stress", "--duration", "long"], "--duration is 'long'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_usage_errors_end_with_exit_code_4(
    tmp_path: Path,
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "other.json").write_text('{"schema": "qeattention/9"}', encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    try:
        code = cli.main(["bench", *arguments])
    except SystemExit as end:
        code = int(str(end.code))

    captured = capsys.readouterr()
    assert code == 4
    assert message in captured.err
    assert captured.out == ""


def test_a_backend_that_does_not_exist_is_a_usage_error(tmp_path: Path) -> None:
    done = run("--quick", cwd=tmp_path, env={**os.environ, "QE_ISA": "mmx"})

    assert done.returncode == 4
    assert "QE_ISA is 'mmx'; expected one of" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_memory_of_a_child_does_not_depend_on_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    before = memory.memory_row(256, 1)["results"][0]
    # What getrusage gives survives exec, so that a child of a large parent starts with its parent's peak.
    ballast = bytearray(os.urandom(1024)) * (300 * 1024)
    after = memory.memory_row(256, 1)["results"][0]

    assert len(ballast) == 300 << 20
    assert after["peak_bytes"] < before["peak_bytes"] + (30 << 20)


def report(rows: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    bench = {"quick": False, "threads": 2, "machine": {"cpu": "Some Processor"}, "rows": rows, **changes}
    return {"schema": "qeattention/1", "backend": {}, "bench": bench}


def plot(tmp_path: Path, *, quick: bool = False) -> subprocess.CompletedProcess[str]:
    speed = {
        "kind": "attention",
        "label": "1,8,512,64",
        "precision": "float32",
        "peak": {"gflop_per_s": 500.0},
        "results": [
            {"name": "qeattention", "precision": "float32", "gflop_per_s": 400.0},
            {"name": "torch", "precision": "float32", "gflop_per_s": None},
        ],
    }
    sides = [
        {"name": "qeattention", "way": None, "extra_bytes": 3_000_000},
        {"name": "numpy", "way": "scores of all heads", "extra_bytes": None},
    ]
    memory_rows = [{"kind": "memory", "shape": {"queries": n}, "results": sides} for n in (1024, 2048)]
    for name, rows in (
        ("bench_comprehensive", [speed, {**speed, "precision": "bfloat16"}]),
        ("bench_memory", memory_rows),
    ):
        (tmp_path / f"{name}.json").write_text(json.dumps(report(rows, quick=quick)), encoding="utf-8")
    code = f"import runpy, sys; sys.path.append({str(ROOT)!r}); sys.argv = sys.argv[1:]; "
    code += "runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
    points = [
        {"score": at, "share": at, "pairs": 9, "flagged_micro": at, "recall_micro": at, "recall_macro": at}
        for at in (0.2, 0.8)
    ]
    curves = {"curves": {"reliability": points, "groups": points}}
    (tmp_path / "quality.json").write_text(json.dumps(curves), encoding="utf-8")
    arguments = ["--comprehensive", "bench_comprehensive.json", "--memory", "bench_memory.json"]
    runs = [
        {"tests": tests, "cpu_s": tests / 100, "search": search} for tests, search in ((1000, "exact"), (2000, "hnsw"))
    ]
    cells = [{"rows": rows, "exact": {"cpu_s": 1.0}, "hnsw": {"cpu_s": 2.0}} for rows in (1000, 2000)]
    (tmp_path / "scale.json").write_text(json.dumps({"runs": runs}), encoding="utf-8")
    (tmp_path / "search.json").write_text(json.dumps({"cells": cells}), encoding="utf-8")
    arguments += ["--quality", "quality.json", "--scale", "scale.json", "--search", "search.json", "--results", "."]
    return subprocess.run(
        [sys.executable, "-c", code, "benchmarks.plots", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


PLOTS = ("speed.svg", "memory.svg", "quality.svg", "scale.svg")


def test_the_same_reports_give_the_same_plots(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    drawn = []
    for _ in range(2):
        done = plot(tmp_path)
        assert done.returncode == 0, done.stderr
        drawn.append([(tmp_path / name).read_bytes() for name in PLOTS])

    assert drawn[0] == drawn[1]
    for svg in drawn[0]:
        assert svg.startswith(b"<?xml")
        assert b"#3b82f6" in svg


def test_a_quick_run_is_not_plotted(tmp_path: Path) -> None:
    done = plot(tmp_path, quick=True)

    assert done.returncode == 1
    assert "is of a quick run, which is not to be quoted" in done.stderr
    assert not list(tmp_path.glob("*.svg"))
