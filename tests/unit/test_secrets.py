from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_qeattention.defects.record import Assertion, FailureRecord, Frame, Raised, TestFacts
from pytest_qeattention.defects.secrets import CUT, redact

# Made of pieces, so that no scanner of repositories takes them for secrets.
RANDOM = "aB3dE6gH9jK2mN5pQ8sT" + "uV1xY4zA7cD0"
GITHUB = "ghp_" + RANDOM + "12"
JWT = "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0In0" + ".c2lnbmF0dXJl"
BEGIN, END = "-----BEGIN RSA PRIVATE " + "KEY-----", "-----END RSA PRIVATE " + "KEY-----"

SHAPES = {
    "postgres://joe:hunter2@db:5432/shop is down": "postgres://joe:<redacted>@db:5432/shop is down",
    "redis://:hunter2@cache/0": "redis://:<redacted>@cache/0",
    "amqp://joe:hun/ter2@mq//": "amqp://joe:<redacted>@mq//",
    f"https://{RANDOM}@example.com/a.git": "https://<redacted>@example.com/a.git",
    "http://host:8080/path/x@y": "http://host:8080/path/x@y",
    f"Authorization: Bearer {RANDOM}": "Authorization: Bearer <redacted>",
    "{'Authorization': 'Basic am9lOmh1bnRlcjI=', 'x': 1}": "{'Authorization': 'Basic <redacted>', 'x': 1}",
    "('Authorization', 'hunter2')": "('Authorization', '<redacted>')",
    "Cookie: session=hunter2; theme=dark": "Cookie: <redacted>",
    "X-Api-Key: hunter2": "X-Api-Key: <redacted>",
    f"sent Bearer {RANDOM}.": "sent Bearer <redacted>",
    "token=hunter2a": "token=<redacted>",
    'api_key: "hunter2"': 'api_key: "<redacted>"',
    "apiKey='hunter2'": "apiKey='<redacted>'",
    '{"password": "hunter2", "user": "joe"}': '{"password": "<redacted>", "user": "joe"}',
    "{'password': 'hun\\'ter2', 'user': 'joe'}": "{'password': '<redacted>', 'user': 'joe'}",
    '"{\\"password\\": \\"hunter2\\"}"': '"{\\"password\\": \\"<redacted>\\"}"',
    "{'password': b'hunter2'}": "{'password': b'<redacted>'}",
    "login(user='joe', password='hunter2')": "login(user='joe', password='<redacted>')",
    "Settings(secret_key=hunter2, debug=True)": "Settings(secret_key=<redacted>, debug=True)",
    "DB_PASSWORD=hunter2 HOME=/root": "DB_PASSWORD=<redacted> HOME=/root",
    "export MY_SECRET='hunter two'": "export MY_SECRET='<redacted>'",
    "os.environ['SECRET_KEY'] = 'hunter2'": "os.environ['SECRET_KEY'] = '<redacted>'",
    "Error: password=hunter2": "Error: password=<redacted>",
    "url='x?a=1&secret=hunter2'": "url='x?a=1&secret=<redacted>'",
    "password: hunter2": "password: <redacted>",
    "--password hunter2 --user joe": "--password <redacted> --user joe",
    "--api-key=hunter2": "--api-key=<redacted>",
    "['curl', '--token', 'hunter2', 'url']": "['curl', '--token', '<redacted>', 'url']",
    "[('password', 'hunter2'), ('user', 'joe')]": "[('password', '<redacted>'), ('user', 'joe')]",
    "get(url, auth=('joe', 'hunter2'))": "get(url, auth=('joe', '<redacted>'))",
    "password 'hunter2' was rejected": "password '<redacted>' was rejected",
    "/cb?client_secret=hunter2&state=1": "/cb?client_secret=<redacted>&state=1",
    "/f?X-Amz-Signature=0a1b2c3d4e5f&x=1": "/f?X-Amz-Signature=<redacted>&x=1",
    "SharedAccessKey=aB3/dE6+gH9=;EntityPath=x": "SharedAccessKey=<redacted>;EntityPath=x",
    "key AKIA" + "IOSFODNN7EXAMPLE is unknown": "key <redacted> is unknown",
    f"remote: {GITHUB} is revoked": "remote: <redacted> is revoked",
    "x github_pat_" + RANDOM: "x <redacted>",
    "x glpat-" + RANDOM: "x <redacted>",
    "x xoxb-" + "1234567890-" + RANDOM: "x <redacted>",
    "x pypi-" + RANDOM: "x <redacted>",
    "x npm_" + RANDOM: "x <redacted>",
    "x sk_live_" + RANDOM: "x <redacted>",
    "x sk-proj-" + RANDOM: "x <redacted>",
    "x AIza" + RANDOM + "123": "x <redacted>",
    "x hf_" + RANDOM: "x <redacted>",
    f"jwt {JWT} expired": "jwt <redacted> expired",
    f"cert {BEGIN}\nMIIEow+/=\nabc\n{END} rest": "cert <redacted> rest",
    f"'{BEGIN}\\nMIIEow\\nabc\\n{END}\\n'": "'<redacted>\\n'",
    f"cut {BEGIN}\nMIIEow": "cut <redacted>",
}


@pytest.mark.parametrize(("text", "left"), SHAPES.items())
def test_what_surrounds_a_secret_stays(text: str, left: str) -> None:
    assert redact(text) == left
    assert redact(left) == left
    assert "hunter" not in left


@pytest.mark.parametrize(
    "text",
    [
        "KeyError: 'password'",
        "fixture 'token' not found",
        "'Session' object has no attribute 'secret'",
        "missing 2 required positional arguments: 'token' and 'secret'",
        "Unexpected token: '}' at 3",
        "token=Token(NAME, 'x')",
        "tokens: [1, 2]",
        "password=None",
        "password: required",
        "assert token == 'x'",
        "basic authentication failed",
        "the secret of tea",
        "secretary = 'Jane'",
        "monkey='banana', tokenizer='bert'",
        "http://example.com:80/@joe",
        "sk-learn, AKIA, ghp_short",
        "a://b:c",
        "",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize("length", [0, 10, 3_990, 4_000, 4_100, 8_000, 8_090, 8_200, 60_000])
def test_a_cut_text_is_no_longer_than_asked_and_leaves_no_part_of_a_secret(length: int) -> None:
    for secret in (GITHUB, f"password='{RANDOM}'", f"postgres://joe:{RANDOM}@db"):
        left = redact("x " * (length // 2) + secret + " y" * 3_000, 4_000)
        assert len(left) <= 4_000
        assert left.endswith(CUT)
        assert RANDOM[:6] not in left
        assert redact(left, 4_000) == left


def test_a_text_of_the_right_length_is_not_cut() -> None:
    assert redact("x" * 4_000, 4_000) == "x" * 4_000
    assert redact("x" * 4_001, 4_000) == "x" * 3_999 + CUT


@settings(deadline=None, max_examples=100)
@given(
    st.lists(
        st.sampled_from([*SHAPES, " ", "\n", "'", '"', "=", "{", "}", "password", "token", "://", "@"]), max_size=4
    )
)
def test_redacting_again_changes_nothing(parts: list[str]) -> None:
    once = redact("".join(parts))
    assert redact(once) == once


UNITS = [
    *(
        "a=",
        "password",
        "password='",
        "password=' ",
        "('a', '",
        "('password', 'a",
        "://",
        "://a:b/",
        "http://a:b@",
        BEGIN,
    ),
    *(
        "Bearer ",
        "Authorization: a",
        "Cookie: a\n",
        "--password ",
        "eyJaaaaaaaa.",
        "sk-",
        "xoxb-a",
        "auth=('a', '",
        "A",
    ),
    *("password is '", "x-aaaa-token", "12345678:AA", "\\'", 'password=\\"', "a.", "\n"),
]


@pytest.mark.parametrize("unit", UNITS)
def test_a_megabyte_of_anything_is_no_trouble(unit: str) -> None:
    # A pattern that takes more than time in proportion would take minutes here.
    text = unit * (1_000_000 // len(unit))
    assert len(redact(text, 4_000)) <= 4_000
    assert "hunter2" not in redact(f"{text[:40_000]}\n\"') password='hunter2'")


SECRET = "hunter" + "22hunter22"


@pytest.mark.parametrize(
    "text",
    [
        f"password={SECRET}",
        f"{{'api_key': '{SECRET}'}}",
        f"postgres://joe:{SECRET}@db/shop",
        f"Authorization: Bearer {SECRET}",
        f"--token {SECRET}",
    ],
)
def test_no_field_of_a_record_holds_a_secret(text: str) -> None:
    frame = Frame.of(text, 3, text, text, "product")
    record = FailureRecord.of(
        text,
        "call",
        TestFacts.of(text, text, 3, [("", text), ("password", SECRET), (text, "x")], [text], text, text),
        [Raised.of(text, text, None, [frame])],
        culprit=frame,
        assertion=Assertion.of(text, text, text, "values", text),
        logs=[text],
        environment={"python": text, "DB_PASSWORD": SECRET},
        revision=text,
        changed=[text],
    )
    plain = json.dumps(record.to_plain())
    assert SECRET not in plain
    assert plain.count("redacted") > 20
