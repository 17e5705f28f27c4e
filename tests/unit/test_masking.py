from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pytest_qeattention.defects.masking import LONGEST_READ, MOST_TYPED, mask

TEMPLATES = {
    "2026-11-22 12:44:48,924 failed": "<date> failed",
    "at 2026-11-22T12:44:48.924481+00:00": "at <date>",
    "Sun, 22 Nov 2026 12:44:48 GMT": "<date>",
    "Sun Nov 22 14:15:38 2026 x": "<date> x",
    "[22/Nov/2026:14:15:38 +0000]": "[<date>]",
    "== datetime.datetime(2026, 11, 22, 12, 44, tzinfo=datetime.timezone.utc)": (
        "== datetime.datetime(<date>, tzinfo=datetime.timezone.utc)"
    ),
    "datetime.timedelta(days=1, seconds=60)": "datetime.timedelta(<duration>)",
    "took 0.35s, 12 ms, 1m30s, 3.5 seconds": "took <duration>, <duration>, <duration>, <duration>",
    "id cd9f53ae-ee4c-49d2-b98b-e001c0862c40.": "id <uuid>.",
    "<Foo object at 0x7fc12f043110>": "<Foo object at <address>>",
    "<Mock name='m' id='139790388706512'>": "<Mock name='m' id='<address>'>",
    "commit 58a329c8 of da39a3ee5e6b4b0d3255bfef95601890afd80709": "commit <hash> of <hash>",
    "to 10.0.0.3:41234 or [fe80::1]:41235": "to <ip>:<port> or [<ip>]:<port>",
    "localhost:43567 and localhost:5432": "localhost:<port> and localhost:5432",
    "https://api.example.com/v1/users/42?page=3": "https://api.example.com/v1/users/<number>?<query>",
    "mail to joe.doe@example.com": "mail to <email>",
    "'/tmp/pytest-of-root/pytest-14/test_x0/config.yaml'": "'<path>/config.yaml'",
    'File "/home/ci/project/a/b.py", line 12, in f': 'File "<path>/b.py", line <number>, in f',
    r"C:\Users\joe\data.csv is gone": "<path>/data.csv is gone",
    r"'C:\\Users\\joe\\My Files\\data.csv'": "'<path>/data.csv'",
    "sqlite:////var/lib/x/test.db": "sqlite://<path>/test.db",
    "tests/unit/test_a.py::test_b[3]": "<path>/test_a.py::test_b[<number>]",
    "GET /api/v1/users/17/orders of application/json": "GET /api/v1/users/<number>/orders of application/json",
    "Task-3 Thread-12 pid 4242 ForkPoolWorker-2 gw1": "Task-<id> Thread-<id> pid <id> ForkPoolWorker-<id> <id>",
    "-3 +4 1,234 1_000 1.5e-05 .5 2+3j 0x1f": (
        "<number> <number> <number> <number> <number> <number> <number>+<number> <number>"
    ),
    "needs 10 MB, 512 bytes": "needs <size>, <size>",
    "body " + repr("x y " * 30): "body '<text>'",
    "data aB1cD2eF3gH4iJ5kL6mN7oP8qR9s= end": "data <base64> end",
    "tag 'bWVzc2FnZTogMA=='": "tag '<base64>'",
    "opened tmpa1b2c3d4": "opened <id>",
    "\x1b[31mred\x1b[0m \x1b]8;;x\x07link": "red link",
    "a  b\n\n\tc": "a b c",
    "utf-8 iso-8859-1 sha256 int64 x86_64 test_foo_2_bar_3": "utf-8 iso-8859-1 sha256 int64 x86_64 test_foo_2_bar_3",
    "HTTP/1.1 503": "HTTP/1.1 503",
    "needs foo>=2.0, found 3.11.7 on Python 3.12": "needs foo>=2.0, found 3.11.7 on Python 3.12",
    "": "",
}


@pytest.mark.parametrize(("text", "template"), TEMPLATES.items())
def test_what_varies_is_written_as_its_kind(text: str, template: str) -> None:
    assert "".join(mask(text).template.split(":1>")) == "".join(template.split(":1>"))
    assert mask(template).template == mask(text).template


POOL = "HTTPConnectionPool(host='localhost', port={port}): Max retries exceeded with url: /users/{id} (Caused by "
POOL += "NewConnectionError('<urllib3.connection.HTTPConnection object at {at}>: [Errno 111] Connection refused'))"

SAME = [
    (POOL.format(port=40123, id=7, at="0x7f237dd5b880"), POOL.format(port=51234, id=81, at="0x7fc12f043110")),
    (
        "assert {'a': 1, 'b': {2, 3}} == {}\n  \n  Use -v to get more diff",
        "assert {'b': {3, 2}, 'a': 1} == {}",
    ),
    (
        "assert {'x', 'y'} == {'z'}\n  Extra items in the left set:\n  'x'\n  'y'\n  Use -v to get more diff",
        "assert {'y', 'x'} == {'z'}\n  Extra items in the left set:\n  'y'\n  'x'\n  Use -v to get more diff",
    ),
    (
        "assert 3 == 4\n +  where 3 = f(<Foo object at 0x7f237dd5b880>)",
        "assert 3 == 4\n +  where 3 = f(<Foo object at 0x55d0c1a2b3c4>)",
    ),
    (
        "Lists differ: [1, 20] != [1, 30]\n- [1, 20]\n?     ^\n\n+ [1, 30]\n?     ^",
        "Lists differ: [1, 20] != [1, 30]\n- [1, 20]\n+ [1, 30]",
    ),
    (
        "[Errno 2] No such file or directory: '/tmp/pytest-of-joe/pytest-3/test_a0/x.toml'",
        "[Errno 2] No such file or directory: '/private/var/folders/zz/pytest-of-ci/pytest-0/test_a1/x.toml'",
    ),
    (
        'Traceback: File "/home/joe/src/app/main.py", line 12, in run',
        'Traceback: File "D:\\a\\app\\app\\main.py", line 14, in run',
    ),
    (
        "(1062, \"Duplicate entry 'joe-1@example.com' for key 'users.email'\")",
        "(1062, \"Duplicate entry 'joe-2@example.com' for key 'users.email'\")",
    ),
    (
        'duplicate key value violates unique constraint "users_pkey"\nDETAIL:  Key (id)=(5) already exists.',
        'duplicate key value violates unique constraint "users_pkey"\nDETAIL:  Key (id)=(17) already exists.',
    ),
    (
        "Task <Task pending name='Task-7' coro=<f() running at /a/b/x.py:12>> got Future attached to a different loop",
        "Task <Task pending name='Task-91' coro=<f() running at /c/x.py:19>> got Future attached to a different loop",
    ),
    ("Timeout >30.0s after 12:01:02", "Timeout >30.1s after 23:59:59"),
    ("worker 'gw0' crashed while running 'tests/a.py::test_x'", "worker 'gw11' crashed while running 'b/a.py::test_x'"),
    (
        'could not connect to server at "127.0.0.1", port 5432: waited 2.1 s',
        'could not connect to server at "172.17.0.3", port 5432: waited 9.8 s',
    ),
    ("No space left: wrote 12.5 MB to tmpab1defgh", "No space left: wrote 1 GB to tmpzz9_x1yq"),
    ("job 8d7f3c2a-0d4e-4f5b-9c1d-2e3f4a5b6c7d lost", "job 11111111-2222-3333-4444-555555555555 lost"),
    ("\x1b[1massert\x1b[0m x", "assert x"),
    (f"body {'abc ' * 30!r} != ''", f"body {'xyz ' * 40!r} != ''"),
    ("calls: [call(10, <Mock id='139790388706512'>)]", "calls: [call(12, <Mock id='140467690231504'>)]"),
    ("404 Client Error: Not Found for url: http://h/a?t=1", "404 Client Error: Not Found for url: http://h/a?t=2&u=3"),
]


@pytest.mark.parametrize(("first", "second"), SAME)
def test_the_same_failure_in_two_runs_masks_equal(first: str, second: str) -> None:
    assert first != second
    assert mask(first) == mask(second)


DIFFERENT = [
    ("HTTP 404: Not Found", "HTTP 404: Gone"),
    ("assert 404 == 200", "assert 503 == 200"),
    ("Response status 404", "Response status 503"),
    ("<Response [404]>", "<Response [503]>"),
    ("404 Client Error", "403 Client Error"),
    ("Expected status 200 but got 404", "Expected status 200 but got 500"),
    ("{'status': 404}", "{'status': 500}"),
    ("[Errno 111] Connection refused", "[Errno 113] Connection refused"),
    ("OSError(111, 'Refused')", "OSError(113, 'Refused')"),
    ("'X' object has no attribute 'foo'", "'X' object has no attribute 'bar'"),
    ("'NoneType' object has no attribute 'x'", "'int' object has no attribute 'x'"),
    ("'reply_to'", "'optionsx'"),
    ("fixture 'db' not found", "fixture 'cache' not found"),
    ("No module named 'yaml'", "No module named 'toml'"),
    ("invalid literal for int() with base 10: 'x'", "invalid literal for int() with base 10: ''"),
    ("not enough values to unpack (expected 2, got 1)", "too many values to unpack (expected 2, got 1)"),
    ("exit status 1", "exit status 2"),
    ("returncode=-9", "returncode=1"),
    ("connect to localhost:5432 failed", "connect to localhost:6379 failed"),
    ("at https://a.example.com/x", "at https://b.example.com/x"),
    ("No such file: '/a/b/x.toml'", "No such file: '/a/b/y.toml'"),
    ("needs foo>=2.0", "needs foo>=3.0"),
    ("Python 3.11 is too old", "Python 3.10 is too old"),
    ("ORA-00942: no table", "ORA-00001: no table"),
    ("assert {'a': 1} == {}", "assert {'b': 1} == {}"),
    ("assert [1, 2] == [2, 2]", "assert [1, 2] == [3, 4]"),
    ("closed with code 1006", "closed with code 1000"),
    ("NewConnectionError('" + "x" * 90 + " [Errno 111]')", "NewConnectionError('" + "x" * 90 + " [Errno 113]')"),
    (f"logs: ['{'a b ' * 30} Error: disk']", f"logs: ['{'a b ' * 30} Error: net']"),
    (f"Actual message: '{'a b ' * 30} did not match'", f"Actual message: '{'a b ' * 30} does not match'"),
    ("DID NOT RAISE <class 'ValueError'>", "DID NOT RAISE <class 'KeyError'>"),
]


@pytest.mark.parametrize(("first", "second"), DIFFERENT)
def test_different_failures_stay_different(first: str, second: str) -> None:
    assert mask(first).template != mask(second).template


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        ("HTTP 404: Not Found", ("status", "404")),
        ("assert 404 == 200", ("status", "200")),
        ("[Errno 111] Connection refused", ("errno", "111")),
        ("OSError(28, 'No space left on device')", ("errno", "28")),
        ('(2003, "Can\'t connect to the server")', ("errno", "2003")),
        ("'X' object has no attribute 'foo'", ("attribute", "foo")),
        ("'X' object has no attribute 'foo'", ("type", "X")),
        ("No module named 'a.b'", ("module", "a.b")),
        ("fixture 'db' not found", ("fixture", "db")),
        ("f() got an unexpected keyword argument 'x'", ("argument", "x")),
        ("name 'frobnicate' is not defined", ("name", "frobnicate")),
        ("returned non-zero exit status 128.", ("exit", "128")),
        ("Python 3.12 is needed", ("version", "3.12")),
        ("redis://localhost:6379/0", ("port", "6379")),
        ("closed (code=1006)", ("code", "1006")),
    ],
)
def test_what_must_not_be_masked_is_told(text: str, typed: tuple[str, str]) -> None:
    masked = mask(text)
    assert typed in masked.typed
    assert typed[1] in masked.template


@pytest.mark.parametrize(
    "text", ["price(12, 'JPY')", "order(12, 'Two cups')", "shop.order(12, 'Two cups')", "(12, 'JPY')"]
)
def test_a_number_of_a_call_is_no_errno(text: str) -> None:
    assert "errno" not in dict(mask(f"assert 3 == 4 + where 3 = {text}").typed)


def test_a_value_met_again_gets_its_number() -> None:
    assert mask("assert 3 == 4\n +  where 3 = f(4, 5)").template == (
        "assert <number:1> == <number:2> + where <number:1> = f(<number:2>, <number>)"
    )
    first, second = "0x7f237dd5b880", "0x7f237dd5b990"
    assert mask(f"<A at {first}> is <A at {second}>").template == "<A at <address>> is <A at <address>>"
    assert mask(f"<A at {first}> is <A at {first}>").template == "<A at <address:1>> is <A at <address:1>>"
    assert mask("/tmp/a/x.py and /tmp/a/y.py").template == "<path:1>/x.py and <path:1>/y.py"


def test_a_code_is_kept_wherever_it_is_met() -> None:
    text = "assert 404 == 200\n +  where 404 = <Response [404]>.status_code"
    assert mask(text).template == "assert 404 == 200 + where 404 = <Response [404]>.status_code"


def test_numbers_follow_the_order_after_sorting() -> None:
    assert mask("{'b': 7, 'a': 8} 8 7").template == "{'a': <number:1>, 'b': <number:2>} <number:1> <number:2>"
    assert mask("{'a': 8, 'b': 7} 8 7") == mask("{'b': 7, 'a': 8} 8 7")


def test_brackets_in_strings_and_lists_keep_their_order() -> None:
    assert mask("'{b, a}' [b, a] (b, a) {b, a}").template == "'{b, a}' [b, a] (b, a) {a, b}"
    assert mask("{b, a]} {d, c}").template == "{b, a]} {c, d}"
    assert mask("{b, {d, c}, a}").template == "{a, b, {c, d}}"


def test_what_is_told_is_bounded() -> None:
    masked = mask(" ".join(f"'name{letter}{other}'" for letter in "abcdefghij" for other in "klmnopqrst"))
    assert len(masked.typed) == MOST_TYPED
    long = mask("1 " * LONGEST_READ)
    assert len(long.template) <= LONGEST_READ
    assert mask(long.template) == long


TOKENS = st.sampled_from(
    [token for text in TEMPLATES for token in text.split(" ")[:4]]
    + list("'\"{}[]()<>,:;=/\\.-+@%~_ \n")
    + ["<number>", "<number:1>", "<path>/x.py", "<uuid>", "<redacted>", "b'", "{'b': 1, 'a': 2}", "fe80::", "1.2.3.4.5"]
    + ["404", "status ", "[Errno 5]", "x.py:12", "é", "²", "\ud800", "\x1b[0m", "port=", "a/b", "1/2s"]
)
TEXTS = st.lists(TOKENS, max_size=12).map("".join) | st.text(max_size=60)


@settings(deadline=None, max_examples=120)
@given(TEXTS)
@example("1/2s")
@example("'1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29'")
@example("{<number:2>: <number:1>, <number:1>: <number:2>}")
def test_masking_again_changes_nothing(text: str) -> None:
    masked = mask(text)
    assert mask(masked.template).template == masked.template
    assert mask(text) == masked
    assert masked.template == " ".join(masked.template.split())


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(st.sampled_from("abcdefgh"), st.integers() | st.text("xyz '\"", max_size=5)), st.randoms())
def test_the_order_of_a_dict_does_not_count(values: dict[str, object], random: object) -> None:
    items = list(values.items())
    random.shuffle(items)  # type: ignore[attr-defined]
    assert mask(f"assert {values} == 1") == mask(f"assert {dict(items)} == 1")


UNITS = [
    *(
        "a",
        "1",
        "1 ",
        "1,",
        "1,111",
        "1_",
        "1.",
        "a.",
        "a/",
        "/",
        "a-",
        "a@",
        "a@a.",
        "'",
        " 'a",
        " 'a'b",
        '"',
        "\\",
        "\\'",
    ),
    *(
        "{",
        "{a,",
        "<",
        "<number>",
        "<path>/",
        "f0",
        "a1",
        "12345678-1234-",
        "1:",
        "a::",
        "ab12:",
        "http://",
        "://",
        "C:\\",
    ),
    *(
        "\\\\a",
        "\x1b[",
        "\x1b]a",
        "? ^\n",
        "E   \n",
        "datetime.datetime(1, ",
        "aB1+",
        "h.a:80",
        "Jan ",
        "12:12:",
        "1h1m",
    ),
    *(
        "Extra items in the left set:\nb\na\n",
        "status 404 ",
        "(1, 'A",
        "+",
        "%a",
        "tmp",
        "0x",
        "\t ",
        "\ud800",
        "Sun, ",
    ),
]


@pytest.mark.parametrize("unit", UNITS)
def test_a_megabyte_of_anything_is_no_trouble(unit: str) -> None:
    # What is read is bounded; within the bound no pattern may take more than time in proportion. One that did would
    # take minutes for this file.
    megabyte = unit * (1_000_000 // len(unit))
    masked = mask(megabyte)
    assert masked == mask(megabyte[:LONGEST_READ])
    assert len(masked.template) <= LONGEST_READ
