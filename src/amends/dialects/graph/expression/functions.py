"""The functions of the expression language. Each spends fuel for what it looks at."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from .shapes import ANY, BOOLEAN, INTEGER, LIST, NUMBER, OBJECT, STRING, Shape

MAX_STRING = 100_000
_PLACE = "{}"
_MANY = 50


class Trouble(Exception):
    """What is wrong, without the place."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Fuel:
    """What an evaluation may still spend."""

    __slots__ = ("left",)

    def __init__(self, amount: int) -> None:
        self.left = amount

    def spend(self, amount: int = 1) -> None:
        """Raises `Trouble` once it is used up."""
        self.left -= amount
        if self.left < 0:
            raise Trouble("it takes too many steps to evaluate", "compute it in a step")


class Function(msgspec.Struct, frozen=True):
    """`takes`: the shapes of the arguments (the last of an open list repeats); `gives`: of the result."""

    act: Callable[..., Any]
    takes: tuple[Shape, ...]
    gives: Shape
    least: int
    most: int

    def misfit(self, count: int) -> str:
        """How many arguments there may be, if not `count`."""
        if self.least <= count <= self.most:
            return ""
        if self.most == _MANY:
            return f"{self.least} or more arguments"
        if self.least == self.most:
            return f"{self.least} argument{'s' * (self.least != 1)}"
        return f"{self.least} to {self.most} arguments"


def kind(value: Any) -> str:
    """A value's kind, for messages."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the text {value[:20]!r}" + "…" * (len(value) > 20)
    if isinstance(value, int | float):
        return f"the number {value}" if abs(value) < 1e30 else "a large number"
    return f"a list of {len(value)}" if isinstance(value, list) else "an object"


def same(one: Any, other: Any, fuel: Fuel) -> bool:
    """Equality of JSON values: 1 is 1.0, true is not 1."""
    waiting = [(one, other)]
    while waiting:
        fuel.spend()
        left, right = waiting.pop()
        if isinstance(left, bool) or isinstance(right, bool):
            if left is not right:
                return False
        elif isinstance(left, list) and isinstance(right, list):
            if len(left) != len(right):
                return False
            waiting.extend(zip(left, right, strict=True))
        elif isinstance(left, dict) and isinstance(right, dict):
            if left.keys() != right.keys():
                return False
            waiting.extend((value, right[key]) for key, value in left.items())
        elif left != right:
            return False
    return True


def contains(whole: Any, part: Any, fuel: Fuel) -> bool:
    """Is `part` an item of the list, a field of the object, a part of the text?"""
    if isinstance(whole, list):
        return any(same(item, part, fuel) for item in whole)
    if isinstance(whole, dict):
        return isinstance(part, str) and part in whole
    if isinstance(whole, str) and isinstance(part, str):
        fuel.spend(len(whole) // 8)
        return part in whole
    if whole is None:
        return False
    raise Trouble(f"{kind(whole)} contains nothing", "contains(list, item), contains(text, part)")


def written(value: Any) -> str:
    """A value as text; lists and objects as JSON."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    except (ValueError, RecursionError):  # an integer of thousands of digits; data nested too deep
        raise Trouble("the value is too large to be written as text") from None


def _text(fuel: Fuel, value: Any) -> str:
    return _bounded(fuel, [written(value)])


def _bounded(fuel: Fuel, pieces: Sequence[str]) -> str:
    length = sum(map(len, pieces))
    if length > MAX_STRING:
        raise Trouble(f"the text would be {length:,} characters long, allowed are {MAX_STRING:,}")
    fuel.spend(length // 8)
    return "".join(pieces)


def _concat(fuel: Fuel, *values: Any) -> str:
    return _bounded(fuel, [written(value) for value in values])


def _join(fuel: Fuel, values: Any, between: str = ", ") -> str:
    fuel.spend(len(values))
    pieces = [piece for value in values for piece in (between, written(value))]
    return _bounded(fuel, pieces[1:])


def _format(fuel: Fuel, pattern: str, *values: Any) -> str:
    parts = pattern.split(_PLACE)
    if len(parts) - 1 != len(values):
        raise Trouble(f"the pattern has {len(parts) - 1} places {{}}, given are {len(values)} values")
    pieces = [parts[0]]
    for value, part in zip(values, parts[1:], strict=True):
        pieces += [written(value), part]
    return _bounded(fuel, pieces)


def _len(fuel: Fuel, value: Any) -> int:
    if isinstance(value, str | list | dict):
        return len(value)
    raise Trouble(f"{kind(value)} has no length", "len(coalesce(x, []))")


def _series(name: str, values: tuple[Any, ...], fuel: Fuel) -> list[Any]:
    """The arguments, or the items of the only one."""
    found = list(values[0]) if len(values) == 1 and isinstance(values[0], list) else list(values)
    fuel.spend(len(found))
    kinds = {type(value) for value in found}
    if kinds <= {int, float} or (kinds == {str} and name != "sum"):
        return found
    odd = next(v for v in found if type(v) not in {int, float} or kinds - {int, float})
    raise Trouble(f"{name} needs numbers{'' if name == 'sum' else ', or texts'}, got {kind(odd)}")


def _least(fuel: Fuel, *values: Any) -> Any:
    return min(_some("min", _series("min", values, fuel)))


def _greatest(fuel: Fuel, *values: Any) -> Any:
    return max(_some("max", _series("max", values, fuel)))


def _some(name: str, values: list[Any]) -> list[Any]:
    if not values:
        raise Trouble(f"{name} of an empty list")
    return values


def _sum(fuel: Fuel, *values: Any) -> Any:
    return sum(_series("sum", values, fuel))


def _pluck(fuel: Fuel, values: Any, name: str) -> list[Any]:
    fuel.spend(len(values))
    odd = next((value for value in values if value is not None and not isinstance(value, dict)), None)
    if odd is not None:
        raise Trouble(f"pluck needs a list of objects, found {kind(odd)} in it")
    return [None if value is None else value.get(name) for value in values]


def _keys(fuel: Fuel, value: Any) -> list[str]:
    fuel.spend(len(value))
    return sorted(value)


def _number(fuel: Fuel, value: Any) -> Any:
    if type(value) in (int, float):
        return value
    if isinstance(value, str) and len(value) <= 40 and value.isascii() and "_" not in value:
        try:
            number = float(value)
            if math.isfinite(number):
                return int(value) if value.strip().lstrip("+-").isdigit() else number
        except ValueError:
            pass  # said below
    raise Trouble(f"{kind(value)} is no number")


def _round(fuel: Fuel, value: Any, digits: int = 0) -> Any:
    if not -15 <= digits <= 15:
        raise Trouble("round takes 0 to 15 digits")
    return round(value, digits) if digits else round(value)


_NOTHING = lambda fuel, *values: None  # noqa: E731 - coalesce and has are the evaluator's own: they skip what is missing


def _table() -> dict[str, Function]:
    one, many = 1, _MANY
    return {
        "abs": Function(lambda fuel, x: abs(x), (NUMBER,), NUMBER, one, one),
        "coalesce": Function(_NOTHING, (ANY,), ANY, one, many),
        "concat": Function(_concat, (ANY,), STRING, one, many),
        "contains": Function(lambda fuel, a, b: contains(a, b, fuel), (ANY, ANY), BOOLEAN, 2, 2),
        "format": Function(_format, (STRING, ANY), STRING, one, many),
        "has": Function(_NOTHING, (ANY,), BOOLEAN, one, one),
        "join": Function(_join, (LIST, STRING), STRING, one, 2),
        "keys": Function(_keys, (OBJECT,), Shape("list", item=STRING), one, one),
        "len": Function(_len, (ANY,), INTEGER, one, one),
        "lower": Function(lambda fuel, x: x.lower(), (STRING,), STRING, one, one),
        "max": Function(_greatest, (ANY,), ANY, one, many),
        "min": Function(_least, (ANY,), ANY, one, many),
        "number": Function(_number, (ANY,), NUMBER, one, one),
        "pluck": Function(_pluck, (LIST, STRING), LIST, 2, 2),
        "round": Function(_round, (NUMBER, INTEGER), NUMBER, one, 2),
        "sum": Function(_sum, (ANY,), NUMBER, one, many),
        "text": Function(_text, (ANY,), STRING, one, one),
        "upper": Function(lambda fuel, x: x.upper(), (STRING,), STRING, one, one),
    }


_KINDS: dict[str, tuple[type, ...]] = {
    "number": (int, float),
    "integer": (int,),
    "string": (str,),
    "list": (list,),
    "object": (dict,),
}


def _guarded(name: str, function: Function) -> Function:
    """The function, behind a check of what it is given."""

    def act(fuel: Fuel, *values: Any) -> Any:
        for place, value in enumerate(values):
            want = function.takes[min(place, len(function.takes) - 1)]
            if want.kind in _KINDS and type(value) not in _KINDS[want.kind]:
                raise Trouble(f"argument {place + 1} of {name} must be {_a(want)}, got {kind(value)}")
        if name in {"lower", "upper"}:
            fuel.spend(len(values[0]) // 8)
        return function.act(fuel, *values)

    return msgspec.structs.replace(function, act=act)


def _a(shape: Shape) -> str:
    return f"an {shape}" if str(shape)[0] in "aeiou" else f"a {shape}"


FUNCTIONS = {name: _guarded(name, function) for name, function in _table().items()}
