"""The published JSON Schema of graphs, made from the classes of `model`.

``python -m amends.dialects.graph.schema`` prints it; `schema.json` beside this module is that output.  It
describes one document alone; what needs the whole (names, cycles, expressions, the steps that there are)
is checked by `Graph`.
"""

from __future__ import annotations

import sys
from typing import Any

import msgspec

from .expression.shapes import WORDS
from .model import KINDS, Block, Document

NAME = "^[A-Za-z_][A-Za-z0-9_]*$"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    """The schema, as JSON's types."""
    (root,), parts = msgspec.json.schema_components((Document,), ref_template="#/$defs/{name}")
    parts |= msgspec.json.schema_components((Block, *KINDS.values()), ref_template="#/$defs/{name}")[1]
    document = parts.pop(root["$ref"].rpartition("/")[2])
    for owner in (document, parts["Block"]):
        owner["properties"]["nodes"] = {
            "type": "object",
            "propertyNames": {"pattern": NAME},
            "additionalProperties": {"$ref": "#/$defs/Node"},
        }
    document["properties"]["inputs"] = {
        "type": "object",
        "propertyNames": {"pattern": NAME.replace("$", r"\??$")},
        "additionalProperties": {"$ref": "#/$defs/Type"},
        "description": "Names and types; with ? the input may be left out.",
    }
    document["properties"]["$schema"] = {"type": "string"}
    parts["SignalNode"]["properties"]["type"] = {"$ref": "#/$defs/Type", "default": "any"}
    parts["Node"] = {"oneOf": [{"$ref": f"#/$defs/{cls.__name__}"} for cls in KINDS.values()]}
    parts["Type"] = _type()
    whole = {"$schema": DIALECT, **document, "title": "amends graph", "$defs": dict(sorted(parts.items()))}
    return _one_line(whole)  # type: ignore[no-any-return]


def _one_line(part: Any) -> Any:
    """The same with each description on one line (Pythons differ in how docstrings are indented)."""
    if isinstance(part, list):
        return [_one_line(item) for item in part]
    if not isinstance(part, dict):
        return part
    found = {key: _one_line(value) for key, value in part.items()}
    if isinstance(text := found.get("description"), str):
        found["description"] = " ".join(text.split())
    return found


def _type() -> dict[str, Any]:
    inner = {"$ref": "#/$defs/Type"}
    return {
        "description": "A word (with ?: may be null), an object of fields (with ?: may miss), or [type].",
        "oneOf": [
            {"enum": [word + mark for word in WORDS for mark in ("", "?")]},
            {"type": "array", "items": inner, "minItems": 1, "maxItems": 1},
            {"type": "object", "additionalProperties": inner},
        ],
    }


def text() -> str:
    """The schema as the text of `schema.json`."""
    return msgspec.json.format(msgspec.json.encode(schema()), indent=2).decode() + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
