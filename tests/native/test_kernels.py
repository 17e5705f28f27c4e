"""The kernels outside Python: every width that can run here, against loops in double, under sanitizers and qemu."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "cython_src"
HARNESS = Path(__file__).with_name("harness.c")
X86 = platform.machine().lower() in ("x86_64", "amd64")
AVX2 = ("-mavx2", "-mfma")
AVX512 = ("-mavx512f", "-mavx512vl", "-mavx512bw", "-mavx512dq", "-mfma")
# Without optimisation the compiler is done in a third of the time, and nothing is optimised away that might be wrong.
SANITIZERS = ("-O0", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
CROSS_COMPILER, EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64"


@dataclass(frozen=True)
class Build:
    """One way to compile kernels and harness."""

    lanes: int
    flags: tuple[str, ...] = ()
    options: tuple[str, ...] = ("-O2",)
    pairs: bool = False
    """Multiply bfloat16 pairs without an instruction for it, and compare with the kernels that do not."""
    cross: bool = False

    @property
    def cases(self) -> int:
        """Return how many cases take about a second, or under an emulator some more."""
        return 1000 if self.cross or "-O0" in self.options else 3000


# 16 lanes on AVX2: the compiler splits each vector, so the logic of the AVX-512 width runs on any such x86. With -O1
# it takes 20 seconds over that, so this width is compiled for its logic only; how the installed variants were
# optimised is tested through Python.
BUILDS = [
    pytest.param(Build(1), id="1-lane"),
    pytest.param(Build(4), id="4-lanes"),
    pytest.param(Build(8, AVX2), id="8-lanes-avx2"),
    pytest.param(Build(8, AVX2, ("-O1",), pairs=True), id="8-lanes-pairs"),
    pytest.param(Build(16, AVX2, ("-O0",)), id="16-lanes-on-avx2"),
    pytest.param(Build(16, AVX512, ("-O0",)), id="16-lanes-avx512"),
    pytest.param(Build(16, (*AVX512, "-mavx512bf16"), ("-O0",)), id="16-lanes-avx512bf16"),
]
WATCHED = [
    pytest.param(Build(1, (), SANITIZERS), id="1-lane"),
    pytest.param(Build(8, AVX2, SANITIZERS), id="8-lanes-avx2"),
    pytest.param(Build(4, (), SANITIZERS, pairs=True), id="4-lanes-pairs"),
    pytest.param(Build(16, AVX2, SANITIZERS), id="16-lanes-on-avx2"),
]
CROSS = [pytest.param(Build(4, ("-static",), cross=True), id="neon")]


def compiler() -> str:
    found = shutil.which(os.environ.get("CC", "").split(" ")[0] or "cc") or shutil.which("gcc")
    if found is None:
        pytest.skip("no C compiler here")
    if not SOURCES.is_dir():
        pytest.skip("the kernel sources are not beside these tests")
    return found


def skip_unless_x86(build: Build) -> None:
    if build.flags and not X86:
        pytest.skip("x86 flags on another architecture")


def features_missing(build: Build) -> list[str]:
    if not build.flags:
        return []
    core = pytest.importorskip(
        "pytest_qeattention.attention._core", reason="the compiled core, which knows the processor"
    )
    wanted = [flag.removeprefix("-m") for flag in build.flags if flag.startswith("-m")]
    return [name for name in wanted if name not in core.cpu_features()]


def compile_harness(command: str, build: Build, place: Path) -> subprocess.CompletedProcess[str]:
    """Compile into *place*/harness; where pairs are forced, with the attention kernel without them beside."""
    common = [
        *[command, "-std=gnu11", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast"],
        *["-Wall", "-Wextra", "-Werror", "-Wno-psabi", f"-DQE_LANES={build.lanes}", *build.flags],
        *[f"-I{SOURCES / 'include'}", f"-I{SOURCES / 'kernels'}"],
    ]
    kernels = [str(path) for path in sorted((SOURCES / "kernels").glob("*.c"))]
    more: list[str] = []
    if build.pairs:
        plain = place / "floats.o"
        attention = str(SOURCES / "kernels" / "attention.c")
        answer = subprocess.run(
            [*common, "-O1", "-DQE_VARIANT=floats", "-c", attention, "-o", str(plain)],
            capture_output=True,
            text=True,
            check=False,
        )
        if answer.returncode:
            return answer
        more = ["-DQE_FORCE_PAIRS", str(plain)]
    return subprocess.run(
        [
            *common,
            *build.options,
            "-DQE_VARIANT=probe",
            *more,
            *kernels,
            str(HARNESS),
            "-lm",
            "-o",
            str(place / "harness"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )


Programs = Callable[[str, Build], Path]


@pytest.fixture(scope="module")
def programs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    """Return a function that compiles a build, or has done so already.

    One compilation keeps a core busy for 2 to 10 seconds, so those of all tests that will run go on beside each
    other; xdist workers, which each know all tests, compile what they are asked for.
    """
    place = tmp_path_factory.mktemp("kernels")
    futures: dict[Build, Future[subprocess.CompletedProcess[str]]] = {}

    def start(command: str, build: Build) -> Future[subprocess.CompletedProcess[str]]:
        if build not in futures:
            here = place / str(len(futures))
            here.mkdir()
            futures[build] = pool.submit(compile_harness, command, build, here)
        return futures[build]

    def finish(command: str, build: Build) -> Path:
        answer = start(command, build).result()
        assert answer.returncode == 0, answer.stderr
        return place / str(list(futures).index(build)) / "harness"

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for item in request.session.items if not hasattr(request.config, "workerinput") else []:
            build = getattr(item, "callspec", None) and item.callspec.params.get("build")  # type: ignore[attr-defined]
            if item.path == request.path and isinstance(build, Build) and (X86 or not build.flags) and not build.cross:
                start(compiler(), build)
        yield finish
        pool.shutdown(cancel_futures=True)


def run_and_check(command: list[str | Path], build: Build) -> None:
    answer = subprocess.run([*command, str(build.cases)], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    lanes, pairs, ran, error, rounded, unrounded = answer.stdout.split()
    assert (int(lanes), int(ran)) == (build.lanes, build.cases)
    assert int(pairs) == (build.pairs or "-mavx512bf16" in build.flags)
    assert 0 < float(error) <= 2e-5
    assert 0 < float(rounded) <= 1e-2
    assert 0 < float(unrounded) <= 3e-2


@pytest.mark.parametrize("build", BUILDS)
def test_kernels_agree_with_double_precision_loops(programs: Programs, build: Build) -> None:
    skip_unless_x86(build)
    program = programs(compiler(), build)
    lacking = features_missing(build)
    if lacking:
        pytest.skip(f"compiled, but this processor lacks {', '.join(lacking)}")
    run_and_check([program], build)


@pytest.mark.slow
@pytest.mark.parametrize("build", WATCHED)
def test_kernels_pass_address_and_undefined_behaviour_sanitizers(
    programs: Programs, tmp_path: Path, build: Build
) -> None:
    skip_unless_x86(build)
    probe = tmp_path / "probe.c"
    probe.write_text("int main(void) { return 0; }\n", encoding="utf-8")
    linked = subprocess.run(
        [compiler(), *SANITIZERS, str(probe), "-o", str(tmp_path / "probe")], capture_output=True, check=False
    )
    if linked.returncode or subprocess.run([tmp_path / "probe"], capture_output=True, check=False).returncode:
        pytest.skip("this compiler has no working sanitizers")
    lacking = features_missing(build)
    if lacking:
        pytest.skip(f"this processor lacks {', '.join(lacking)}")
    run_and_check([programs(compiler(), build)], build)


@pytest.mark.slow
@pytest.mark.parametrize("build", CROSS)
def test_neon_kernels_agree_with_double_precision_loops_in_an_emulator(programs: Programs, build: Build) -> None:
    compiler()
    missing = [tool for tool in (CROSS_COMPILER, EMULATOR) if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not here: gcc-aarch64-linux-gnu, libc6-dev-arm64-cross and qemu-user")
    run_and_check([EMULATOR, programs(CROSS_COMPILER, build)], build)
