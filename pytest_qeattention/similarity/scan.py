"""Read one file and list the functions in it that can be tests, without importing it.

What a file holds is only known together with the others (a base class may lie elsewhere), so a scan lists
candidates: functions by their names, and the facts about classes and imports from which ``resolve_units``
decides.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import ast
import gc
import inspect
import io
import os
import sys
import tokenize
import warnings
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from typing import Generic, TypeVar

from .candidates import ClassInfo, FileScan, FoundFunction, source_digest
from .discover import SourcePath
from .model import Problem, Unit
from .naming import NamingRules
from .scope import Function, Scope, dotted_name, last_name, read_scope, truth

T = TypeVar("T")


def scan_file(
    source: SourcePath,
    rules: NamingRules | None = None,
    describe: Callable[[Function, Unit], T] | None = None,
    *,
    wanted: Container[int] | None = None,
) -> FileScan[T]:
    """Read and scan *source*; a file that can't be read gives a scan with a problem."""
    root = package_root(os.path.dirname(source.path))
    try:
        data = source.path.read_bytes()
    except OSError as error:
        message = f"can't be read ({error.strerror or error}); its tests are left out"
        return FileScan(source.display, Problem(source.display, message), source=source, root=root)
    scan = scan_source(data, source.display, rules, wanted, describe=describe)
    return replace(scan, source=source, root=root, digest=source_digest(data))


@lru_cache(maxsize=4096)
def package_root(directory: str) -> str:
    """Return the absolute path of the directory that holds the top package of the files in *directory*."""
    while os.path.isfile(os.path.join(directory, "__init__.py")) and os.path.dirname(directory) != directory:
        directory = os.path.dirname(directory)
    return directory


def scan_source(
    data: bytes,
    display_path: str,
    rules: NamingRules | None = None,
    wanted: Container[int] | None = None,
    *,
    describe: Callable[[Function, Unit], T] | None = None,
) -> FileScan[T]:
    """List the functions of one file that can be tests.

    *rules* gives the names (None: pytest's defaults). With *wanted*, lines of ``def`` or of the first
    decorator, exactly the functions at those lines are listed, whatever their names and wherever they are
    written. *describe* is called with the node and the unit of each function listed; its result is kept as
    ``described``. Nothing is raised for broken input: the scan then has a problem and no functions.
    """

    if b"\0" in data:
        return _broken(display_path, "contains null bytes, so it is not Python source in UTF-8")
    with without_garbage_collection(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # The tree is gone when this returns: a collector switched on while it lives would walk all of it.
        return _scan(data, display_path, rules or NamingRules(), wanted, describe)


def _scan(
    data: bytes,
    path: str,
    rules: NamingRules,
    wanted: Container[int] | None,
    describe: Callable[[Function, Unit], T] | None,
) -> FileScan[T]:
    try:
        text = _decode(data)
    except UnicodeDecodeError as error:
        what = f"is not {error.encoding.upper()} (byte {error.start}); declare its encoding or save it as UTF-8"
        return _broken(path, what, data.count(b"\n", 0, error.start) + 1)
    except (SyntaxError, ValueError, LookupError) as error:
        return _broken(path, f"can't be decoded ({error})", 1)
    try:
        tree = parsed_source(text)
    except SyntaxError as error:
        return _broken(path, f"does not parse ({error.msg})", error.lineno)
    except (RecursionError, MemoryError):
        return _broken(path, "is nested too deeply for Python's parser")
    except ValueError as error:
        return _broken(path, f"does not parse ({error})")
    try:
        scanner: _Scanner[T] = _Scanner(path, text, rules, wanted, describe)
        return scanner.scan(tree)
    except RecursionError:
        return _broken(path, "is nested too deeply to be analysed")


def parsed_source(text: str) -> ast.Module:
    """Parse a module, its warnings left out; raises SyntaxError, ValueError, RecursionError or MemoryError."""
    if sys.version_info < (3, 11) and _overflows(text):
        raise RecursionError
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(text)


_CHAINING = "+-*/%@<>&^|.(["
_LONGEST_CHAIN = 50_000


def _overflows(text: str) -> bool:
    """Say whether a chain of operators could run Python 3.10 out of C stack.

    Its parser bounds what nests to the right, but builds ``a + b + ...`` unchecked and dies some 400,000 deep.
    """
    if sum(map(text.count, _CHAINING)) <= _LONGEST_CHAIN:
        return False
    length = 0
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.NEWLINE:
                length = 0
            elif token.type == tokenize.OP and token.string[0] in _CHAINING:
                length += 1
                if length > _LONGEST_CHAIN:
                    return True
    except (tokenize.TokenError, SyntaxError):
        pass  # the parser says it better
    return False


def _broken(path: str, what: str, line: int | None = None) -> FileScan[T]:
    return FileScan(path, Problem(path, f"{what}; its tests are left out", line))


def _decode(data: bytes) -> str:
    encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    return data.decode(encoding)


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Switch the garbage collector off for what builds many objects that live on: it would walk them over and over."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


FIXTURES = frozenset({"fixture", "yield_fixture"})
PROPERTIES = frozenset({"property", "cached_property", "classproperty", "abstractproperty"})
ABSTRACT = frozenset({"abstractmethod", "abstractproperty", "abstractclassmethod", "abstractstaticmethod"})
WRITES_INIT = frozenset({"dataclass", "dataclasses.dataclass", "define", "mutable", "frozen", "s", "attrs"})


class _Scanner(Generic[T]):
    def __init__(
        self,
        path: str,
        text: str,
        rules: NamingRules,
        wanted: Container[int] | None,
        describe: Callable[[Function, Unit], T] | None,
    ) -> None:
        self.path = path
        self.rules = rules
        self.wanted = wanted
        self.describe = describe
        # The tokenizer ends a line at these three; str.splitlines knows more.
        self.lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self.functions: list[FoundFunction[T]] = []
        self.classes: list[ClassInfo] = []

    def scan(self, tree: ast.Module) -> FileScan[T]:
        module = read_scope(tree.body)
        if self.wanted is not None:
            self.list_wanted(tree)
        else:
            self.list_functions(module, None)
        self.list_classes(module)
        return FileScan(
            self.path,
            None,
            tuple(self.classes),
            tuple(self.functions),
            module.imports,
            module.aliases,
            tuple(module.star_imports),
            _exports(module),
            module.test_flag,
            fixtures=tuple(name for name, node in module.functions.items() if _is_bound(node)),
        )

    def list_classes(self, module: Scope) -> None:
        pending = [(node, node.name, module) for node in reversed(module.classes.values())]
        while pending:
            node, qualname, outer = pending.pop()
            scope = read_scope(node.body)
            flag = outer.test_flags.get(node.name, scope.test_flag)
            decorators = [dotted_name(decorator) for decorator in node.decorator_list]
            self.classes.append(
                ClassInfo(
                    node.name,
                    qualname,
                    node.lineno,
                    bases=tuple(dotted_name(base) for base in node.bases if not isinstance(base, ast.Starred)),
                    methods=tuple(name for name, method in scope.functions.items() if not _is_bound(method)),
                    bound=(
                        *scope.bound,
                        *scope.imports,
                        *(name for name, method in scope.functions.items() if _is_bound(method)),
                    ),
                    abstract=tuple(
                        name
                        for name, method in scope.functions.items()
                        if any(last_name(dotted_name(d)) in ABSTRACT for d in method.decorator_list)
                    ),
                    metaclass=next((dotted_name(k.value) for k in node.keywords if k.arg == "metaclass"), None),
                    has_init="__init__" in scope.functions
                    or "__init__" in scope.bound
                    or _writes_init(node, decorators),
                    has_new="__new__" in scope.functions or "__new__" in scope.bound,
                    test_flag=flag,
                    exported=node.name not in outer.deleted,
                )
            )
            if self.wanted is None:
                self.list_functions(scope, qualname)
            pending.extend((inner, f"{qualname}::{inner.name}", scope) for inner in reversed(scope.classes.values()))

    def list_functions(self, scope: Scope, owner: str | None) -> None:
        for name, node in scope.functions.items():
            flag = scope.test_flags.get(name)
            if not (
                self.rules.is_function(name)
                or flag
                or (owner is not None and (name.startswith("test") or name == "runTest"))
            ):
                continue
            if not _is_bound(node):
                self.add(node, owner, name if owner is None else f"{owner}::{name}", flag)

    def list_wanted(self, tree: ast.Module) -> None:
        wanted = self.wanted
        if wanted is None:
            return
        stack: list[tuple[ast.AST, str, str | None]] = [(tree, "", None)]
        while stack:
            node, prefix, owner = stack.pop()
            if isinstance(node, ast.ClassDef):
                owner = prefix + node.name
                prefix = owner + "::"
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                if node.lineno in wanted or first_line(node) in wanted:
                    self.add(node, owner, prefix + node.name, None)
                owner, prefix = None, f"{prefix}{node.name}::<locals>::"
            elif isinstance(node, ast.expr):
                continue
            stack.extend((child, prefix, owner) for child in reversed([*ast.iter_child_nodes(node)]))

    def add(self, node: Function, owner: str | None, qualname: str, flag: bool | None) -> None:
        start = first_line(node)
        end_line = node.end_lineno or node.lineno
        unit = Unit(
            nodeid=f"{self.path}::{qualname}",
            path=self.path,
            line=node.lineno,
            name=node.name,
            qualname=qualname,
            first_line=start,
            end_line=end_line,
            source="\n".join(self.lines[start - 1 : end_line]),
            docstring=_docstring(node),
            fixtures=_fixtures(node, owner is not None),
            decorators=tuple(self.segment(decorator) for decorator in node.decorator_list),
            is_async=isinstance(node, ast.AsyncFunctionDef),
        )
        described = None if self.describe is None else self.describe(node, unit)
        self.functions.append(FoundFunction(unit, owner, described, flag, _is_generator(node, unit.source)))

    def segment(self, node: ast.expr) -> str:
        """Return the source of *node*; columns count bytes of UTF-8."""
        first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
        if first == last:
            line = self.lines[first]
            if line.isascii():
                return line[node.col_offset : node.end_col_offset]
            return line.encode()[node.col_offset : node.end_col_offset].decode()
        lines = [line.encode() for line in self.lines[first : last + 1]]
        lines[-1] = lines[-1][: node.end_col_offset]
        lines[0] = lines[0][node.col_offset :]
        return b"\n".join(lines).decode()


def _exports(module: Scope) -> tuple[str, ...] | None:
    names: list[str] = []
    for value in module.exports:
        if not isinstance(value, (ast.List, ast.Tuple)):
            return None
        for entry in value.elts:
            if not (isinstance(entry, ast.Constant) and isinstance(entry.value, str)):
                return None
            names.append(entry.value)
    return tuple(names) or None


def _is_bound(node: Function) -> bool:
    """Say whether decorators make *node* something that pytest does not call: a fixture or a property."""
    return any(last_name(dotted_name(decorator)) in FIXTURES | PROPERTIES for decorator in node.decorator_list)


def _writes_init(node: ast.ClassDef, decorators: Sequence[str]) -> bool:
    for decorator, dotted in zip(node.decorator_list, decorators, strict=True):
        name = dotted.removesuffix("()")
        head, _, last = name.rpartition(".")
        if last not in WRITES_INIT or head not in ("", "attr", "attrs", "dataclasses"):
            continue
        if isinstance(decorator, ast.Call) and any(
            keyword.arg == "init" and truth(keyword.value) is False for keyword in decorator.keywords
        ):
            continue
        return True
    return False


def first_line(node: Function) -> int:
    """Return where *node* begins: at its first decorator, or else at ``def``."""
    return node.decorator_list[0].lineno if node.decorator_list else node.lineno


def _docstring(node: Function) -> str | None:
    first = node.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        return inspect.cleandoc(first.value.value)
    return None


def _fixtures(node: Function, method: bool) -> tuple[str, ...]:
    """Name the arguments that pytest fills: those without a default that may be given by name."""
    arguments = node.args
    positional = arguments.posonlyargs + arguments.args
    names = [argument.arg for argument in positional]
    given = names[: len(names) - len(arguments.defaults)]
    start = len(arguments.posonlyargs)
    if method and not any(last_name(dotted_name(decorator)) == "staticmethod" for decorator in node.decorator_list):
        start = max(start, 1)
    keyword = [
        argument.arg
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        if default is None
    ]
    return (*given[start:], *keyword)


def _is_generator(node: Function, source: str) -> bool:
    if "yield" not in source or isinstance(node, ast.AsyncFunctionDef):
        return False
    # A decorator that wraps makes a plain function of it; marks and the method kinds do not wrap.
    for decorator in node.decorator_list:
        dotted = dotted_name(decorator).removesuffix("()")
        if ".mark." not in f".{dotted}." and dotted not in ("staticmethod", "classmethod"):
            return False
    stack: list[ast.AST] = [*node.body]
    while stack:
        current = stack.pop()
        if isinstance(current, (ast.Yield, ast.YieldFrom)):
            return True
        if not isinstance(current, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            stack.extend(ast.iter_child_nodes(current))
    return False
