"""Failures out of JUnit files: of every runner, and of files that are no such thing."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from pytest_qeattention.defects import junit_file
from pytest_qeattention.defects.junit_file import JUnitFile, read_junit
from pytest_qeattention.defects.record import FailureRecord

Read = Callable[[str | bytes], JUnitFile]
HEAD = '<?xml version="1.0" encoding="utf-8"?><testsuites><testsuite name="s">'
TAIL = "</testsuite></testsuites>"
FAILING = '<testcase classname="pkg.test_a" name="test_b"><failure message="ValueError: x">no more</failure></testcase>'


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Return a function that reads a document, and check what all records hold to."""

    def read_document(document: str | bytes) -> JUnitFile:
        path = tmp_path / "report.xml"
        path.write_bytes(document.encode("utf-8") if isinstance(document, str) else document)
        found = read_junit(path)
        for record in found.failures:
            assert FailureRecord.from_plain(record.to_plain()) == record
        for problem in found.problems:
            # What happened, what follows, what to do.
            assert re.fullmatch(r"[^;\n]+; [^;\n]+; [^;\n]+", problem), problem
            assert "Traceback" not in problem
        return found

    return read_document


def suite(*cases: str) -> str:
    return HEAD + "".join(cases) + TAIL


def case(text: str, *, tag: str = "failure", name: str = "test_b", message: str = "", type_: str = "") -> str:
    attributes = f'message="{escaped(message)}" type="{type_}"'
    return f'<testcase classname="pkg.test_a" name="{name}"><{tag} {attributes}>{escaped(text)}</{tag}></testcase>'


def escaped(text: str) -> str:
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("\n", "&#10;")):
        text = text.replace(character, entity)
    return text


def only(found: JUnitFile) -> FailureRecord:
    assert found.problems == ()
    assert len(found.failures) == 1
    return found.failures[0]


def stacks(record: FailureRecord) -> list[list[tuple[str, str, int, str]]]:
    return [[(f.role, f.path, f.line, f.qualname) for f in raised.frames] for raised in record.chain]


PROJECT = {
    "pkg/__init__.py": "",
    "pkg/core.py": """
        import json


        def load(text):
            try:
                return json.loads(text)
            except ValueError as error:
                raise RuntimeError("cannot load") from error


        def price(name):
            try:
                return {"tea": 1}[name]
            except KeyError:
                return 1 / 0
        """,
    "tests/conftest.py": """
        import pytest


        @pytest.fixture
        def db():
            raise ConnectionError("refused")


        @pytest.fixture
        def late():
            yield
            raise OSError("gone")
        """,
    "tests/test_shop.py": """
        import logging

        import pytest

        from pkg.core import load, price


        class TestShop:
            def test_order(self):
                assert [1, 2, 3] == [1, 3, 2], "why not"

            def test_price(self):
                assert price("milk") == 2


        def helper(text):
            assert text.upper() == "B"


        @pytest.mark.parametrize("text", ["a", "c-d"])
        def test_helped(text):
            logging.getLogger("shop").warning("order %s is late", 17)
            helper(text)


        def test_load():
            load("{")


        def test_db(db):
            pass


        def test_late(late):
            pass


        def test_missing(nofix):
            pass


        def test_raises():
            with pytest.raises(ValueError):
                pass


        def test_lines():
            raise ValueError("one\\ntwo: three\\n  four")


        def test_passes():
            pass
        """,
    "tests/test_import.py": "import nosuch_module\n",
    "tests/test_syntax.py": "def x(:\n",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    for name, text in PROJECT.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(dedent(text).lstrip("\n"), encoding="utf-8")
    return root


def run_style(project: Path, style: str, *options: str) -> dict[str, FailureRecord]:
    """Run the tests of the project in another process, and return what its file says, by node id."""
    path = project / f"{style}.xml"
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:qeattention", "-p", "no:xdist"]
    command += ["-q", f"--tb={style}", f"--junitxml={path}", "--continue-on-collection-errors", "--rootdir=."]
    env = {**os.environ, "PYTHONPATH": str(project), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    subprocess.run([*command, "-o", "junit_logging=log", *options], cwd=project, env=env, capture_output=True)
    found = read_junit(path)
    assert found.problems == ()
    assert found.tests == 13
    records = {record.nodeid: record for record in found.failures}
    assert len(records) == len(found.failures) == 12
    for record in found.failures:
        assert FailureRecord.from_plain(record.to_plain()) == record
    return records


@pytest.fixture(scope="module")
def as_pytest_shows(project: Path) -> dict[str, FailureRecord]:
    return run_style(project, "auto")


def test_frames_of_pytest(as_pytest_shows: dict[str, FailureRecord]) -> None:
    record = as_pytest_shows["tests.test_shop.TestShop::test_price"]
    assert [(raised.type, raised.message, raised.link) for raised in record.chain] == [
        ("ZeroDivisionError", "division by zero", None),
        ("KeyError", "'milk'", "context"),
    ]
    assert stacks(record) == [
        [("test", "tests/test_shop.py", 13, "test_price"), ("product", "pkg/core.py", 15, "price")],
        [("product", "pkg/core.py", 13, "price")],
    ]
    assert record.chain[0].frames[0].statement == 'assert price("milk") == 2'
    assert record.culprit == record.chain[1].frames[0]
    assert (record.phase, record.test.path, record.test.qualname) == (
        "call",
        "tests/test_shop.py",
        "TestShop::test_price",
    )


def test_causes_of_pytest(as_pytest_shows: dict[str, FailureRecord]) -> None:
    record = as_pytest_shows["tests.test_shop::test_load"]
    assert [(raised.type, raised.link) for raised in record.chain] == [
        ("RuntimeError", None),
        ("json.decoder.JSONDecodeError", "cause"),
    ]
    assert [frame.role for frame in record.chain[1].frames] == ["product", "stdlib", "stdlib", "stdlib"]
    assert record.chain[1].frames[-1].path == "<stdlib>/json/decoder.py"
    assert record.culprit is not None
    assert (record.culprit.path, record.culprit.qualname) == ("pkg/core.py", "load")


def test_assertions_of_pytest(as_pytest_shows: dict[str, FailureRecord]) -> None:
    order = as_pytest_shows["tests.test_shop.TestShop::test_order"]
    assert order.chain[0].message.startswith("why not\nassert [1, 2, 3] == [1, 3, 2]\n")
    assert order.assertion is not None
    assert (order.assertion.operator, order.assertion.left, order.assertion.difference) == ("==", "list", "order")
    helped = as_pytest_shows["tests.test_shop::test_helped[c-d]"]
    assert helped.test.parameters == (("", "c-d"),)
    assert helped.test.qualname == "test_helped"
    assert [frame.role for frame in helped.chain[0].frames] == ["test", "helper"]
    assert helped.assertion is not None
    assert (helped.assertion.left, helped.assertion.called) == ("str", "text.upper")
    assert helped.logs == ("WARNING shop order <number> is late",)
    raises = as_pytest_shows["tests.test_shop::test_raises"].assertion
    assert raises is not None
    assert raises.difference == "did not raise"


def test_phases_and_fixtures_of_pytest(as_pytest_shows: dict[str, FailureRecord]) -> None:
    known = {nodeid: (record.phase, record.test.failing_fixture) for nodeid, record in as_pytest_shows.items()}
    assert known["tests.test_shop::test_db"] == ("setup", "db")
    assert known["tests.test_shop::test_late"] == ("teardown", "late")
    assert known["tests.test_shop::test_missing"] == ("setup", "nofix")
    assert {nodeid for nodeid, (phase, _) in known.items() if phase == "collect"} == {
        "::tests.test_import",
        "::tests.test_syntax",
    }
    assert stacks(as_pytest_shows["tests.test_shop::test_db"]) == [[("fixture", "tests/conftest.py", 6, "db")]]
    missing = as_pytest_shows["tests.test_shop::test_missing"]
    assert [(raised.type, raised.message) for raised in missing.chain] == [
        ("_pytest.fixtures.FixtureLookupError", "fixture 'nofix' not found")
    ]
    assert (missing.test.path, missing.test.line) == ("tests/test_shop.py", 38)
    syntax = as_pytest_shows["::tests.test_syntax"]
    assert (syntax.test.path, syntax.chain[0].type) == ("tests/test_syntax.py", "SyntaxError")
    assert syntax.chain[0].message.endswith("(test_syntax.py, line 1)")
    assert syntax.chain[0].frames[-1].statement == "def x(:"
    assert as_pytest_shows["::tests.test_import"].chain[0].message == "No module named 'nosuch_module'"


@pytest.mark.parametrize("style", ["long", "short", "native"])
def test_styles_of_pytest_say_the_same(project: Path, style: str, as_pytest_shows: dict[str, FailureRecord]) -> None:
    records = run_style(project, style)
    assert records.keys() == as_pytest_shows.keys()
    for nodeid, record in records.items():
        assert record == as_pytest_shows[nodeid]
        assert record.signature() == as_pytest_shows[nodeid].signature()


def test_a_style_without_frames_still_says_what_was_raised(
    project: Path, as_pytest_shows: dict[str, FailureRecord]
) -> None:
    records = run_style(project, "line", "-o", "junit_family=xunit1")
    by_name = {record.nodeid.rpartition("::")[2]: record for record in records.values()}
    assert "tests/test_shop.py::test_lines" in records
    for nodeid, shown in as_pytest_shows.items():
        record = by_name[nodeid.rpartition("::")[2]]
        assert [(r.type, r.message, r.link) for r in record.chain] == [(r.type, r.message, r.link) for r in shown.chain]
        assert record.phase == shown.phase
        assert record.test.path == shown.test.path
        assert record.test.qualname == shown.test.qualname
    assert by_name["test_lines"].test.line == 47


PLAIN = """\
Traceback (most recent call last):
  File "/srv/p/pkg/core.py", line 7, in load
    return parse(text)
           ^^^^^^^^^^^
  File "/usr/lib/python3/dist-packages/parser/api.py", line 3, in parse
    raise Broken("a: b")
parser.Broken: a: b
and more

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/srv/p/pkg/test_a.py", line 9, in test_b
    load("{")
  File "/srv/p/pkg/core.py", line 9, in load
    raise RuntimeError("cannot load")
RuntimeError: cannot load

Stdout:
hello
"""


def test_plain_traceback(read: Read) -> None:
    record = only(read(suite(case(PLAIN, type_="RuntimeError", message="cannot load"))))
    assert [(raised.type, raised.message, raised.link) for raised in record.chain] == [
        ("RuntimeError", "cannot load", None),
        ("parser.Broken", "a: b\nand more", "context"),
    ]
    assert stacks(record) == [
        [("test", "pkg/test_a.py", 9, "test_b"), ("product", "pkg/core.py", 9, "load")],
        [("product", "pkg/core.py", 7, "load"), ("third party", "site-packages/parser/api.py", 3, "parse")],
    ]
    assert record.chain[1].frames[0].statement == "return parse(text)"
    assert record.nodeid == "pkg.test_a::test_b"


def test_groups_of_exceptions(read: Read) -> None:
    text = """\
+ Exception Group Traceback (most recent call last):
  |   File "/srv/p/pkg/test_a.py", line 21, in test_b
  |     raise ExceptionGroup("many", errors)
  | ExceptionGroup: many (2 sub-exceptions)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "/srv/p/pkg/core.py", line 3, in one
    |     raise ValueError("a")
    | ValueError: a
    +---------------- 2 ----------------
    | ExceptionGroup: inner (1 sub-exception)
    +-+---------------- 1 ----------------
      | TypeError: b
      +------------------------------------
"""
    record = only(read(suite(case(text))))
    assert [(raised.type, raised.message, raised.link) for raised in record.chain] == [
        ("ExceptionGroup", "many (2 sub-exceptions)", None),
        ("ValueError", "a", "group"),
        ("ExceptionGroup", "inner (1 sub-exception)", "group"),
        ("TypeError", "b", "group"),
    ]
    assert stacks(record)[1] == [("product", "pkg/core.py", 3, "one")]


def test_unittest(read: Read) -> None:
    unequal = 'Traceback (most recent call last):\n  File "/srv/p/tests/test_x.py", line 9, in test_eq\n'
    unequal += "    self.assertEqual(add(1, 0), 2)\nAssertionError: 1 != 2\n"
    setup = 'Traceback (most recent call last):\n  File "/srv/p/tests/test_x.py", line 3, in setUpClass\n'
    setup += '    raise OSError("gone")\nOSError: gone\n'
    module = "ImportError: Failed to import test module: test_y\nTraceback (most recent call last):\n"
    module += '  File "/usr/lib/python3.11/unittest/loader.py", line 407, in _find_test_path\n    module = get(name)\n'
    module += '  File "/srv/p/tests/test_y.py", line 1, in <module>\n    import nosuch\n'
    module += "ModuleNotFoundError: No module named 'nosuch'\n"
    found = read(
        suite(
            f'<testcase classname="tests.test_x.TestA" name="test_eq" file="tests/test_x.py" line="7">'
            f'<failure type="AssertionError" message="1 != 2"><![CDATA[{unequal}]]></failure></testcase>',
            f'<testcase classname="" name="setUpClass (tests.test_x.TestB)"><error type="OSError"><![CDATA[{setup}]]>'
            "</error></testcase>",
            f'<testcase classname="unittest.loader._FailedTest" name="test_y"><error><![CDATA[{module}]]></error>'
            "</testcase>",
        )
    )
    assert [(record.nodeid, record.phase, record.test.path, record.test.qualname) for record in found.failures] == [
        ("tests/test_x.py::test_eq", "call", "tests/test_x.py", "TestA::test_eq"),
        ("::setUpClass (tests.test_x.TestB)", "setup", "tests/test_x.py", "TestB::setUpClass"),
        ("unittest.loader._FailedTest::test_y", "collect", "tests/test_y.py", ""),
    ]
    facts = found.failures[0].assertion
    assert (facts.difference, facts.called, found.failures[0].test.line) == ("off by one", "add", 7)
    assert found.failures[1].test.failing_fixture == "setUpClass"
    assert found.failures[2].chain[0].message == "No module named 'nosuch'"


JAVA = """\
org.opentest4j.AssertionFailedError: expected: <3> but was: <4>
	at org.junit.jupiter.api.AssertionUtils.fail(AssertionUtils.java:55)
	at com.shop.Cart.total(Cart.java:12)
	at com.shop.CartTest.total(CartTest.java:33)
Caused by: java.lang.IllegalStateException: closed
	at com.shop.Pool.take(Pool.java:7)
	at java.base/java.util.ArrayList.forEach(ArrayList.java:1511)
	... 12 more
"""


def test_java(read: Read) -> None:
    found = read(
        f'<testsuite name="com.shop.CartTest"><properties><property name="java.version" value="17"/></properties>'
        '<testcase name="total" classname="com.shop.CartTest">'
        f'<failure message="expected" type="x.Y"><![CDATA[{JAVA}]]></failure>'
        '<rerunFailure message="again" type="x.Y"><stackTrace>x</stackTrace><system-out>ERROR not this</system-out>'
        "</rerunFailure>"
        "<system-out>12:00:01 [main] ERROR com.shop.Pool - pool is empty\nINFO fine</system-out></testcase>"
        '<testcase name="flaky" classname="com.shop.CartTest"><flakyFailure type="x.Y"><stackTrace>x</stackTrace>'
        "</flakyFailure></testcase></testsuite>"
    )
    record = only(found)
    assert (found.tests, found.flaky) == (2, 1)
    assert [(raised.type, raised.message, raised.link) for raised in record.chain] == [
        ("org.opentest4j.AssertionFailedError", "expected: <3> but was: <4>", None),
        ("java.lang.IllegalStateException", "closed", "cause"),
    ]
    assert stacks(record) == [
        [
            ("test", "com/shop/CartTest.java", 33, "CartTest.total"),
            ("product", "com/shop/Cart.java", 12, "Cart.total"),
            ("third party", "org/junit/jupiter/api/AssertionUtils.java", 55, "AssertionUtils.fail"),
        ],
        [("product", "com/shop/Pool.java", 7, "Pool.take")],
    ]
    assert record.test.path == "com/shop/CartTest.java"
    assert record.logs == ("ERROR com.shop.Pool - pool is empty",)
    assert record.environment == {"java.version": "17"}


def test_other_languages(read: Read) -> None:
    script = "TypeError: Cannot read properties of undefined\n    at add (lib/cart.js:3:9)\n"
    script += (
        "    at Context.<anonymous> (test/cart.spec.js:9:5)\n    at processImmediate (node:internal/timers:466:21)"
    )
    panic = "panic: runtime error: index out of range [5] with length 3 [recovered]\n\ngoroutine 7 [running]:\n"
    panic += "p.Add(0xc0001)\n\t/home/u/p/add.go:9 +0x1d\np.TestPanic(0xc0001)\n\t/home/u/p/add_test.go:20 +0x2b\n"
    found = read(
        suite(
            case(script, name="mocha", type_="TypeError"),
            case(panic, name="go", message="Failed"),
            case("    add_test.go:12: got 4, want 3", name="go says", message="Failed"),
            '<testcase classname="MathTest" name="google" file="math_test.cc" line="10">'
            '<failure message="math_test.cc:12&#10;Expected" type=""><![CDATA[math_test.cc:12\nExpected]]></failure>'
            '<failure message="math_test.cc:13&#10;Second" type=""><![CDATA[math_test.cc:13\nSecond]]></failure>'
            "</testcase>",
        )
    )
    mocha, go, go_says, google = found.failures
    assert [frame.role for frame in mocha.chain[0].frames] == ["test", "product"]
    assert (mocha.chain[0].type, mocha.culprit.path, mocha.culprit.line) == ("TypeError", "lib/cart.js", 3)
    assert (go.chain[0].type, go.chain[0].message) == ("panic", "runtime error: index out of range [5] with length 3")
    assert (go.culprit.path, go.culprit.qualname) == ("add.go", "p.Add")
    assert (go_says.chain[0].message, go_says.chain[0].frames[0].path) == ("got 4, want 3", "add_test.go")
    assert [(raised.message, raised.link) for raised in google.chain] == [("Expected", None), ("Second", "group")]
    assert google.nodeid == "math_test.cc::google"


def test_of_many_failures_of_one_case_the_first_are_kept(read: Read) -> None:
    faults = "".join(f'<failure message="ValueError: {number}"/>' for number in range(100))
    record = only(read(suite(f'<testcase classname="c" name="n">{faults}</testcase>')))
    assert [raised.message for raised in record.chain] == [str(number) for number in range(20)]
    assert [raised.link for raised in record.chain] == [None, *["group"] * 19]
    assert record.root == record.chain[0]


def test_names_are_kept_as_they_are(read: Read) -> None:
    found = read(
        '<testsuites><testsuite name="jest"><testsuite name="inner" file="src/a.test.js">'
        '<testcase name="adds [1] #x1B é"><failure message="x"/></testcase></testsuite>'
        '<testcase name="outer"><failure message="x"/></testcase></testsuite></testsuites>'
    )
    assert [record.nodeid for record in found.failures] == ["src/a.test.js::adds [1] #x1B é", "jest::outer"]


@pytest.mark.parametrize(
    ("message", "text", "phase"),
    [
        ("failed on setup with \"worker 'gw0' crashed while running 'a::b'\"", "", "crash"),
        ("Failed: Timeout (>1.0s) from pytest-timeout.", "", "timeout"),
        ("test timed out after 100 milliseconds", "", "timeout"),
        ("TimeoutError: timed out", "", "call"),
        ("collection failure", "x", "collect"),
        ('failed on teardown with "OSError: gone"', "", "teardown"),
    ],
)
def test_phases(read: Read, message: str, text: str, phase: str) -> None:
    assert only(read(suite(case(text, message=message)))).phase == phase


def test_messages_without_a_traceback(read: Read) -> None:
    found = read(
        suite(
            case("", message='failed on setup with "OSError: gone"', tag="error"),
            case("", message="app.Error: gone", type_="app.Error"),
            case("", message="it went wrong: twice"),
            case("", message="#x1B[31mred#x1B[0m"),
            '<testcase classname="c" name="n"><failure/></testcase>',
            '<error message="before all tests" type="E"/>',
        )
    )
    assert found.tests == 5
    said = [[(raised.type, raised.message) for raised in record.chain] for record in found.failures]
    assert said == [
        [("OSError", "gone")],
        [("app.Error", "gone")],
        [("", "it went wrong: twice")],
        [("", "red")],
        [],
        [("E", "before all tests")],
    ]
    assert found.failures[-1].nodeid == "s::"


def test_secrets_do_not_get_into_records(read: Read) -> None:
    record = only(read(suite(case("", message="OSError: cannot reach postgres://app:hunter2@db/shop"))))
    assert "hunter2" not in str(record.to_plain())


def test_paths_of_windows(read: Read) -> None:
    text = 'Traceback (most recent call last):\n  File "C:\\p\\pkg\\test_a.py", line 3, in test_b\n    f()\n'
    text += '  File "C:\\p\\pkg\\core.py", line 4, in f\n    1 / 0\nZeroDivisionError: division by zero'
    assert stacks(only(read(suite(case(text))))) == [
        [("test", "pkg/test_a.py", 3, "test_b"), ("product", "pkg/core.py", 4, "f")]
    ]


# Files that are not as they should be.


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("", "is empty; it has no failures to read; let the run"),
        ("no xml at all", "is no XML (line 1, column 1: syntax error); nothing of it is used"),
        ("<html><body/></html>", "is XML, but no JUnit file: its root is <html>"),
        (b"\0" * 1000, "is no XML (line 1"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "is no XML (line 1"),
        (
            "<testsuite><testcase></testsuite>",
            "is no XML from line 1, column 24 on (mismatched tag); 1 test case before",
        ),
        ('<!DOCTYPE a [<!ENTITY a "aaa">]><testsuite><testcase name="&a;"/></testsuite>', "declares an entity (a)"),
        ('<!DOCTYPE a [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]><testsuite/>', "declares an entity (p)"),
        ("<!DOCTYPE a [" + "<!-- x -->" * 1000 + "]><testsuite/>", "has a DOCTYPE of more than 4,096 characters"),
        ("<testsuite>" + "<a>" * 300, "has more than 200 elements within each other"),
        ("<testsuite>" + "".join(f"<a{i}/>" for i in range(10_001)), "has more than 10,000 different names"),
        ("<testsuite " + "a" * 1_100_000, "has a tag of more than 1,048,576 characters"),
        ("<testsuite>&nbsp;</testsuite>", "is no XML from line 1, column 12 on (undefined entity)"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_is_no_junit_file_is_a_message(read: Read, document: str | bytes, said: str) -> None:
    found = read(document)
    assert found.failures == ()
    assert len(found.problems) == 1
    assert said in found.problems[0]


def test_a_doctype_without_entities_does_no_harm(read: Read) -> None:
    assert only(read(f'<!DOCTYPE testsuites SYSTEM "http://nowhere.invalid/x.dtd">\n{HEAD}{FAILING}{TAIL}')).chain


def test_an_entity_of_another_file_is_not_read(read: Read, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("hidden", encoding="utf-8")
    found = read(f'<!DOCTYPE a [<!ENTITY e SYSTEM "{secret.as_uri()}">]>{HEAD}{case("x")}&e;{TAIL}')
    assert found.failures == ()
    assert "hidden" not in str(found)


def test_missing_and_directory_and_device(tmp_path: Path) -> None:
    missing = read_junit(tmp_path / "none.xml")
    assert missing.problems[0].endswith(
        "none.xml: No such file or directory; nothing of it is used; check the path and its permissions"
    )
    assert read_junit(tmp_path).problems == (
        f"{tmp_path} is a directory; it has no failures to read; name the JUnit files in it",
    )
    assert "embedded null" in read_junit("a\0b").problems[0]
    if os.path.exists("/dev/zero"):
        assert "is no regular file" in read_junit("/dev/zero").problems[0]


def test_a_file_without_failures_is_no_problem(read: Read) -> None:
    assert read(suite('<testcase classname="a" name="b"/>')) == JUnitFile(tests=1)
    assert read("<testsuites/>") == JUnitFile()


def test_what_a_truncated_file_has_is_used(read: Read) -> None:
    document = suite(*[case(PLAIN, name=f"test_{number}") for number in range(3)])
    whole = read(document).failures
    ends = [document.index(f'name="test_{number}"') for number in range(3)]
    cut = read(document[: ends[2] - 10])
    assert cut.failures == whole[:2]
    said = r"report\.xml ends in the middle of an element, at line \d+; 2 test cases before that are used; write"
    assert re.search(said, cut.problems[0])
    # Of a failure that breaks off, what there is.
    within = read(document[: ends[2] + 200])
    assert within.failures[:2] == whole[:2]
    assert [record.nodeid for record in within.failures[2:]] == ["pkg.test_a::test_2"]
    for end in range(40, len(document), 61):
        found = read(document[:end])
        complete = document[:end].count("</testcase>")
        assert found.failures[:complete] == whole[:complete]
        assert len(found.problems) == 1


def test_characters_that_xml_does_not_have(read: Read) -> None:
    document = suite(case("", message="ValueError: a\x01b\x1b[31mc\ufffe")).replace("a\x01", "&#27;[1ma&#x2;\x01")
    found = read(document)
    assert found.failures[0].chain[0].message == "a\x02\x01bc\ufffe"
    assert "has 5 characters that XML or its encoding does not have" in found.problems[0]


def test_bytes_of_another_encoding(read: Read) -> None:
    document = suite(case("", message="ValueError: é"))
    broken = read(document.encode("latin-1"))
    assert broken.failures[0].chain[0].message == "\ufffd"
    assert "has 1 character that XML or its encoding does not have" in broken.problems[0]
    for encoding in ("latin-1", "utf-16", "utf-8-sig", "cp1252"):
        declared = document.replace("utf-8", encoding.removesuffix("-sig"))
        assert only(read(declared.encode(encoding))).chain[0].message == "é"
    # A declaration that nobody knows is not believed.
    assert only(read(document.replace("utf-8", "utf-99"))).chain[0].message == "é"
    assert only(read(document.replace("utf-8", "rot13"))).chain[0].message == "é"


def test_too_many_characters_that_are_none_are_no_text(read: Read) -> None:
    found = read(HEAD.encode() + FAILING.encode() + b"\xff" * 1_000_001)
    assert [record.nodeid for record in found.failures] == ["pkg.test_a::test_b"]
    assert "more than 1,000,000 characters that XML does not have; 1 test case before that is used" in found.problems[0]


def test_long_texts_are_cut(read: Read) -> None:
    message = "ValueError: " + "x&amp;" * 300_000
    found = read(suite(f'<testcase classname="c" name="n"><failure message="{message}">E</failure></testcase>'))
    assert len(found.failures[0].chain[0].message) == 4_000
    assert "has 1 attribute longer than 65,536 characters; the rest of each is left out" in found.problems[0]
    # The end of a long text is as good as its beginning: what was raised stands there.
    long = (
        "def test_b():\n>   f()\nE   ValueError: first\n" + "E   and on\n" * 200_000 + "\npkg/test_a.py:3: ValueError"
    )
    record = only(read(suite(case(long))))
    assert record.chain[0].type == "ValueError"
    assert record.chain[0].message.startswith("first\nand on\n")
    assert stacks(record) == [[("test", "pkg/test_a.py", 3, "test_b")]]


def test_comments_sections_and_chunks(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    document = (
        f"<?xml version='1.1'?><!-- <testcase> -- >\n{'-' * 50} --><?x ?>{HEAD.partition('?>')[2]}"
        f"<testcase classname='a>b' name=\"'>'\"><failure message='ValueError: &lt;&#38;&gt;'><![CDATA[<a>]] > ]]&gt; "
        f"</a>]]></failure></testcase>{FAILING}{TAIL}<!-- end -->"
    )
    whole = read(document)
    assert [record.nodeid for record in whole.failures] == ["a>b::'>'", "pkg.test_a::test_b"]
    assert whole.failures[0].chain[0].message == "<&>"
    for size in (1, 2, 3, 7, 50):
        monkeypatch.setattr("pytest_qeattention.defects.xml_stream.CHUNK_BYTES", size)
        assert read(document) == whole


def test_damaged_bytes_never_raise(read: Read) -> None:
    short = case("E   assert 1 == 2\n\ntest_a.py:3: AssertionError")
    document = bytearray(suite(case(PLAIN), case(JAVA), short), "utf-8")
    draw = random.Random(6)
    for _ in range(150):
        damaged = bytearray(document)
        for _ in range(draw.randrange(1, 6)):
            at = draw.randrange(len(damaged))
            damaged[at : at + draw.randrange(4)] = draw.randbytes(draw.randrange(4))
        found = read(bytes(damaged))
        assert len(found.failures) <= 3


def test_ten_thousand_failures(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    document = suite(*['<testcase classname="c" name="n"><failure message="E: x"/></testcase>'] * 10_000)
    monkeypatch.setattr(junit_file, "MOST_FAILURES", 9_000)
    found = read(document)
    assert (len(found.failures), found.tests) == (9_000, 10_000)
    assert "has more than 9,000 failures; 1,000 after those are left out; give" in found.problems[0]


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is asked of Linux")
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "report.xml"
    with path.open("w", encoding="utf-8") as file:
        file.write(HEAD + FAILING)
        file.write('<testcase classname="a" name="b"><system-out>' + "WARNING it is late\n" * 500_000)
        file.write('</system-out></testcase><testcase classname="a" name="c"><failure message="' + "x" * 10_000_000)
        file.write('">' + "y" * 10_000_000 + "</failure></testcase><!--" + "z" * 10_000_000 + "-->" + TAIL)
    code = dedent("""
        import resource, sys
        from pytest_qeattention.defects.junit_file import read_junit
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        found = read_junit(sys.argv[1])
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        print(len(found.failures), grown, "numpy" in sys.modules, "pytest" in sys.modules)
        """)
    shown = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True).stdout
    failures, grown_kib, *imported = shown.split()
    assert (failures, imported) == ("2", ["False", "False"])
    assert int(grown_kib) < 20_000


LONG_MODULE = """\
import os

    def load(name):
        return name

>   LIMIT = int("x")
E   ValueError: invalid literal for int() with base 10: 'x'

shop/core.py:6: ValueError"""


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (LONG_MODULE, "<module>"),
        (
            "    key = 1\n\n>   key = lambda value: value.missing\nE   AttributeError: x\n\nshop/core.py:3: A",
            "<lambda>",
        ),
        (">   return [1 / each for each in value]\nE   ZeroDivisionError: x\n\nshop/core.py:3: Z", "<listcomp>"),
        (">   return sum(1 / each for each in value)\nE   ZeroDivisionError: x\n\nshop/core.py:3: Z", "<genexpr>"),
        (">   return {each: 1 / each for each in value}\nE   ZeroDivisionError: x\n\nshop/core.py:3: Z", "<dictcomp>"),
        (">   return {1 / each for each in value}\nE   ZeroDivisionError: x\n\nshop/core.py:3: Z", "<setcomp>"),
        (">   def load(): raise ValueError\nE   ValueError\n\nshop/core.py:3: ValueError", "load"),
    ],
)
def test_code_without_a_def_has_the_name_that_python_gives_it(read: Read, text: str, name: str) -> None:
    record = only(read(suite(case(text))))

    assert [frame.qualname for frame in record.chain[0].frames] == [name]
