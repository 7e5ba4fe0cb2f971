"""The steps of an execution as a tree with a timeline beside it, like a trace.

Each action is a line, its undoing a line below it, a nested saga's actions are indented below its own.  The
bars share one scale, from the start to the end (or to now).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec
from rich.table import Table
from rich.text import Text

from ..story import Act, Story, Wait
from . import text

_STATES = {
    "running": ("▶", "running"),
    "retrying": ("▶", "compensating"),
    "parked": ("!", "attention"),
    "succeeded": ("✔", "good"),
    "rejected": ("✘", "bad"),
    "unknown": ("?", "careful"),
}
_UNDO = {
    "undoing": ("↩", "running"),
    "retrying": ("↩", "compensating"),
    "parked": ("!", "attention"),
    "undone": ("↩", "good"),
    "residue": ("■", "partially_compensated"),
}


class Line(msgspec.Struct, kw_only=True):
    """One line of the tree. `began` and `ended` (None: still going) make its bar."""

    depth: int
    mark: str
    style: str
    label: str
    state: str
    began: float
    ended: float | None
    tries: int = 0
    note: str = ""


def tree(story: Story, nested: Mapping[str, Story], now: float, *, width: int, ended: float | None) -> Table:
    """The table. `nested`: the stories of child sagas by uid."""
    lines = list(_lines(story, nested, 0, now))
    first = min((line.began for line in lines), default=now)
    last = ended or now
    last = max([last if ended else now, *(line.ended or first for line in lines)], default=now)
    room = max(10, min(48, width - 62))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("STEP", overflow="fold", max_width=34)
    table.add_column("STATE", overflow="fold")
    table.add_column("TOOK", justify="right", no_wrap=True)
    table.add_column("TRIES", justify="right", no_wrap=True)
    table.add_column(f"{text.duration(last - first)}" if lines else "", no_wrap=True, width=room)
    for line in lines:
        label = Text("  " * line.depth).append(f"{line.mark} ", style=line.style).append(line.label)
        took = text.duration((line.ended or now) - line.began)
        tries = str(line.tries) if line.tries else ""
        state = Text(line.state, style=line.style)
        if line.note:
            state.append(f"\n{line.note}", style="quiet")
        table.add_row(label, state, took, tries, _bar(line, first, last, room, now))
    return table


def _bar(line: Line, first: float, last: float, room: int, now: float) -> Text:
    span = (last - first) or 1.0
    start = min(room - 1, int((line.began - first) / span * room))
    stop = max(start + 1, min(room, round(((line.ended or now) - first) / span * room)))
    bar = Text(" " * start)
    return bar.append("━" * (stop - start - 1) + ("━" if line.ended else "╸"), style=line.style)


def _lines(story: Story, nested: Mapping[str, Story], depth: int, now: float) -> Iterator[Line]:
    for act in story.acts:
        level = depth + act.action.scope.count("/") + (1 if act.action.scope else 0)
        yield _forward(act, level, now)
        inner = nested.get(act.action.uid)
        if inner is not None:
            yield from _lines(inner, nested, level + 1, now)
        if act.undo:
            yield _backward(act, level + 1, now)
    for wait in story.waits:
        if wait.state == "waiting" or (wait.kind == "signal" and wait.state == "received"):
            yield _waiting(wait, depth, now)


def _forward(act: Act, depth: int, now: float) -> Line:
    action = act.action
    mark, style = _STATES[act.state]
    note = f"{action.fault.type}: {action.fault.message}" if action.fault and act.state != "succeeded" else ""
    state = act.state
    if state == "retrying":
        state = f"next try {text.ago(action.retry_at, now)}"
    elif state == "parked":
        state = "waits for a person"
    label = f"{action.id} {text.short(action.name)}"
    if action.kind == "child":
        label += " (saga)"
    elif action.kind == "adhoc":
        label, state, mark = f"{label} (undo_with)", "registered", "·"
    return Line(
        depth=depth,
        mark=mark,
        style=style,
        label=label,
        state=state,
        began=act.began,
        ended=act.ended,
        tries=_tries(act),
        note=note,
    )


def _tries(act: Act) -> int:
    """Attempts that failed are journaled; the one that ended the action, or runs now, is one more."""
    if act.action.kind != "step":
        return 0
    return act.action.attempts + (1 if act.state in {"running", "succeeded", "rejected", "unknown"} else 0)


def _backward(act: Act, depth: int, now: float) -> Line:
    action = act.action
    mark, style = _UNDO[act.undo]
    state = act.undo
    if state == "retrying":
        state = f"next try {text.ago(action.undo_retry_at, now)}"
    elif state == "parked":
        state = "undoing waits for a person"
    elif state == "residue":
        state = "not undone"
    fault = action.undo_fault
    note = f"{fault.type}: {fault.message}" if fault and act.undo != "undone" else ""
    return Line(
        depth=depth,
        mark=mark,
        style=style,
        label="undo",
        state=state,
        began=act.undo_began or act.began,
        ended=act.undo_ended,
        tries=action.undo_attempts + (1 if act.undo == "undone" and action.kind == "step" else 0),
        note=note,
    )


def _waiting(wait: Wait, depth: int, now: float) -> Line:
    if wait.kind == "signal":
        label, state = f"signal {wait.name}", wait.state
    else:
        label, state = "timer", f"due {text.ago(wait.due, now)}"
    return Line(
        depth=depth,
        mark="…" if wait.ended is None else "✔",
        style="running" if wait.ended is None else "good",
        label=label,
        state=state,
        began=wait.began,
        ended=wait.ended,
    )
