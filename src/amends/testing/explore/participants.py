"""The user's participants in memory: made fresh for each run, watched, and compared.

`Watched` classes count the calls that a step makes of a participant, so that an attempt can be broken off
between two of them.  `frozen` makes a comparable value of whatever a participant holds.
"""

from __future__ import annotations

import functools
import inspect
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any

import msgspec

Factory = Callable[[], Any]
State = Any


class Probe(msgspec.Struct, eq=False):
    """Counts the calls of participants within one attempt, and breaks it off at one of them.

    before, after: the number (1 is the first) of the call to break before it has its effect, or after.
    fired: the method that was broken before its effect, and not called again.  answered: a reply was lost.
    """

    before: int = 0
    after: int = 0
    error: Exception | None = None
    calls: int = 0
    depth: int = 0
    fired: str = ""
    answered: bool = False

    def enter(self, name: str) -> None:
        """A call begins. Raises the injected error if this is the one."""
        self.calls += 1
        if self.calls == self.before and self.error is not None:
            self.fired = name
            raise self.error
        if name == self.fired:
            self.fired = ""  # called again: the step has a way of its own to deal with it
        self.depth += 1

    def leave(self) -> None:
        """The call has had its effect. Raises the injected error if its reply is the one to lose."""
        self.depth -= 1
        if self.calls == self.after and self.error is not None and not self.answered:
            self.answered = True
            raise self.error


class Present:
    """The probe of the attempt that runs; None between attempts."""

    probe: Probe | None = None


_classes: dict[type, type | None] = {}


def watch(participant: Any) -> None:
    """Let the calls of a participant's public methods be seen, if its class allows that."""
    kind = type(participant)
    if kind not in _classes:
        _classes[kind] = _watched(kind)
    better = _classes[kind]
    if better is not None:
        try:
            participant.__class__ = better
        except TypeError:  # a class with a layout of its own: its calls are not told apart
            _classes[kind] = None


def _watched(kind: type) -> type | None:
    methods: dict[str, Any] = {}
    for owner in kind.__mro__:
        if owner is object or not owner.__flags__ & (1 << 9):  # not made by a class statement
            continue
        for name, value in vars(owner).items():
            if not name.startswith("_") and name != "snapshot" and inspect.isfunction(value):
                methods.setdefault(name, _wrapper(name, value))
    if not methods or kind.__module__ == __name__:
        return None
    return type(kind.__name__, (kind,), {"__slots__": (), "__module__": kind.__module__, **methods})


def _wrapper(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(method):

        @functools.wraps(method)
        async def call_async(*args: Any, **kwargs: Any) -> Any:
            probe = Present.probe
            if probe is None or probe.depth:
                return await method(*args, **kwargs)
            probe.enter(name)
            try:
                value = await method(*args, **kwargs)
            except BaseException:
                probe.depth -= 1
                raise
            probe.leave()
            return value

        return call_async

    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        probe = Present.probe
        if probe is None or probe.depth:
            return method(*args, **kwargs)
        probe.enter(name)
        try:
            value = method(*args, **kwargs)
        except BaseException:
            probe.depth -= 1
            raise
        probe.leave()
        return value

    return call


def members(made: Any) -> list[Any]:
    """What a factory made, one by one: a list, tuple or mapping of participants, or a single one."""
    if isinstance(made, (list, tuple)):
        return list(made)
    return list(made.values()) if isinstance(made, Mapping) else [made]


def state(participants: Iterable[Any]) -> State:
    """What the participants hold now, as a comparable value."""
    return {type(each).__name__ + (f" {n}" if n else ""): _held(each) for n, each in enumerate(participants)}


def _held(participant: Any) -> State:
    snapshot = getattr(participant, "snapshot", None)
    return frozen(snapshot() if callable(snapshot) else participant)


_QUICK = frozenset({str, int, float, bool, bytes, type(None)})


def frozen(value: Any, _above: tuple[int, ...] = ()) -> State:
    """A value as nested dicts, lists and plain values that can be compared and stay as they are.

    Of objects the public attributes count.  An entry of a `Counter` or `defaultdict` that is as if it were
    not there does not.
    """
    kind = type(value)
    if kind in _QUICK or isinstance(value, Enum):
        return value
    if id(value) in _above:
        return "…"
    above = (*_above, id(value))
    if kind is dict:
        return {str(k): v if type(v) in _QUICK else frozen(v, above) for k, v in value.items()}
    if isinstance(value, Mapping):
        items = {str(key): frozen(item, above) for key, item in value.items()}
        if isinstance(value, Counter):
            return {key: item for key, item in items.items() if item}
        if isinstance(value, defaultdict) and value.default_factory is not None:
            nothing = frozen(value.default_factory())
            return {key: item for key, item in items.items() if item != nothing}
        return items
    if isinstance(value, (list, tuple, deque)):
        return [frozen(item, above) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((frozen(item, above) for item in value), key=repr)
    if isinstance(value, msgspec.Struct):
        return {name: frozen(getattr(value, name), above) for name in value.__struct_fields__}
    slots = [name for owner in type(value).__mro__ for name in getattr(owner, "__slots__", ())]
    held = {**{name: getattr(value, name, None) for name in slots}, **getattr(value, "__dict__", {})}
    if not held:
        return value if _comparable(value) else type(value).__name__
    return {name: frozen(item, above) for name, item in held.items() if not name.startswith("_")}


def _comparable(value: Any) -> bool:
    return any("__eq__" in vars(owner) for owner in type(value).__mro__ if owner is not object)


def leaves(value: State, place: str = "") -> dict[str, Any]:
    """A frozen value's plain values by their place, such as ``Bank.payments.p-1``."""
    if isinstance(value, dict) and value:
        found: dict[str, Any] = {}
        for key, item in value.items():
            found.update(leaves(item, f"{place}.{key}" if place else key))
        return found
    if isinstance(value, list) and value:
        found = {}
        for number, item in enumerate(value):
            found.update(leaves(item, f"{place}[{number}]"))
        return found
    return {} if value in ({}, []) else {place: value}


def difference(before: State, after: State) -> dict[str, tuple[Any, Any]]:
    """Where two states differ: place to (before, after); what is not there is `ABSENT`."""
    old, new = leaves(before), leaves(after)
    places = [*old, *(place for place in new if place not in old)]
    return {
        p: (old.get(p, ABSENT), new.get(p, ABSENT))
        for p in places
        if old.get(p, ABSENT) != new.get(p, ABSENT)
    }


class _Absent:
    def __repr__(self) -> str:
        return "nothing"


ABSENT = _Absent()
