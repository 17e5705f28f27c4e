"""What the encoder reads of functions and texts, by the compiled twin and in Python."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest

from pytest_qeattention.encoder.tokens import (
    LOCALS,
    MOST_PARTS,
    ROLES,
    TokenSequence,
    batch,
    code_sequences,
    code_tokens,
    hashed_part,
    named_tokens,
    parsed_function,
    twin,
    word_sequences,
    word_tokens,
)
from pytest_qeattention.syntax import twins


@pytest.fixture(params=["compiled", "python"], autouse=True)
def implementation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("QE_BACKEND", "numpy" if request.param == "python" else "")
    twin.cache_clear()
    if twin().info()["implementation"] != request.param:
        pytest.skip("this installation has no compiled core")
    yield request.param
    twin.cache_clear()


def tokens_of(source: str) -> TokenSequence:
    (node,) = ast.parse(textwrap.dedent(source)).body
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    return code_tokens(node)


def spelled(sequence: TokenSequence, *words: str) -> list[str]:
    """Write tokens as ROLE or ROLE:part_part, with the parts that *words* give."""
    names = {hashed_part(word): word for word in words}
    hashes = iter(np.frombuffer(sequence.parts, np.uint32).tolist())
    found = []
    for role, count in zip(sequence.roles, sequence.counts, strict=True):
        parts = "_".join(names.get(next(hashes), "?") for _ in range(count))
        found.append(f"{ROLES[role]}:{parts}" if parts else ROLES[role])
    assert next(hashes, None) is None
    return found


def test_tokens_follow_the_source() -> None:
    sequence = tokens_of("""
        @pytest.mark.slow
        def test_get(client):
            '''Docstrings are what others ask by.'''
            got = client.get_json("/a/b", timeout=3)
            assert got.code == 200
    """)
    assert spelled(sequence, "pytest", "mark", "slow", "client", "get", "json", "a", "b", "timeout", "code") == [
        *("decorator", "name:pytest", "attribute:mark", "attribute:slow", "argument:client"),
        *("Assign", "local0", "Call", "name:client", "attribute:get_json", "str1:a_b", "keyword:timeout", "int2"),
        *("Assert", "Compare", "local0", "attribute:code", "Eq", "int3"),
    ]


def test_local_names_are_numbered_and_others_kept() -> None:
    one = tokens_of("def test():\n    a = f()\n    for b in a:\n        g(a, b)\n")
    other = tokens_of("def test():\n    left = f()\n    for right in left:\n        g(left, right)\n")
    assert one == other
    assert spelled(one, "f", "g").count("local1") == 2
    assert tokens_of("def test():\n    a = f()\n") != tokens_of("def test():\n    a = g()\n")
    assert spelled(tokens_of("def test():\n    global a\n    a = 1\n"), "a") == ["Global", "Assign", "name:a", "int1"]


def test_there_are_as_many_locals_as_roles_for_them() -> None:
    many = "".join(f"    v{number} = 1\n" for number in range(LOCALS + 1))
    roles = [name for name in spelled(tokens_of("def test():\n" + many)) if name.startswith("local")]
    assert roles[0] == roles[LOCALS] == "local0"
    assert len(set(roles)) == LOCALS


@pytest.mark.parametrize(
    ("unittest", "plain"),
    [
        ("self.assertEqual(f(x), 1)", "assert f(x) == 1"),
        ("self.assertIsNone(f(x))", "assert f(x) is None"),
        ("self.assertTrue(f(x))", "assert f(x)"),
    ],
)
def test_assertions_of_unittest_read_as_plain_ones_but_for_their_order(unittest: str, plain: str) -> None:
    one, other = (tokens_of(f"def test(self):\n    {text}\n") for text in (unittest, plain))
    assert sorted(zip(one.roles, one.counts, strict=True)) == sorted(zip(other.roles, other.counts, strict=True))


def test_words_are_parts_in_lower_case_and_numbers_are_one_word() -> None:
    assert spelled(word_tokens("HTTPServer retries_3 times!"), "http", "server", "retries", "#", "times") == [
        *("word:http", "word:server", "word:retries", "word:#", "word:times")
    ]
    assert len(word_tokens("")) == len(word_tokens(" \n!")) == 0


def test_many_are_read_as_one_by_one() -> None:
    nodes = ast.parse("def a(x): return x\nasync def b(): y = 1\n").body
    assert code_sequences(nodes) == [code_tokens(node) for node in nodes]  # type: ignore[arg-type]
    assert word_sequences(["a_b", "", "ü 3"]) == [word_tokens("a_b"), word_tokens(""), word_tokens("ü 3")]
    assert code_sequences([]) == word_sequences([]) == []


def test_a_name_stands_before_the_tokens() -> None:
    sequence = tokens_of("def get_one(key):\n    return key\n")
    assert spelled(named_tokens("get_one", sequence), "get", "one", "key") == [
        *("function:get_one", "argument:key", "Return", "name:key")
    ]
    assert named_tokens("_" + "a_b_" * 9, sequence).counts[0] == MOST_PARTS


@pytest.mark.parametrize("indentation", ["", "    ", "\n\n  "])
def test_a_function_is_read_with_its_indentation(indentation: str) -> None:
    text = "async def test():\n        f('''one\n      two\n   \nthree''')\n"
    expected = code_tokens(ast.parse(text).body[0])  # type: ignore[arg-type]
    assert code_tokens(parsed_function(indentation + text)) == expected
    decorated = parsed_function(f"{indentation}@mark\n{indentation.lstrip(chr(10))}def test(): return 1\n")
    assert code_tokens(decorated) == tokens_of("@mark\ndef test(): return 1")
    assert code_tokens(parsed_function("\tdef test():\n\t\treturn 1\n")) == tokens_of("def test(): return 1")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1", "it is not one function, but 1 statement"),
        ("  x = 1; y = 2", "it is not one function, but 2 statements"),
        ("  def f(): pass\ndef g(): pass", "it is not one function, but 2 statements"),
        ("  def f(): pass\nelse: pass", r"it is not a function in Python \(unexpected indent .*line 1\)\)"),
        ("  ", "it is not one function, but no statements"),
        ("  def f(:\n    pass", r"it is not a function in Python \(invalid syntax .*line 1\)\)"),
        ("def f(): '\0'", r"it is not a function in Python \(source code.* null bytes\)"),
    ],
)
def test_what_is_no_function_is_named(source: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        parsed_function(source)


def test_what_python_warns_of_is_read_without_a_word() -> None:
    # Warnings are errors here.
    assert spelled(code_tokens(parsed_function("  def test(): assert '\\d' is x\n")))[0] == "Assert"


def test_a_twin_that_is_left_over_is_named_and_python_reads(
    monkeypatch: pytest.MonkeyPatch, implementation: str
) -> None:
    if implementation == "python":
        pytest.skip("Python was asked for")
    expected = word_tokens("two words")
    monkeypatch.setattr(twins, "importlib", SimpleNamespace(import_module=lambda name: SimpleNamespace(INTERFACE=0)))
    twin.cache_clear()
    assert word_tokens("two words") == expected
    problem = twin().problem
    assert problem is not None
    assert problem.startswith("the compiled tokenizer of functions has interface 0, this package needs ")
    assert problem.endswith(": it is left over from another version; Python reads them, which takes longer; reinstall")


def test_a_long_string_gives_its_first_words() -> None:
    sequence = tokens_of("def test():\n    f('" + "many words " * 50 + "')\n")
    assert max(sequence.counts) == MOST_PARTS


def test_every_kind_of_node_that_this_python_has_gets_a_role() -> None:
    source = """
        async def test(a, /, *b, c: int = 1, **d):
            async with a as x, b: await c
            async for y in a: yield y
            try: pass
            except E as e: raise
            finally: del e
            match a:
                case {"k": 1, **rest} | [_, *others] | C(k=None) | 1: pass
            while not -a ** ~b: break
            lambda q: [z for z in {1: 2, **d} if {z} and (w := z) or z[1:2]] if a else f"{a!r:>{b}}"
            from os import path as p
            import sys
            return a @ b // c % d << 1 >> 2 & 3 | 4 ^ 5
    """
    names = spelled(tokens_of(source))
    assert "other" not in names
    assert {"AsyncWith", "MatchMapping", "MatchStar", "Lambda", "JoinedStr", "MatMult", "ExceptHandler"} <= set(names)


def test_depth_is_bounded_by_the_parser_alone() -> None:
    deep = "f(" * 80 + "1" + ")" * 80
    assert spelled(tokens_of(f"def test():\n    {deep}\n")).count("Call") == 80


def test_a_batch_lays_sequences_one_after_the_other() -> None:
    words = word_tokens("two words")
    code = tokens_of("def test():\n    assert f_g()\n")
    made = batch([words, TokenSequence(b"", b"", b""), code], ["words", "failure", "code"])
    assert made.kinds.tolist() == [1, 2, 0]
    assert made.offsets.tolist() == [0, 2, 2, 5]
    assert made.roles.tobytes() == words.roles + code.roles
    assert made.starts.tolist() == [0, 1, 2, 2, 2, 4]
    assert made.parts.tobytes() == words.parts + code.parts
    empty = batch([], [])
    assert (empty.offsets.tolist(), empty.starts.tolist(), empty.roles.size) == ([0], [0], 0)
    with pytest.raises(ValueError, match="1 sequences have 0 kinds"):
        batch([words], [])
