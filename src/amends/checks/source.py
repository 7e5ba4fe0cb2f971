"""A module as text and tree: its functions, its classes, and what its names are bound to.

A *binding* is what one name of a namespace stands for: a dotted name (an import), an expression (an
assignment), a parameter, a definition, or something that cannot be told (`OPAQUE`).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Union

from .finding import Span

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
Callee = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
OPAQUE = "?"
Binding = Union[str, ast.expr, ast.arg, FunctionNode, ast.ClassDef]  # noqa: UP007 - read by people


class Function:
    """A function of a module; `owner` is the class it is a method of, `outer` the function around it."""

    def __init__(
        self, module: Module, node: FunctionNode, qualname: str, owner: str, outer: Function | None
    ) -> None:
        self.module = module
        self.node = node
        self.qualname = qualname
        self.owner = owner
        self.outer = outer

    @property
    def name(self) -> str:
        """Its last name."""
        return self.node.name

    @property
    def dotted(self) -> str:
        """Module and qualified name."""
        return f"{self.module.name}.{self.qualname}"

    @cached_property
    def bound(self) -> bool:
        """Is its first parameter given by the object it is called on?"""
        return bool(self.owner) and "staticmethod" not in self._decorators

    @property
    def is_property(self) -> bool:
        """Does reading an attribute run it?"""
        return bool(self._decorators & {"property", "cached_property"})

    @cached_property
    def _decorators(self) -> set[str]:
        """The last names of its plain decorators."""
        return {ast.unparse(node).rpartition(".")[2] for node in self.node.decorator_list}

    @cached_property
    def parameters(self) -> list[ast.arg]:
        """All parameters in the order of the signature."""
        args = self.node.args
        every = [*args.posonlyargs, *args.args, args.vararg, *args.kwonlyargs, args.kwarg]
        return [arg for arg in every if arg is not None]

    @cached_property
    def defaults(self) -> dict[str, ast.expr]:
        """Default values by parameter."""
        args = self.node.args
        plain = [*args.posonlyargs, *args.args]
        found = dict(
            zip([a.arg for a in plain[len(plain) - len(args.defaults) :]], args.defaults, strict=True)
        )
        named = zip(args.kwonlyargs, args.kw_defaults, strict=True)
        return found | {arg.arg: value for arg, value in named if value is not None}

    @cached_property
    def bindings(self) -> dict[str, Binding]:
        """What its local names stand for."""
        found: dict[str, Binding] = {arg.arg: arg for arg in self.parameters}
        bind(self.node.body, found, self.module)
        for node in own_nodes(self.node):
            if isinstance(node, ast.Global | ast.Nonlocal):
                for name in node.names:
                    found.pop(name, None)
        return found

    def __repr__(self) -> str:
        return f"<function {self.dotted}>"


class Module:
    """A parsed file. `path` is what findings call it."""

    def __init__(self, name: str, path: Path, text: str) -> None:
        self.name = name
        self.path = path
        self.text = text
        self.lines = text.splitlines()
        self.tree = ast.parse(text, str(path))
        self.package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        self.functions: dict[str, Function] = {}
        self.classes: dict[str, ast.ClassDef] = {}
        self.stars: list[str] = []
        self.bindings: dict[str, Binding] = {}
        bind(self.tree.body, self.bindings, self)
        self._index(self.tree, "", "", None)

    def _index(self, parent: ast.AST, prefix: str, owner: str, outer: Function | None) -> None:
        for node in ast.iter_child_nodes(parent):
            if isinstance(node, FunctionNode):
                function = Function(self, node, prefix + node.name, owner, outer)
                self.functions[function.qualname] = function
                self._index(node, f"{function.qualname}.<locals>.", "", function)
            elif isinstance(node, ast.ClassDef):
                self.classes[prefix + node.name] = node
                self._index(node, f"{prefix}{node.name}.", prefix + node.name, outer)
            else:
                self._index(node, prefix, owner, outer)

    @cached_property
    def parents(self) -> dict[ast.AST, ast.AST]:
        """The node around each node."""
        return {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}

    @cached_property
    def by_line(self) -> dict[int, Function]:
        """Functions by the line on which they begin (that of the first decorator)."""
        return {first_line(function.node): function for function in self.functions.values()}

    def span(self, node: ast.AST) -> Span:
        """Where a node stands; of a definition its name."""
        line, start = getattr(node, "lineno", 1), getattr(node, "col_offset", 0)
        end_line, end = (
            getattr(node, "end_lineno", line) or line,
            getattr(node, "end_col_offset", start) or start,
        )
        column = self._column(line, start)
        if isinstance(node, FunctionNode | ast.ClassDef):
            column = self.lines[line - 1].find(node.name, column - 1) + 1
            return Span(line, column, line, column + len(node.name))
        return Span(line, column, end_line, self._column(end_line, end))

    def _column(self, line: int, offset: int) -> int:
        """The tree counts bytes, people count characters."""
        if not 0 < line <= len(self.lines):
            return 1
        return len(self.lines[line - 1].encode()[:offset].decode(errors="replace")) + 1


def first_line(node: FunctionNode | ast.ClassDef) -> int:
    """The line of the first decorator, or of the definition."""
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def own_nodes(node: Callee) -> Iterator[ast.AST]:
    """The nodes of a function's body, without those of functions and classes defined in it."""
    body = node.body if isinstance(node.body, list) else [node.body]
    waiting: list[ast.AST] = list(reversed(body))
    while waiting:
        item = waiting.pop()
        yield item
        if isinstance(item, FunctionNode | ast.ClassDef):
            continue
        children = list(ast.iter_child_nodes(item))
        if isinstance(item, ast.AnnAssign):
            children.remove(item.annotation)
        waiting.extend(reversed(children))


def bind(body: list[ast.stmt], found: dict[str, Binding], module: Module) -> None:
    """Collect the bindings of a namespace (not those of functions and classes in it)."""
    for statement in body:
        for node, parent in _of_this_namespace(statement, None):
            for name, binding in _bound(node, parent, module):
                found[name] = _joined(found[name], binding) if name in found else binding


def _joined(one: Binding, other: Binding) -> Binding:
    """Two bindings of one name: ``try: import x; except ImportError: x = None`` is still the import."""
    known = [each for each in (one, other) if not (isinstance(each, ast.Constant) and each.value is None)]
    if known and all(isinstance(each, str) and each != OPAQUE for each in known):
        return known[-1]
    return OPAQUE


def _of_this_namespace(node: ast.AST, parent: ast.AST | None) -> Iterator[tuple[ast.AST, ast.AST | None]]:
    """Nodes and what is around each (`Module.parents` is dear, and few modules need it)."""
    yield node, parent
    if isinstance(node, FunctionNode | ast.ClassDef | ast.Lambda):
        return
    for child in ast.iter_child_nodes(node):
        yield from _of_this_namespace(child, node)


def _bound(node: ast.AST, parent: ast.AST | None, module: Module) -> Iterator[tuple[str, Binding]]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield (alias.asname, alias.name) if alias.asname else (alias.name.partition(".")[0],) * 2
    elif isinstance(node, ast.ImportFrom):
        base = absolute(node, module.package)
        for alias in node.names:
            if alias.name == "*":
                module.stars.append(base)
            else:
                yield alias.asname or alias.name, f"{base}.{alias.name}"
    elif isinstance(node, FunctionNode | ast.ClassDef):
        yield node.name, node
    elif isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
        yield node.targets[0].id, node.value
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        yield node.target.id, ast.arg(node.target.id, node.annotation) if node.value is None else node.value
    elif isinstance(node, ast.NamedExpr):
        yield node.target.id, node.value
    elif isinstance(node, ast.withitem) and isinstance(node.optional_vars, ast.Name):
        yield node.optional_vars.id, node.context_expr
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and not _is_plain_target(parent):
        yield node.id, OPAQUE


def _is_plain_target(parent: ast.AST | None) -> bool:
    """Is a name in it the target of an assignment that was seen already?"""
    return (isinstance(parent, ast.Assign) and len(parent.targets) == 1) or isinstance(
        parent, ast.AnnAssign | ast.NamedExpr | ast.withitem
    )


def absolute(node: ast.ImportFrom, package: str) -> str:
    """The dotted name of the module that is imported from."""
    if not node.level:
        return node.module or ""
    parts = package.split(".") if package else []
    parts = parts[: len(parts) - (node.level - 1)]
    return ".".join([*parts, *([node.module] if node.module else [])])
