"""``amends pauses``, and what `pause` and `resume` do to a saga or to all of a namespace."""

from __future__ import annotations

import rich_click as click

from ...store.pausing import Pause
from .. import forms
from ..desk import Desk
from ..exits import Exit, Problem
from ..options import Where, command
from ..render.text import pause as said


class Target:
    """What a command was told to pause or to resume: executions, a saga, or all of the namespace."""

    def __init__(self, do: str, ids: tuple[str, ...], saga: str | None, everything: bool) -> None:
        if bool(ids) + (saga is not None) + everything != 1:
            raise Problem(
                "name executions, or a saga, or all of the namespace; one of these",
                hint=f"amends {do} ID…, or --saga NAME, or --all",
            )
        self.do = do
        self.saga = saga

    async def set(self, where: Where, *, reason: str, by: str) -> Exit:
        """Do it to the saga or the namespace. Raises `UnknownName`."""
        async with where.desk() as desk:
            held, done = await (self._pause if self.do == "pause" else self._resume)(desk, reason, by)
            if where.json:
                told = {"namespace": desk.namespace, "saga": self.saga or "", "action": self.do, "done": done}
                where.output.data({**told, "paused": None if held is None else forms.pause(held)})
                return Exit.OK
            name = f"saga {self.saga}" if self.saga is not None else f"namespace {desk.namespace}"
            if self.do == "resume":
                where.output.show(f"{name} goes on" if done else f"{name} was not paused")
            if held is not None:
                where.output.show(said(held))
        return Exit.OK

    async def _pause(self, desk: Desk, reason: str, by: str) -> tuple[Pause | None, bool]:
        """The pause that holds."""
        if self.saga is not None:
            return await desk.pauses.pause(self.saga, reason=reason, by=by), True
        return await desk.pauses.pause_all(reason=reason, by=by), True

    async def _resume(self, desk: Desk, reason: str, by: str) -> tuple[Pause | None, bool]:
        """The namespace's pause that a saga is still under, and was anything paused?"""
        if self.saga is None:
            return None, await desk.pauses.resume_all(reason=reason, by=by)
        done = await desk.pauses.resume(self.saga, reason=reason, by=by)
        return next((pause for pause in await desk.pauses.list() if not pause.saga), None), done


@command("amends pauses")
@click.option("--audit", is_flag=True, help="Who paused and resumed what stands still, or --saga.")
@click.option("--saga", default="", help="Only of this saga (its durable name).")
async def pauses(where: Where, *, audit: bool, saga: str) -> Exit:
    """Show which sagas stand still, or all of the namespace.

    With --json: one object per line; its `saga` is empty for the namespace.
    """
    async with where.desk() as desk:
        found = [pause for pause in await desk.pauses.list() if saga in ("", pause.saga)]
        if audit:
            for name in dict.fromkeys([pause.saga for pause in found] or [saga]):
                await _audit(where, desk, name)
            return Exit.OK
        for pause in found:
            if where.json:
                where.output.data(forms.pause(pause))
            else:
                where.output.show(said(pause))
        if not found and not where.json:
            where.output.note("nothing is paused as a saga or a namespace")
    return Exit.OK


async def _audit(where: Where, desk: Desk, saga: str) -> None:
    for record in await desk.pauses.audit(saga):
        told = forms.record(record)
        if where.json:
            where.output.data({"namespace": desk.namespace, "saga": saga, **told})
        else:
            name = f"saga {saga}" if saga else f"namespace {desk.namespace}"
            reason = f": {record.reason}" if record.reason else ""
            where.output.show(f"{told['at']}  {name}  {record.action} by {record.by}{reason}")
