"""The value of an expression: a walk over the tree that spends fuel."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ....errors import ExpressionError, did_you_mean
from .functions import FUNCTIONS, Fuel, Trouble, contains, kind, same
from .syntax import (
    MAX_INTEGER,
    Binary,
    Call,
    Choice,
    Expr,
    Field,
    Index,
    ListOf,
    Literal,
    Name,
    ObjectOf,
    Unary,
)

FUEL = 100_000
"""Operations that one evaluation may spend."""

MAX_SIZE = 1_000_000
"""Elements and characters that one value may have."""

_NUMBERS = (int, float)


def evaluate(tree: Expr, environment: Mapping[str, Any], text: str) -> Any:
    """The expression's value, in JSON's types. `text` is what it was parsed from, for errors.

    Raises `ExpressionError`, and nothing else.
    """
    machine = _Machine(environment, text)
    try:
        value = machine.value(tree)
    except _Missing as missing:  # its own name says nothing to who reads it
        raise ExpressionError(text, missing.column - 1, missing.reason, missing.hint) from None
    if not _within(value, MAX_SIZE):
        raise ExpressionError(
            text, tree.at, f"the value is larger than {MAX_SIZE:,} parts", "compute it in a step"
        )
    return value


class _Missing(ExpressionError):
    """A field or an item that is not there: `coalesce` and `has` take it as null."""


class _Machine:
    def __init__(self, environment: Mapping[str, Any], text: str) -> None:
        self.environment = environment
        self.text = text
        self.fuel = Fuel(FUEL)

    def fail(self, at: int, message: str, hint: str = "") -> ExpressionError:
        return ExpressionError(self.text, at, message, hint)

    def value(self, tree: Expr) -> Any:
        try:
            self.fuel.spend()
            found = self._value(tree)
        except Trouble as trouble:
            raise self.fail(tree.at, trouble.message, trouble.hint) from None
        return self._checked(found, tree) if type(found) in _NUMBERS else found

    def _checked(self, number: Any, tree: Expr) -> Any:
        if isinstance(number, float):
            if not math.isfinite(number):
                raise self.fail(tree.at, "the number is too large")
        elif abs(number) > MAX_INTEGER and not isinstance(tree, Name | Field | Index):
            raise self.fail(tree.at, "the integer has more than 64 bits")
        return number

    def _value(self, tree: Expr) -> Any:
        match tree:
            case Literal():
                return tree.value
            case Name():
                return self.name(tree)
            case Field():
                return self.member(self.value(tree.base), tree.name, tree)
            case Index():
                return self.index(tree)
            case Unary():
                return self.unary(tree)
            case Binary():
                return self.binary(tree)
            case Choice():
                chosen = tree.yes if self.truth(tree.condition, "if") else tree.no
                return self.value(chosen)
            case ListOf():
                return [self.value(item) for item in tree.items]
            case ObjectOf():
                return {name: self.value(item) for name, item in tree.items}
            case Call():
                return self.call(tree)
        raise AssertionError(tree)

    # ------------------------------------------------------------ paths

    def name(self, tree: Name) -> Any:
        if tree.name in self.environment:
            return self.environment[tree.name]
        hint = did_you_mean(tree.name, self.environment)
        raise self.fail(tree.at, f"unknown name {tree.name!r}", hint)

    def member(self, base: Any, name: str, tree: Expr) -> Any:
        if base is None:
            return None
        if not isinstance(base, dict):
            hint = (
                "items: lines[0]; one field of each: pluck(lines, 'field')" if isinstance(base, list) else ""
            )
            raise self.fail(tree.at, f"{kind(base)} has no field {name!r}", hint)
        if name not in base:
            hint = did_you_mean(name, map(str, base)) or "if it may be missing: coalesce(…, null)"
            raise _Missing(self.text, tree.at, f"there is no field {name!r}", hint)
        return base[name]

    def index(self, tree: Index) -> Any:
        base, index = self.value(tree.base), self.value(tree.index)
        if base is None:
            return None
        if isinstance(index, str):
            return self.member(base, index, tree)
        if not isinstance(base, list) or type(index) is not int:
            raise self.fail(
                tree.at, f"{kind(base)} has no item {kind(index)}", "lists count from 0, objects have text"
            )
        if not -len(base) <= index < len(base):
            raise _Missing(self.text, tree.at, f"there is no item {index}, the list has {len(base)}")
        return base[index]

    # ------------------------------------------------------------ operators

    def truth(self, tree: Expr, op: str) -> bool:
        value = self.value(tree)
        if not isinstance(value, bool):
            raise self.fail(
                tree.at, f"`{op}` needs true or false, got {kind(value)}", "compare: x != null, len(x) > 0"
            )
        return value

    def unary(self, tree: Unary) -> Any:
        if tree.op == "not":
            return not self.truth(tree.operand, "not")
        value = self.value(tree.operand)
        if type(value) not in _NUMBERS:
            raise self.fail(tree.at, f"`-` needs a number, got {kind(value)}")
        return -value

    def binary(self, tree: Binary) -> Any:
        op = tree.op
        if op == "and":
            return self.truth(tree.left, op) and self.truth(tree.right, op)
        if op == "or":
            return self.truth(tree.left, op) or self.truth(tree.right, op)
        left, right = self.value(tree.left), self.value(tree.right)
        if op in {"==", "!="}:
            return same(left, right, self.fuel) is (op == "==")
        if op in {"in", "not in"}:
            return contains(right, left, self.fuel) is (op == "in")
        both = {type(left), type(right)}
        if both == {str} or both <= {int, float}:
            if op in {"<", "<=", ">", ">="}:
                return _compare(op, left, right)
            if both != {str} or op == "+":
                self.fuel.spend((len(left) + len(right)) // 8 if both == {str} else 1)
                return _arithmetic(op, left, right)
        if op == "+" and both == {list}:
            self.fuel.spend(len(left) + len(right))
            return left + right
        hint = "text(…) makes text of it, number(…) a number" if str in both else ""
        raise Trouble(f"`{op}` cannot take {kind(left)} and {kind(right)}", hint)

    def call(self, tree: Call) -> Any:
        function = FUNCTIONS.get(tree.function)
        if function is None:
            raise self.fail(
                tree.at, f"unknown function {tree.function!r}", did_you_mean(tree.function, FUNCTIONS)
            )
        if why := function.misfit(len(tree.arguments)):
            raise self.fail(tree.at, f"{tree.function} takes {why}, got {len(tree.arguments)}")
        if tree.function in {"coalesce", "has"}:
            found = self.first(tree.arguments)
            return found is not None if tree.function == "has" else found
        return function.act(self.fuel, *[self.value(argument) for argument in tree.arguments])

    def first(self, trees: tuple[Expr, ...]) -> Any:
        """The first value that is there and not null."""
        for tree in trees:
            try:
                value = self.value(tree)
            except _Missing:
                continue
            if value is not None:
                return value
        return None


def _compare(op: str, left: Any, right: Any) -> bool:
    if op in {"<", "<="}:
        return bool(left < right or (op == "<=" and left == right))
    return bool(left > right or (op == ">=" and left == right))


def _arithmetic(op: str, left: Any, right: Any) -> Any:
    try:
        match op:
            case "+":
                return left + right
            case "-":
                return left - right
            case "*":
                return left * right
            case "/":
                return left / right
            case "//":
                return left // right
            case "%":
                return left % right
    except ZeroDivisionError:
        raise Trouble("division by zero") from None
    except OverflowError:
        raise Trouble("the number is too large") from None
    raise AssertionError(op)


def _within(value: Any, limit: int) -> bool:
    """Has the value at most so many parts (characters by the hundred)?"""
    waiting, count = [value], 0
    while waiting:
        item = waiting.pop()
        count += 1
        if isinstance(item, str):
            count += len(item) // 100
        elif isinstance(item, list):
            waiting.extend(item)
        elif isinstance(item, dict):
            waiting.extend(item.values())
        if count + len(waiting) > limit:
            return False
    return True
