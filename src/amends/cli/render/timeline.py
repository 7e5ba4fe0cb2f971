"""The steps of an execution as a tree with a timeline beside it, like a trace.

Each action is a line, its undoing a line below it, a nested saga's actions are indented below its own.  The
bars share one scale, from the start to the end (or to now).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec
from rich.console import RenderableType
from rich.padding import Padding
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


_HEADS = ("STEP", "STATE", "TOOK", "TRIES")
_MOST = 48  # characters of a bar


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
    works: bool = False


def tree(
    story: Story, nested: Mapping[str, Story], now: float, *, width: int, ended: float | None
) -> Iterator[RenderableType]:
    """The lines, each with its bar, and errors below. `nested`: the stories of child sagas by uid."""
    lines = list(_lines(story, nested, 0, now))
    if not lines:
        return
    first, last = _scale(lines, [story, *nested.values()], now, ended)
    rows = [_cells(line, now) for line in lines]
    sizes = [max(len(head), *(len(row[place]) for row in rows)) for place, head in enumerate(_HEADS)]
    room = max(10, min(_MOST, width - sum(sizes) - 2 * len(sizes)))
    yield _joined(_HEADS, sizes, "bold").append(text.duration(last - first), style="bold")
    for line, row in zip(lines, rows, strict=True):
        shown = _joined(row, sizes).append_text(_bar(line, first, last, room, now))
        mark, state = 2 * line.depth, sizes[0] + 2
        shown.stylize(line.style, mark, mark + 1)
        shown.stylize(line.style, state, state + len(line.state))
        yield shown
        if line.note:
            yield Padding(Text(line.note, style="quiet"), (0, 0, 0, 2 * line.depth + 4))


def _cells(line: Line, now: float) -> tuple[str, str, str, str]:
    took = text.duration((line.ended or now) - line.began)
    return f"{'  ' * line.depth}{line.mark} {line.label}", line.state, took, str(line.tries or "")


def _joined(cells: Sequence[str], sizes: Sequence[int], style: str = "") -> Text:
    left, right = cells[:2], cells[2:]
    words = [f"{cell:<{size}}  " for cell, size in zip(left, sizes[:2], strict=True)]
    words += [f"{cell:>{size}}  " for cell, size in zip(right, sizes[2:], strict=True)]
    return Text("".join(words), style=style, no_wrap=True, overflow="ellipsis")


def _scale(lines: list[Line], stories: list[Story], now: float, ended: float | None) -> tuple[float, float]:
    """From the first beginning to the end. What only waits must not press the rest together: then to the last
    that happened, and a little more."""
    first = min((line.began for line in lines), default=now)
    if ended is not None:
        return first, max([ended, *(line.ended or first for line in lines)])
    if any(line.works for line in lines):
        return first, now
    last = max((story.last or first for story in stories), default=now)
    return first, min(now, last + (last - first) * 0.1)


def _bar(line: Line, first: float, last: float, room: int, now: float) -> Text:
    span = (last - first) or 1.0
    start = min(room - 1, int((line.began - first) / span * room))
    until = min(line.ended or now, last)
    stop = max(start + 1, min(room, round((until - first) / span * room)))
    bar = Text(" " * start)
    return bar.append("━" * (stop - start - 1) + ("━" if line.ended else "╸"), style=line.style)


def _lines(story: Story, nested: Mapping[str, Story], depth: int, now: float) -> Iterator[Line]:
    found: list[Act | Wait] = [*story.acts, *filter(_worth_a_line, story.waits)]
    for one in sorted(found, key=lambda one: one.began):
        if isinstance(one, Wait):
            yield _waiting(one, depth, now)
            continue
        scope = one.action.scope
        level = depth + (scope.count("/") + 1 if scope else 0)
        yield _forward(one, level, now)
        inner = nested.get(one.action.uid)
        if inner is not None:
            yield from _lines(inner, nested, level + 1, now)
        if one.undo:
            yield _backward(one, level + 1, now)


def _worth_a_line(wait: Wait) -> bool:
    return wait.state == "waiting" or (wait.kind == "signal" and wait.state == "received")


def _forward(act: Act, depth: int, now: float) -> Line:
    action = act.action
    mark, style = _STATES[act.state]
    note = f"{action.fault.type}: {action.fault.message}" if action.fault and act.state != "succeeded" else ""
    state = act.state
    if state == "retrying":
        state = _retrying(action.retry_at, action.attempts, now)
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
        works=act.state in {"running", "retrying"} and action.kind != "child",
    )


def _retrying(at: float, failed: int, now: float) -> str:
    return f"next try {text.ago(at, now)}" if at > now else f"try {failed + 1} runs"


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
        state = _retrying(action.undo_retry_at, action.undo_attempts, now)
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
        works=act.undo in {"undoing", "retrying"} and action.kind != "child",
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
