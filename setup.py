"""Build the compiled core: kernels once per instruction set, everything else for the baseline processor.

Each file of cython_src/kernels/ is compiled once per variant, under a symbol suffix of its own, and the
objects are linked into the core, whose own code asks the processor before it runs a variant. So a wrong
processor is a message, never an illegal instruction. The walks over syntax trees are modules of their own, for the
baseline processor alone: they read Python objects, and numpy is not loaded with them.

Environment:
    QE_MARCH           portable: no native variant; else what native is compiled for (default: native)
    QE_NO_EXTENSIONS   1: install without the compiled core; NumPy serves
    QE_REQUIRE_EXTENSIONS, CIBUILDWHEEL   1: a core that does not compile fails the build
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

CORE = "pytest_qeattention.attention._core"
DESCRIBE = "pytest_qeattention.similarity._describe"
TOKENS = "pytest_qeattention.encoder._tokens"
# Most Pythons were built with -g and pass it on: a fifth of the time, and four fifths of the size.
NO_DEBUG_INFO = ["-g0"]
KERNELS = ["attention.c", "topk.c", "peak.c", "encoder.c", "encoder_pack.c", "encoder_tokens.c", "variant.c"]
# fast-math is out: it would flush subnormals in the whole process and break NaN and infinity. No errno and no
# traps change no result; contraction lets a*b+c be one rounding. Pythons were built with this or that rule for
# overflow, which the compiler goes by; here it is the same for all.
KERNEL_FLAGS = [
    "-std=gnu11",
    "-O3",
    "-fPIC",
    "-fvisibility=hidden",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fstrict-overflow",
    "-fwrapv",
    "-ffp-contract=fast",
    "-fno-lto",
    "-Wall",
    "-Wno-psabi",
    *NO_DEBUG_INFO,
]
OPENMP_PROBE = """
#include <omp.h>
#include <stdio.h>
int main(void) {
    int sum = 0;
#pragma omp parallel for num_threads(2) reduction(+ : sum)
    for (int i = 0; i < 10; ++i) sum += i;
    printf("%d", sum + (omp_get_max_threads() < 1));
    return 0;
}
"""


def setting(name: str) -> bool:
    """Tell whether an environment variable is set to something other than 0, false or nothing."""
    return os.environ.get(name, "").strip().lower() not in ("", "0", "false", "no", "off")


def one_line(error: Exception) -> str:
    """Return an error in one line; of a compiler's failure its status, for its words are in the output."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[-1]
    status = re.search(r"exit (?:status|code) -?\d+", line)
    return f"the C compiler ended with {status[0]}; `pip install -v` shows what it said" if status else line


def variants() -> dict[str, list[str]]:
    """Return the compiler flags of each kernel variant that makes sense for this architecture."""
    machine = platform.machine().lower()
    x86 = machine in ("x86_64", "amd64")
    arm = machine in ("aarch64", "arm64")
    # A macOS build with two architectures would need two sets of kernels.
    if x86 and "arm64" in os.environ.get("ARCHFLAGS", ""):
        x86 = False
    table: dict[str, list[str]] = {"scalar": ["-DQE_LANES=1"]}
    if x86:
        table["avx2"] = ["-mavx2", "-mfma", "-DQE_LANES=8"]
        table["avx512"] = ["-mavx512f", "-mavx512vl", "-mavx512bw", "-mavx512dq", "-mfma", "-DQE_LANES=16"]
        table["avx512bf16"] = [*table["avx512"], "-mavx512bf16"]
    if arm:
        table["neon"] = ["-DQE_LANES=4"]
    march = os.environ.get("QE_MARCH", "").strip() or ("portable" if setting("CIBUILDWHEEL") else "native")
    if march != "portable" and (x86 or (arm and sys.platform == "linux")):
        table["native"] = [f"-march={march}"]
    return table


class BuildCore(build_ext):
    """Compile the kernels per variant, then the extension; record beside it what was built and what not."""

    def run(self) -> None:
        self.record: dict[str, Any] = {"reason": None, "march": os.environ.get("QE_MARCH") or None}
        required = setting("CIBUILDWHEEL") or setting("QE_REQUIRE_EXTENSIONS")
        if setting("QE_NO_EXTENSIONS"):
            self.record["reason"] = "QE_NO_EXTENSIONS was set at installation"
            self._leave_out()
        else:
            try:
                super().run()
            except Exception as error:
                # Whatever stops a compiler (none found, header missing, out of space) leaves NumPy to serve.
                if required:
                    raise
                self.record["reason"] = one_line(error)
                self.warn(f"the compiled core was not built ({one_line(error)}); NumPy will serve, slower")
                self._leave_out()
        self._write_record()

    def _leave_out(self) -> None:
        # What was built before a failure, now or by another build in this place, would be half an installation.
        for extension in self.extensions:
            Path(self.get_ext_fullpath(extension.name)).unlink(missing_ok=True)
        self.extensions: list[Extension] = []

    def _write_record(self) -> None:
        places = {self.get_finalized_command("build").build_lib}
        if self.inplace or self.editable_mode:
            places.add(".")
        for place in places:
            path = Path(place, "pytest_qeattention", "attention", "_build.json")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(self.record, indent=1, sort_keys=True) + "\n", encoding="utf-8")

    def get_outputs(self) -> list[str]:
        record = Path(self.build_lib, "pytest_qeattention", "attention", "_build.json")
        return [*super().get_outputs(), str(record)]

    def build_extension(self, ext: Extension) -> None:
        if self.compiler.compiler_type == "msvc":
            raise RuntimeError("the kernels need GCC or Clang (vector extensions)")
        if ext.name in (DESCRIBE, TOKENS):
            ext.sources = self._cythonized(ext)
            ext.extra_compile_args += ["-std=gnu11", *NO_DEBUG_INFO]
            super().build_extension(ext)
            return
        openmp, why = self._probe_openmp()
        self.record["openmp"] = {"built": bool(openmp), "reason": why}
        self.record["compiler"] = self._compiler_version()
        built = self._compile_kernels(ext)
        ext.sources = self._cythonized(ext)
        ext.define_macros += [(f"QE_HAVE_{name.upper()}", "1") for name in built]
        ext.extra_compile_args += ["-std=gnu11", *NO_DEBUG_INFO, *openmp]
        ext.extra_link_args += openmp
        super().build_extension(ext)

    def _cythonized(self, ext: Extension) -> list[str]:
        from Cython.Build import cythonize

        place = str(Path(self.build_temp, "cython"))
        sources: list[str] = cythonize([ext], build_dir=place, include_path=["cython_src"], quiet=True)[0].sources
        return sources

    def _compile_kernels(self, ext: Extension) -> list[str]:
        """Compile every kernel once per variant; a compiler without a variant's flags loses that variant."""
        recorded = self.record["variants"] = {}
        built = []
        # Each variant is a compiler of its own to wait for; the order of the record is that of the table all the same.
        with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
            running = {name: pool.submit(self._compile_variant, name, flags) for name, flags in variants().items()}
        for name, flags in variants().items():
            try:
                objects = running[name].result()
            except Exception as error:
                if name == "scalar":
                    raise
                recorded[name] = {"built": False, "flags": flags, "reason": one_line(error)}
                continue
            recorded[name] = {"built": True, "flags": flags, "reason": None}
            ext.extra_objects += objects
            built.append(name)
        for name in ("scalar", "avx2", "avx512", "avx512bf16", "neon", "native"):
            recorded.setdefault(name, {"built": False, "flags": [], "reason": self._why_absent(name)})
        return built

    def _why_absent(self, name: str) -> str:
        if name != "native":
            return f"not for {platform.machine()}"
        if os.environ.get("QE_MARCH") == "portable" or setting("CIBUILDWHEEL"):
            return "portable build"
        return f"not done on {sys.platform} {platform.machine()}"

    def _compile_variant(self, name: str, flags: list[str]) -> list[str]:
        objects: list[str] = self.compiler.compile(
            [f"cython_src/kernels/{kernel}" for kernel in KERNELS],
            output_dir=str(Path(self.build_temp, name)),
            include_dirs=["cython_src/include"],
            macros=[("QE_VARIANT", name)],
            extra_postargs=[*KERNEL_FLAGS, *flags],
            depends=[str(path) for path in sorted(Path("cython_src").rglob("*.h"))],
        )
        return objects

    def _compiler_version(self) -> str | None:
        command = list(getattr(self.compiler, "compiler_so", None) or [])
        if not command:
            return None
        try:
            answer = subprocess.run([command[0], "--version"], capture_output=True, text=True, timeout=60, check=False)
        except (OSError, subprocess.SubprocessError):
            return None
        return next(iter(answer.stdout.splitlines()), None)

    def _probe_openmp(self) -> tuple[list[str], str | None]:
        """Return the flags with which an OpenMP program compiles, links and runs; or none, and why."""
        flags = ["-fopenmp"]
        with tempfile.TemporaryDirectory() as place:
            source = Path(place, "probe.c")
            source.write_text(OPENMP_PROBE, encoding="utf-8")
            try:
                objects = self.compiler.compile([str(source)], output_dir=place, extra_postargs=flags)
                program = str(Path(place, "probe"))
                self.compiler.link_executable(objects, program, extra_postargs=flags)
                answer = subprocess.run([program], capture_output=True, text=True, timeout=60, check=True)
            except Exception as error:
                return [], f"-fopenmp: {one_line(error)}"
        if answer.stdout != "45":
            return [], f"-fopenmp: the probe answered {answer.stdout!r}"
        return flags, None


setup(
    ext_modules=[
        Extension(
            CORE,
            sources=["cython_src/_core.pyx", "cython_src/cpu.c", "cython_src/sparse.c", "cython_src/sequence.c"],
            include_dirs=["cython_src/include"],
            depends=[str(path) for path in sorted(Path("cython_src").rglob("*.[chp]*"))],
        ),
        Extension(
            DESCRIBE,
            sources=["cython_src/_describe.pyx"],
            depends=[str(path) for path in sorted(Path("cython_src").glob("*.pxi"))],
        ),
        Extension(
            TOKENS,
            sources=["cython_src/_tokens.pyx"],
            depends=[str(path) for path in sorted(Path("cython_src").glob("*.pxi"))],
        ),
    ],
    cmdclass={"build_ext": BuildCore},
)
