"""``qeattention info``: what serves the calls, and why."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pytest_qeattention import backend_info
from pytest_qeattention.cli import main


def test_every_fact_has_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info"]) == 0

    output = capsys.readouterr().out
    for name in backend_info():
        assert f"{name}:" in output
    assert np.__version__ in output


def test_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--json", "-"]) == 0

    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "qeattention/1"
    assert document["backend"]["backend"] in ("native-core", "numpy")
    assert document["backend"]["reason"]
    assert set(document["backend"]) == set(backend_info())


def test_as_json_in_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--json", str(tmp_path / "info.json")]) == 0

    document = json.loads((tmp_path / "info.json").read_text(encoding="utf-8"))
    assert document["backend"]["numpy"]["version"] == np.__version__
    assert "numpy:" in capsys.readouterr().out


def test_a_forced_backend_is_said(tmp_path: Path) -> None:
    import os

    done = subprocess.run(
        [sys.executable, "-m", "pytest_qeattention", "info", "--json", "-"],
        cwd=tmp_path,
        env={**os.environ, "QE_BACKEND": "numpy"},
        capture_output=True,
        text=True,
        check=True,
    )

    backend = json.loads(done.stdout)["backend"]
    assert (backend["backend"], backend["reason"]) == ("numpy", "QE_BACKEND=numpy")


def test_a_setting_that_cannot_be_served_is_said_and_no_error(tmp_path: Path) -> None:
    import os

    done = subprocess.run(
        [sys.executable, "-m", "pytest_qeattention", "info"],
        cwd=tmp_path,
        env={**os.environ, "QE_BACKEND": "nonsense"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert "QE_BACKEND is 'nonsense'" in done.stdout
