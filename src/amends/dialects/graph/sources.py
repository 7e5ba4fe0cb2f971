"""Texts with places: JSON and YAML, read so that every value knows its line and column.

JSON is read by a few lines of our own over the standard library's scalars, because no library says where
a value stood; they also see what `json.loads` passes over in silence: a field that stands twice.  YAML is
read by ruamel.yaml (YAML 1.2: ``no`` is text), from its tree of nodes, with plain values only: no tags,
merges or aliases.
"""

from __future__ import annotations

import bisect
import json
import math
import re
from typing import Any

from ...errors import GraphError
from .problems import KEY, Path, Position, Problem, Problems

MAX_DEPTH = 64
MAX_CHARACTERS = 5_000_000
_SPACE = re.compile(r"[ \t\r\n]*")


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


_SCALAR = json.JSONDecoder(parse_constant=_refuse)


def read_json(text: str, problems: Problems) -> Any:
    """The data of a JSON text; fills `problems.positions`. Raises `GraphError` where it is no JSON."""
    _check_size(text, problems)
    return _Json(text, problems).whole()


def read_yaml(text: str, problems: Problems) -> Any:
    """The data of a YAML text; fills `problems.positions`. Raises `GraphError` where it is no YAML."""
    _check_size(text, problems)
    try:
        from ruamel.yaml import YAML  # noqa: PLC0415 - an extra
        from ruamel.yaml.error import MarkedYAMLError, YAMLError  # noqa: PLC0415
    except ImportError:
        raise GraphError(
            "graphs in YAML need ruamel.yaml, which is not installed", hint="pip install 'amends[yaml]'"
        ) from None
    try:
        root = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark: Any = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
        raise _unreadable(
            problems, line, column, f"this is no YAML: {error.problem or error.context}"
        ) from None
    except (YAMLError, ValueError, RecursionError) as error:
        raise _unreadable(problems, 1, 1, f"this is no YAML: {str(error).splitlines()[0]}") from None
    return _Yaml(problems).value(root, (), 0) if root is not None else None


def _check_size(text: str, problems: Problems) -> None:
    if len(text) > MAX_CHARACTERS:
        said = f"a graph has at most {MAX_CHARACTERS:,} characters, this has {len(text):,}"
        raise _unreadable(problems, 1, 1, said)


def _unreadable(problems: Problems, line: int, column: int, message: str) -> GraphError:
    problem = Problem(line, column, "", message)
    where = f" in {problems.source}" if problems.source else ""
    return GraphError(f"the graph cannot be read{where}\n{problem}", [*problems.sorted(), problem])


class _Json:
    def __init__(self, text: str, problems: Problems) -> None:
        self.text = text
        self.problems = problems
        self.positions: dict[Path, Position] = {}
        problems.positions = self.positions
        self.lines = [0, *(match.end() for match in re.finditer("\n", text))]

    def place(self, at: int) -> tuple[int, int]:
        line = bisect.bisect_right(self.lines, at)
        return line, at - self.lines[line - 1] + 1

    def fail(self, at: int, message: str) -> GraphError:
        return _unreadable(self.problems, *self.place(at), message)

    def whole(self) -> Any:
        value, at = self.value(self.skip(0), ())
        at = self.skip(at)
        if at < len(self.text):
            raise self.fail(at, "expected the end")
        return value

    def skip(self, at: int) -> int:
        match = _SPACE.match(self.text, at)
        return match.end() if match else at

    def value(self, at: int, path: Path) -> tuple[Any, int]:
        first = self.text[at : at + 1]
        line, column = self.place(at)
        quoted = first == '"'
        self.positions[path] = Position(line, column + quoted, exact=quoted and self.is_plain(at))
        if len(path) > MAX_DEPTH:
            raise self.fail(at, f"nested more than {MAX_DEPTH} deep")
        if first == "{":
            return self.object(at + 1, path)
        if first == "[":
            return self.list(at + 1, path)
        try:
            return _SCALAR.raw_decode(self.text, at)
        except json.JSONDecodeError as error:
            raise self.fail(error.pos, f"this is no JSON: {error.msg.lower()}") from None
        except ValueError as error:
            raise self.fail(at, f"this is no JSON: {error}") from None

    def is_plain(self, at: int) -> bool:
        """Has the text that begins here no escapes, so that its columns are the file's?"""
        end = self.text.find('"', at + 1)
        return "\\" not in self.text[at:end]

    def object(self, at: int, path: Path) -> tuple[dict[str, Any], int]:
        found: dict[str, Any] = {}
        at = self.skip(at)
        while self.text[at : at + 1] != "}":
            if self.text[at : at + 1] != '"':
                raise self.fail(at, "expected the name of a field, in double quotes")
            begin = at
            name, at = self.value(begin, (*path, KEY))
            key = (*path, name)
            self.positions[*key, KEY] = Position(*self.place(begin))
            if name in found:
                said = f"{name!r} stands here twice"
                self.problems.add(key, said, "each name once: remove or rename one", key=True)
            at = self.skip(at)
            if self.text[at : at + 1] != ":":
                raise self.fail(at, "expected a colon")
            found[name], at = self.value(self.skip(at + 1), key)
            at = self.more(at, "}")
        return found, at + 1

    def list(self, at: int, path: Path) -> tuple[list[Any], int]:
        found: list[Any] = []
        at = self.skip(at)
        while self.text[at : at + 1] != "]":
            value, at = self.value(at, (*path, len(found)))
            found.append(value)
            at = self.more(at, "]")
        return found, at + 1

    def more(self, at: int, close: str) -> int:
        at = self.skip(at)
        if self.text[at : at + 1] == ",":
            at = self.skip(at + 1)
            if self.text[at : at + 1] == close:
                raise self.fail(at, "nothing follows the comma")
        elif self.text[at : at + 1] != close:
            raise self.fail(at, f"expected a comma or `{close}`")
        return at


_TAGS = {"null": None, "bool": bool, "int": int, "float": float, "str": str, "timestamp": str}


class _Yaml:
    def __init__(self, problems: Problems) -> None:
        self.problems = problems
        self.positions: dict[Path, Position] = {}
        problems.positions = self.positions
        self.seen: set[int] = set()

    def value(self, node: Any, path: Path, depth: int) -> Any:
        mark = node.start_mark
        plain = node.id == "scalar" and node.style is None and node.start_mark.line == node.end_mark.line
        quoted = node.id == "scalar" and node.style in {'"', "'"} and mark.line == node.end_mark.line
        exact = plain or (quoted and node.end_mark.column - mark.column == len(node.value) + 2)
        self.positions[path] = Position(mark.line + 1, mark.column + 1 + bool(quoted), exact)
        if depth > MAX_DEPTH:
            raise self.fail(node, f"nested more than {MAX_DEPTH} deep")
        if node.id != "scalar" and (id(node) in self.seen or node.anchor):
            raise self.fail(node, "anchors and aliases are not used in graphs: write it out")
        self.seen.add(id(node))
        if node.id == "mapping":
            return self.mapping(node, path, depth)
        if node.id == "sequence":
            return [self.value(item, (*path, place), depth + 1) for place, item in enumerate(node.value)]
        return self.scalar(node)

    def mapping(self, node: Any, path: Path, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value
            if key_node.id != "scalar" or str(key_node.tag).endswith(":merge"):
                raise self.fail(key_node, "the name of a field is plain text")
            here = (*path, key)
            mark = key_node.start_mark
            self.positions[*here, KEY] = Position(mark.line + 1, mark.column + 1)
            if key in found:
                said = f"{key!r} stands here twice"
                self.problems.add(here, said, "each name once: remove or rename one", key=True)
            found[key] = self.value(value_node, here, depth + 1)
        return found

    def scalar(self, node: Any) -> Any:
        tag = str(node.tag).rpartition(":")[2]
        text: str = node.value
        if tag not in _TAGS:
            raise self.fail(node, f"the tag {node.tag} is not used in graphs")
        try:
            return _scalar(tag, text)
        except ValueError:
            raise self.fail(node, f"{text!r} is no {tag} that JSON can carry") from None

    def fail(self, node: Any, message: str) -> GraphError:
        mark = node.start_mark
        return _unreadable(self.problems, mark.line + 1, mark.column + 1, message)


def _scalar(tag: str, text: str) -> Any:
    if tag == "null":
        return None
    if tag == "bool":
        return text.lower() == "true"
    if tag == "int":
        plain = text.replace("_", "")
        return int(plain, 0) if plain.lstrip("+-")[:2].lower() in {"0x", "0o", "0b"} else int(plain)
    if tag == "float":
        value = float(text.replace("_", ""))
        if not math.isfinite(value):
            raise ValueError(text)
        return value
    return text
