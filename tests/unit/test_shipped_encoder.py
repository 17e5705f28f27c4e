"""The encoder in this package: its weights, what they were trained on, and that its vectors mean something."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pytest_qeattention import Encoder, backend_info
from pytest_qeattention.encoder.shipped import SHIPPED, TokenBackend
from pytest_qeattention.encoder.tokens import TOKENISER
from pytest_qeattention.encoder.weights import WeightsError, read_weights, write_weights

LARGEST_BYTES = 8_000_000
RETRIES = """
def test_get(server):
    server.stop()
    client = Client(server.url, retry=Retry(times=3))
    assert client.get("/").attempts == 3
"""
RENAMED = """
def test_it(host):
    host.stop()
    mine = Client(host.url, retry=Retry(times=8))
    assert mine.get("/x").attempts == 8
"""
COOKIES = """
def test_jar(clock):
    clock.forward(days=2)
    assert not Session("http://x").cookies
"""


def test_the_weights_fit_into_a_wheel_and_name_what_they_were_trained_on() -> None:
    weights = read_weights(SHIPPED)
    assert SHIPPED.stat().st_size <= LARGEST_BYTES
    assert weights.model.startswith("qe-")
    assert 2 <= int(weights.architecture["layers"]) <= 4
    distributions = weights.provenance["distributions"]
    assert isinstance(distributions, list)
    assert len(distributions) > 20
    assert all(len(each) == 3 and all(each) for each in distributions)


def test_info_tells_of_the_weights() -> None:
    info = backend_info(probe=True)["encoder"]
    assert (info["model"], info["state"]) == (read_weights(SHIPPED).model, "usable")
    assert info["bytes"] == SHIPPED.stat().st_size
    assert "pandas 3.1.1 (BSD-3-Clause)" in info["trained_on"]
    assert backend_info()["encoder"]["model"] is None


def test_renamed_copies_are_closer_than_others_and_words_find_their_test() -> None:
    encoder = Encoder()
    first, renamed, other = encoder.functions([RETRIES, RENAMED, COOKIES])
    assert first @ renamed > first @ other + 0.2
    asked = encoder.texts(["retry when the server is down", "expired cookies"])
    closeness = asked @ np.stack([first, other]).T
    assert closeness[0, 0] > closeness[0, 1]
    assert closeness[1, 1] > closeness[1, 0]


def test_weights_of_other_numbers_of_roles_are_refused(tmp_path: Path) -> None:
    weights = read_weights(SHIPPED)
    assert weights.provenance["tokeniser"] == TOKENISER
    for said, is_refused in ((TOKENISER, False), (TOKENISER + 1, True)):
        arrays = {name: array for name, array in weights.arrays.items() if not name.startswith("words")}
        arrays["words"] = weights.arrays["words"].astype(np.float32)
        provenance = {**weights.provenance, "tokeniser": said}
        write_weights(tmp_path / "other.bin", "other", weights.architecture, arrays, provenance)
        if is_refused:
            with pytest.raises(WeightsError, match="its rows of roles are of another order"):
                Encoder(tmp_path / "other.bin").texts(["x"])
        else:
            assert Encoder(tmp_path / "other.bin").texts(["x"]).shape == (1, 192)


def test_numpy_gives_the_same_vectors() -> None:
    """Before they are rounded to half precision, whose steps are 5e-4 near 1."""
    code = (
        "import json\nfrom pytest_qeattention.encoder.shipped import SHIPPED, TokenBackend\n"
        "backend = TokenBackend(SHIPPED, 'float32')\n"
        f"tokens = [backend.read_function(source) for source in {[RETRIES, COOKIES]!r}]\n"
        "print(json.dumps(backend.compute(tokens, 'code', None).tolist()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "QE_BACKEND": "numpy"},
        capture_output=True,
        text=True,
        check=True,
    )
    backend = TokenBackend(SHIPPED, "float32")
    expected = backend.compute([backend.read_function(source) for source in (RETRIES, COOKIES)], "code", None)
    np.testing.assert_allclose(np.array(json.loads(done.stdout), np.float32), expected, atol=1e-4)
