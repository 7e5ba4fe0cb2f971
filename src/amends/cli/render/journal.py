"""The journal for people: per row its time, what came in (◀) and what went out (▶)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.text import Text

from . import text

_SKIPPED = {"type", "id", "step", "name"}


def row(one: Mapping[str, Any], began: float) -> Iterator[Text]:
    """The lines of one row. `began`: when the first row was written."""
    at = float(one["now"])
    yield Text.assemble(
        (f"row {one['position']}", "bold"), (f"  {text.moment(at)}  +{text.duration(at - began)}", "quiet")
    )
    for entry in one["events"]:
        yield _entry("  ◀ ", "good", entry)
    for entry in one["commands"]:
        yield _entry("  ▶ ", "running", entry)


def _entry(mark: str, style: str, entry: Mapping[str, Any]) -> Text:
    line = Text.assemble((mark, style), (f"{entry['type']:<14}", style))
    for key in ("id", "step", "name"):
        if entry.get(key):
            line.append(f" {entry[key]}", style="bold" if key != "id" else "")
    rest = {k: v for k, v in entry.items() if k not in _SKIPPED and v not in ("", None, [])}
    if rest:
        line.append(" " + " ".join(f"{k}={text.compact(v, 200)}" for k, v in rest.items()), style="quiet")
    return line
