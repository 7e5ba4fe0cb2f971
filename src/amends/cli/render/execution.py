"""One execution for people: where it stands, its steps, what is stuck, and what to type next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ...engine.status import Status, detail_of, status_of
from ...store import port
from ...store.port import AuditRecord, Header
from ..story import Story
from . import text
from .timeline import tree


class View(msgspec.Struct, kw_only=True):
    """All that is shown of one execution. `nested`: stories of child sagas by uid. `worker`: see `Desk`.

    `again`: how commands are suggested, such as ``amends {} --store …``.
    """

    header: Header
    story: Story
    children: Sequence[Header] = ()
    nested: Mapping[str, Story] = {}
    audit: Sequence[AuditRecord] = ()
    worker: int | None = None
    now: float
    again: Any

    @property
    def status(self) -> Status:
        """The header as users see it."""
        return status_of(self.header)


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
        parts += ["", tree(story, view.nested, view.now, width=width, ended=header.finished_at)]
    for title, section in (
        ("What happened", _moments(story)),
        ("What remains", _residue(view)),
        ("What operators did", _audit(view.audit)),
        ("Needs a person", list(_attention(view))),
        ("What to type next", [Text(f"  {line}") for line in _next(view)]),
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
    """Only when there is more to it than start and end."""
    turns = [
        m
        for m in story.moments
        if m.what not in {"started", "returned", "ended", "signal"} or m.text.startswith("run")
    ]
    return [
        Text.assemble((f"  {text.moment(m.at)}  ", "quiet"), m.what, f": {m.text}" if m.text else "")
        for m in turns
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
            f"{one.by}: {one.action}" + (f" action {one.detail}" if one.detail else ""),
            f", {one.reason}" if one.reason else "",
        )
        for one in records
    ]


def _attention(view: View) -> Iterator[RenderableType]:
    for item in view.status.items:
        if "action" not in item:
            yield Text.assemble(("  ! ", "attention"), str(item.get("message", item.get("why", ""))))
            if item.get("do"):
                yield Text(f"    → {item['do']}")
            continue
        step, tries = text.short(str(item["step"])), item.get("attempts", 0)
        doing = f"undoing {step}" if item.get("direction") == "undo" else step
        said = f"{doing} (action {item['action']}) failed"
        if tries:
            said += f" {tries} time{'s' if tries > 1 else ''}"
        yield Text.assemble(("  ! ", "attention"), said, f": {text.fault(item.get('error'))}")
        yield Text(f"    arguments  {text.compact(item.get('arguments'), 300)}", style="quiet")
        if item.get("direction") == "undo":
            result = item.get("result")
            known = "not known: its outcome is unknown" if item.get("outcome") == "unknown" else None
            yield Text(f"    result     {known or text.compact(result, 300)}", style="quiet")
        elif item.get("outcome") == "unknown":
            yield Text(
                "    an attempt may have had its effect: look at the participant first", style="careful"
            )


def _next(view: View) -> Iterator[str]:
    """Commands, with what each does."""
    header = view.header
    if header.status == port.ATTENTION:
        yield from _mend(view)
        return
    if header.status in port.FINAL:
        return
    for name in dict.fromkeys(view.story.signals):
        yield _line(view, "send", f"{name} --value …", "give it the signal it waits for")
    for child in view.children:
        if child.status == port.ATTENTION:
            yield f"{view.again('show')} {text.quoted(child.id)}  # the nested saga that needs a person"
    if view.worker is None:
        yield f"{view.again('worker')} MODULE  # nobody serves this store"


def _mend(view: View) -> Iterator[str]:
    whole = view.status.parked_whole
    if whole:
        yield _line(view, "retry", "", "once the cause is gone (a deploy, a repair)")
        yield _line(view, "cancel", "--reason …", "undo it from its journal, without its code")
        yield _line(view, "terminate", "--reason …", "end it; nothing is undone")
        return
    for item in view.status.items:
        which = f"--action {text.quoted(str(item.get('action')))}"
        undoing = item.get("direction") == "undo"
        yield _line(view, "retry", which, "try it again")
        if undoing:
            yield _line(view, "resolve", f"{which} --reason …", "it was undone by hand")
            yield _line(view, "skip", f"{which} --reason …", "leave the effect; it is recorded")
        else:
            yield _line(view, "resolve", f"{which} --value … --reason …", "it was done by hand; its result")
            yield _line(view, "skip", f"{which} --reason …", "go on without it (null)")
    if any(item.get("direction") == "do" for item in view.status.items):
        yield _line(view, "cancel", "--reason …", "undo what was done")
    if view.worker is None:
        yield f"{view.again('worker')} MODULE  # nobody serves this store: it must run for any of these"


def _line(view: View, command: str, options: str, means: str) -> str:
    words = f"{view.again(command)} {text.quoted(view.header.id)} {options}".rstrip()
    return f"{words}  # {means}"
