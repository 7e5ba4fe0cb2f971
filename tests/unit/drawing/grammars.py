"""Small grammars of what the renderers may write: each line of Mermaid and DOT must be one of these."""

from __future__ import annotations

import re

# A label: entities and characters without a meaning of their own, with <br/> and <small> between them.
_TEXT = r"(?:#\d+;|[^#\"<>&`\\{}\[\]|;_*~$\n]|<br/>|</?small>)+"
_QUOTED = rf'"{_TEXT}"'
_ID = r"n\d+e?"
_OPEN = r"(?:\(\[|\[\[|\(\(|\{\{|\[/|\[\\|\[|\(|\{|>)"
_CLOSE = r"(?:\]\)|\]\]|\)\)|\}\}|/\]|\]|\)|\})"
_MERMAID = {
    "node": re.compile(rf" +{_ID}{_OPEN}{_QUOTED}{_CLOSE}"),
    "subgraph": re.compile(rf" +subgraph {_ID}\[{_QUOTED}\]"),
    "end": re.compile(r" +end"),
    "edge": re.compile(rf" +{_ID} (?:-->|-\.->|-\.-)(?:\|{_QUOTED}\|)? {_ID}"),
    "classDef": re.compile(r" +classDef [a-z]+ [a-z0-9#:,\- ]+"),
    "class": re.compile(rf" +class {_ID}(?:,{_ID})* [a-z]+"),
}
_TITLE = re.compile(r'title: "(?:[^"\\\n]|\\["\\])*"')

_STRING = r'"(?:[^"\\\n]|\\["\\n])*"'
_ATTRIBUTES = rf"\[(?:[a-z]+=(?:{_STRING}|[\w.]+) ?)+\]"
_DOT = {
    "subgraph": re.compile(rf" +subgraph {_STRING} \{{"),
    "close": re.compile(r" +\}"),
    "default": re.compile(rf" +(?:graph|node|edge) {_ATTRIBUTES}"),
    "node": re.compile(rf" +{_STRING} {_ATTRIBUTES}"),
    "edge": re.compile(rf" +{_STRING} -> {_STRING}(?: {_ATTRIBUTES})?"),
}


def _kinds(lines: list[str], grammar: dict[str, re.Pattern[str]]) -> list[str]:
    kinds = []
    for line in lines:
        kind = next((name for name, pattern in grammar.items() if pattern.fullmatch(line)), None)
        assert kind is not None, f"not in the grammar: {line!r}"
        kinds.append(kind)
    return kinds


def check_mermaid(text: str) -> list[str]:
    """The kinds of the lines. Raises AssertionError for a line that is none."""
    head, *rest = text.removesuffix("\n").split("\n---\n")
    assert head.startswith("---\n")
    assert _TITLE.fullmatch(head.removeprefix("---\n")), head
    lines = "\n---\n".join(rest).split("\n")
    assert lines[0] == "flowchart TD"
    kinds = _kinds(lines[1:], _MERMAID)
    assert kinds.count("subgraph") == kinds.count("end")
    return kinds


def check_dot(text: str) -> list[str]:
    """The kinds of the lines. Raises AssertionError for a line that is none."""
    lines = text.removesuffix("\n").split("\n")
    assert re.fullmatch(rf"digraph {_STRING} \{{", lines[0]), lines[0]
    assert lines[-1] == "}"
    kinds = _kinds(lines[1:-1], _DOT)
    assert kinds.count("subgraph") == kinds.count("close")
    return kinds
