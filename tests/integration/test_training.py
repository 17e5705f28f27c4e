"""The builder of the encoder's weights: what it unpacks, the pairs it finds, and a model trained for some seconds."""

from __future__ import annotations

import ast
import importlib.util
import io
import json
import re
import shutil
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pytest_qeattention.encoder.tokens import KINDS, ROLES, TokenBatch

ROOT = Path(__file__).parents[2]
# Appended, the source tree lends the benchmarks and leaves the installed package first. It goes again: where pytest
# runs inside a test, it would take the tree's record of the package for a plugin's, and warn of what is imported.
sys.path.append(str(ROOT))

from benchmarks.training import corpus  # noqa: E402
from benchmarks.training.examples import MOST_TOKENS, Examples, read_examples, write_examples  # noqa: E402
from benchmarks.training.lexical import Lexical  # noqa: E402
from benchmarks.training.pairs import distribution_examples  # noqa: E402
from benchmarks.training.sources import messages, without_messages  # noqa: E402

sys.path.remove(str(ROOT))

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="training needs PyTorch: pip install pytest-qeattention[training]"
)

FILES = {
    "demo-1.0/demo/shapes.py": "AREA = 1\n",
    "demo-1.0/PKG-INFO": "Metadata-Version: 2.4\nName: demo\nLicense-Expression: MIT\n\n",
    "demo-1.0/LICENSE": "MIT\n",
    "demo-1.0/docs/LICENSE": "not on top\n",
    "demo-1.0/data.bin": "no source\n",
    "demo-1.0/../outside.py": "BAD = 1\n",
    "/absolute.py": "BAD = 1\n",
}


def tar_of(path: Path) -> Path:
    with tarfile.open(path / "demo-1.0.tar.gz", "w:gz") as tar:
        for name, text in FILES.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
        link = tarfile.TarInfo("demo-1.0/link.py")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    return path / "demo-1.0.tar.gz"


def zip_of(path: Path) -> Path:
    with zipfile.ZipFile(path / "demo-1.0.zip", "w") as archive:
        for name, text in FILES.items():
            archive.writestr(name, text)
    return path / "demo-1.0.zip"


@pytest.mark.parametrize("archive_of", [tar_of, zip_of])
def test_sources_and_licences_are_unpacked_and_nothing_lies_elsewhere(
    tmp_path: Path, archive_of: Callable[[Path], Path]
) -> None:
    archive = archive_of(tmp_path)
    corpus.unpack(archive, tmp_path / "demo")

    unpacked = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert unpacked == [archive.name, "demo/LICENSE", "demo/PKG-INFO", "demo/demo/shapes.py"]
    assert corpus.declared_licence(tmp_path / "demo") == "MIT"
    assert corpus.counts(tmp_path / "demo") == {"files": 1, "unread": 0, "functions": 0, "tests": 0}


def test_a_damaged_archive_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "demo-1.0.tar.gz").write_bytes(tar_of(tmp_path).read_bytes()[:150])

    with pytest.raises(corpus.CorpusError, match=r"demo-1\.0\.tar\.gz can't be unpacked"):
        corpus.unpack(tmp_path / "demo-1.0.tar.gz", tmp_path / "demo")

    assert [path.name for path in tmp_path.iterdir()] == ["demo-1.0.tar.gz"]


def test_every_corpus_has_version_licence_and_checksum() -> None:
    assert len({pin.name for pin in corpus.CORPORA}) == len(corpus.CORPORA) == 31
    for pin in corpus.CORPORA:
        assert re.fullmatch(r"[0-9a-f]{64}", pin.sha256), pin
        assert re.fullmatch(r"\d[\d.]*", pin.version), pin
        assert pin.licence, pin
    assert corpus.is_corpus("Scikit_Learn")
    assert not corpus.is_corpus("attrs")


PRODUCT = '''
class Basket:
    def add_item(self, item, count=1):
        """Put a thing into the basket."""
        self.items[item] = self.items.get(item, 0) + count
        self.changed = True
        return self.items[item]

    def clear(self):
        for item in list(self.items):
            del self.items[item]
        self.changed = False


def clear(cache):
    for key in list(cache):
        del cache[key]
    return len(cache)
'''
TESTS = '''
import pytest
from demo.basket import Basket


def test_items_add_up():
    """Adding twice counts twice."""
    basket = Basket()
    basket.add_item("apple", 2)
    assert basket.add_item("apple", 3) == 5


def test_items_add_up_again():
    basket = Basket()
    basket.add_item("apple", 20)
    assert basket.add_item("apple", 30) == 50


@pytest.mark.parametrize(("name", "count"), [("fig", 1), ("plum", 7)])
def test_first_item(name, count):
    basket = Basket()
    assert basket.add_item(name, count) == count
    basket.clear()


def helper(basket):
    return basket.add_item("apple", 2) + basket.add_item("pear", 3)
'''


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Examples:
    top = tmp_path_factory.mktemp("demo-1.0")
    (top / "demo").mkdir()
    (top / "demo" / "basket.py").write_text(PRODUCT)
    (top / "test_basket.py").write_text(TESTS)
    return distribution_examples(top)


def test_pairs_of_a_distribution(examples: Examples) -> None:
    """`clear` may be two functions, so no test is paired with it; the helper is neither test nor product."""
    assert len(examples.tests) == 3
    bodies = examples.tests[:, 0].tolist()
    assert [test for _, test in examples.of("calls").tolist()] == bodies
    assert len({called for called, _ in examples.of("calls").tolist()}) == 1
    assert len(examples.of("docstring")) == 2
    assert len(examples.of("name")) == 4
    assert len(examples.of("rows")) == 1
    assert examples.of("siblings").tolist() == [bodies[:2]]
    assert (np.diff(examples.offsets) <= MOST_TOKENS).all()
    first, second = examples.of("rows")[0]
    assert examples.contents[first] != examples.contents[second]
    lexical = Lexical(examples).cosines(np.array(bodies), np.array(bodies))
    assert lexical.diagonal() == pytest.approx([1, 1, 1], abs=1e-5)
    assert lexical[0, 1] > lexical[0, 2] > 0


def test_what_coverage_saw_is_paired_with_its_tests(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "basket.py").write_text(PRODUCT)
    (tmp_path / "test_basket.py").write_text(TESTS)
    # By name alone `clear` may be two functions.
    executed = {"path": "demo/basket.py", "qualname": "Basket.clear", "tests": ["test_basket.py::test_first_item"]}
    known = {"path": "demo/basket.py", "qualname": "Basket.add_item", "tests": ["test_basket.py::test_items_add_up"]}
    gone = {"path": "demo/gone.py", "qualname": "away", "tests": ["test_basket.py::test_first_item", "x.py::test_x"]}
    plain = distribution_examples(tmp_path).of("calls").tolist()
    pairs = distribution_examples(tmp_path, [executed, known, gone]).of("calls").tolist()
    assert [pair for pair in pairs if pair in plain] == plain
    ((called, test),) = [pair for pair in pairs if pair not in plain]
    assert test == plain[-1][1]
    assert called != plain[-1][0]


FAILING = """
def open_box(box, key):
    if box.locked:
        raise errors.LockedError(f"the box {box.name} is locked, give a key")
    if key is None:
        raise ValueError("no key " + "was given for the box")
    raise NotImplementedError
    raise KeyError(key)


def test_boxes(self):
    with pytest.raises(errors.LockedError, match="is locked, give"):
        open_box(Box(), None)
    self.assertRaisesRegex(ValueError, "no key was", open_box, Box(), None)
"""


def test_messages_are_taken_out_of_the_functions_that_raise_or_expect_them(tmp_path: Path) -> None:
    raising, expecting = ast.parse(FAILING).body
    assert isinstance(raising, ast.FunctionDef)
    assert isinstance(expecting, ast.FunctionDef)
    assert sorted(messages(raising)) == [
        "LockedError: the box is locked, give a key",
        "ValueError: no key was given for the box",
    ]
    assert sorted(messages(expecting)) == ["LockedError: is locked, give", "ValueError: no key was"]
    for node in (raising, expecting):
        bare = ast.unparse(without_messages(node))
        assert "is locked" in ast.unparse(node)
        assert "is locked" not in bare
        assert "LockedError" in bare
    (tmp_path / "boxes.py").write_text(FAILING.partition("def test_boxes")[0])
    found = distribution_examples(tmp_path)
    pairs = found.of("message")
    assert len(pairs) == 2
    assert {KINDS[kind] for kind in found.kinds[pairs[:, 0]]} == {"failure"}
    assert {KINDS[kind] for kind in found.kinds[pairs[:, 1]]} == {"code"}


def test_examples_survive_the_disk(examples: Examples, tmp_path: Path) -> None:
    write_examples(tmp_path / "demo.npz", examples)
    again = read_examples(tmp_path / "demo.npz")

    chosen = [int(row) for row in examples.tests[:, 0]]
    one, other = examples.batch(chosen, 6), again.batch(chosen, 6)
    assert other.offsets.tolist() == [0, 6, 12, 18]
    for name in ("kinds", "roles", "starts", "parts"):
        assert getattr(one, name).tolist() == getattr(other, name).tolist()


def token_batch(rng: np.random.Generator) -> TokenBatch:
    lengths = np.array([0, 1, 7, 40, 3, 130])
    counts = rng.integers(0, 4, lengths.sum())
    counts[-1] = 0
    return TokenBatch(
        kinds=rng.integers(0, len(KINDS), len(lengths)).astype(np.uint8),
        offsets=np.concatenate(([0], np.cumsum(lengths))),
        roles=rng.integers(0, len(ROLES), lengths.sum()).astype(np.uint8),
        starts=np.concatenate(([0], np.cumsum(counts))),
        parts=rng.integers(0, 60, counts.sum()).astype(np.uint32) * np.uint32(71_000_000),
    )


@needs_torch
@pytest.mark.parametrize("layers", [0, 2])
def test_the_package_gives_the_vectors_of_the_network_that_is_trained(layers: int) -> None:
    import torch

    from benchmarks.training.export import architecture, arrays
    from benchmarks.training.network import Encoder, Shape, pack
    from pytest_qeattention.encoder.network import Architecture, Network

    torch.manual_seed(3)
    shape = Shape(d=64, heads=2, layers=layers, ffn=96, positions=50)
    model = Encoder(shape, np.arange(0, 60, 2, dtype=np.uint32) * np.uint32(71_000_000))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
        batch = token_batch(np.random.default_rng(5))
        expected = model(pack(batch, model.vocabulary, shape)).numpy()

    found = Network(Architecture(**architecture(model)), arrays(model)).vectors(batch)  # type: ignore[arg-type]

    assert expected[0].tolist() == found[0].tolist() == [0] * 64
    assert np.linalg.norm(expected[1:], axis=1) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


@needs_torch
def test_a_small_model_learns_and_is_exported(
    examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    from benchmarks.training import evaluate, export, train
    from benchmarks.training.batches import Sampler
    from benchmarks.training.network import Encoder
    from pytest_qeattention.encoder.weights import read_weights

    source = tmp_path / "tests"
    source.mkdir()
    for file in sorted((ROOT / "tests" / "unit").glob("test_f*.py")):
        shutil.copy(file, source)
    monkeypatch.setattr(train, "SMOKE_SOURCE", source)
    path = tmp_path / "model.pt"
    assert train.main(["--smoke", "--out", str(path)]) == 0
    assert "step 40/40 loss " in capsys.readouterr().out
    assert train.main(["--smoke", "--out", str(path), "--resume"]) == 0
    assert "loss" not in capsys.readouterr().out

    model, head, record, _ = train.load(path)
    sampler = Sampler(train.sources_of(None, ()), seed=99)
    untrained = Encoder(model.shape, model.vocabulary)
    with torch.inference_mode():
        batches = [sampler.draw(step, 48, model.shape.positions) for step in range(6)]
        losses = [
            [float(train.pair_loss(each, head, batch, torch.device("cpu"))[0]) for batch in batches]
            for each in (untrained, model)
        ]
    assert np.mean(losses[1]) < 0.9 * np.mean(losses[0])

    write_examples(tmp_path / "demo-1.0.npz", examples)
    found = tmp_path / "found.json"
    assert evaluate.main([str(tmp_path), str(path), "--dev", "demo", "--write", str(found)]) == 0
    assert "| calls | words alone | " in capsys.readouterr().out
    measured = json.loads(found.read_text())
    assert {"words", "calls"} <= measured["results"].keys()
    cell = measured["results"]["words"]["encoder"]["MRR"]
    assert 1 / 3 <= cell["demo-1.0"] == cell["mean"] <= 1

    exporting = [str(path), str(tmp_path / "weights.bin"), "--name", "smoke", "--evaluation", str(found)]
    assert export.main(exporting) == 0
    weights = read_weights(tmp_path / "weights.bin")
    assert re.fullmatch(r"smoke-[0-9a-f]{8}", weights.model)
    assert weights.arrays["words"].shape == (len(weights.arrays["vocabulary"]), 64)
    assert weights.provenance["steps"] == record["step"] == 40
    assert weights.provenance["lexical_weights"] == measured["weights"]


@needs_torch
def test_training_without_pairs_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from benchmarks.training import train

    assert train.main([str(tmp_path), "--out", str(tmp_path / "model.pt")]) == 1
    assert capsys.readouterr().err == f"{tmp_path} holds no examples to train on; run benchmarks.training.pairs first\n"
