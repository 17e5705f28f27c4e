"""What the text of a failed assertion says: operator, operands, what is different, which function was asked.

The texts are those of pytest's rewritten assertions, of unittest's methods and of its mocks.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import ast
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from pytest_qeattention.defects.record import Assertion, Difference, Raised

_LONGEST = 4_000
_UNKNOWN = object()
"""An operand of which only the text is known."""
_OPERATOR = re.compile(r" (==|!=|<=|>=|<|>|not in|is not|in|is) ")
_CLOSES = {"(": ")", "[": "]", "{": "}"}
_ASSERTED = re.compile(r"^assert (.+)$", re.MULTILINE)
_WHERE = re.compile(r"^ *\+ +where .+? = ([\w.]+)\(", re.MULTILINE)
_NOT_RAISED = re.compile(r"^DID NOT (?:RAISE|WARN)|^\S+ not raised\b|^DID NOT EMIT")
_MOCK = re.compile(r"^(?:[Ee]xpected (?:call|.* to (?:have been|not have been|be) (?:called|awaited))|Calls not found)")
# What unittest's methods say, with the operator that was asked for.
_UNITTEST = (
    (re.compile(r"^(?:Lists|Tuples|Sequences|Sets) differ: (.+?) != (.+)$"), "=="),
    (re.compile(r"^(.+) unexpectedly found in (.+)$"), "not in"),
    (re.compile(r"^(.+) not found in (.+)$"), "in"),
    (re.compile(r"^(.+) is not an instance of (.+)$"), "isinstance"),
    (re.compile(r"^unexpectedly identical: (.+)()$"), "is not"),
    (re.compile(r"^unexpectedly (None)()$"), "is not"),
    (re.compile(r"^(.+) is not (?:true|false)()$"), "truth"),
    (re.compile(r"^(.+) is not (.+)$"), "is"),
    (re.compile(r"^(.+) not greater than or equal to (.+)$"), ">="),
    (re.compile(r"^(.+) not less than or equal to (.+)$"), "<="),
    (re.compile(r"^(.+) not greater than (.+)$"), ">"),
    (re.compile(r"^(.+) not less than (.+)$"), "<"),
    (re.compile(r"^(.+) != (.+?)(?: within (?:\d+ places|.+ delta).*)?$"), "=="),
    (re.compile(r"^(.+) == (.+)$"), "!="),
)
# What pytest writes below the comparison, for operands whose texts it cuts.
_EXPLAINED: tuple[tuple[re.Pattern[str], Difference], ...] = (
    (re.compile(r"^ *Left contains .*more items?", re.MULTILINE), "extra item"),
    (re.compile(r"^ *Right contains .*more items?", re.MULTILINE), "missing item"),
    (re.compile(r"^ *Extra items in the left set", re.MULTILINE), "extra item"),
    (re.compile(r"^ *Extra items in the right set", re.MULTILINE), "missing item"),
    (re.compile(r"^ *(?:At index \d+ diff|Differing (?:items|attributes))", re.MULTILINE), "values"),
    (re.compile(r"^ *comparison failed", re.MULTILINE), "precision"),
)
_OPERATORS: Mapping[type[ast.cmpop], str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Is: "is",
    ast.IsNot: "is not",
    ast.In: "in",
    ast.NotIn: "not in",
}
# What is asked of a value, so that what is asked for is the call within.
_WRAPPERS = frozenset(
    {"abs", "all", "any", "approx", "bool", "dict", "float", "int", "isinstance", "iter", "len", "list", "max", "min"}
    | {"next", "pytest.approx", "repr", "round", "set", "sorted", "str", "sum", "tuple", "type"}
)


def assertion_facts(type_: str, message: str, statement: str = "") -> Assertion | None:
    """Return what *message* of an exception of *type_*, raised by *statement*, says; None if it is no assertion."""
    kind = type_.rpartition(".")[2]
    message = message[:_LONGEST]
    if _NOT_RAISED.match(message) and kind in ("Failed", "AssertionError"):
        return Assertion.of(
            operator="raises", left="", right="", difference="did not raise", called=called_in(statement)
        )
    if kind not in ("AssertionError", "AssertionFailedError", "Failed", "ComparisonFailure"):
        return None
    if _MOCK.match(message):
        return Assertion.of("call", difference="values", called=called_in(statement))
    # An assert of the product, which nobody rewrote, says nothing of itself.
    compared = _compared(message) or _written(statement)
    if compared is None:
        if kind == "Failed":
            return None
        return Assertion.of("", called=called_in(statement))
    operator, left_text, right_text = compared
    left, right = _value(left_text), _value(right_text)
    difference: Difference = ""
    if (left is not _UNKNOWN and right is not _UNKNOWN) or operator in ("not", "truth", "is", "is not"):
        difference = difference_of(operator, left, right)
    for pattern, kind_of_difference in _EXPLAINED:
        if not difference and pattern.search(message):
            difference = kind_of_difference
    called = called_in(statement)
    if not called and (where := _WHERE.search(message)):
        called = where[1]
    return Assertion.of(
        operator=operator,
        left=_type_name(left, left_text),
        right=_type_name(right, right_text),
        difference=difference,
        called=called,
    )


def told_assertion(chain: Iterable[Raised]) -> Assertion | None:
    """Return what the messages of a chain say of an assert that failed; None where it is of none."""
    for raised in chain:
        statement = raised.frames[-1].statement if raised.frames else ""
        if facts := assertion_facts(raised.type, raised.message, statement):
            return facts
    return None


def difference_of(operator: str, left: Any, right: Any) -> Difference:
    """Name the kind of difference that made ``left operator right`` false, *right* being what was expected."""
    if operator in ("not", "truth"):
        return "truth"
    if operator == "in":
        return "substring" if isinstance(right, str) else "missing item"
    if operator == "not in":
        return "extra item"
    if operator in ("is", "is not"):
        if left is None or right is None:
            return "none"
        return "truth" if isinstance(right, bool) else "type" if type(left) is not type(right) else "values"
    if left is None or right is None:
        return "none"
    if operator in ("<", ">") and isinstance(left, int) and isinstance(right, int) and left == right:
        return "off by one"
    return _inequality(left, right)


def _inequality(left: Any, right: Any) -> Difference:
    if isinstance(left, bool) or isinstance(right, bool):
        return "truth" if type(left) is type(right) else "type"
    if isinstance(left, (int, float)) and isinstance(right, (int, float)):
        return _numbers(left, right)
    if type(left) is not type(right):
        return "type"
    if isinstance(left, (str, bytes)):
        return _texts(left, right)
    if isinstance(left, Mapping):
        return _containers(left.keys(), right.keys()) or "values"
    if isinstance(left, Set):
        return _containers(left, right) or "values"
    if isinstance(left, Sequence):
        return _sequences(left, right)
    return "values"


def _numbers(left: float, right: float) -> Difference:
    if left == -right and left != 0:
        return "sign"
    if isinstance(left, int) and isinstance(right, int):
        return "off by one" if abs(left - right) == 1 else "values"
    return "precision" if abs(left - right) <= 1e-4 * max(abs(left), abs(right)) else "values"


def _texts(left: Any, right: Any) -> Difference:
    if left.lower() == right.lower():
        return "case"
    if type(left)().join(left.split()) == type(left)().join(right.split()):
        return "whitespace"
    return "substring" if left and right and (left in right or right in left) else "values"


def _containers(left: Set[Any], right: Set[Any]) -> Difference:
    more, fewer = bool(left - right), bool(right - left)
    return "extra item" if more and not fewer else "missing item" if fewer and not more else ""


def _sequences(left: Sequence[Any], right: Sequence[Any]) -> Difference:
    mine, theirs = Counter(map(repr, left)), Counter(map(repr, right))
    if mine == theirs:
        return "order"
    if len(left) == len(right):
        kinds = {_inequality(one, other) for one, other in zip(left, right, strict=True) if one != other}
        return kinds.pop() if len(kinds) == 1 and kinds <= {"precision", "case", "whitespace"} else "values"
    if not theirs - mine:
        return "extra item"
    return "missing item" if not mine - theirs else "length"


def _compared(message: str) -> tuple[str, str, str] | None:
    """Return operator and operands as *message* writes them."""
    asserted = _ASSERTED.search(message)
    if asserted is None:
        line = message.partition("\n")[0].partition(" : ")[0]
        for pattern, operator in _UNITTEST:
            if found := pattern.match(line):
                return operator, found[1], found[2]
        return None
    expression = asserted[1]
    found = _outermost_operator(expression)
    if found:
        return found[1], expression[: found.start()], expression[found.end() :]
    if expression.startswith("not "):
        return "not", expression[4:], ""
    return "truth", expression, ""


def _written(statement: str) -> tuple[str, str, str] | None:
    """Return operator and operands of an ``assert`` as they are written, as far as they are literals."""
    asserted = _parsed(statement.strip()[:_LONGEST])
    if not isinstance(asserted, ast.Assert):
        return None
    test = asserted.test
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        return _OPERATORS[type(test.ops[0])], _literal(test.left), _literal(test.comparators[0])
    is_not = isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)
    return "not" if is_not else "truth", "", ""


def _literal(operand: ast.expr) -> str:
    text = ast.unparse(operand)
    return "" if _value(text) is _UNKNOWN else text


def _outermost_operator(expression: str) -> re.Match[str] | None:
    """Return the first operator within no bracket and no string; the first at all where a repr leaves one open."""
    open_: list[str] = []
    quote = ""
    escaped = False
    for place, character in enumerate(expression):
        if quote:
            if not escaped and character == quote:
                quote = ""
            escaped = character == "\\" and not escaped
        elif character in "\"'":
            quote = character
        elif character in _CLOSES:
            open_.append(_CLOSES[character])
        elif open_ and character == open_[-1]:
            open_.pop()
        elif character == " " and not open_ and (found := _OPERATOR.match(expression, place)):
            return found
    return _OPERATOR.search(expression) if quote or open_ else None


def _value(text: str) -> Any:
    """Return the value that *text* is a literal of, or that it is unknown."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return _UNKNOWN


def _type_name(value: Any, text: str) -> str:
    if value is not _UNKNOWN:
        return type(value).__name__
    text = text.strip().replace("<locals>.", "", 1)
    if found := re.match(r"<(?:[\w.]*\.)?(\w+)(?: object)? at 0x|<(?:[\w.]*\.)?(\w+)[.:][^>]*>|([A-Za-z_]\w*)\(", text):
        return found[1] or found[2] or found[3]
    for opening, name in (("'", "str"), ('"', "str"), ("b'", "bytes"), ("[", "list"), ("(", "tuple")):
        if text.startswith(opening):
            return name
    if text.startswith("{"):
        return "dict" if re.match(r"\{[^{}\[\],]*?: ", text) else "set"
    return "datetime" if text.startswith("datetime.") else ""


def called_in(statement: str) -> str:
    """Return the dotted name of the function whose result *statement* asserts something of; "" if there is none."""
    first = _parsed(statement.strip()[:_LONGEST])
    if first is None:
        return ""
    asserted: ast.AST = first.test if isinstance(first, ast.Assert) else first
    if isinstance(first, (ast.With, ast.AsyncWith)):
        # The body that is seen is the one put there to make the statement whole.
        return ""
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Call) and _is_assertion(first.value.func):
        asserted = ast.Tuple(elts=first.value.args, ctx=ast.Load())
    elif not isinstance(first, ast.Assert):
        return ""
    for node in _outside_in(asserted):
        if isinstance(node, ast.Call) and (name := _dotted(node.func)) and name not in _WRAPPERS:
            return name
    return ""


def _parsed(statement: str) -> ast.stmt | None:
    """Return a statement of which only the first line may be known."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for text in (statement, f"{statement}\n    pass", f"{statement})"):
            try:
                tree = ast.parse(text)
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                continue
            return tree.body[0] if tree.body else None
    return None


def _is_assertion(function: ast.expr) -> bool:
    return isinstance(function, ast.Attribute) and function.attr.lower().startswith("assert")


def _outside_in(node: ast.AST) -> list[ast.AST]:
    """Return the nodes of a tree, breadth first, in the order of the source."""
    nodes = [node]
    for some in nodes:
        nodes.extend(ast.iter_child_nodes(some))
    return nodes


def _dotted(function: ast.expr) -> str:
    parts: list[str] = []
    while isinstance(function, ast.Attribute):
        parts.append(function.attr)
        function = function.value
    if isinstance(function, ast.Name):
        parts.append(function.id)
    return ".".join(reversed(parts)) if isinstance(function, ast.Name) else parts[0] if parts else ""
