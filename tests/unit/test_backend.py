from __future__ import annotations

import ast
import inspect
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import pytest_qeattention
from pytest_qeattention import backend_info
from pytest_qeattention.attention import backend, core_problem

CORE, WHY_NOT = backend._load_core()
needs_core = pytest.mark.skipif(CORE is None, reason=f"this installation has no compiled core: {WHY_NOT}")
PACKAGE = Path(pytest_qeattention.__file__).resolve().parent


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run *code* in a fresh interpreter on the same copy of the package, or the one in PYTHONPATH."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("QE_")}
    env["PYTHONPATH"] = str(PACKAGE.parent)
    env.update(environment)
    # `-c` puts the working directory first on the path: it must not be a source tree.
    place = env["PYTHONPATH"].split(os.pathsep)[0]
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=place, env=env)


def info_of(**environment: str) -> dict[str, Any]:
    answer = run_python(
        "import json; from pytest_qeattention import backend_info; print(json.dumps(backend_info()))",
        **environment,
    )
    assert answer.returncode == 0, answer.stderr
    info: dict[str, Any] = json.loads(answer.stdout)
    return info


def test_info_is_plain_json_and_says_what_runs() -> None:
    info = backend_info()
    assert json.loads(json.dumps(info)) == info
    assert info["version"] == pytest_qeattention.__version__
    assert Path(info["package"]) == PACKAGE
    assert info["backend"] in ("native-core", "numpy")
    assert set(info["variants"]) == set(backend.VARIANTS)
    for state in info["variants"].values():
        assert state["usable"] == (state["reason"] is None)
    if info["variant"] is not None:
        assert info["variants"][info["variant"]]["usable"]
    assert info["threads"] >= 1
    assert info["numpy"]["version"]


@needs_core
def test_native_is_preferred_where_it_runs_and_forced_choices_are_obeyed() -> None:
    states = info_of()["variants"]
    usable = [name for name in backend.VARIANTS if states[name]["usable"]]
    assert "scalar" in usable
    assert info_of()["variant"] == usable[0]
    for name in usable:
        info = info_of(QE_ISA=name)
        assert (info["backend"], info["variant"]) == ("native-core", name)
        assert info["reason"] == f"QE_ISA={name}"
    numpy = info_of(QE_BACKEND="numpy")
    assert (numpy["backend"], numpy["variant"], numpy["threads"]) == ("numpy", None, 1)


@needs_core
def test_the_kernel_itself_names_the_variant_that_ran() -> None:
    code = """
import numpy as np
from pytest_qeattention.attention import _core, flash_attention, topk_similarity
x = np.ones((3, 4), np.float32)
assert _core.last_variant() == ""
flash_attention(x, x, x); first = _core.last_variant()
topk_similarity(x, x, 1); print(first, _core.last_variant())
"""
    for name, state in info_of()["variants"].items():
        if state["usable"]:
            answer = run_python(code, QE_ISA=name)
            assert answer.stdout.split() == [name, name], answer.stderr


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"QE_BACKEND": "fast"}, "QE_BACKEND is 'fast'; expected 'native' or 'numpy'"),
        ({"QE_ISA": "mmx"}, "QE_ISA is 'mmx'; expected one of native, avx512"),
        ({"QE_THREADS": "many"}, "QE_THREADS is 'many'; expected a whole number"),
        ({"QE_THREADS": "0"}, "QE_THREADS is '0'"),
        ({"QE_THREADS": "-1"}, "QE_THREADS is '-1'"),
        ({"QE_THREADS": "1" * 5000}, "QE_THREADS is '111"),
        ({"QE_BACKEND": "numpy", "QE_ISA": "scalar"}, "QE_ISA=scalar has no effect on QE_BACKEND=numpy"),
    ],
)
def test_settings_that_mean_nothing_are_said(environment: dict[str, str], words: str) -> None:
    assert words in info_of(**environment)["reason"]


@needs_core
def test_a_variant_that_cannot_run_is_refused_and_the_others_are_listed() -> None:
    states = info_of()["variants"]
    refused = [name for name in backend.VARIANTS if not states[name]["usable"]]
    assert refused
    code = "import numpy, pytest_qeattention as p; x = numpy.ones((2, 2), 'f'); p.topk_similarity(x, x, 1)"
    for name in refused:
        info = info_of(QE_ISA=name)
        assert info["backend"] is None
        assert f"QE_ISA={name} cannot be served" in info["reason"]
        assert "scalar" in info["reason"].partition("available: ")[2]
        answer = run_python(code, QE_ISA=name)
        assert answer.returncode == 1
        assert f"BackendError: QE_ISA={name} cannot be served" in answer.stderr


def call_core(variant: str = "scalar", **change: Any) -> tuple[int, int]:
    """Call the core's attention as no caller should: without any check before it."""
    import numpy as np

    one = np.ones((1, 2, 2), np.float32)
    values = {
        "q": one, "k": one, "v": one, "mask": None, "causal": False, "scale": 1.0, "bfloat16": False,
        "num_threads": 1, "query_chunk": 0, "key_chunk": 0, "cu_q": None, "cu_k": None,
        "out": one.copy(), "lse": np.ones((1, 2), np.float32), **change,
    }  # fmt: skip
    answer: tuple[int, int] = CORE.flash_attention(variant, **values)
    return answer


@needs_core
def test_core_refuses_a_variant_by_name_before_running_it() -> None:
    import numpy as np

    x = np.ones((2, 2), np.float32)
    for name in ["nonsense"] + [entry["name"] for entry in CORE.variants() if entry["missing"]]:
        for call in (
            lambda name: call_core(name),
            lambda name: CORE.attend_small(name, x, x, x, False, None, "float32"),
            lambda name: CORE.topk_similarity(name, x, x, 1, x.copy(), np.ones((2, 2), np.int64)),
            lambda name: CORE.few_queries(name),
            lambda name: CORE.fma_peak(name, 1, False, 0.001),
        ):
            with pytest.raises(ValueError, match=f"variant '{name}' is not"):
                call(name)


@needs_core
def test_core_checks_shapes_even_when_called_directly() -> None:
    import numpy as np

    one = np.ones((1, 2, 2), np.float32)
    misplaced = np.frombuffer(bytes(17), np.uint8)[1:].view(np.float32).reshape(1, 2, 2)
    read_only = one.copy()
    read_only.flags.writeable = False
    bounds = np.array([0, 2])
    threads, scratch = call_core()
    assert (threads, scratch > 0) == (1, True)
    for change, words in (
        ({"q": np.ones((1, 3, 2), np.float32)}, "do not fit"),
        ({"k": np.ones((1, 2, 3), np.float32)}, "do not fit"),
        ({"v": np.ones((1, 3, 2), np.float32)}, "do not fit"),
        ({"v": np.ones((1, 2, 3), np.float32)}, "do not fit"),
        ({"k": np.ones((3, 2, 2), np.float32)}, "leading dimensions of k"),
        ({"v": np.ones((1, 1, 2, 2), np.float32)}, "v has more dimensions"),
        ({"lse": np.ones((1, 3), np.float32)}, "lse does not fit"),
        ({"lse": np.ones(2, np.float32)}, "lse and out do not fit"),
        ({"lse": np.ones((1, 4), np.float32)[:, ::2]}, "lse does not fit or is not contiguous"),
        ({"mask": np.ones((1, 3, 2), np.float32)}, "shape of the mask"),
        ({"mask": np.ones((2, 2, 2), bool)}, "leading dimensions of mask"),
        ({"mask": np.ones((1, 2, 2), np.uint8)}, "mask has another dtype"),
        ({"mask": np.ones(2, bool)}, "mask has 1 dimensions"),
        ({"num_threads": 0}, "num_threads is at least 1"),
        ({"query_chunk": -1}, "chunks at least 0"),
        ({"key_chunk": -1}, "chunks at least 0"),
        ({"q": one.astype(np.float64)}, "q has another dtype"),
        ({"k": one.astype(">f4" if sys.byteorder == "little" else "<f4")}, "k has another dtype"),
        ({"q": one[0, 0]}, "q has 1 dimensions"),
        ({"q": np.ones((1, 2, 4), np.float32)[..., ::2]}, "elements of a row of q are not adjacent"),
        ({"out": np.ones((1, 2, 4), np.float32)[..., ::2]}, "elements of a row of out are not adjacent"),
        ({"out": read_only}, "read-only"),
        ({"lse": read_only[..., 0]}, "read-only"),
        ({"q": misplaced}, "q is not aligned"),
        ({"cu_q": bounds}, "go together"),
        ({"cu_q": bounds, "cu_k": np.array([0, 1, 2])}, "different lengths"),
        ({"cu_q": bounds, "cu_k": np.array([0, 3])}, "from 0 to the number of rows"),
        ({"cu_q": np.array([1, 2]), "cu_k": bounds}, "from 0 to the number of rows"),
        ({"cu_q": np.array([0, 2, 1, 2]), "cu_k": np.array([0, 0, 0, 2])}, "must ascend"),
        ({"cu_q": np.array([0, -1, 2]), "cu_k": np.array([0, 0, 2])}, "must ascend"),
        ({"cu_q": np.array([0]), "cu_k": np.array([0])}, "from 0 to the number of rows"),
        ({"cu_q": np.array([], np.int64), "cu_k": np.array([], np.int64)}, "from 0 to the number of rows"),
    ):
        with pytest.raises(ValueError, match=words):
            call_core(**change)
    for name in ("q", "k", "v", "out", "lse"):
        with pytest.raises(TypeError):
            call_core(**{name: None})
    with pytest.raises(ValueError, match="do not fit"):
        CORE.topk_similarity("scalar", one[0], one[0], 1, np.ones((2, 3), np.float32), np.ones((2, 3), np.int64))
    numbers, one_column = np.array([0, 1]), np.zeros(1, np.uint32)
    with pytest.raises(ValueError, match="row number"):
        CORE.csr_pair_dots(numbers, one_column, one[0, 0, :1], numbers, numbers, 1, np.ones(2, np.float32))


def test_threads_follow_the_setting() -> None:
    built = CORE is not None and CORE.openmp()
    assert info_of(QE_THREADS="3")["threads"] == (3 if built else 1)
    assert info_of()["threads"] == (backend.available_processors() if built else 1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_forked_child_is_given_one_thread() -> None:
    code = """
import os
from pytest_qeattention.attention import backend
pid = os.fork()
if pid == 0:
    os._exit(0 if backend.forked() and backend.thread_limit() == 1 else 1)
assert not backend.forked()
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    answer = run_python(code, QE_THREADS="4")
    assert answer.stdout.strip() == "0", answer.stderr


def test_importing_the_package_loads_neither_numpy_nor_the_core() -> None:
    code = """
import sys, pytest_qeattention
loaded = [name for name in ("numpy", "hnswlib", "pytest_qeattention.attention") if name in sys.modules]
print(loaded, {"flash_attention", "topk_similarity", "backend_info"} <= set(dir(pytest_qeattention)))
try:
    pytest_qeattention.nonsense
except AttributeError as error:
    print(error)
print(pytest_qeattention.flash_attention.__name__, "numpy" in sys.modules)
"""
    answer = run_python(code)
    assert answer.stdout.splitlines() == [
        "[] True",
        "module 'pytest_qeattention' has no attribute 'nonsense'",
        "flash_attention True",
    ], answer.stderr


def test_choice_is_made_at_first_use_not_at_import() -> None:
    answer = run_python("import pytest_qeattention.attention; print('imported')", QE_ISA="mmx", QE_THREADS="x")
    assert answer.stdout.strip() == "imported", answer.stderr


def test_subnormals_are_alive_after_import_and_call() -> None:
    code = """
import sys
import numpy as np
from pytest_qeattention import flash_attention, topk_similarity
x = np.ones((100, 8), np.float32)
flash_attention(x, x, x); topk_similarity(x, x, 3)
tiny = np.full(4, 1e-40, np.float32)
print(float((tiny * np.float32(0.5)).min()) > 0, sys.float_info.min / 4 > 0)
"""
    assert run_python(code).stdout.split() == ["True", "True"]


def test_source_tree_without_a_core_names_both_copies(tmp_path: Path) -> None:
    tree = tmp_path / "tree" / "pytest_qeattention"
    shutil.copytree(
        PACKAGE, tree, ignore=shutil.ignore_patterns("_core.*.so", "_core*.pyd", "_build.json", "__pycache__")
    )
    (tree.parent / "setup.py").touch()
    installed = tmp_path / "site"
    (installed / "pytest_qeattention").mkdir(parents=True)
    record = installed / "pytest_qeattention-0.dist-info"
    record.mkdir()
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: pytest-qeattention\nVersion: 0\n")
    (record / "RECORD").write_text("pytest_qeattention/__init__.py,,\n")
    code = "from pytest_qeattention.attention import core_problem; print(core_problem())"
    answer = run_python(code, PYTHONPATH=os.pathsep.join([str(tree.parent), str(installed)]))
    assert str(tree) in answer.stdout, answer.stderr
    assert f"while {installed / 'pytest_qeattention'} is installed" in answer.stdout
    assert "run `pytest` instead of `python -m pytest`" in answer.stdout
    assert "NumPy serves instead" in answer.stdout


def test_a_build_without_a_core_says_why(tmp_path: Path) -> None:
    package = tmp_path / "pytest_qeattention"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("_core.*.so", "_core*.pyd", "__pycache__"))
    reason = "QE_NO_EXTENSIONS was set at installation"
    (package / "attention" / "_build.json").write_text(json.dumps({"reason": reason}))
    code = "from pytest_qeattention.attention import core_problem; print(core_problem())"
    assert reason in run_python(code, PYTHONPATH=str(tmp_path)).stdout
    refused = run_python(code, PYTHONPATH=str(tmp_path), QE_BACKEND="native")
    assert "QE_BACKEND=native cannot be served" in refused.stdout
    wished = run_python(code, PYTHONPATH=str(tmp_path), QE_BACKEND="numpy")
    assert wished.stdout.strip() == "None"
    for broken in ("", "[]", "{", "\x00"):
        (package / "attention" / "_build.json").write_text(broken)
        answer = run_python(code, PYTHONPATH=str(tmp_path))
        assert "missing from this installation" in answer.stdout, answer.stderr


@needs_core
def test_core_of_another_interface_is_not_used(tmp_path: Path) -> None:
    package = tmp_path / "pytest_qeattention"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("_core.*.so", "_core*.pyd", "__pycache__"))
    (package / "attention" / "_core.py").write_text("INTERFACE = 0\n")
    code = "from pytest_qeattention.attention import core_problem; print(core_problem())"
    assert f"interface 0, this package needs {backend.INTERFACE}" in run_python(code, PYTHONPATH=str(tmp_path)).stdout
    (package / "attention" / "_core.py").write_text("raise ImportError('libgomp.so.1: cannot open')\n")
    assert "does not load: libgomp.so.1" in run_python(code, PYTHONPATH=str(tmp_path)).stdout


@needs_core
def test_no_problem_where_the_core_serves() -> None:
    backend.active.cache_clear()
    assert core_problem() is None


@needs_core
def test_stub_agrees_with_the_compiled_module() -> None:
    stub = ast.parse(Path(CORE.__file__).with_name("_core.pyi").read_text(encoding="utf-8"))
    declared = {
        node.name: [argument.arg for argument in node.args.args]
        for node in stub.body
        if isinstance(node, ast.FunctionDef)
    }
    present = {
        name: list(inspect.signature(value).parameters)
        for name, value in vars(CORE).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == CORE.__name__ and inspect.isroutine(value)
    }
    assert declared == present
    constants = {node.target.id for node in stub.body if isinstance(node, ast.AnnAssign)}  # type: ignore[union-attr]
    assert constants == {"INTERFACE", "FLOAT32"}
    assert CORE.FLOAT32 == "float32"
    assert CORE.INTERFACE == backend.INTERFACE
