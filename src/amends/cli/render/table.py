"""The list of executions as a table that fits the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from ...engine.status import status_of
from ...store.pausing import Pause
from ...store.port import Header
from . import text

_MOST = {"ID": 40, "SAGA": 30}  # on a terminal
_NOBODY_LOOKS = 1000


def executions(headers: Sequence[Header], pauses: Sequence[Pause], now: float, *, width: int) -> Table:
    """One row each. Narrow terminals do without the start, and see less of why, or nothing."""
    columns: dict[str, list[Text]] = {
        "ID": [Text(header.id) for header in headers],
        "STATUS": [text.status(header.status) for header in headers],
        "SAGA": [Text(header.saga) for header in headers],
        "STARTED": [Text(text.moment(header.created_at)) for header in headers],
        "CHANGED": [Text(text.ago(header.updated_at or header.created_at, now)) for header in headers],
    }
    if width < 100:
        del columns["STARTED"]
    most = _MOST if width < _NOBODY_LOOKS else {}
    sizes = {
        name: min(most.get(name, width), max(len(name), *(len(cell) for cell in cells)))
        for name, cells in columns.items()
    }
    left = width - sum(sizes.values()) - 2 * len(sizes)
    if left >= 10:
        columns["WHY"], sizes["WHY"] = [Text(why(header, pauses), style="quiet") for header in headers], left
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in columns:
        table.add_column(name, no_wrap=True, overflow="ellipsis", max_width=sizes[name])
    for row in zip(*columns.values(), strict=True):
        table.add_row(*row)
    return table


def why(header: Header, pauses: Sequence[Pause] = ()) -> str:
    """That it stands still, the cause, and the first thing that says more."""
    status = status_of(header, pauses=pauses)
    held = status.saga_paused
    still = "" if held is None else f"{'saga' if held.saga else 'namespace'} paused"
    said = text.in_a_line(status.error)
    if status.items:
        first = status.items[0]
        said = str(first.get("message") or "") or (
            f"{text.short(str(first.get('step', '')))}: {text.fault(first.get('error'))}"
        )
    return " · ".join(part for part in (still, header.cause, said.partition("\n")[0]) if part)
