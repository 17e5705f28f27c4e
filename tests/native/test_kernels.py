"""The kernels outside Python: every width that can run here, against loops in double and under sanitizers."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "cython_src"
X86 = platform.machine().lower() in ("x86_64", "amd64")
SANITIZERS = ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g"]
# 16 lanes on AVX2: the compiler splits each vector, so the logic of the AVX-512 width runs on any such x86.
BUILDS = [
    pytest.param(1, [], id="1-lane"),
    pytest.param(4, [], id="4-lanes"),
    pytest.param(8, ["-mavx2", "-mfma"], id="8-lanes-avx2"),
    pytest.param(16, ["-mavx2", "-mfma"], id="16-lanes-on-avx2"),
    pytest.param(16, ["-mavx512f", "-mavx512vl", "-mavx512bw", "-mavx512dq", "-mfma"], id="16-lanes-avx512"),
]


def compiler() -> str:
    found = shutil.which(os.environ.get("CC", "").split(" ")[0] or "cc") or shutil.which("gcc")
    if found is None:
        pytest.skip("no C compiler here")
    if not SOURCES.is_dir():
        pytest.skip("the kernel sources are not beside these tests")
    return found


def processor_lacks(flags: list[str]) -> list[str]:
    if not flags:
        return []
    if not X86:
        return ["x86"]
    core = pytest.importorskip(
        "pytest_qeattention.attention._core", reason="the compiled core, which knows the processor"
    )
    wanted = [flag.removeprefix("-m") for flag in flags if flag.startswith("-m")]
    return [name for name in wanted if name not in core.cpu_features()]


def build(program: Path, lanes: int, flags: list[str]) -> subprocess.CompletedProcess[str]:
    command = [
        compiler(),
        *["-std=gnu11", "-O2", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast"],
        *["-Wall", "-Wextra", "-Werror", "-Wno-psabi", "-Wno-unknown-warning-option"],
        *[f"-DQE_LANES={lanes}", "-DQE_VARIANT=probe", *flags],
        *[f"-I{SOURCES / 'include'}", f"-I{SOURCES / 'kernels'}"],
        *[str(path) for path in sorted((SOURCES / "kernels").glob("*.c"))],
        str(Path(__file__).with_name("harness.c")),
        *["-lm", "-o", str(program)],
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def run_and_check(program: Path, lanes: int) -> None:
    answer = subprocess.run([program], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    ran_lanes, cases, error = answer.stdout.split()
    assert int(ran_lanes) == lanes
    assert int(cases) > 1500
    assert float(error) <= 2e-5


@pytest.mark.parametrize(("lanes", "flags"), BUILDS)
def test_kernels_agree_with_double_precision_loops(tmp_path: Path, lanes: int, flags: list[str]) -> None:
    built = build(tmp_path / "harness", lanes, flags)
    if not X86 and flags:
        pytest.skip("x86 flags on another architecture")
    assert built.returncode == 0, built.stderr
    lacking = processor_lacks(flags)
    if lacking:
        pytest.skip(f"compiled, but this processor lacks {', '.join(lacking)}")
    run_and_check(tmp_path / "harness", lanes)


@pytest.mark.slow
@pytest.mark.parametrize(("lanes", "flags"), [BUILDS[0], BUILDS[2]])
def test_kernels_pass_address_and_undefined_behaviour_sanitizers(tmp_path: Path, lanes: int, flags: list[str]) -> None:
    probe = tmp_path / "probe.c"
    probe.write_text("int main(void) { return 0; }\n", encoding="utf-8")
    linked = subprocess.run(
        [compiler(), *SANITIZERS, str(probe), "-o", str(tmp_path / "probe")], capture_output=True, check=False
    )
    if linked.returncode or subprocess.run([tmp_path / "probe"], capture_output=True, check=False).returncode:
        pytest.skip("this compiler has no working sanitizers")
    lacking = processor_lacks(flags)
    if lacking:
        pytest.skip(f"this processor lacks {', '.join(lacking)}")
    built = build(tmp_path / "harness", lanes, [*flags, *SANITIZERS])
    assert built.returncode == 0, built.stderr
    run_and_check(tmp_path / "harness", lanes)
