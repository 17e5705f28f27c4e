"""Get projects whose test suites can be run: unpack each, and install it with what its tests need."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.training.corpus import normalized

RECORDER = Path(__file__).with_name("recorder.py")
DEFECT_RUNNER = Path(__file__).with_name("defect_runner.py")
FORKS = Path(__file__).with_name("forks.py")
TEST_FOLDERS = {"test", "tests", "_tests"}
"""What lies in them is not the product, wherever they are."""
INSTALL_S = 300
LAST_CHARACTERS = 1500
"""Of what a command said, in an error."""


class ProjectError(RuntimeError):
    """Say why a project can't be used."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Say where a project has its product and its tests, and how to run them."""

    source: tuple[str, ...]
    """Directories whose functions count as the product, less those of tests."""
    tests: tuple[str, ...] = ("tests",)
    requires: tuple[str, ...] = ()
    """Requirements of the tests beside those of the project; what starts with a bracket names its extras."""
    options: tuple[str, ...] = ()
    """Of pytest, to leave out what is slow, needs a network, or is no test of the product."""
    variables: tuple[str, ...] = ()
    """Of the environment, NAME=VALUE."""
    prepare: str = ""
    """Python that runs before the tests, where the suite has a runner of its own that does so."""


# pluggy is none of them: pytest itself runs on it, so that every test executes it.
PLANS: dict[str, Plan] = {
    "arrow": Plan(("arrow",), requires=("dateparser", "pytest-mock", "pytz", "simplejson"), options=("-o", "addopts=")),
    "attrs": Plan(("src/attr", "src/attrs"), requires=("cloudpickle", "hypothesis", "pympler")),
    "click": Plan(("src/click",)),
    "flask": Plan(("src/flask",), requires=("asgiref", "greenlet", "pytest<9", "python-dotenv")),
    "glom": Plan(("glom",), ("glom/test",), ("pyyaml",)),
    "httpx": Plan(
        ("httpx",),
        requires=("[brotli,cli,http2,socks,zstd]", "anyio", "chardet", "trio", "trustme", "uvicorn"),
        options=("-m", "not network"),
    ),
    "humanize": Plan(("src/humanize",), requires=("freezegun",), options=("--ignore", "tests/test_benchmarks.py")),
    "jinja2": Plan(("src/jinja2",), requires=("trio",)),
    "kombu": Plan(
        ("kombu",),
        ("t/unit",),
        (
            *("boto3", "brotli", "hypothesis<7", "kazoo", "msgpack", "pycurl", "pymongo", "Pyro4"),
            *("pytest-freezer", "python-consul2", "pyyaml", "redis", "sqlalchemy", "zstandard"),
        ),
    ),
    # Its own choice of files is one that imports all tests, which would then all be tests of that file.
    "lark": Plan(("lark",), requires=("interegular", "regex"), options=("-o", "python_files=test_*.py")),
    "markdown": Plan(("markdown",), requires=("pygments", "pyyaml")),
    "marshmallow": Plan(("src/marshmallow",), requires=("simplejson",)),
    "mistune": Plan(("src/mistune",)),
    "more-itertools": Plan(("more_itertools",)),
    # A part of its tests, which lie among the product, folder by folder.
    "networkx": Plan(
        ("networkx",),
        (
            *("networkx/classes", "networkx/generators", "networkx/utils"),
            *(f"networkx/algorithms/{part}" for part in ("shortest_paths", "traversal", "tree")),
        ),
    ),
    "packaging": Plan(("src/packaging",), requires=("hypothesis", "pretend", "tomli_w")),
    "pyparsing": Plan(("pyparsing",), requires=("[diagrams]",), options=("--ignore", "tests/test_matplotlib_cases.py")),
    "pyrsistent": Plan(("pyrsistent",), requires=("hypothesis",), variables=("PYRSISTENT_NO_C_EXTENSION=1",)),
    "python-dateutil": Plan(("src/dateutil",), requires=("attrs", "freezegun", "hypothesis", "pytest-cov")),
    "requests": Plan(
        ("src/requests",), requires=("[socks]", "httpbin~=0.10.0", "pytest-httpbin==2.1.0", "pytest-mock", "trustme")
    ),
    "tabulate": Plan(("tabulate",), ("test",), ("[widechars]",)),
    "tinydb": Plan(("tinydb",), requires=("pyyaml",)),
    "toolz": Plan(("toolz", "tlz"), ("toolz",)),
    "tornado": Plan(
        ("tornado",),
        ("tornado/test",),
        ("pycurl",),
        ("--deselect", "tornado/test/api_test.py"),
        ("ASYNC_TEST_TIMEOUT=25", "HYPOTHESIS_PROFILE=tornado-quick"),
        "import logging\nlogging.getLogger('tornado.access').setLevel(logging.CRITICAL)\n",
    ),
    "trio": Plan(
        ("src/trio",),
        ("src/trio/_tests",),
        ("astor", "async_generator", "cryptography", "pyopenssl", "trustme"),
        # Tools that write the project's own files, and what type checkers and editors see of it.
        ("--ignore", "src/trio/_tests/tools", "--ignore", "src/trio/_tests/test_exports.py"),
    ),
    "werkzeug": Plan(
        ("src/werkzeug",),
        requires=("cffi", "cryptography", "ephemeral-port-reserve", "pytest-timeout", "watchdog"),
        options=("-m", "not dev_server"),
    ),
}


@dataclass(frozen=True, slots=True)
class Project:
    """Hold an unpacked project, and where a copy of it is installed."""

    name: str
    version: str
    directory: Path
    """As it was unpacked."""
    copy: Path
    """What runs: the suite may write here."""
    environment: Path
    plan: Plan

    @property
    def label(self) -> str:
        return f"{self.name}-{self.version}"

    @property
    def python(self) -> Path:
        return self.environment / ("Scripts" if os.name == "nt" else "bin") / "python"


def plan_of(name: str, directory: Path) -> Plan:
    """Return the plan of a project by name; one that is not known has it read off its folders."""
    if name in PLANS:
        return PLANS[name]
    module = name.replace("-", "_")
    source = next((place for place in (f"src/{module}", module, "src") if (directory / place).is_dir()), None)
    tests = next((place for place in ("tests", "test", "testing") if (directory / place).is_dir()), None)
    if source is None or tests is None:
        missing = "package" if source is None else "tests"
        raise ProjectError(f"{directory.name} has no folder of its {missing} where one is expected; give it a plan")
    return Plan((source,), (tests,))


def unpacked(wanted: str, work: Path) -> Project:
    """Return the project *wanted*, NAME==VERSION or an unpacked directory NAME-VERSION, unpacked below *work*."""
    name, separator, version = wanted.partition("==")
    directory = Path(wanted)
    if not separator:
        name, separator, version = directory.resolve().name.rpartition("-")
        if not separator or not directory.is_dir():
            raise ProjectError(f"{wanted} is neither NAME==VERSION nor a directory NAME-VERSION")
    name = normalized(name)
    if "==" in wanted:
        directory = work / "src" / f"{name}-{version}"
        if not directory.is_dir():
            unpack(source_archive(name, version, work / "archives"), directory)
    label = f"{name}-{version}"
    plan = plan_of(name, directory)
    return Project(name, version, directory.resolve(), work / "run" / label, work / "venv" / label, plan)


def source_archive(name: str, version: str, archives: Path) -> Path:
    """Return the source distribution in *archives*, fetched by pip unless it is there."""
    archives.mkdir(parents=True, exist_ok=True)
    known = _archives(name, version, archives)
    if not known:
        pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", name, "--dest", str(archives)]
        checked([*pip, f"{name}=={version}"], cwd=archives)
        known = _archives(name, version, archives)
    if not known:
        raise ProjectError(f"pip fetched no source distribution of {name} {version}")
    return known[0]


def _archives(name: str, version: str, archives: Path) -> list[Path]:
    found = []
    for path in sorted(archives.iterdir()):
        for ending in (".tar.gz", ".zip"):
            stem = path.name.removesuffix(ending)
            if stem != path.name and normalized(stem) == normalized(f"{name}-{version}"):
                found.append(path)
    return found


def unpack(archive: Path, target: Path) -> None:
    """Unpack *archive*, which holds one folder, as the directory *target*."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as place:
        if archive.suffix == ".zip":
            shutil.unpack_archive(archive, place)
        else:
            shutil.unpack_archive(archive, place, filter="data")
        tops = [path for path in Path(place).iterdir() if path.is_dir()]
        if len(tops) != 1:
            raise ProjectError(f"{archive.name} holds {len(tops)} folders, not one")
        tops[0].replace(target)


def install(project: Project) -> None:
    """Install a copy of *project* so that its files are what is imported, with pytest and coverage.py."""
    if (project.environment / "installed").is_file():
        return
    for place in (project.environment, project.copy):
        if place.exists():
            shutil.rmtree(place)
    shutil.copytree(project.directory, project.copy, symlinks=True)
    checked([sys.executable, "-m", "venv", str(project.environment)], cwd=project.copy)
    extras = "".join(one for one in project.plan.requires if one.startswith("["))
    requires = [one for one in project.plan.requires if not one.startswith("[")]
    pip = [str(project.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    checked([*pip, "--editable", f"{project.copy}{extras}", "pytest", "coverage", *requires], cwd=project.copy)
    (project.environment / "installed").touch()


def checked(command: Sequence[str], *, cwd: Path) -> None:
    """Run *command*; raises ProjectError with the last of what it said where it fails."""
    try:
        ended = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=INSTALL_S)
    except subprocess.TimeoutExpired as error:
        raise ProjectError(f"{' '.join(command[:5])} took more than {INSTALL_S} s") from error
    if ended.returncode:
        said = (ended.stdout + ended.stderr)[-LAST_CHARACTERS:]
        raise ProjectError(f"{' '.join(command[:5])} failed:\n{said}")


def record(
    project: Project, arguments: Iterable[str], *, trace: bool, seconds: float, defects: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Run pytest with *arguments* on the copy of *project* and return what recorder.py writes.

    *defects* is what defect_runner.py asks for, less ``answer``: it runs then, where processes can be forked.
    Raises ProjectError when it takes longer than *seconds* or ends without a record.
    """
    root = project.copy
    with tempfile.TemporaryDirectory() as name:
        place = Path(name).resolve()
        shutil.copyfile(RECORDER, place / "qe_recorder.py")
        (place / "qe_prepare.py").write_text(project.plan.prepare, encoding="utf-8")
        request = {
            "root": str(root),
            "record": str(place / "record.json"),
            "source": project.plan.source,
            "apart": sorted(TEST_FOLDERS),
            "trace": trace,
            "data": str(place / "coverage"),
        }
        if defects is not None:
            shutil.copyfile(DEFECT_RUNNER, place / "qe_defects.py")
            shutil.copyfile(FORKS, place / "qe_forks.py")
            request["defects"] = {**defects, "answer": str(place / "answer.json")}
        (place / "request.json").write_text(json.dumps(request), encoding="utf-8")
        environment = {**os.environ, **dict(each.split("=", 1) for each in project.plan.variables)}
        environment |= {"QE_RECORDER": str(place / "request.json"), "PYTHONPATH": str(place), "PYTHONHASHSEED": "0"}
        # Colour and a wide terminal would change what tests of output see.
        for variable in ("PYTEST_ADDOPTS", "FORCE_COLOR", "COLUMNS"):
            environment.pop(variable, None)
        plugins = ["-p", "qe_recorder", "-p", "qe_prepare", "-p", "no:cacheprovider"]
        plugins += ["-p", "qe_defects"] if defects is not None else []
        pytest = [str(project.python), "-m", "pytest", *plugins, "--quiet", "--tb=short"]
        pytest += ["--continue-on-collection-errors", *project.plan.options, *arguments]
        said, code = limited(pytest, root, environment, seconds)
        if not (place / "record.json").is_file():
            raise ProjectError(f"pytest ended with {code} and without a record:\n{said[-LAST_CHARACTERS:]}")
        document: dict[str, Any] = json.loads((place / "record.json").read_text(encoding="utf-8"))
        return {**document, "exit": code, "said": said[-LAST_CHARACTERS:]}


def limited(command: Sequence[str], cwd: Path, environment: dict[str, str], seconds: float) -> tuple[str, int]:
    """Run *command* with all that it starts ended after *seconds*; returns what it said and its exit status."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        started = subprocess.Popen(
            command,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = started.wait(timeout=seconds)
        except subprocess.TimeoutExpired as error:
            raise ProjectError(f"pytest took more than {seconds:.0f} s") from error
        finally:
            if os.name == "posix":
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(started.pid, signal.SIGKILL)
            else:
                started.kill()
            started.wait()
        said.seek(0)
        return said.read(), code
