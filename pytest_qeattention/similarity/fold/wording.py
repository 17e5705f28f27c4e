"""Names for the parameters of a fold: what the places say that their values stand in, or else the values.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import ast
import builtins
import keyword
import re
from collections.abc import Collection, Sequence
from itertools import chain, count

from pytest_qeattention.similarity.fold.holes import Hole, Place
from pytest_qeattention.similarity.fold.lifting import callee_name
from pytest_qeattention.similarity.fold.lifting import words as word_set

# Fixtures that everybody has, and names with a meaning of their own in a test.
_RESERVED = word_set(
    "self cls request pytest tmp_path tmpdir monkeypatch capsys capfd caplog recwarn mocker pytestconfig cache "
    "record_property testdir pytester subtests test mock benchmark event_loop client db settings"
) | frozenset(dir(builtins))
_BETTER = {
    "type": "kind",
    "input": "given",
    "id": "identifier",
    "format": "form",
    "filter": "condition",
    "max": "maximum",
    "min": "minimum",
    "len": "length",
    "sum": "total",
    "dir": "directory",
    "file": "path",
    "class": "klass",
    "str": "text",
    "int": "number",
    "hash": "digest",
    "object": "instance",
    "property": "attribute",
    "range": "bounds",
    "set": "members",
    "list": "items",
    "dict": "mapping",
    "iter": "iterator",
    "all": "everything",
    "any": "anything",
}
_ARGUMENTS: dict[tuple[str, int], str] = {
    ("raises", 0): "error",
    ("assertRaises", 0): "error",
    ("assertRaisesRegex", 0): "error",
    ("assertRaisesRegex", 1): "message",
    ("warns", 0): "warning",
    ("assertWarns", 0): "warning",
    ("isinstance", 1): "kind",
    ("issubclass", 1): "kind",
    ("getattr", 1): "attribute",
    ("hasattr", 1): "attribute",
    ("setattr", 1): "attribute",
    ("setenv", 0): "variable",
    ("setenv", 1): "value",
    ("open", 0): "path",
    ("Path", 0): "path",
    ("sleep", 0): "seconds",
    ("round", 1): "digits",
    ("match", 0): "pattern",
    ("search", 0): "pattern",
    ("fullmatch", 0): "pattern",
    ("startswith", 0): "prefix",
    ("endswith", 0): "suffix",
    ("skip", 0): "reason",
    ("write_text", 0): "text",
    ("run", 0): "command",
    ("assertIn", 0): "expected",
    ("assertNotIn", 0): "unexpected",
}
_TRANSPARENT = word_set(
    "approx list set tuple dict str int float frozenset sorted Decimal array Path dedent assert_equal"
)
_EQUALITIES = word_set(
    "assertEqual assertEquals assertNotEqual assertAlmostEqual assertListEqual assertDictEqual assertIs assertSetEqual "
    "assertTupleEqual assertSequenceEqual assertCountEqual assertMultiLineEqual assert_equal assert_allclose "
    "assert_array_equal assert_almost_equal assert_array_almost_equal eq_"
)
_HTTP = word_set("get post put delete patch head options fetch")


def parameter_names(holes: Sequence[Hole], taken: Collection[str], kept: Collection[str] = ()) -> list[str]:
    """Name a parameter for each of *holes*: none is among *taken*, a fixture that everybody has, or a builtin.

    *kept* are names that parameters have already.
    """
    wishes = [_wishes(hole) for hole in holes]
    firsts = [each[0] for each in wishes]
    names: list[str] = []
    used = {*taken, *kept}
    for wish in wishes:
        named = wish if firsts.count(wish[0]) == 1 else [each for each in wish if each != "value"]
        name = next((each for each in named if _is_free(each, used) and firsts.count(each) == 1), None)
        if name is None:
            specific = [each for each in wish if "_" in each]
            name = _first_free([*specific, *([wish[0]] if firsts.count(wish[0]) == 1 else [])], wish[0], used)
        names.append(name)
        used.add(name)
    return names


def _first_free(wishes: Sequence[str], base: str, used: Collection[str]) -> str:
    numbered = (f"{base}_{number}" for number in count(1))
    return next(each for each in chain(wishes, numbered) if _is_free(each, used))


def _is_free(name: str, used: Collection[str]) -> bool:
    return name.isidentifier() and not keyword.iskeyword(name) and name not in used and name not in _RESERVED


def _clean(text: str) -> str:
    """Make a name of *text*, in lower case with underscores; empty where that is not possible."""
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text)
    name = re.sub(r"\W+", "_", text).strip("_").lower()
    if not name or name[0].isdigit() or len(name) > 30:
        return ""
    return _BETTER.get(name, f"{name}_value" if keyword.iskeyword(name) or name in _RESERVED else name)


def _wishes(hole: Hole) -> list[str]:
    """List names for a hole, the best first; the last depends on its type alone."""
    found: list[str] = []
    if hole.kind == "attribute":
        call = hole.place.parent
        is_called = call is not None and isinstance(call.node, ast.Call) and hole.place.field == "func"
        found.append("method" if is_called else "attribute")
    elif hole.kind == "keyword":
        found.append("option")
    elif hole.kind == "truth":
        found.extend(("expected", "is_expected"))
    elif hole.kind == "items":
        elements = [element for node in hole.nodes for element in hole.middle(node)]
        is_text = bool(elements) and _is_text(elements)
        found.append("options" if is_text and all(text.startswith("-") for text in _texts(elements)) else "more")
    elif hole.kind == "operator":
        found.append("operation")
    elif hole.kind == "each":
        loop = hole.place.parent.node if hole.place.parent is not None else None
        name = loop.target.id if isinstance(loop, ast.For) and isinstance(loop.target, ast.Name) else "value"
        found.append(f"{name}_values" if name.startswith("expected") or name.endswith("s") else f"{name}s")
    elif hole.kind == "text":
        is_message = any(each.field == "msg" for each in (hole.place, *hole.place.above()))
        found.extend(("message",) if is_message else _from_place(hole.place, hole.nodes))
    elif hole.kind in ("arguments", "keywords"):
        found.append("arguments" if hole.kind == "arguments" else "options")
    else:
        found.extend(_from_place(hole.place, hole.nodes))
    found.append(_by_type(hole.nodes))
    return [name for name in dict.fromkeys(map(_clean, found)) if name] or ["value"]


def _from_place(place: Place, nodes: Sequence[ast.expr]) -> list[str]:
    """Follow the way up from a value until something names it."""
    found: list[str] = []
    child = place
    for above in place.above():
        node = above.node
        if isinstance(node, ast.withitem) and child is place:
            found.append("expectation")
            break
        if isinstance(node, ast.keyword):
            if node.arg:
                found.append(node.arg)
            break
        if isinstance(node, ast.Dict):
            key = node.keys[child.index] if child.field == "values" else None
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                found.append(key.value)
                break
        elif isinstance(node, ast.Call):
            if child.field == "func":
                if child is place:
                    found.append("function")
                break
            name = callee_name(node)
            if name in _EQUALITIES and len(node.args) >= 2:
                found.extend(_expected(node.args[1 - min(child.index, 1)], child.index, node.args))
                break
            if (name, child.index) in _ARGUMENTS:
                found.append(_ARGUMENTS[name, child.index])
                break
            if name.lower() in _HTTP and child.index == 0 and isinstance(node.func, ast.Attribute):
                found.append("url" if _is_text(nodes) and "/" in _texts(nodes)[0] else "key")
                break
            if name not in _TRANSPARENT or len(node.args) != 1:
                if name.startswith(("parse", "read", "load", "decode")):
                    found.append("source" if name.startswith(("read", "load")) else "text")
                break
        elif isinstance(node, ast.Compare):
            others = [node.left, *node.comparators]
            index = 0 if child.field == "left" else child.index + 1
            if any(isinstance(each.node, ast.Assert) for each in above.above()):
                found.extend(_expected(others[0 if index else 1], index, others))
            break
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(target, ast.Name):
                found.append(target.id)
            elif isinstance(target, ast.Attribute):
                found.append(target.attr)
            elif isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant):
                found.append(str(target.slice.value))
            break
        elif isinstance(node, ast.Subscript):
            if child.field == "slice":
                found.append("key" if _is_text(nodes) else "index")
            break
        elif isinstance(node, ast.Raise | ast.ExceptHandler):
            found.append("error")
            break
        elif isinstance(node, ast.For | ast.comprehension):
            if isinstance(child.node, ast.expr) and child.field == "iter":
                found.append("items")
            break
        elif isinstance(node, ast.stmt):
            found.extend(["message"] if child.field == "msg" else [])
            break
        child = above
    return found


def _expected(other: ast.expr, index: int, sides: Sequence[ast.expr]) -> list[str]:
    """Name one side of an equality: the expected one, unless the other is plainer."""
    if index == 0 and len(sides) > 1 and _is_subject(sides[0]) and not _is_subject(sides[1]):
        return []
    what = ""
    if isinstance(other, ast.Attribute):
        what = other.attr
    elif isinstance(other, ast.Subscript) and isinstance(other.slice, ast.Constant):
        what = str(other.slice.value)
    elif isinstance(other, ast.Call):
        what = callee_name(other)
        if what == "len":
            return ["expected_length", "length"]
    elif isinstance(other, ast.Name):
        what = other.id
    return ["expected", f"expected_{what}"] if what else ["expected"]


def _is_subject(node: ast.expr) -> bool:
    return any(isinstance(part, ast.Call | ast.Attribute) for part in ast.walk(node))


def _is_text(nodes: Sequence[ast.expr]) -> bool:
    return all(isinstance(node, ast.Constant) and isinstance(node.value, str) for node in nodes)


def _texts(nodes: Sequence[ast.expr]) -> list[str]:
    return [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def _by_type(nodes: Sequence[ast.expr]) -> str:
    plain = [node.operand if isinstance(node, ast.UnaryOp) else node for node in nodes]
    values = [node.value for node in plain if isinstance(node, ast.Constant)]
    if len(values) == len(nodes):
        kinds = {type(value) for value in values if value is not None}
        if kinds == {bool}:
            return "flag"
        if kinds == {int}:
            return "number"
        if kinds == {str}:
            if all("://" in text for text in _texts(nodes)):
                return "url"
            return "path" if all("/" in text and " " not in text for text in _texts(nodes)) else "text"
        if kinds == {bytes}:
            return "data"
        return "value"
    if all(isinstance(node, ast.List | ast.Tuple | ast.Set) for node in nodes):
        return "items"
    if all(isinstance(node, ast.Dict) for node in nodes):
        return "mapping"
    names = [node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "") for node in nodes]
    if all(name.endswith(("Error", "Exception", "Warning")) for name in names):
        return "error"
    if all(name[:1].isupper() and not name.isupper() for name in names):
        return "factory"
    return "value"
