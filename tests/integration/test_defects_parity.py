"""A failure that was seen live and the same one out of the run's JUnit file make the same record, where they can."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_qeattention.defects.facts import bare_name
from pytest_qeattention.defects.junit_file import read_junit
from pytest_qeattention.defects.record import FailureRecord, Frame

FRAMED = ("auto", "long", "short", "native")
BARE = ("line", "no")
"""Styles of ``--tb`` that show no frames."""

CONFTEST = """
import json

import pytest
from shop.core import Pool

pytest_plugins = ["shop.fixtures"]
records = {}


def keep(report):
    if hasattr(report, "qeattention_failure"):
        records.setdefault(report.nodeid + report.when, report.qeattention_failure)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logreport(report):
    keep(report)


@pytest.hookimpl(tryfirst=True)
def pytest_collectreport(report):
    report.when = "collect"
    keep(report)


def pytest_sessionfinish(session):
    with open("records.json", "w", encoding="utf-8") as file:
        json.dump(list(records.values()), file)


def pytest_runtest_setup(item):
    if item.name == "test_hook":
        raise ValueError("hook")


@pytest.fixture
def database():
    return Pool("db").connect()


@pytest.fixture
def broken():
    raise ValueError("broken fixture")


@pytest.fixture
def asserting():
    values = [1, 2]
    assert values == [2, 1]


@pytest.fixture
def late():
    yield
    raise ValueError("too late")


@pytest.fixture
def late_product():
    yield
    Pool("late").connect()


def check(value):
    assert value == 3, "checked"
"""

CORE = """
import functools
import sys

if sys.version_info < (3, 11):
    from exceptiongroup import ExceptionGroup


class OutOfStock(Exception):
    pass


class Pool:
    size = 3

    def __init__(self, url="db"):
        self.url = url

    def connect(self):
        raise ConnectionError(f"no connection to {self.url}")

    @classmethod
    def opened(cls, url):
        raise ValueError(f"cannot open {url!r}")

    @staticmethod
    def parse(text):
        return int(text)

    @property
    def ready(self):
        raise OutOfStock("nothing in stock")

    def count(self):
        return 3

    def checked(self):
        assert self.size == 4


def total(items):
    return sum(items) + 1


def load(name):
    try:
        Pool(name).connect()
    except ConnectionError as error:
        raise RuntimeError("not loaded") from error


def reload(name):
    try:
        Pool(name).connect()
    except ConnectionError:
        raise RuntimeError("not reloaded")


def outer(value):
    def inner(value):
        raise KeyError(value)

    return inner(value)


def logged(function):
    @functools.wraps(function)
    def wrapper(*arguments):
        return function(*arguments)

    return wrapper


@logged
def decorated(value):
    return [1 / each for each in value]


def numbers():
    yield 1
    raise LookupError("no more numbers")


missing = lambda value: value.missing


async def fetch(url):
    raise TimeoutError(f"{url} did not answer")


def deep(depth):
    if depth:
        return deep(depth - 1)
    raise ArithmeticError("at the bottom")


def silent():
    raise ValueError


def many_lines():
    raise ValueError("first line\\nsecond: line\\n\\n  third line")


def grouped():
    errors = []
    for function in (silent, lambda: outer("k")):
        try:
            function()
        except Exception as error:
            errors.append(error)
    raise ExceptionGroup("several", errors)


def documented():
    '''Return 1.

    >>> documented()
    2
    '''
    return 1


def documented_badly():
    '''Fail.

    >>> outer("doc")
    '''
"""

FIXTURES = """
import pytest


@pytest.fixture
def of_product():
    raise ValueError("fixture of the product")
"""

TESTS = """
import asyncio
import json
import subprocess
import sys
import unittest
from unittest import mock

import pytest
from conftest import check
from shop import core
from shop.core import Pool, total


def test_plain_assert():
    value = 3
    assert value == 4


def test_assert_of_function():
    assert core.total([1, 2]) == 3


def test_assert_of_method():
    pool = Pool()
    assert pool.count() == 4


def test_assert_of_variable():
    found = total([1])
    assert found == 1


def test_assert_with_message():
    assert total([]) == 0, "no items"


def test_assert_of_several_lines():
    assert (
        total([1])
        == 1
    )


def test_assert_of_a_class():
    class Basket:
        pass

    assert Basket() == 3


def test_long_diff():
    assert {f"key{n}": n for n in range(40)} == {f"key{n}": n + (n == 20) for n in range(40)}


def test_long_text():
    assert "\\n".join(f"line {n} of many" for n in range(100)) == "\\n".join(f"line {n} of mani" for n in range(100))


def test_approx():
    assert 0.1 + 0.3 == pytest.approx(0.3)


def test_assert_of_the_product():
    Pool().checked()


def test_mock():
    called = mock.Mock()
    called(1)
    called.assert_called_with(2)


def test_raises_itself():
    raise ValueError("in the test")


def test_cause():
    core.load("a")


def test_context():
    core.reload("a")


def test_method():
    Pool("x").connect()


def test_classmethod():
    Pool.opened("x")


def test_staticmethod():
    Pool.parse("x")


def test_property():
    Pool().ready


def test_nested_function():
    core.outer("missing")


def test_decorated_function():
    core.decorated([1, 0])


def test_generator():
    list(core.numbers())


def test_generator_expression():
    sum(core.Pool.parse(each) for each in ["1", "z"])


def test_lambda():
    core.missing(3)


def test_lambda_of_the_test():
    (lambda: core.outer("l"))()


def test_coroutine():
    asyncio.run(core.fetch("http://a"))


def test_recursion():
    core.deep(50)


def test_endless_recursion():
    def down():
        down()

    down()


def test_silent():
    core.silent()


def test_message_of_many_lines():
    core.many_lines()


def test_group():
    core.grouped()


def test_stdlib():
    json.loads("{")


def test_helper():
    check(4)


def test_did_not_raise():
    with pytest.raises(ValueError):
        core.total([1])


def test_raises_match():
    with pytest.raises(ValueError, match="other"):
        core.silent()


def test_fail():
    pytest.fail("because of it")


def test_fail_without_traceback():
    pytest.fail("untraced", pytrace=False)


def test_timeout():
    pytest.fail("Timeout (>1.0s) from pytest-timeout.")


def test_exit():
    sys.exit(3)


def test_local_exception():
    class Local(Exception):
        pass

    raise Local("local one")


def test_unprintable():
    class Rude(Exception):
        def __str__(self):
            raise ValueError("no")

    raise Rude()


def test_characters_that_xml_does_not_have():
    raise ValueError("na\\xefve \\x00 \\ud800")


def test_subprocess():
    subprocess.run([sys.executable, "-c", "raise SystemExit(3)"], check=True)


def test_import_in_a_test():
    import no_such_module_at_all


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("text", ["a-b", "c[d]"])
def test_parameters(number, text):
    assert core.total([number]) == number


@pytest.mark.xfail(strict=True)
def test_xpass():
    pass


def test_missing_fixture(nothing_like_it):
    pass


def test_fixture_of_the_product_below(database):
    pass


def test_fixture(broken):
    pass


def test_fixture_with_an_assert(asserting):
    pass


def test_fixture_torn_down(late):
    pass


def test_product_torn_down(late_product):
    pass


def test_call_and_teardown(late):
    assert 1 == 2


def test_two_torn_down(late, late_product):
    pass


def test_hook():
    pass


def test_fixture_in_the_product(of_product):
    pass


@pytest.fixture
def caught():
    try:
        core.outer("k")
    except KeyError as error:
        raise RuntimeError("caught") from error


def test_caught_in_a_fixture(caught):
    pass


@pytest.fixture
def caught_below():
    catching()


def catching():
    try:
        core.outer("k")
    except KeyError as error:
        raise RuntimeError("caught below") from error


def test_caught_below_a_fixture(caught_below):
    pass


@pytest.fixture
def asking(request):
    return request.getfixturevalue("broken")


def test_fixture_that_asks_for_another(asking):
    pass


def test_fixture_asked_for_in_a_test(request):
    request.getfixturevalue("broken")


@pytest.fixture(name="named")
def make_named():
    raise ValueError("named badly")


def test_named_fixture(named):
    pass


@pytest.fixture
def closing(request):
    def close():
        raise OSError("not closed")

    request.addfinalizer(close)


def test_finalizer(closing):
    pass


@pytest.fixture
def closing_by_product(request):
    request.addfinalizer(core.silent)


def test_finalizer_of_the_product(closing_by_product):
    pass


class TestClass:
    def test_here(self):
        assert self.__class__ is None

    class TestNested:
        def test_there(self):
            core.outer("there")


class TestSetupMethod:
    def setup_method(self):
        raise ValueError("bad setup")

    def test_one(self):
        pass


class TestSetupClass:
    @classmethod
    def setup_class(cls):
        core.silent()

    def test_one(self):
        pass


class TestTeardownMethod:
    def teardown_method(self):
        raise ValueError("bad teardown")

    def test_one(self):
        pass


class TestCase(unittest.TestCase):
    def test_equal(self):
        self.assertEqual(core.total([1]), 1)

    def test_lists(self):
        self.assertEqual([1, 2], [2, 1])

    def test_error(self):
        core.outer("unit")

    def test_raises(self):
        with self.assertRaises(ValueError):
            core.total([])


class TestCaseSetUp(unittest.TestCase):
    def setUp(self):
        core.silent()

    def test_one(self):
        pass


class TestCaseSetUpClass(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        raise ValueError("class not set up")

    def test_one(self):
        pass
"""

FILES = {
    "pytest.ini": "[pytest]\n",
    "conftest.py": CONFTEST,
    "shop/__init__.py": "",
    "shop/core.py": CORE,
    "shop/fixtures.py": FIXTURES,
    "tests/__init__.py": "",
    "tests/test_kinds.py": TESTS,
    "tests/test_import.py": "import shop\nimport no_such_module\n",
    "tests/test_syntax.py": "def test_x(:\n    pass\n",
    "tests/test_collect.py": 'from shop import core\n\n\ndef test_x():\n    pass\n\n\ncore.outer("collected")\n',
    "tests/test_docs.txt": ">>> from shop.core import total\n>>> total([1])\n1\n",
}

FIXTURES_BY_ANOTHER_NAME = {
    "tests/test_kinds.py::test_named_fixture": "make_named",
    "tests/test_kinds.py::test_finalizer": "close",
    "tests/test_kinds.py::test_finalizer_of_the_product": None,
}
"""What a JUnit file calls the fixture that failed, or what one asked to be called; live it has the name tests use."""
WITHOUT_FRAMES = ("tests/test_kinds.py::test_fail_without_traceback",)
"""Failures whose frames their tests kept out of every report."""

FRAMED_IN_EVERY_STYLE = {
    "shop/core.py::shop.core.documented_badly",
    "tests/test_kinds.py::test_group",
    "tests/test_kinds.py::test_two_torn_down after it",
}
"""Doctests and groups of exceptions, which pytest shows in one way alone."""


@dataclass(frozen=True)
class Told:
    """Hold what a run was told live, and what its JUnit file tells, by test and phase."""

    live: dict[str, FailureRecord]
    file: dict[str, FailureRecord]

    def differing(self, what: Callable[[FailureRecord], object]) -> dict[str, tuple[object, object]]:
        pairs = {name: (what(self.live[name]), what(self.file[name])) for name in self.live}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def write(project: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text(text.lstrip("\n"), encoding="utf-8")


def dotted(nodeid: str) -> str:
    """Return a node id as the file writes it, which has no more than a dotted name."""
    address, bracket, parameters = nodeid.partition("[")
    path, _, names = address.partition("::")
    parts = [*path.removesuffix(".py").split("/"), *names.split("::")]
    return ".".join(part for part in parts if part) + bracket + parameters


def run(project: Path, *options: str) -> Told:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "QE_"))}
    environment["PYTEST_ADDOPTS"] = "-p no:hypothesispytest -p no:cacheprovider"
    command = [sys.executable, "-m", "pytest", "-q", "--qe-defects", "--junit-xml=junit.xml"]
    done = subprocess.run(
        [*command, *options], cwd=project, env=environment, capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 1, done.stdout
    plain = json.loads((project / "records.json").read_text(encoding="utf-8"))
    live = [FailureRecord.from_plain(each) for each in plain]
    found = read_junit(project / "junit.xml")
    assert found.problems == ()
    names = {dotted(record.nodeid): record.nodeid for record in live}

    def phase(record: FailureRecord) -> str:
        return " after it" if record.phase == "teardown" else ""

    return Told(
        {record.nodeid + phase(record): record for record in live},
        {names[dotted(record.nodeid)] + phase(record): record for record in found.failures},
    )


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Told]:
    project = tmp_path_factory.mktemp("parity")
    write(project, FILES)
    runs: dict[str, Told] = {}

    def in_style(style: str) -> Told:
        if style not in runs:
            options = ["--doctest-modules", "--doctest-glob=*.txt", "--continue-on-collection-errors"]
            runs[style] = run(project, f"--tb={style}", *options)
        return runs[style]

    return in_style


def place(frame: Frame) -> tuple[object, ...]:
    return frame.path, frame.line, bare_name(frame.qualname), frame.statement, frame.role


def of_culprit(record: FailureRecord) -> object:
    culprit = record.culprit
    # What an assert asks is known to a live frame alone.
    is_passed = culprit is not None and any(culprit in raised.frames for raised in record.chain)
    return place(culprit) if culprit is not None and is_passed else None


def of_fixture(record: FailureRecord) -> object:
    return record.test.failing_fixture


def of_chain(record: FailureRecord) -> object:
    return [(raised.type, raised.message, raised.masked, raised.link) for raised in record.chain]


def of_frames(record: FailureRecord) -> object:
    return [[place(frame) for frame in raised.frames] for raised in record.chain]


def of_test(record: FailureRecord) -> object:
    return record.phase, record.test.path, record.test.qualname


@pytest.mark.parametrize("style", FRAMED)
def test_a_junit_file_tells_what_was_seen_live(told: Callable[[str], Told], style: str) -> None:
    run = told(style)

    assert run.file.keys() == run.live.keys()
    assert len(run.live) == 84
    assert run.differing(FailureRecord.signature) == {}
    assert run.differing(of_test) == {}
    assert run.differing(of_chain) == {}
    assert run.differing(of_culprit) == {}
    assert run.differing(lambda record: record.assertion) == {}
    assert run.differing(of_frames).keys() == set(WITHOUT_FRAMES)
    fixtures = {name.removesuffix(" after it"): pair[1] for name, pair in run.differing(of_fixture).items()}
    assert fixtures == FIXTURES_BY_ANOTHER_NAME


@pytest.mark.parametrize("style", BARE)
def test_without_frames_what_rests_on_them_is_unknown(told: Callable[[str], Told], style: str) -> None:
    run = told(style)
    is_of_frames = {
        name
        for name, record in run.live.items()
        if of_culprit(record) is not None or (of_fixture(record) is not None and "missing_fixture" not in name)
    }

    assert run.file.keys() == run.live.keys()
    assert run.differing(of_test) == {}
    assert run.differing(of_chain) == {}
    assert run.differing(FailureRecord.signature).keys() == is_of_frames - FRAMED_IN_EVERY_STYLE


def test_how_a_failure_was_shown_does_not_change_what_was_seen_live(told: Callable[[str], Told]) -> None:
    first, *others = (told(style).live for style in (*FRAMED, *BARE))

    for other in others:
        assert {name: record.signature() for name, record in other.items()} == {
            name: record.signature() for name, record in first.items()
        }


def test_no_two_kinds_of_failures_have_one_signature_but_for_one_defect(told: Callable[[str], Told]) -> None:
    by_signature: dict[str, list[str]] = {}
    for name, record in told("auto").live.items():
        by_signature.setdefault(record.signature(), []).append(name.partition("::")[2].partition("[")[0])
    shared = sorted(sorted(set(names)) for names in by_signature.values() if len(set(names)) > 1)

    silent = ["TestCaseSetUp::test_one", "TestSetupClass::test_one", "test_finalizer_of_the_product after it"]
    assert shared == [
        [*silent, "test_silent"],
        ["test_call_and_teardown after it", "test_fixture_torn_down after it"],
        ["test_caught_below_a_fixture", "test_caught_in_a_fixture"],
        ["test_fixture", "test_fixture_that_asks_for_another"],
    ]


def test_tests_by_other_names(tmp_path: Path) -> None:
    checks = (
        "import pytest\nfrom shop import core\n\n\ndef check_product():\n    core.load('x')\n\n\n"
        "def helper():\n    raise ValueError('help')\n\n\ndef check_helper():\n    helper()\n\n\n"
        "@pytest.fixture\ndef broken():\n    helper()\n\n\ndef check_fixture(broken):\n    pass\n\n\n"
        "class CheckClass:\n    def check_total(self):\n        assert core.total([1]) == 1\n"
    )
    files = {
        "pytest.ini": "[pytest]\npython_files = of_*.py\npython_functions = check_*\npython_classes = Check*\n",
        "conftest.py": CONFTEST,
        "shop/__init__.py": "",
        "shop/core.py": CORE,
        "shop/fixtures.py": FIXTURES,
        "checks/__init__.py": "",
        "checks/of_shop.py": checks,
    }
    write(tmp_path, files)

    done = run(tmp_path)

    assert len(done.live) == 4
    assert done.differing(FailureRecord.signature) == {}
    assert done.differing(of_test) == {}
    assert done.differing(of_frames) == {}
    assert done.differing(of_culprit) == {}
    assert done.differing(of_fixture) == {}
    (first, *_) = done.file["checks/of_shop.py::CheckClass::check_total"].chain[0].frames
    assert place(first)[2:] == ("check_total", "assert core.total([1]) == 1", "test")
