"""Gathering what there is to show of an execution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ..store.port import Header
from . import forms
from .desk import Desk
from .options import Where
from .render.execution import View
from .story import Story, tell

_DEPTH = 8  # of nested sagas shown inside their parents


async def look(where: Where, desk: Desk, id: str) -> View:
    """All there is to show of an execution. Raises `UnknownName` with near ids."""
    header, rows, _ = await desk.read(await desk.find(id))
    header = await desk.seen(header)
    children = await desk.children(header)
    nested: dict[str, Story] = {}
    await _nest(desk, children, nested, 0)
    return View(
        header=header,
        story=tell(rows),
        children=children,
        nested=nested,
        audit=await desk.audit(header),
        tasks=await desk.tasks(header),
        worker=desk.worker(),
        pauses=await desk.pauses.list(),
        now=desk.clock.now(),
        again=where.again,
        serve=where.worker(),
    )


async def _nest(desk: Desk, children: Sequence[Header], nested: dict[str, Story], depth: int) -> None:
    for child in children if depth < _DEPTH else ():
        found, rows, _ = await desk.read(child)
        nested[found.uid] = tell(rows)
        await _nest(desk, await desk.children(found), nested, depth + 1)


def form(view: View) -> dict[str, Any]:
    """The same for programs."""
    children = [forms.execution(child, view.pauses) for child in view.children]
    tasks = [msgspec.structs.asdict(task) for task in view.tasks]
    shown = forms.shown(view.header, view.story, children, list(view.audit), view.worker, view.pauses)
    return {**shown, "tasks": tasks}
