"""The list of executions as a table that fits the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from ...engine.status import status_of
from ...store.port import Header
from . import text


def executions(headers: Sequence[Header], now: float, *, width: int) -> Table:
    """One row each; narrow terminals lose the times of start first, then the cause's detail."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("ID", no_wrap=True, overflow="ellipsis", ratio=None, min_width=8)
    table.add_column("STATUS", no_wrap=True, overflow="ellipsis", min_width=13)
    table.add_column("SAGA", no_wrap=True, overflow="ellipsis", min_width=6)
    if width >= 100:
        table.add_column("STARTED", no_wrap=True)
    table.add_column("CHANGED", no_wrap=True)
    table.add_column("WHY", no_wrap=True, overflow="ellipsis")
    for header in headers:
        row: list[str | Text] = [header.id, text.status(header.status), header.saga]
        if width >= 100:
            row.append(text.moment(header.created_at))
        row += [text.ago(header.updated_at or header.created_at, now), Text(why(header), style="quiet")]
        table.add_row(*row)
    return table


def why(header: Header) -> str:
    """The cause, and the first thing that says more."""
    status = status_of(header)
    said = text.fault(status.error)
    if status.items:
        first = status.items[0]
        said = str(
            first.get("message")
            or f"{text.short(str(first.get('step', '')))}: {text.fault(first.get('error'))}"
        )
    return " · ".join(part for part in (header.cause, said.partition("\n")[0]) if part)
