"""Small pieces of text: times, ages, durations, statuses, JSON that fits a line."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import msgspec
from rich.text import Text

from ...definition.times import date_of
from ...store import port
from ...store.pausing import Pause

MARKS = {
    port.COMPLETED: "✔",
    port.RUNNING: "▶",
    port.COMPENSATING: "↩",
    port.COMPENSATED: "↩",
    port.PARTIALLY_COMPENSATED: "↩",
    port.ATTENTION: "!",
    port.TERMINATED: "■",
}

NO_DATE = "no date that a calendar has"


def moment(at: float | None) -> str:
    """Local time to the second, such as ``2026-11-25 03:12:09``."""
    if at is None:
        return ""
    date = date_of(at)
    return NO_DATE if date is None else date.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def pause(held: Pause) -> str:
    """What stands still, since when, by whom and why."""
    what = f"saga {held.saga}" if held.saga else f"namespace {held.namespace}"
    return f"{what} stands still since {moment(held.since)} by {held.by or 'unknown'}: {held.reason}"


def zone(at: float) -> str:
    """The name of the local time zone at that time."""
    date = date_of(at)
    return "" if date is None else date.astimezone().tzname() or ""


def utc(at: float | None) -> str | None:
    """For programs: ISO 8601 in UTC with microseconds; None also for what has no date."""
    date = date_of(at)
    return None if date is None else date.isoformat(timespec="microseconds").replace("+00:00", "Z")


def duration(seconds: float | None) -> str:
    """Two significant places: ``12 ms``, ``3.4 s``, ``2 min``, ``5 h``, ``3 d``."""
    if seconds is None:
        return ""
    seconds = max(seconds, 0.0)
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return (
            f"{int(seconds // 60)} min {int(seconds % 60)} s" if seconds < 600 else f"{seconds // 60:.0f} min"
        )
    if seconds < 48 * 3600:
        return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60)} min"
    return f"{seconds / 86400:.0f} d"


def ago(at: float | None, now: float) -> str:
    """``3 min ago``, ``in 5 s``."""
    if at is None:
        return ""
    return f"{_rough(now - at)} ago" if at <= now else f"in {_rough(at - now)}"


def _rough(seconds: float) -> str:
    for size, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= (2 * size if size == 86400 else size):
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} s"


def status(name: str, cause: str = "") -> Text:
    """A status with its mark and colour."""
    text = Text(f"{MARKS.get(name, ' ')} {name.replace('_', ' ')}", style=name if name in MARKS else "")
    if cause:
        text.append(f" ({cause})", style="quiet")
    return text


def compact(raw: Any, limit: int = 0) -> str:
    """JSON on one line, cut to `limit` characters (0: whole)."""
    data = bytes(raw) if isinstance(raw, msgspec.Raw) else msgspec.json.encode(raw)
    text = data.decode("utf-8", "replace")
    return text if not limit or len(text) <= limit else text[: limit - 1] + "…"


def fault(error: Mapping[str, Any] | None) -> str:
    """``ConnectionError: refused``."""
    if not error:
        return ""
    return f"{error.get('type', 'error')}: {error.get('message', '')}".rstrip(": ")


def in_a_line(error: Mapping[str, Any] | None) -> str:
    """The same in one line; of a group (a TaskGroup's) the first error that is in it."""
    head, _, rest = fault(error).partition("\n")
    first = rest.partition("\n")[0].strip()
    if not error or not first or error.get("type") not in {"ExceptionGroup", "BaseExceptionGroup"}:
        return head
    return first if head.endswith("(1 sub-exception)") else f"{first}, and others"


def short(name: str) -> str:
    """The last part of a durable name: ``shop.orders.charge`` is ``charge``."""
    return name.rpartition(".")[2]


def quoted(word: str) -> str:
    """A word as a shell takes it."""

    return shlex.quote(word)


def many(count: int, thing: str) -> str:
    """``1 execution``, ``1,234 executions``"""
    return f"{count:,} {thing}{'s' * (count != 1)}"
