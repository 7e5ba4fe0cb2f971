"""What a name in the source stands for.

`dotted` follows imports, aliases (``from time import time as t``, ``now = datetime.now``), re-exports,
methods and instances to one canonical dotted name, or gives None when it cannot tell.  Names of amends
itself come out as ``amends.pivot``, whatever module they were imported from.
"""

from __future__ import annotations

import ast
import builtins

import amends

from .project import Project
from .source import OPAQUE, Binding, Function, FunctionNode, Module, own_nodes

API = frozenset(amends.__all__)
DEPTH = 12
MADE_BY = {
    "logging.getLogger": "logging.Logger",
    "asyncio.get_running_loop": "asyncio.AbstractEventLoop",
    "asyncio.get_event_loop": "asyncio.AbstractEventLoop",
    "asyncio.new_event_loop": "asyncio.AbstractEventLoop",
    "pathlib.Path.cwd": "pathlib.Path",
    "pathlib.Path.home": "pathlib.Path",
}


class Resolver:
    """Resolves expressions, each in the function (or at the top of the module) in which it stands."""

    def __init__(self, project: Project) -> None:
        self.project = project

    def dotted(self, node: ast.AST | None, where: Function | Module, depth: int = 0) -> str | None:
        """The canonical dotted name of an expression."""
        if depth > DEPTH:
            return None
        if isinstance(node, ast.Name):
            return self._name(node.id, where, depth + 1)
        if isinstance(node, ast.Attribute):
            base = self.dotted(node.value, where, depth + 1)
            if base is not None and (found := self._attribute(base, node.attr, depth)) is not None:
                return found
            made = self.instance(node.value, where, depth + 1)
            return None if made is None else self.member(made, node.attr)
        return None

    def _attribute(self, base: str, name: str, depth: int) -> str | None:
        place = self.project.split(f"{base}.{name}")
        if place is not None and place[0].name != base:
            module, rest = place
            first = rest.partition(".")[0]
            if first in module.classes:
                return None if self._is_of_instance(base) else self.member(base, name)
            if isinstance(module.bindings.get(first), ast.expr):
                return None  # an attribute of a variable: what it is an instance of decides
        return self.canonical(f"{base}.{name}", depth + 1)

    def _is_of_instance(self, dotted: str) -> bool:
        """Is it an attribute of a class's objects, whose own class can be told?"""
        return self.class_node(dotted) is None and self._of_attribute(dotted, 0) is not None

    def _name(self, name: str, where: Function | Module, depth: int) -> str | None:
        scope: Function | None = where if isinstance(where, Function) else None
        module = where.module if isinstance(where, Function) else where
        while scope is not None:
            if name in scope.bindings:
                return self._local(name, scope.bindings[name], scope, depth)
            scope = scope.outer
        if name in module.bindings:
            return self.canonical(f"{module.name}.{name}", depth)
        for star in module.stars:
            other = self.project.module(star)
            if (other is not None and name in other.bindings) or (star == "amends" and name in API):
                return self.canonical(f"{star}.{name}", depth)
        return f"builtins.{name}" if hasattr(builtins, name) else None

    def _local(self, name: str, binding: Binding, scope: Function, depth: int) -> str | None:
        if isinstance(binding, str):
            return None if binding == OPAQUE else self.canonical(binding, depth)
        if isinstance(binding, FunctionNode | ast.ClassDef):
            return f"{scope.dotted}.<locals>.{name}"
        if isinstance(binding, ast.Name | ast.Attribute):
            return self.dotted(binding, scope, depth)
        return None

    def canonical(self, dotted: str, depth: int = 0) -> str | None:
        """Follow re-exports and aliases at the top of modules."""
        top, _, rest = dotted.partition(".")
        if top == "amends" and rest.rpartition(".")[2] in API and not rest.startswith("demo."):
            return f"amends.{rest.rpartition('.')[2]}"
        if depth > DEPTH:
            return None
        place = self.project.split(dotted)
        if place is None:
            return dotted
        module, rest = place
        first, _, tail = rest.partition(".")
        binding = module.bindings.get(first)
        target: str | None = None
        if isinstance(binding, str) and binding not in (OPAQUE, dotted):
            target = binding
        elif isinstance(binding, ast.Name | ast.Attribute):
            target = self.dotted(binding, module, depth + 1)
        if target is None or target == dotted:
            return dotted
        return self.canonical(f"{target}.{tail}" if tail else target, depth + 1)

    # ------------------------------------------------------------ instances

    def instance(self, node: ast.AST | None, where: Function | Module, depth: int = 0) -> str | None:
        """The dotted name of the class that an expression's value is an instance of."""
        if depth > DEPTH:
            return None
        if isinstance(node, ast.Name):
            return self._instance_named(node.id, where, depth + 1)
        if isinstance(node, ast.Call):
            func = node.func.value if isinstance(node.func, ast.Subscript) else node.func
            made = self.dotted(func, where, depth + 1)
            return None if made is None else self._made_by(made, depth)
        if isinstance(node, ast.BinOp):
            return self.instance(node.left, where, depth + 1)
        if isinstance(node, ast.Attribute):
            known = self.dotted(node, where, depth + 1)
            return None if known is None else self._of_variable(known, depth)
        if isinstance(node, ast.IfExp):
            return self.instance(node.body, where, depth + 1)
        return None

    def _instance_named(self, name: str, where: Function | Module, depth: int) -> str | None:
        scope: Function | None = where if isinstance(where, Function) else None
        while scope is not None:
            if name in scope.bindings:
                binding = scope.bindings[name]
                if isinstance(binding, ast.arg):
                    if scope.bound and scope.parameters and binding is scope.parameters[0]:
                        return f"{scope.module.name}.{scope.owner}"
                    return self.annotated(binding.annotation, scope)
                return self.instance(binding, scope, depth) if isinstance(binding, ast.expr) else None
            scope = scope.outer
        known = self._name(name, where, depth)
        return None if known is None else self._of_variable(known, depth)

    def _of_variable(self, dotted: str, depth: int) -> str | None:
        """The class of a variable at the top of a module."""
        place = self.project.split(dotted)
        if place is None:
            return None
        binding = place[0].bindings.get(place[1])
        if binding is None:
            return self._of_attribute(dotted, depth)
        return self.instance(binding, place[0], depth + 1) if isinstance(binding, ast.expr) else None

    def _of_attribute(self, dotted: str, depth: int) -> str | None:
        """The class of ``self.client``: by its annotation in the class, or by what `__init__` puts there."""
        cls, _, name = dotted.rpartition(".")
        node, place = self.class_node(cls), self.project.split(cls)
        if node is None or place is None or depth > DEPTH:
            return None
        for statement in node.body:
            if isinstance(statement, ast.AnnAssign) and _is_named(statement.target, name):
                return self.annotated(statement.annotation, place[0])
        maker = place[0].functions.get(f"{place[1]}.__init__")
        for each in own_nodes(maker.node) if maker is not None else ():
            if isinstance(each, ast.AnnAssign) and _is_attribute(each.target, name):
                return self.annotated(each.annotation, place[0])
            if isinstance(each, ast.Assign) and any(_is_attribute(t, name) for t in each.targets):
                return self.instance(each.value, maker or place[0], depth + 1)
        return None

    def _made_by(self, dotted: str, depth: int) -> str | None:
        if dotted in MADE_BY:
            return MADE_BY[dotted]
        if self.class_node(dotted) is not None:
            return dotted
        function = self.project.function(dotted)
        if function is not None:
            return self.annotated(function.node.returns, function)
        outside = self.project.split(dotted) is None
        return dotted if outside and dotted.rpartition(".")[2][:1].isupper() else None

    def annotated(self, annotation: ast.expr | None, where: Function | Module) -> str | None:
        """The class that an annotation names (of ``X | None`` and ``Optional[X]``: X)."""
        if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
            try:
                annotation = ast.parse(annotation.value, mode="eval").body
            except SyntaxError:
                return None
        if isinstance(annotation, ast.BinOp):
            sides = [s for s in (annotation.left, annotation.right) if not _is_none(s)]
            return self.annotated(sides[0], where) if len(sides) == 1 else None
        if isinstance(annotation, ast.Subscript):
            wrapper = self.dotted(annotation.value, where)
            if wrapper in ("typing.Optional", "amends.Resource", "typing.Annotated"):
                inner = annotation.slice
                return self.annotated(inner.elts[0] if isinstance(inner, ast.Tuple) else inner, where)
            return wrapper
        module = where.module if isinstance(where, Function) else where
        named = self.dotted(annotation, where.outer or module if isinstance(where, Function) else module)
        return None if named in ("typing.Any", "builtins.object") else named

    def class_node(self, dotted: str) -> ast.ClassDef | None:
        """The definition of a class that can be looked into."""
        place = self.project.split(dotted)
        return None if place is None else place[0].classes.get(place[1])

    def member(self, cls: str, name: str) -> str:
        """Where a class has an attribute from: itself, a base that can be looked into, or another library."""
        foreign = ""
        for owner in self.ancestry(cls):
            place = self.project.split(owner)
            if place is None or place[1] not in place[0].classes:
                foreign = foreign or owner
            elif f"{place[1]}.{name}" in place[0].functions or _assigns(place[0].classes[place[1]], name):
                return f"{owner}.{name}"
        return f"{foreign or cls}.{name}"

    def ancestry(self, cls: str) -> list[str]:
        """The class and its bases, nearest first; those of other libraries by name only."""
        found: list[str] = []
        waiting = [cls]
        while waiting and len(found) < DEPTH:
            owner = waiting.pop(0)
            if owner in found or owner.startswith(("builtins.", "typing.")):
                continue
            found.append(owner)
            node, place = self.class_node(owner), self.project.split(owner)
            for item in node.bases if node is not None and place is not None else ():
                base = item.value if isinstance(item, ast.Subscript) else item
                waiting += [named] if place and (named := self.dotted(base, place[0])) else []
        return found

    def bases(self, cls: str) -> list[str]:
        """The class and its bases that can be looked into, nearest first."""
        return [owner for owner in self.ancestry(cls) if self.class_node(owner) is not None]


def _assigns(node: ast.ClassDef, name: str) -> bool:
    return any(
        isinstance(target, ast.Name) and target.id == name
        for statement in node.body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
    )


def _is_named(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _is_attribute(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == name and _is_named(node.value, "self")


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None
