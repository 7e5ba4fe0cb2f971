"""What can be known of an expression without its values: its shape, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping

from ....errors import ExpressionError, did_you_mean
from .functions import FUNCTIONS
from .shapes import ANY, BOOLEAN, INTEGER, LIST, NULL, NUMBER, STRING, Shape, either, fits
from .syntax import Binary, Call, Choice, Expr, Field, Index, ListOf, Literal, Name, ObjectOf, Unary

_PYTHONIC = {"None": "null", "True": "true", "False": "false"}


def infer(tree: Expr, environment: Mapping[str, Shape], text: str) -> tuple[Shape, list[ExpressionError]]:
    """The expression's shape in an environment of shapes, and every problem found in it."""
    walk = _Walk(environment, text)
    return walk.shape(tree), walk.problems


class _Walk:
    def __init__(self, environment: Mapping[str, Shape], text: str) -> None:
        self.environment = environment
        self.text = text
        self.problems: list[ExpressionError] = []

    def wrong(self, at: int, message: str, hint: str = "") -> Shape:
        self.problems.append(ExpressionError(self.text, at, message, hint))
        return ANY

    def shape(self, tree: Expr) -> Shape:
        match tree:
            case Literal():
                return _of_literal(tree.value)
            case Name():
                return self.name(tree)
            case Field():
                return self.member(self.shape(tree.base), tree.name, tree.at)
            case Index():
                return self.index(tree)
            case Unary():
                want = BOOLEAN if tree.op == "not" else NUMBER
                found = self.need(tree.operand, want, f"`{tree.op}`")
                return BOOLEAN if tree.op == "not" else _numeric(found)
            case Binary():
                return self.binary(tree)
            case Choice():
                self.need(tree.condition, BOOLEAN, "`if`")
                return either(self.shape(tree.yes), self.shape(tree.no))
            case ListOf():
                shapes = [self.shape(item) for item in tree.items]
                item = shapes[0] if shapes else None
                for other in shapes[1:]:
                    item = either(item or ANY, other)
                return Shape("list", item=item)
            case ObjectOf():
                return Shape("object", fields={name: self.shape(item) for name, item in tree.items})
            case Call():
                return self.call(tree)
        raise AssertionError(tree)

    def need(self, tree: Expr, want: Shape, what: str) -> Shape:
        have = self.shape(tree)
        if why := fits(have, want):
            self.wrong(tree.at, f"{what}: {why}")
        return have

    def name(self, tree: Name) -> Shape:
        if tree.name in self.environment:
            return self.environment[tree.name]
        if tree.name in _PYTHONIC:
            return self.wrong(tree.at, f"unknown name {tree.name!r}", f"write {_PYTHONIC[tree.name]}")
        hint = did_you_mean(tree.name, self.environment)
        quoted = f"text stands in quotes: '{tree.name}'"
        return self.wrong(tree.at, f"unknown name {tree.name!r}", f"{hint}; {quoted}" if hint else quoted)

    def member(self, base: Shape, name: str, at: int) -> Shape:
        if base.kind in {"any", "null"}:
            return ANY
        if base.kind == "list":
            return self.wrong(
                at, f"a list has no field {name!r}", f"an item's: [0].{name}; all: pluck(…, '{name}')"
            )
        if base.kind != "object":
            return self.wrong(at, f"{base} has no field {name!r}")
        if base.fields is None:
            return ANY
        if name not in base.fields:
            return self.wrong(at, f"there is no field {name!r}", did_you_mean(name, base.fields))
        found = base.fields[name]
        return found.or_null() if base.optional else found

    def index(self, tree: Index) -> Shape:
        base, index = self.shape(tree.base), self.shape(tree.index)
        if isinstance(tree.index, Literal) and isinstance(tree.index.value, str):
            return self.member(base, tree.index.value, tree.at)
        wanted = {"list": INTEGER, "object": STRING}.get(base.kind)
        if wanted is None:
            if base.kind not in {"any", "null"}:
                self.wrong(tree.at, f"{base} has no items")
        elif why := fits(index, wanted):
            self.wrong(tree.index.at, f"the index: {why}")
        return (base.item or ANY).or_null() if base.optional else base.item or ANY

    def binary(self, tree: Binary) -> Shape:
        op = tree.op
        if op in {"and", "or"}:
            self.need(tree.left, BOOLEAN, f"`{op}`")
            self.need(tree.right, BOOLEAN, f"`{op}`")
            return BOOLEAN
        left, right = self.shape(tree.left), self.shape(tree.right)
        known = "any" not in (left.kind, right.kind)
        if op in {"==", "!="}:
            if known and not {left.kind, right.kind} & {"null"} and _family(left) != _family(right):
                self.wrong(tree.at, f"`{op}` compares {left} with {right}, which are never equal")
            return BOOLEAN
        if op in {"in", "not in"}:
            if right.kind not in {"any", "list", "object", "string", "null"}:
                self.wrong(tree.at, f"`{op}` needs a list, an object or text on the right, got {right}")
            return BOOLEAN
        return self.calculation(op, tree, left, right, known=known)

    def calculation(self, op: str, tree: Binary, left: Shape, right: Shape, *, known: bool) -> Shape:
        comparing = op in {"<", "<=", ">", ">="}
        allowed = (
            {"number", "string"} if comparing else {"number", "string", "list"} if op == "+" else {"number"}
        )
        wrong = [s for s in (left, right) if s.kind != "any" and _family(s) not in allowed]
        if wrong or (known and _family(left) != _family(right)):
            hint = "text(…) makes text of it" if op == "+" and "string" in (left.kind, right.kind) else ""
            self.wrong(tree.at, f"`{op}` cannot take {left} and {right}", hint)
        elif not comparing and known:
            if left.kind == right.kind == "list":
                return left if left == right else LIST
            if left.kind == "string":
                return STRING
            return INTEGER if left.kind == right.kind == "integer" and op != "/" else NUMBER
        return BOOLEAN if comparing else ANY

    def call(self, tree: Call) -> Shape:
        function = FUNCTIONS.get(tree.function)
        if function is None:
            return self.wrong(
                tree.at, f"unknown function {tree.function!r}", did_you_mean(tree.function, FUNCTIONS)
            )
        if why := function.misfit(len(tree.arguments)):
            self.wrong(tree.at, f"{tree.function} takes {why}, got {len(tree.arguments)}")
        shapes = []
        for place, argument in enumerate(tree.arguments):
            want = function.takes[min(place, len(function.takes) - 1)]
            shapes.append(self.need(argument, want, f"argument {place + 1} of {tree.function}"))
        return _result(tree.function, shapes, function.gives)


def _result(function: str, shapes: list[Shape], gives: Shape) -> Shape:
    if function == "coalesce" and shapes:
        last = shapes[-1]
        if all(shape.kind == last.kind for shape in shapes):
            return last
    if function in {"min", "max"} and shapes:
        first = shapes[0].item if len(shapes) == 1 and shapes[0].kind == "list" else shapes[0]
        return first if first is not None and len(shapes) == 1 else ANY
    return gives


def _of_literal(value: object) -> Shape:
    if value is None:
        return NULL
    if isinstance(value, bool):
        return BOOLEAN
    return STRING if isinstance(value, str) else INTEGER if isinstance(value, int) else NUMBER


def _family(shape: Shape) -> str:
    return "number" if shape.kind == "integer" else shape.kind


def _numeric(shape: Shape) -> Shape:
    return shape if shape.kind in {"integer", "number"} else NUMBER
