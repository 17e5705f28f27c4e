"""Distributions: what is in them, and that what they install works from anywhere.

Each build uses the build tools of this environment (no network); pip only links numpy in from here.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE_FILES = ("setup.py", "pyproject.toml", "MANIFEST.in", "LICENSE", "README.md", "CHANGELOG.md")
SOURCE_FOLDERS = ("pytest_qeattention", "cython_src", "tests", "examples", "benchmarks")
PROBE = """
import json
import numpy as np
import pytest_qeattention
from pytest_qeattention import backend_info
from pytest_qeattention.attention import core_problem, flash_attention, topk_similarity
x = np.eye(4, dtype=np.float32)
print(json.dumps({
    "info": backend_info(),
    "problem": core_problem(),
    "place": pytest_qeattention.__file__,
    "indices": topk_similarity(x, x, 1)[1].ravel().tolist(),
    "sum": float(flash_attention(x, x, x).sum()),
}))
"""

pytestmark = pytest.mark.slow


def environment(**settings: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("QE_", "CIBUILDWHEEL"))}
    kept.pop("PYTHONPATH", None)
    return {**kept, "PYTHONDONTWRITEBYTECODE": "1", **settings}


def run(*command: str | Path, cwd: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment(**settings),
        capture_output=True,
        text=True,
        check=False,
    )


def succeeded(answer: subprocess.CompletedProcess[str]) -> str:
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


def require_build_tools() -> None:
    for tool, least in (("setuptools", 77), ("Cython", 3)):
        if importlib.util.find_spec(tool) is None or int(importlib.metadata.version(tool).split(".")[0]) < least:
            pytest.skip(f"{tool} >= {least} is not installed here; `pip install '.[test]'` brings it")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the source tree, so that nothing is ever built inside the real one."""
    if not (ROOT / "cython_src").is_dir() or not (ROOT / "setup.py").is_file():
        pytest.skip("these tests do not lie in a source tree")
    require_build_tools()
    tree = tmp_path_factory.mktemp("sources")
    for name in SOURCE_FILES:
        if (ROOT / name).is_file():
            shutil.copy(ROOT / name, tree / name)
    ignored = shutil.ignore_patterns("*.so", "*.pyd", "_build.json", "__pycache__", "*.egg-info")
    for name in SOURCE_FOLDERS:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name, ignore=ignored)
    return tree


@pytest.fixture(scope="module")
def sdist(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("sdist")
    succeeded(run(sys.executable, "setup.py", "-q", "sdist", "-d", target, cwd=sources))
    (archive,) = target.glob("pytest_qeattention-*.tar.gz")
    return archive


def unpack(archive: Path, target: Path) -> Path:
    with tarfile.open(archive) as opened:
        if sys.version_info >= (3, 12):
            opened.extractall(target, filter="data")
        else:
            opened.extractall(target)
    (tree,) = target.iterdir()
    return tree


def build_wheel(tree: Path, target: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    flags = ["--no-build-isolation", "--no-deps", "--no-index", "--disable-pip-version-check"]
    return run(sys.executable, "-m", "pip", "wheel", *flags, "-w", target, tree, cwd=target.parent, **settings)


def probe(place: Path, cwd: Path, **settings: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(
        succeeded(run(sys.executable, "-c", PROBE, cwd=cwd, PYTHONPATH=str(place), **settings))
    )
    assert answer["indices"] == [0, 1, 2, 3]
    assert answer["sum"] == pytest.approx(4.0)
    return answer


def test_sdist_holds_all_that_a_build_and_its_tests_need(sources: Path, sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {
        path.relative_to(sources).as_posix()
        for folder in SOURCE_FOLDERS
        for path in (sources / folder).rglob("*")
        if path.suffix in (".py", ".pyi", ".pyx", ".h", ".c", ".typed", ".bin")
    }
    wanted |= {name for name in SOURCE_FILES if (sources / name).is_file()}
    assert wanted - held == set()
    assert {"cython_src/_core.pyx", "cython_src/syntax_tree.pxi", "cython_src/include/qe_kernels.h"} <= held
    assert not [name for name in held if name.endswith((".so", ".o", ".pyc", "_build.json", "cython_src/_core.c"))]


def test_wheel_of_the_sdist_works_from_another_directory(sdist: Path, tmp_path: Path) -> None:
    # bdver4 has FMA4, XOP and TBM, which no other processor has: native must be refused on any machine.
    x86 = sysconfig.get_platform().endswith(("x86_64", "amd64"))
    settings = {"QE_MARCH": "bdver4" if x86 else "portable", "QE_REQUIRE_EXTENSIONS": "1"}
    tree = unpack(sdist, tmp_path / "unpacked")
    succeeded(build_wheel(tree, tmp_path / "wheels", **settings))
    (wheel,) = (tmp_path / "wheels").glob("*.whl")
    place, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
        archive.extractall(place)
    assert {"pytest_qeattention/py.typed", "pytest_qeattention/attention/_core.pyi"} <= held
    compiled = [name.partition(".")[0] for name in held if name.endswith((".so", ".pyd"))]
    walks = ["pytest_qeattention/encoder/_tokens", "pytest_qeattention/similarity/_describe"]
    assert sorted(compiled) == ["pytest_qeattention/attention/_core", *walks]
    assert not [name for name in held if name.startswith(("tests/", "cython_src/", "benchmarks/", "examples/"))]
    (points,) = place.glob("*.dist-info/entry_points.txt")
    lines = points.read_text(encoding="utf-8").splitlines()
    assert "qeattention = pytest_qeattention.plugin" in lines
    assert "qeattention = pytest_qeattention.cli:main" in lines

    answer = probe(place, elsewhere)
    assert Path(answer["place"]).is_relative_to(place)
    assert answer["problem"] is None
    assert answer["info"]["backend"] == "native-core"
    native = answer["info"]["variants"]["native"]
    if not x86:
        assert native["reason"] == "not built: portable build"
    elif native["built"]:
        assert native["reason"].startswith("not usable: needs ")
        assert {"xop", "fma4"} & set(native["reason"].removeprefix("not usable: needs ").split(", "))
        assert answer["info"]["variant"] != "native"
        assert "native is not usable" in answer["info"]["reason"]


def test_install_without_extensions_is_whole_and_says_so(sdist: Path, tmp_path: Path) -> None:
    tree = unpack(sdist, tmp_path / "unpacked")
    succeeded(build_wheel(tree, tmp_path / "wheels", QE_NO_EXTENSIONS="1"))
    (wheel,) = (tmp_path / "wheels").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert not [name for name in archive.namelist() if name.endswith((".so", ".pyd"))]
        archive.extractall(tmp_path / "site")
    answer = probe(tmp_path / "site", tmp_path)
    assert answer["info"]["backend"] == "numpy"
    assert "QE_NO_EXTENSIONS was set at installation" in answer["info"]["reason"]
    assert "QE_NO_EXTENSIONS was set at installation" in answer["problem"]


def test_a_core_that_does_not_compile_is_survived_unless_it_is_required(sdist: Path, tmp_path: Path) -> None:
    tree = unpack(sdist, tmp_path / "unpacked")
    # The kernel that is compiled first: before another one nothing would be seen of it for a minute.
    (tree / "cython_src" / "kernels" / "attention.c").write_text("#error broken on purpose\n", encoding="utf-8")
    for name in ("CIBUILDWHEEL", "QE_REQUIRE_EXTENSIONS"):
        refused = build_wheel(tree, tmp_path / "refused", **{name: "1"})
        assert refused.returncode != 0
        assert "broken on purpose" in refused.stdout + refused.stderr
    succeeded(build_wheel(tree, tmp_path / "wheels"))
    (wheel,) = (tmp_path / "wheels").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert not [name for name in archive.namelist() if name.endswith((".so", ".pyd"))]
        archive.extractall(tmp_path / "site")
    answer = probe(tmp_path / "site", tmp_path)
    assert answer["info"]["backend"] == "numpy"
    assert "the compiled core was not built: the C compiler ended with exit " in answer["problem"]


def test_editable_install_compiles_into_the_tree_and_follows_it(sdist: Path, tmp_path: Path) -> None:
    tree = unpack(sdist, tmp_path / "unpacked")
    site = tmp_path / "site"
    flags = ["--no-build-isolation", "--no-deps", "--no-index", "--disable-pip-version-check", "-q"]
    succeeded(
        run(
            *[sys.executable, "-m", "pip", "install", *flags, "--target", site, "-e", tree],
            cwd=tmp_path,
            QE_MARCH="portable",
            QE_REQUIRE_EXTENSIONS="1",
        )
    )
    # numpy without this environment's own installation of the package, which would be found first.
    import numpy

    packages = tmp_path / "packages"
    packages.mkdir()
    for name in ("numpy", "numpy.libs"):
        if (folder := Path(numpy.__file__).parents[1] / name).is_dir():
            (packages / name).symlink_to(folder, target_is_directory=True)
    code = f"import site; site.addsitedir({str(site)!r})\n{PROBE}"
    answer = json.loads(succeeded(run(sys.executable, "-S", "-c", code, cwd=tmp_path, PYTHONPATH=str(packages))))
    assert Path(answer["place"]).is_relative_to(tree.resolve())
    assert answer["info"]["backend"] == "native-core"
    assert answer["info"]["variants"]["native"]["reason"] == "not built: portable build"


def test_installed_copy_is_what_pytest_runs() -> None:
    import pytest_qeattention

    place = Path(pytest_qeattention.__file__).resolve().parent
    distribution = importlib.metadata.distribution("pytest-qeattention")
    direct = json.loads(distribution.read_text("direct_url.json") or "{}")
    if direct.get("dir_info", {}).get("editable"):
        pytest.skip("an editable installation runs the source tree by design")
    if place.parent == ROOT:
        pytest.skip("started as `python -m pytest` or with the source tree on the path: nothing installed runs")
    assert place == Path(str(distribution.locate_file("pytest_qeattention"))).resolve()
