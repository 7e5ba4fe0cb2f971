"""Following an execution while it runs: redrawn on a terminal, line by line elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.live import Live
from rich.segment import Segment
from rich.text import Text

from ..store import port
from .desk import Desk
from .options import Where
from .output import Harmless
from .render.execution import View, execution
from .render.text import duration, moment, short
from .story import Act, Story
from .views import look

INTERVAL = 0.2


async def follow(
    where: Where,
    desk: Desk,
    id: str,
    *,
    on: Console,
    changed: Callable[[View], None],
    transient: bool = False,
) -> None:
    """Look again and again, until it ends or needs a person.

    On a terminal the page is redrawn on `on` (and taken away at the end if `transient`); otherwise `changed`
    is called for each change.
    """
    if not (where.output.live and on.is_terminal):
        await _each_change(where, desk, id, changed)
        return
    with Live(console=on, transient=transient, auto_refresh=False) as live:
        while True:
            view = await look(where, desk, id)
            live.update(Fitting(Harmless(execution(view, on.width))), refresh=True)
            if over(view):
                return
            await asyncio.sleep(INTERVAL)


async def _each_change(where: Where, desk: Desk, id: str, changed: Callable[[View], None]) -> None:
    seen: object = None
    while True:
        view = await look(where, desk, id)
        mark = (
            view.story.rows,
            view.header.status,
            len(view.audit),
            [child.status for child in view.children],
        )
        if mark != seen:
            seen = mark
            changed(view)
        if over(view):
            return
        await asyncio.sleep(INTERVAL)


def over(view: View) -> bool:
    """Has it ended, or does it need a person?"""
    return view.header.status in port.FINAL or view.header.status == port.ATTENTION


class Fitting:
    """A page that is redrawn must fit the terminal: its first line stays, and of the rest what is newest."""

    def __init__(self, page: RenderableType) -> None:
        self._page = page

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = console.render_lines(self._page, options, pad=False)
        room = options.size.height - 1
        if len(lines) > room:
            lines = [lines[0], [Segment("  ⋮")], *lines[len(lines) - room + 2 :]]
        for line in lines:
            yield from line
            yield Segment.line()


class Lines:
    """Tells each change as a line, once: for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._told: set[tuple[float, str]] = set()  # with the time: the same may happen again

    def __call__(self, view: View) -> None:
        news = [one for one in _said(view.story) if one not in self._told]
        self._told.update(news)
        # Of what one row says, the undoing comes last: it follows from the rest.
        for at, said in sorted(news, key=lambda one: (one[0], ": undoing" in one[1])):
            self._console.print(Harmless(Text(f"{moment(at)}  {said}")))


def _said(story: Story) -> Iterator[tuple[float, str]]:
    for act in story.acts:
        yield from _act(act)
    for wait in story.waits:
        if wait.kind == "signal":
            yield wait.began, f"waits for the signal {wait.name}"
            if wait.ended is not None and wait.state == "received":
                yield wait.ended, f"signal {wait.name} received"
    for one in story.moments:
        if one.what not in {"started", "signal", "returned", "ended"}:
            yield one.at, f"{one.what}{': ' if one.text else ''}{one.text}"


def _act(act: Act) -> Iterator[tuple[float, str]]:
    action = act.action
    name = f"{action.id} {short(action.name)}"
    if action.kind == "adhoc":
        return
    yield act.began, f"{name} started"
    if act.state == "retrying" and action.fault:
        fault = f"{action.fault.type}: {action.fault.message}"
        yield act.failed or act.began, f"{name} try {action.attempts} failed: {fault}; the next follows"
    elif act.state == "parked" and action.fault:
        yield act.held or act.began, f"{name} waits for a person: {action.fault.type}: {action.fault.message}"
    elif act.ended is not None:
        fault = f": {action.fault.type}: {action.fault.message}" if action.fault else ""
        yield act.ended, f"{name} {act.state} after {duration(act.ended - act.began)}{fault}"
    if act.undo_began is not None:
        yield act.undo_began, f"{name}: undoing"
    if act.undo_ended is not None:
        yield act.undo_ended, f"{name}: {'undone' if act.undo == 'undone' else 'not undone'}"
    elif act.undo == "parked" and action.undo_fault:
        fault = f"{action.undo_fault.type}: {action.undo_fault.message}"
        yield act.undo_began or act.began, f"{name}: undoing waits for a person: {fault}"
