"""One execution for people: where it stands, its steps, what is stuck, and what to type next."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ...engine.forking import FORK, forked_as
from ...engine.status import Status, detail_of, status_of
from ...store import port
from ...store.pausing import Pause
from ...store.port import AuditRecord, Header
from ...store.queueing import TaskStatus
from ..story import Story
from . import text
from .timeline import tree


class View(msgspec.Struct, kw_only=True):
    """All that is shown of one execution. `nested`: stories of child sagas by uid. `worker`: see `Desk`.

    `again`: how a command is suggested (with the options typed so far); `serve`: what serves the store.
    """

    header: Header
    story: Story
    children: Sequence[Header] = ()
    nested: Mapping[str, Story] = {}
    audit: Sequence[AuditRecord] = ()
    tasks: Sequence[TaskStatus] = ()
    pauses: Sequence[Pause] = ()
    worker: int | None = None
    now: float
    again: Callable[[str], str]
    serve: str

    @property
    def status(self) -> Status:
        """The header as users see it."""
        return status_of(self.header, pauses=self.pauses)


def execution(view: View, width: int) -> RenderableType:
    """The whole page."""
    header, story = view.header, view.story
    parts: list[RenderableType] = [
        Text.assemble((header.id, "bold"), "  ", text.status(header.status, header.cause)),
        Padding(_facts(view), (0, 0, 0, 2)),
    ]
    if story.broken:
        parts.append(Text(f"\nThe journal is damaged: {story.broken}. Shown is what stands before.", "bad"))
    if story.acts or story.waits:
        parts += ["", *tree(story, view.nested, view.now, width=width, ended=header.finished_at)]
    for title, section in (
        ("What happened", _moments(story)),
        ("In queues", _tasks(view.tasks)),
        ("What remains", _residue(view)),
        ("What operators did", _audit(view.audit)),
        ("Needs a person", _attention(view)),
        ("What to type next", _next(view)),
    ):
        if section:
            parts += ["", Text(title, style="bold"), *section]
    return Group(*parts)


# ---------------------------------------------------------------- the head


def _facts(view: View) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="quiet", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _rows(view):
        if value:
            table.add_row(name, value)
    return table


def _rows(view: View) -> Iterator[tuple[str, str | Text]]:
    header, status, now = view.header, view.status, view.now
    yield "forked from", view.story.forked_from or ""
    yield "forked as", forked_as(view.audit) or ""
    yield "saga", header.saga + (f" version {header.version}" if header.version else "")
    zone = text.zone(header.created_at)
    yield "started", f"{text.moment(header.created_at)} {zone} · {text.ago(header.created_at, now)}"
    if header.finished_at is not None:
        took = text.duration(header.finished_at - header.created_at)
        yield "ended", f"{text.moment(header.finished_at)} {zone} · took {took}"
    else:
        changed = header.updated_at or header.created_at
        yield "changed", f"{text.moment(changed)} {zone} · {text.ago(changed, now)}"
        yield "deadline", text.moment(header.deadline)
        yield "worker", _worker(view)
    yield "arguments", text.compact(msgspec.Raw(header.input.encode()), 400)
    if header.result not in {None, "null"}:
        yield "result", text.compact(msgspec.Raw(str(header.result).encode()), 400)
    if status.attributes:
        yield "attributes", text.compact(status.attributes, 400)
    if status.paused:
        said = f"since {text.moment(status.paused.get('since'))} by {status.paused.get('by') or 'unknown'}"
        yield "paused", f"{said}: {status.paused.get('reason')}"
    if status.saga_paused is not None:
        yield "stands still", Text(text.pause(status.saga_paused), style="careful")
    yield "error", Text(text.fault(status.error), style="bad")
    ended = detail_of(header).get("terminated")
    if ended:
        yield "terminated", f"{ended['reason']} (by {ended['by'] or 'unknown'}); nothing was undone"


def _worker(view: View) -> str | Text:
    if view.worker is None:
        return Text("nobody serves this store", style="careful")
    return f"process {view.worker} serves this store" if view.worker else ""


# ---------------------------------------------------------------- sections


def _moments(story: Story) -> list[RenderableType]:
    """The turns it took, when there is more to it than start, failure and end."""
    quiet = {"started", "returned", "ended", "signal", "turned back"}
    if not any(moment.what not in quiet or moment.text.startswith("run ") for moment in story.moments):
        return []
    turns = [moment for moment in story.moments if moment.what not in quiet - {"turned back"} or moment.text]
    return [
        Text.assemble((f"  {text.moment(one.at)}  ", "quiet"), one.what, f": {one.text}" if one.text else "")
        for one in turns
        if one.what != "ended"
    ]


def _tasks(tasks: Sequence[TaskStatus]) -> list[RenderableType]:
    return [
        Text.assemble(
            "  undoing " if one.direction == "undo" else "  ",
            f"{text.short(one.step)} (action {one.action}): ",
            "running" if one.state == "leased" else one.state,
            f" in {one.queue}",
            f" at {one.holder}" if one.holder else "",
            f", {text.compact(msgspec.Raw(one.progress.encode()), 200)}" if one.progress else "",
            f", {one.lapses} lapsed lease{'s' if one.lapses > 1 else ''}" if one.lapses else "",
            ", cancelled" if one.cancelled else "",
        )
        for one in tasks
        if one.state != "done"
    ]


def _residue(view: View) -> list[RenderableType]:
    return [
        Text.assemble(
            ("  ■ ", "partially_compensated"),
            f"{text.short(str(one.get('step', '')))} (action {one.get('action')}): {one.get('reason')}",
        )
        for one in view.status.residue
    ]


def _audit(records: Sequence[AuditRecord]) -> list[RenderableType]:
    return [
        Text.assemble(
            (f"  {text.moment(one.at)}  ", "quiet"),
            f"{one.by}: {one.action}" + (f" {_of(one)}{one.detail}" if one.detail else ""),
            f", {one.reason}" if one.reason else "",
        )
        for one in records
    ]


def _of(record: AuditRecord) -> str:
    """What its detail is."""
    return "as " if record.action == FORK else "action "


def _attention(view: View) -> list[RenderableType]:
    """Each parked item, with all that a person needs to settle it."""
    if not view.status.items:
        return []
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(style="attention", no_wrap=True)
    table.add_column(overflow="fold")
    for item in view.status.items:
        for place, line in enumerate(_stuck(item) if "action" in item else _whole(item)):
            table.add_row("" if place else "  !", line)
    return [table]


def _whole(item: Mapping[str, Any]) -> Iterator[Text]:
    yield Text(str(item.get("message") or item.get("why", "")))
    if item.get("do"):
        yield Text(f"→ {item['do']}")


def _stuck(item: Mapping[str, Any]) -> Iterator[Text]:
    step, tries = text.short(str(item["step"])), item.get("attempts", 0)
    undoing = item.get("direction") == "undo"
    said = f"{'undoing ' if undoing else ''}{step} (action {item['action']}) failed"
    if tries:
        said += f" {tries} time{'s' if tries > 1 else ''}"
    yield Text(f"{said}: {text.fault(item.get('error'))}")
    yield Text(f"arguments  {text.compact(item.get('arguments'), 300)}", style="quiet")
    unknown = item.get("outcome") == "unknown"
    if undoing:
        result = "not known (its outcome is unknown)" if unknown else text.compact(item.get("result"), 300)
        yield Text(f"result     {result}", style="quiet")
    elif unknown:
        yield Text("an attempt may have had its effect: look at the participant first", style="careful")


# ---------------------------------------------------------------- what to type next


def _next(view: View) -> list[RenderableType]:
    lines = list(_suggestions(view))
    if not lines:
        return []
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="quiet", max_width=32)
    table.add_column(overflow="fold")
    for means, typed in lines:
        table.add_row(f"  {means}", typed)
    return [table]


def _suggestions(view: View) -> Iterator[tuple[str, str]]:
    """What each command does, and how it is typed."""
    header = view.header
    if header.status in port.FINAL:
        return
    if header.status == port.ATTENTION:
        yield from _mend(view)
    for name in dict.fromkeys(view.story.signals):
        yield "give it the signal", _typed(view, "send", f"{text.quoted(name)} --value '…'")
    for child in view.children:
        if child.status == port.ATTENTION:
            yield "see the nested saga", f"{view.again('show')} {text.quoted(child.id)}"
    if view.worker is None:
        yield "nobody serves the store", view.serve


def _mend(view: View) -> Iterator[tuple[str, str]]:
    if view.status.parked_whole:
        yield "the cause is gone: go on", _typed(view, "retry", "")
        yield "undo it from its journal", _typed(view, "cancel", "--reason '…'")
        yield "end it, undo nothing", _typed(view, "terminate", "--reason '…'")
        return
    for item in view.status.items:
        which = f"--action {text.quoted(str(item.get('action')))}"
        yield "try it again", _typed(view, "retry", which)
        if item.get("direction") == "undo":
            yield "it was undone by hand", _typed(view, "resolve", f"{which} --reason '…'")
            yield "leave the effect", _typed(view, "skip", f"{which} --reason '…'")
        else:
            yield "it was done by hand", _typed(view, "resolve", f"{which} --value '…' --reason '…'")
            yield "go on without it (null)", _typed(view, "skip", f"{which} --reason '…'")
    if any(item.get("direction") == "do" for item in view.status.items):
        yield "undo what was done", _typed(view, "cancel", "--reason '…'")


def _typed(view: View, command: str, options: str) -> str:
    return f"{view.again(command)} {text.quoted(view.header.id)} {options}".rstrip()
