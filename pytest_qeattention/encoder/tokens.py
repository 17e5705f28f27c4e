"""What the encoder reads: a function as the tokens of its syntax tree, a text as the parts of its words.

A token has a role, which is a node kind, a literal's type and size, or what a name is there for, and the hashed parts
of the name or words that it stands for. Local names have a number in place of parts, so that renaming one changes
nothing; the function's own name and its docstrings are left out, for those are what others ask by. unittest's
assertions read as what pytest would write.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import ast
import textwrap
import warnings
import zlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

from pytest_qeattention.syntax.assertions import unittest_assertion
from pytest_qeattention.syntax.nodes import FunctionNode, is_docstring, literal_bucket
from pytest_qeattention.syntax.twins import Twin, compiled_twin
from pytest_qeattention.syntax.words import words_of
from pytest_qeattention.wording import counted

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

INTERFACE = 1
"""Number of what this module and its compiled twin `_tokens` share; both carry it, and it grows with every change."""

Kind = Literal["code", "words", "failure"]
KINDS: tuple[Kind, ...] = ("code", "words", "failure")

# Local names are told apart by order of first appearance, as far as there are numbers.
LOCALS = 16
# Position in this list is what a model was trained on: new roles go to the end, and into a new model.
ROLES: tuple[str, ...] = (
    *("other", "word", "name", "attribute", "argument", "keyword", "module", "function", "class"),
    *(f"local{number}" for number in range(LOCALS)),
    *("True", "False", "None", "Ellipsis", "complex", "str0", "str1", "str2", "str3", "str4"),
    *("bytes0", "bytes1", "bytes2", "bytes3", "bytes4", "int0", "int1", "int2", "int3", "int4"),
    *("float0", "float1", "float2", "float3", "float4"),
    *("Assert", "Assign", "AnnAssign", "AugAssign", "Delete", "Raise", "Return", "Pass", "Break", "Continue"),
    *("Global", "Nonlocal", "Import", "ImportFrom", "If", "For", "AsyncFor", "While", "With", "AsyncWith", "Try"),
    *("TryStar", "ExceptHandler", "FunctionDef", "AsyncFunctionDef", "ClassDef", "Match", "match_case"),
    *("Call", "Compare", "Subscript", "Slice", "Starred", "List", "Tuple", "Dict", "Set", "Lambda", "IfExp"),
    *("ListComp", "SetComp", "DictComp", "GeneratorExp", "comprehension", "Await", "Yield", "YieldFrom", "NamedExpr"),
    *("JoinedStr", "FormattedValue", "BoolOp", "And", "Or", "UnaryOp", "Not", "Invert", "UAdd", "USub", "BinOp"),
    *("Add", "Sub", "Mult", "MatMult", "Div", "FloorDiv", "Mod", "Pow", "LShift", "RShift", "BitAnd", "BitOr"),
    *("BitXor", "Eq", "NotEq", "Lt", "LtE", "Gt", "GtE", "Is", "IsNot", "In", "NotIn"),
    *("MatchValue", "MatchSingleton", "MatchSequence", "MatchMapping", "MatchClass", "MatchStar", "MatchAs"),
    *("MatchOr", "TypeAlias", "TypeVar", "TemplateStr", "Interpolation", "decorator"),
)
TOKENISER = zlib.crc32("\n".join((*ROLES, *KINDS)).encode())
"""Names what the numbers in sequences mean: weights are of use with those that they were trained on alone."""
_ROLE = {name: number for number, name in enumerate(ROLES)}
_OTHER, _WORD, _NAME, _LOCAL = _ROLE["other"], _ROLE["word"], _ROLE["name"], _ROLE["local0"]
# They hold others together and say nothing that those do not.
SILENT_KINDS = frozenset({"Expr", "arguments", "withitem", "Load", "Store", "Del", "TypeIgnore"})
# Names of which one string or name gives no more parts.
MOST_PARTS = 8
_NUMBER = "#"


@dataclass(frozen=True, slots=True)
class TokenSequence:
    """Hold the tokens of one function or text."""

    roles: bytes
    """Role of each token, its place in `ROLES`."""
    counts: bytes
    """How many parts each token has, at most `MOST_PARTS`."""
    parts: bytes
    """Hashed parts of all tokens, one after the other, native ``uint32``."""

    def __len__(self) -> int:
        return len(self.roles)


@dataclass(frozen=True, slots=True, eq=False)
class TokenBatch:
    """Hold the tokens of several sequences, one after the other."""

    kinds: npt.NDArray[np.uint8]
    """What each of the s sequences is, its place in `KINDS`."""
    offsets: npt.NDArray[np.int64]
    """The tokens of sequence i are ``offsets[i]:offsets[i + 1]``, (s + 1,)."""
    roles: npt.NDArray[np.uint8]
    """Role of each of the n tokens."""
    starts: npt.NDArray[np.int64]
    """The parts of token t are ``parts[starts[t]:starts[t + 1]]``, (n + 1,)."""
    parts: npt.NDArray[np.uint32]
    """Hashed parts."""


def batch(sequences: Sequence[TokenSequence], kinds: Sequence[Kind]) -> TokenBatch:
    """Put *sequences*, each of one of *kinds*, one after the other. Raises ValueError where the lengths differ."""
    import numpy as np

    if len(sequences) != len(kinds):
        raise ValueError(f"{len(sequences)} sequences have {len(kinds)} kinds; each needs one")
    lengths = np.array([0, *map(len, sequences)], np.int64)
    counts = np.frombuffer(b"".join(sequence.counts for sequence in sequences), np.uint8)
    return TokenBatch(
        kinds=np.array([KINDS.index(kind) for kind in kinds], np.uint8),
        offsets=np.cumsum(lengths),
        roles=np.frombuffer(b"".join(sequence.roles for sequence in sequences), np.uint8),
        starts=np.concatenate(([0], np.cumsum(counts, dtype=np.int64))),
        parts=np.frombuffer(b"".join(sequence.parts for sequence in sequences), np.uint32),
    )


def pieces(sequence: TokenSequence, most: int) -> list[TokenSequence]:
    """Cut *sequence* into pieces of at most *most* tokens; one that is short enough, or empty, stays whole."""
    if len(sequence) <= most:
        return [sequence]
    cut, part = [], 0
    for start in range(0, len(sequence), most):
        counts = sequence.counts[start : start + most]
        end = part + 4 * sum(counts)
        cut.append(TokenSequence(sequence.roles[start : start + most], counts, sequence.parts[part:end]))
        part = end
    return cut


def hashed_part(part: str) -> int:
    """Hash a part of a word, which is in lower case."""
    return zlib.crc32(part.encode("utf-8", "surrogatepass"))


def part_hashes(text: str, most: int | None) -> array[int]:
    """Hash the first *most* parts of the words of *text*, all where that is None."""
    words = words_of(text)[:most]
    return array("I", [hashed_part(_NUMBER if word.isdecimal() else word) for word in words])


@cache
def twin() -> Twin:
    """Return the compiled twin of this module; where there is none, Python reads functions and texts, as it does."""
    return compiled_twin("pytest_qeattention.encoder._tokens", INTERFACE, "tokenizer", of="functions")


def word_tokens(text: str) -> TokenSequence:
    """Return the tokens of a text in words, of a name or of a message: one for each part of a word.

    ``test_retries_when_down`` has four, the first of which is ``test``. Numbers count as one word.
    """
    return word_sequences([text])[0]


def word_sequences(texts: Sequence[str]) -> list[TokenSequence]:
    """Return the `word_tokens` of each of *texts*."""
    compiled = twin().module
    found: list[TokenSequence] = (
        [word_tokens_plainly(text) for text in texts] if compiled is None else compiled.word_sequences(texts)
    )
    return found


def word_tokens_plainly(text: str) -> TokenSequence:
    """Return the tokens of a text as `word_tokens` does, in Python alone."""
    parts = part_hashes(text, None)
    return TokenSequence(bytes([_WORD]) * len(parts), b"\1" * len(parts), parts.tobytes())


def named_tokens(name: str, tokens: TokenSequence) -> TokenSequence:
    """Put the name of a function before its *tokens*: who asks for tests of a function knows what it is called."""
    words = word_tokens(name)
    count = min(len(words), MOST_PARTS)
    return TokenSequence(
        bytes([_ROLE["function"]]) + tokens.roles,
        bytes([count]) + tokens.counts,
        words.parts[: 4 * count] + tokens.parts,
    )


def parsed_function(source: str) -> FunctionNode:
    """Return the one function that *source* is, indented or not; raises ValueError for anything else."""
    try:
        with warnings.catch_warnings():
            # What a source should rather not write is told by those who compile it.
            warnings.simplefilter("ignore")
            found = _statements(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        is_deep = isinstance(error, RecursionError | MemoryError)
        reason = "it is nested too deeply" if is_deep else str(error).replace("<unknown>, ", "")
        raise ValueError(f"it is not a function in Python ({reason})") from error
    if len(found) != 1 or not isinstance(found[0], ast.FunctionDef | ast.AsyncFunctionDef):
        raise ValueError(f"it is not one function, but {counted(len(found), 'statement')}")
    return found[0]


def _statements(source: str) -> list[ast.stmt]:
    if source.lstrip("\r\n")[:1] not in (" ", "\t"):
        return ast.parse(source).body
    try:
        # Without its indentation a string of several lines would be another one, and some have lines that have none.
        block, *others = ast.parse(f"class _:\n{source}").body
    except SyntaxError:
        return ast.parse(textwrap.dedent(source)).body
    return [*(block.body if isinstance(block, ast.ClassDef) else [block]), *others]


def code_tokens(node: FunctionNode) -> TokenSequence:
    """Return the tokens of a function: its decorators' names, its arguments and its body, in the order of the source.

    Never recurses, so that depth of nesting is bounded by the parser alone.
    """
    return code_sequences([node])[0]


def code_sequences(nodes: Sequence[FunctionNode]) -> list[TokenSequence]:
    """Return the `code_tokens` of each of *nodes*."""
    compiled = twin().module
    found: list[TokenSequence] = (
        [code_tokens_plainly(node) for node in nodes] if compiled is None else compiled.code_sequences(nodes)
    )
    return found


def code_tokens_plainly(node: FunctionNode) -> TokenSequence:
    """Return the tokens of a function as `code_tokens` does, in Python alone."""
    walk = _Walk()
    for decorator in node.decorator_list:
        walk.add(_ROLE["decorator"])
        walk.visit([decorator.func if isinstance(decorator, ast.Call) else decorator])
    walk.visit([node.args, *node.body])
    return walk.tokens()


class _Walk:
    """Collect tokens; names are written when all is seen, for only then is it known which are local."""

    def __init__(self) -> None:
        self._tokens: list[tuple[int, str]] = []
        self._bound: set[str] = set()
        self._global: set[str] = set()

    def add(self, role: int, text: str = "") -> None:
        """Add a token."""
        self._tokens.append((role, text))

    def visit(self, roots: Sequence[ast.AST]) -> None:
        """Add the tokens of *roots* and all below."""
        # A pair is a token that follows what stands above it on the stack.
        stack: list[ast.AST | tuple[int, str]] = list(reversed(roots))
        while stack:
            node = stack.pop()
            if isinstance(node, tuple):
                self._tokens.append(node)
            elif isinstance(node, ast.Name):
                self.add(_NAME, node.id)
                if not isinstance(node.ctx, ast.Load):
                    self._bound.add(node.id)
            elif isinstance(node, ast.Attribute):
                stack.append((_ROLE["attribute"], node.attr))
                stack.append(node.value)
            elif isinstance(node, ast.Constant):
                self._constant(node.value)
            elif not is_docstring(node):
                stack.extend(reversed(self._enter(node)))

    def _constant(self, value: object) -> None:
        text = value if isinstance(value, str) else ""
        self.add(_ROLE.get(literal_bucket(value), _OTHER), text)

    def _enter(self, node: ast.AST) -> list[ast.AST]:
        """Add what *node* says itself; return its children."""
        kind = type(node).__name__
        assertion = unittest_assertion(node) if isinstance(node, ast.Call) else None
        if assertion is not None:
            for name in assertion[0]:
                self.add(_ROLE.get(name, _NAME), "" if name in _ROLE else name)
            return list(assertion[1])
        if isinstance(node, ast.arg):
            self.add(_ROLE["argument"], node.arg)
        elif isinstance(node, ast.keyword):
            self.add(_ROLE["keyword"], node.arg or "")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            self.add(_ROLE[kind])
            self._bind(node.name)
        elif isinstance(node, ast.alias):
            self.add(_ROLE["module"], node.name)
            self._bound.add((node.asname or node.name).partition(".")[0])
        elif isinstance(node, ast.ImportFrom):
            self.add(_ROLE[kind], node.module or "")
        elif isinstance(node, ast.Global | ast.Nonlocal):
            self._global.update(node.names)
            self.add(_ROLE[kind])
        elif isinstance(node, ast.ExceptHandler):
            self.add(_ROLE[kind])
            if node.name:
                self._bound.add(node.name)
        elif isinstance(node, ast.MatchAs | ast.MatchStar | ast.MatchMapping):
            self.add(_ROLE[kind])
            capture = node.rest if isinstance(node, ast.MatchMapping) else node.name
            if capture:
                self._bind(capture)
        elif kind not in SILENT_KINDS:
            self.add(_ROLE.get(kind, _OTHER))
        return list(ast.iter_child_nodes(node))

    def _bind(self, name: str) -> None:
        self._bound.add(name)
        self.add(_NAME, name)

    def tokens(self) -> TokenSequence:
        """Return what was collected, local names numbered by first appearance."""
        local = self._bound - self._global
        numbers: dict[str, int] = {}
        roles, counts, hashes = bytearray(), bytearray(), array("I")
        for role, text in self._tokens:
            if role == _NAME and text in local:
                roles.append(_LOCAL + numbers.setdefault(text, len(numbers)) % LOCALS)
                counts.append(0)
                continue
            parts = part_hashes(text, MOST_PARTS) if text else array("I")
            roles.append(role)
            counts.append(len(parts))
            hashes.extend(parts)
        return TokenSequence(bytes(roles), bytes(counts), hashes.tobytes())
