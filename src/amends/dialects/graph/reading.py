"""From JSON's types to a `Document`: every field is read by the annotation of its class, and every
problem is kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

import msgspec

from ...errors import did_you_mean
from .expression.syntax import _CONSTANTS, _WORDS
from .model import KINDS, Block, Document, EachNode, Node, TryNode, ValueNode
from .problems import Path, Problems, without_noise

T = TypeVar("T", bound=msgspec.Struct)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_RESERVED = {*_CONSTANTS, *_WORDS, "item", "index", "error", "result", "outcome"}
MAX_BLOCKS = 8


def read(data: Any, problems: Problems) -> Document | None:
    """The document that `data` stands for, or None when it cannot be understood at all."""
    if not isinstance(data, Mapping):
        problems.add((), f"a graph is an object, got {_kind(data)}", 'graph: "shop.order", nodes: {…}')
        return None
    data = {key: value for key, value in data.items() if key != "$schema"}  # for editors
    fields = _fields(Document, data, (), problems)
    if fields is None:
        return None
    fields["nodes"] = _nodes(data.get("nodes", {}), ("nodes",), problems, 0)
    for name in fields.get("inputs", {}):
        _check_name(name.removesuffix("?"), ("inputs", name), problems)
    return Document(**fields)


def read_node(data: Any, path: Path, problems: Problems, depth: int = 0) -> Node | None:
    """The node that `data` stands for, or None."""
    if not isinstance(data, Mapping):
        problems.add(path, f"a node is an object, got {_kind(data)}", "for example {step: shop.charge}")
        return None
    kinds = [key for key in KINDS if key in data]
    if len(kinds) != 1:
        if kinds:
            problems.add(
                path, f"a node does one thing, this one has {' and '.join(kinds)}", "make two nodes", key=True
            )
        else:
            near = [did_you_mean(str(key), KINDS) for key in data]
            hint = next((text for text in near if text.startswith("did")), f"one of {', '.join(KINDS)}")
            problems.add(path, "nothing says what the node does", hint, key=True)
        return None
    cls = KINDS[kinds[0]]
    fields = _fields(cls, data, path, problems)
    if fields is None:
        return None
    if cls is TryNode:
        for attribute, key in (("attempt", "try"), ("otherwise", "otherwise")):
            if key in data:
                fields[attribute] = _block(data[key], (*path, key), problems, depth + 1)
    if issubclass(cls, EachNode) and "at_once" in fields and "each" not in fields:
        problems.add((*path, "at_once"), "at_once limits `each`, which is not there")
    return cls(**fields)


def _block(data: Any, path: Path, problems: Problems, depth: int) -> Block:
    if depth > MAX_BLOCKS:
        problems.add(
            path, f"blocks are nested more than {MAX_BLOCKS} deep", "make a graph of its own (`saga`)"
        )
        return Block()
    if not isinstance(data, Mapping):
        problems.add(path, f"expected an object with nodes, got {_kind(data)}", "{nodes: {…}, result: …}")
        return Block()
    fields = _fields(Block, data, path, problems) or {}
    fields["nodes"] = _nodes(data.get("nodes", {}), (*path, "nodes"), problems, depth)
    return Block(**fields)


def _nodes(data: Any, path: Path, problems: Problems, depth: int) -> dict[str, Node]:
    found: dict[str, Node] = {}
    if not isinstance(data, Mapping):
        problems.add(
            path, f"expected an object of nodes by name, got {_kind(data)}", "nodes: {payment: {step: …}}"
        )
        return found
    for name, given in data.items():
        _check_name(name, (*path, name), problems)
        node = read_node(given, (*path, name), problems, depth)
        if node is None:
            problems.broken.add(name)
            node = ValueNode(value=None)
        found[name] = node
    return found


def _check_name(name: str, path: Path, problems: Problems) -> None:
    if not _NAME.match(name):
        problems.add(
            path, f"{name!r} cannot be read in expressions", "a name has letters, digits and _", key=True
        )
    elif name in _RESERVED:
        problems.add(
            path, f"{name!r} has a meaning of its own in expressions", "choose another name", key=True
        )


def _fields(cls: type[T], data: Mapping[Any, Any], path: Path, problems: Problems) -> dict[str, Any] | None:
    """The values of a class's fields, by attribute; None when one that must be there is not."""
    known = _known(cls)
    found: dict[str, Any] = {}
    whole = True
    for key, value in data.items():
        field = known.get(key)
        if field is None:
            problems.add((*path, key), f"unknown field {key!r}", did_you_mean(str(key), known), key=True)
        elif field.name in {"nodes", "attempt"} or (cls is TryNode and field.name == "otherwise"):
            found[field.name] = None  # read by the caller
        else:
            try:
                found[field.name] = msgspec.convert(value, field.type)
            except msgspec.ValidationError as error:
                message, place = without_noise(str(error))
                problems.add((*path, key, *_inner(place)), message)
                whole = whole and not field.required
    for key, field in known.items():
        if field.required and key not in data:
            problems.add(path, f"the field {key!r} is missing", key=True)
            whole = False
    return found if whole else None


@cache
def _known(cls: type[msgspec.Struct]) -> dict[str, msgspec.structs.FieldInfo]:
    """The fields of a class by their names in documents."""
    return {field.encode_name: field for field in msgspec.structs.fields(cls)}


def _inner(place: str) -> Path:
    """A msgspec path (``.retry.attempts``, ``[0]``) as ours."""
    parts = re.findall(r"\.([^.\[\]]+)|\[(\d+)\]", place)
    return tuple(int(number) if number else name for name, number in parts)


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    return {str: "text", bool: "true or false", list: "a list"}.get(type(value), "a number")
