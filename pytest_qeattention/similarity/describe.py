"""Turn one test function into the plain facts that similarity is computed from, in a single pass over its AST.

Three bags of hashed features (``tokens``: node kinds, identifiers and bucketed literals; ``paths``: identifiers with
the nodes above them, literals dropped; ``words``: words of the source and their parts), and three normal forms.
The forms are what folding turns on: ``exact`` is equal for tests that differ in formatting, comments, docstrings and
local names only; ``literal`` also leaves every literal out, and a display of literals is one hole; ``shape`` leaves
names and attributes out as well.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import ast
import builtins
import re
import zlib
from array import array
from collections import Counter
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise

from pytest_qeattention.similarity.model import Unit

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef

# Fields without children or meaning for similarity are never visited.
# First characters of the tokens that only hold a form together: they are no part of a sequence of code.
_STRUCTURE = frozenset(")|")
_SKIPPED_FIELDS = frozenset({"ctx", "type_comment", "kind", "lineno", "col_offset", "simple", "is_async", "level"})
_BUILTINS = frozenset(dir(builtins))

# unittest's assertions read as the comparison that pytest would write.
_UNITTEST_COMPARISONS = {
    "assertEqual": "Eq",
    "assertEquals": "Eq",
    "assertNotEqual": "NotEq",
    "assertIs": "Is",
    "assertIsNot": "IsNot",
    "assertIn": "In",
    "assertNotIn": "NotIn",
    "assertLess": "Lt",
    "assertLessEqual": "LtE",
    "assertGreater": "Gt",
    "assertGreaterEqual": "GtE",
}
_UNITTEST_OTHERS: dict[str, tuple[tuple[str, ...], int]] = {
    "assertTrue": (("Assert",), 1),
    "assert_": (("Assert",), 1),
    "assertFalse": (("Assert", "UnaryOp", "Not"), 1),
    "assertIsNone": (("Assert", "Compare", "Is", "None"), 1),
    "assertIsNotNone": (("Assert", "Compare", "IsNot", "None"), 1),
    "assertIsInstance": (("Assert", "Call", "isinstance"), 2),
}

_WORD = re.compile(r"[^\W\d]\w*|\d+")
_NUMBER = re.compile(r"\d+")
_WORD_PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+|[^\W\d_a-zA-Z]+")


@dataclass(frozen=True, slots=True)
class Description:
    """Hold the evidence of one unit; arrays are native ``uint32`` bytes."""

    tokens: bytes
    paths: bytes
    words: bytes
    sequence: bytes
    """Token ids of the literal form, in order."""
    exact: bytes
    literal: bytes
    shape: bytes
    free_names: tuple[str, ...]
    """Names that the module or the builtins must provide, sorted; builtins left out."""
    decorator_names: tuple[str, ...]
    """Names used in decorators, which the class may provide too, sorted; builtins left out."""
    uses_self: bool
    """Whether a method uses its first argument for more than unittest's assertions."""
    is_placeholder: bool
    """Whether the body does nothing: `pass`, `...`, docstrings, `raise NotImplementedError`."""


_token_ids: dict[str, int] = {}
_word_ids: dict[str, tuple[int, ...]] = {}
# Past this many distinct strings the memo is emptied: a suite of generated names must not grow without bound.
_MEMO_LIMIT = 400_000


def _token_id(token: str) -> int:
    known = _token_ids.get(token)
    if known is None:
        if len(_token_ids) >= _MEMO_LIMIT:
            _token_ids.clear()
        known = _token_ids[token] = zlib.crc32(token.encode("utf-8", "surrogatepass"))
    return known


def _word_features(word: str) -> tuple[int, ...]:
    known = _word_ids.get(word)
    if known is None:
        if len(_word_ids) >= _MEMO_LIMIT:
            _word_ids.clear()
        # Numbers count as one word: which number it is says little of what a test is about.
        parts = ["#" if part.isdecimal() else part.lower() for part in _WORD_PART.findall(word)]
        features = [f"w:{_NUMBER.sub('#', word)}", *parts, *(f"{a}_{b}" for a, b in pairwise(parts))]
        known = _word_ids[word] = tuple(zlib.crc32(feature.encode("utf-8", "surrogatepass")) for feature in features)
    return known


def word_features(text: str) -> bytes:
    """Hash the words of *text*, their parts, and neighbouring pairs of both; ``uint32`` bytes."""
    features = array("I")
    previous: int | None = None
    for word in _WORD.findall(text):
        ids = _word_features(word)
        features.extend(ids)
        if previous is not None:
            features.append((previous * 0x9E3779B1 ^ ids[0]) & 0xFFFFFFFF)
        previous = ids[0]
    return features.tobytes()


def words_of(text: str) -> list[str]:
    """List the parts of the words of *text* in lower case, in order: ``HTTPServer_test2`` has four."""
    return [part.lower() for word in _WORD.findall(text) for part in _WORD_PART.findall(word)]


def literal_bucket(value: object) -> str:
    """Name the type of a constant and the order of magnitude of its size."""
    kind = type(value).__name__
    if isinstance(value, bool) or value is None or value is Ellipsis:
        return repr(value)
    if isinstance(value, str | bytes):
        return f"{kind}{min(4, len(value).bit_length() // 2)}"
    if isinstance(value, int | float):
        size = abs(value)
        return f"{kind}{0 if size == 0 else 1 if size == 1 else 2 if size < 10 else 3 if size < 1000 else 4}"
    return kind


def is_literal(node: ast.AST) -> bool:
    """Tell whether *node* is a constant, or is built of constants alone."""
    pending = [node]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Constant):
            continue
        if isinstance(node, ast.UnaryOp) and not isinstance(node.op, ast.Not):
            pending.append(node.operand)
        elif isinstance(node, ast.List | ast.Tuple | ast.Set):
            pending.extend(node.elts)
        elif isinstance(node, ast.Dict):
            if any(key is None for key in node.keys):
                return False
            pending.extend(key for key in node.keys if key is not None)
            pending.extend(node.values)
        elif isinstance(node, ast.BinOp):
            pending.extend((node.left, node.right))
        elif isinstance(node, ast.JoinedStr):
            pending.extend(node.values)
        else:
            return False
    return True


def is_docstring(node: ast.AST) -> bool:
    """Tell whether *node* is a statement that is a string and nothing else."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _does_nothing(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Raise):
        raised = statement.exc.func if isinstance(statement.exc, ast.Call) else statement.exc
        return isinstance(raised, ast.Name) and raised.id == "NotImplementedError"
    return isinstance(statement, ast.Pass) or (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    )


_Fields = tuple[tuple[str, int], ...]
_fields: dict[type[ast.AST], _Fields] = {}
_field_tags: dict[int, str] = {}
_NO_CHILDREN: list[tuple[int, ast.AST]] = []
# Stands where a list of nodes has none: the key of `**` in a display, the default of a required keyword argument.
_ABSENT = ast.Pass()


def children(node: ast.AST) -> list[tuple[int, ast.AST]]:
    """List the child nodes of *node* in the order of the grammar, each with the hash of ``Kind.field``.

    The list is kept on the node: a description asks for it twice.
    """
    kind = type(node)
    fields = _fields.get(kind)
    if fields is None:
        fields = _fields[kind] = tuple(
            (field, _token_id(f"{kind.__name__}.{field}")) for field in node._fields if field not in _SKIPPED_FIELDS
        )
        _field_tags.update((label, f"|{field}") for field, label in fields)
    if not fields:
        # Operators are objects that the interpreter shares: nothing is kept on those.
        return _NO_CHILDREN
    attributes = node.__dict__
    known: list[tuple[int, ast.AST]] | None = attributes.get("_qe_children")
    if known is not None:
        return known
    found: list[tuple[int, ast.AST]] = []
    for field, label in fields:
        value = attributes.get(field)
        if isinstance(value, ast.AST):
            found.append((label, value))
        elif isinstance(value, list):
            for item in value:
                if isinstance(item, ast.AST):
                    found.append((label, item))
                elif item is None:
                    found.append((label, _ABSENT))
    attributes["_qe_children"] = found
    return found


def _unittest_assertion(call: ast.Call) -> tuple[tuple[str, ...], list[ast.expr]] | None:
    function = call.func
    if not (isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name)):
        return None
    if function.value.id != "self" or not function.attr.startswith("assert"):
        return None
    comparison = _UNITTEST_COMPARISONS.get(function.attr)
    if comparison is not None and len(call.args) >= 2:
        return ("Assert", "Compare", comparison), call.args[:2]
    other = _UNITTEST_OTHERS.get(function.attr)
    if other is not None and len(call.args) >= other[1]:
        return other[0], call.args[: other[1]]
    if function.attr in ("assertRaises", "assertRaisesRegex"):
        return ("Call", "raises"), call.args
    return None


_LITERAL_KINDS = frozenset(
    {ast.Constant, ast.UnaryOp, ast.List, ast.Tuple, ast.Set, ast.Dict, ast.BinOp, ast.JoinedStr}
)


def _known_kinds(*names: str) -> frozenset[type[ast.AST]]:
    """Return the node types of these names that this Python has."""
    return frozenset(getattr(ast, name) for name in names if hasattr(ast, name))


_TYPE_PARAMETERS = _known_kinds("TypeVar", "ParamSpec", "TypeVarTuple")
_NAMING_KINDS = frozenset(
    {
        ast.keyword,
        ast.FunctionDef,
        ast.AsyncFunctionDef,
        ast.ClassDef,
        ast.ExceptHandler,
        ast.alias,
        ast.ImportFrom,
        ast.Global,
        ast.Nonlocal,
        ast.MatchAs,
        ast.MatchStar,
        ast.MatchMapping,
        ast.MatchClass,
        ast.MatchSingleton,
        ast.comprehension,
        ast.FormattedValue,
        *_TYPE_PARAMETERS,
        *_known_kinds("Interpolation"),
    }
)


# Odd multipliers that spread the parts of a path over 32 bits (those of xxHash).
_LEAF, _PARENT, _GRANDPARENT = 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D


class _Bags:
    """Collect tokens and paths; literals are bucketed in the one and dropped in the other."""

    def __init__(self) -> None:
        self.tokens = array("I")
        self.paths = array("I")

    def visit(self, roots: list[tuple[str, ast.AST]]) -> None:
        token, path = self.tokens.append, self.paths.append
        statement, argument = _token_id("Expr.value"), _token_id("Assert.args")
        # (node, label of the parent, label of the grandparent)
        stack: list[tuple[ast.AST, int, int]] = [(node, _token_id(label), 0) for label, node in reversed(roots)]
        while stack:
            node, parent, grandparent = stack.pop()
            leaf = 0
            if isinstance(node, ast.Name):
                token(_token_id(node.id))
                leaf = _token_id(f"Name:{node.id}")
            elif isinstance(node, ast.Attribute):
                token(_token_id(f".{node.attr}"))
                leaf = _token_id(f"Attribute:{node.attr}")
            elif isinstance(node, ast.Constant):
                token(_token_id(literal_bucket(node.value)))
                leaf = _token_id(f"Constant:{type(node.value).__name__}")
            elif isinstance(node, ast.Expr):
                if not is_docstring(node):
                    stack.append((node.value, statement, parent))
                continue
            elif isinstance(node, ast.arg):
                token(_token_id(f"arg:{node.arg}"))
                leaf = _token_id(f"arg.{node.arg}")
            else:
                if isinstance(node, ast.Call):
                    assertion = _unittest_assertion(node)
                    if assertion is not None:
                        for name in assertion[0]:
                            token(_token_id(name))
                        stack.extend((part, argument, parent) for part in reversed(assertion[1]))
                        continue
                elif isinstance(node, ast.keyword):
                    token(_token_id(f"kw:{node.arg or '**'}"))
                    leaf = _token_id(f"keyword:{node.arg or '**'}")
                elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    token(_token_id(f"def:{node.name}"))
                token(_token_id(type(node).__name__))
            if leaf:
                near = leaf * _LEAF + parent * _PARENT
                path(near & 0xFFFFFFFF)
                path((near + grandparent * _GRANDPARENT + 1) & 0xFFFFFFFF)
            for label, child in reversed(children(node)):
                stack.append((child, label, parent))


class Forms:
    """Write a function as a sequence in which literals, and then names, can be left out."""

    def __init__(self) -> None:
        self.literal: list[str] = []
        self.shape: list[str] = []
        self.literals: list[str] = []
        self.name_places: list[int] = []
        self.bound: set[str] = set()
        self.global_names: set[str] = set()
        self.loaded: Counter[str] = Counter()
        self.attributes: Counter[tuple[str, str]] = Counter()

    def read(self, node: FunctionNode) -> None:
        """Write the arguments and the body of *node*; decorators, name and docstrings are not part of a form."""
        self._both("async" if isinstance(node, ast.AsyncFunctionDef) else "def")
        self._visit([node.args, *node.body], node.args)
        self.rename_locals()

    def _name(self, name: str, hole: str) -> None:
        self.name_places.append(len(self.literal))
        self.literal.append(name)
        self.shape.append(hole)

    def _both(self, token: str, hole: str | None = None) -> None:
        self.literal.append(token)
        self.shape.append(token if hole is None else hole)

    def _visit(self, roots: list[ast.AST], arguments: ast.arguments) -> None:
        # Strings close a node or tell which of its fields follows: a form is equal for equal trees alone.
        stack: list[ast.AST | str] = list(reversed(roots))
        literal, shape = self.literal.append, self.shape.append
        while stack:
            node = stack.pop()
            if isinstance(node, str):
                literal(node)
                shape(node)
                continue
            kind = type(node)
            if isinstance(node, ast.Name):
                self.name_places.append(len(self.literal))
                literal(node.id)
                shape("N")
                if isinstance(node.ctx, ast.Load):
                    self.loaded[node.id] += 1
                else:
                    self.bound.add(node.id)
                continue
            if kind in _LITERAL_KINDS and is_literal(node):
                literal("#")
                shape("#")
                self.write_literal(node)
                continue
            if isinstance(node, ast.Attribute):
                literal("Attribute")
                literal(f".{node.attr}")
                shape("Attribute")
                shape(".")
                stack.append(node.value)
                if isinstance(node.value, ast.Name):
                    self.attributes[node.value.id, node.attr] += 1
                continue
            if isinstance(node, ast.arg):
                if node in arguments.args or node in arguments.kwonlyargs or node in arguments.posonlyargs:
                    self._both(f"A:{node.arg}", "A")
                else:
                    self.bound.add(node.arg)
                    self._name(node.arg, "A")
                if node.annotation is not None:
                    stack.append(node.annotation)
                continue
            if is_docstring(node):
                continue
            opening = f"({kind.__name__}"
            literal(opening)
            shape(opening)
            if kind in _NAMING_KINDS:
                self._write_names(node)
            stack.append(")")
            below = children(node)
            for at in range(len(below) - 1, -1, -1):
                label, child = below[at]
                stack.append(child)
                if at == 0 or below[at - 1][0] != label:
                    stack.append(_field_tags[label])

    def _write_names(self, node: ast.AST) -> None:
        """Write what *node* carries beside its children: names that it binds or refers to."""
        if isinstance(node, ast.keyword):
            self._both(f"kw:{node.arg}", "kw" if node.arg else "**")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            self.bound.add(node.name)
            self._name(node.name, "def")
        elif isinstance(node, ast.ExceptHandler) and node.name:
            self.bound.add(node.name)
            self._name(node.name, "as")
        elif isinstance(node, ast.alias):
            self.bound.add((node.asname or node.name).partition(".")[0])
            self._both(f"{node.name} as {node.asname}", "alias")
        elif isinstance(node, ast.ImportFrom):
            self._both(f"{'.' * (node.level or 0)}{node.module}", "module")
        elif isinstance(node, ast.Global | ast.Nonlocal):
            self.global_names.update(node.names)
            self._both(" ".join(node.names))
        elif isinstance(node, ast.MatchAs | ast.MatchStar | ast.MatchMapping):
            capture = node.rest if isinstance(node, ast.MatchMapping) else node.name
            if capture:
                self.bound.add(capture)
                self._name(capture, "N")
        elif isinstance(node, ast.MatchClass):
            self._both(" ".join(["patterns", *node.kwd_attrs]))
        elif isinstance(node, ast.MatchSingleton):
            self._both(repr(node.value))
        elif isinstance(node, ast.comprehension):
            if node.is_async:
                self._both("async")
        elif type(node) in _TYPE_PARAMETERS:
            self._both(f"T:{getattr(node, 'name', '')}", "T")
        else:
            self._both(str(getattr(node, "conversion", -1)))

    def uses(self, name: str) -> bool:
        """Tell whether *name* is used for more than the assertion methods of unittest."""
        assertions = sum(
            count for (owner, attr), count in self.attributes.items() if owner == name and attr.startswith("assert")
        )
        return self.loaded[name] > assertions

    def write_literal(self, node: ast.AST) -> None:
        """Add what tells *node* from other literals to `literals`."""
        stack: list[ast.AST | None] = [node]
        write = self.literals.append
        while stack:
            current = stack.pop()
            if current is None:
                write(")")
            elif isinstance(current, ast.Constant):
                write(f"{type(current.value).__name__} {current.value!r}")
            else:
                write(f"({type(current).__name__}")
                stack.append(None)
                stack.extend(child for _, child in reversed(children(current)))

    def rename_locals(self) -> None:
        """Number the local names by first appearance, so that renaming one changes no form."""
        numbers: dict[str, int] = {}
        bound = self.bound - self.global_names
        for place in self.name_places:
            name = self.literal[place]
            if name in bound:
                self.literal[place] = f"L{numbers.setdefault(name, len(numbers))}"
            else:
                self.literal[place] = f"N:{name}"


def _digest(*parts: list[str]) -> bytes:
    text = "\1".join("\0".join(part) for part in parts)
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).digest()


def describe(node: FunctionNode, unit: Unit) -> Description:
    """Describe the function *node*, whose source *unit* holds.

    Never recurses, so that depth of nesting is bounded by the parser alone.
    """
    bags = _Bags()
    bags.visit(
        [
            *(("decorator", decorator) for decorator in node.decorator_list),
            ("args", node.args),
            *(("body", statement) for statement in node.body),
        ]
    )
    forms = Forms()
    forms.read(node)
    decorators = [ast.dump(decorator) for decorator in node.decorator_list]
    sequence = array("I", [_token_id(token) for token in forms.literal if token[0] not in _STRUCTURE])
    arguments = [*node.args.posonlyargs, *node.args.args]
    first = arguments[0].arg if arguments and "::" in unit.qualname else None
    known = {argument.arg for argument in (*arguments, *node.args.kwonlyargs)}
    known.update(a.arg for a in (node.args.vararg, node.args.kwarg) if a is not None)
    free = set(forms.loaded) - (forms.bound - forms.global_names) - known - _BUILTINS
    decorator_names = {
        name.id for decorator in node.decorator_list for name in ast.walk(decorator) if isinstance(name, ast.Name)
    }
    return Description(
        tokens=bags.tokens.tobytes(),
        paths=bags.paths.tobytes(),
        words=word_features(unit.source),
        sequence=sequence.tobytes(),
        exact=_digest(forms.literal, forms.literals, decorators),
        literal=_digest(forms.literal),
        shape=_digest(forms.shape),
        free_names=tuple(sorted(free)),
        decorator_names=tuple(sorted(decorator_names - _BUILTINS)),
        uses_self=first is not None and forms.uses(first),
        is_placeholder=all(_does_nothing(statement) for statement in node.body),
    )
