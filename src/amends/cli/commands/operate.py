"""What operators do to executions; each is audited. ``cancel pause resume retry resolve skip terminate``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import rich_click as click

from ...definition.registry import REGISTRY
from ...engine.handle import Handle
from ...engine.status import status_of
from ...errors import AmendsError
from ...store.port import Header
from .. import apps, exits, forms, values
from ..desk import Desk
from ..exits import Exit, Problem
from ..options import (
    Where,
    action_option,
    all_option,
    any_ids,
    app_option,
    ask,
    by_option,
    command,
    one_id,
    one_saga_option,
    reason_option,
    some_ids,
    wait_option,
    yes_option,
)
from ..outcomes import of_status, worst
from ..output import tell_error
from ..render import text
from ..story import tell
from .pauses import Target

Act = Callable[[Handle[Any]], Awaitable[None]]


@command("amends cancel order-1001 --reason 'the customer called'")
@some_ids
@reason_option(required=True)
@by_option
@wait_option
async def cancel(where: Where, *, ids: tuple[str, ...], reason: str, by: str, wait: bool) -> Exit:
    """Undo executions: compensate all that they did.

    Durable when this returns; a worker does it. After the pivot or the return it is recorded and changes
    nothing.
    """
    return await _each(where, ids, "cancel", wait, lambda handle: handle.cancel(reason, by=by))


@command("""amends pause order-1001 --reason 'the bank is closed'
amends pause --saga shop.place_order --reason 'the bank is closed'
amends pause --all --reason 'we move to another bank'""")
@any_ids
@one_saga_option
@all_option
@reason_option(required=True)
@by_option
async def pause(
    where: Where, *, ids: tuple[str, ...], saga: str | None, everything: bool, reason: str, by: str
) -> Exit:
    """Let executions stand still, or a saga, or all of the namespace.

    What runs comes to its end; nothing more is begun until `amends resume`. Signals are kept; timers and
    deadlines go on by the clock. Durable when this returns.

    A paused execution takes what is nested in it along, and cancel and terminate end its pause. Of a paused
    saga nothing begins, also of what is started later, and requests wait (`amends pauses` shows them).
    """
    target = Target("pause", ids, saga, everything)
    if not ids:
        return await target.set(where, reason=reason, by=by)
    return await _each(where, ids, "pause", False, lambda handle: handle.pause(reason, by=by))


@command("""amends resume order-1001
amends resume --saga shop.place_order
amends resume --all""")
@any_ids
@one_saga_option
@all_option
@reason_option(required=False)
@by_option
@wait_option
async def resume(
    where: Where,
    *,
    ids: tuple[str, ...],
    saga: str | None,
    everything: bool,
    reason: str,
    by: str,
    wait: bool,
) -> Exit:
    """Let go on what is paused: executions, a saga, or all of the namespace.

    What has become due in the pause (timers, the deadline) is due now.
    """
    target = Target("resume", ids, saga, everything)
    if not ids:
        return await target.set(where, reason=reason, by=by)
    return await _each(where, ids, "resume", wait, lambda handle: handle.resume(reason=reason, by=by))


@command("amends retry order-1001\namends list --status attention --ids | xargs amends retry")
@some_ids
@action_option
@click.option("--args", "args", metavar="JSON", help="New arguments for the parked action (needs --app).")
@app_option
@reason_option(required=False)
@by_option
@wait_option
async def retry(
    where: Where,
    *,
    ids: tuple[str, ...],
    action: str,
    args: str | None,
    app: str | None,
    reason: str,
    by: str,
    wait: bool,
) -> Exit:
    """Run again what is parked.

    That is a stuck compensation, a held step, or the whole execution once a deploy has mended its code. New
    arguments are refused while an attempt with the old ones may have had an effect.
    """
    if app or args is not None:
        apps.load(app)

    async def act(handle: Handle[Any]) -> None:
        given = None if args is None else await _arguments(handle, action, args)
        await handle.retry(action=action, args=given, reason=reason, by=by)

    return await _each(where, ids, "retry", wait, act)


async def _arguments(handle: Handle[Any], action: str, args: str) -> tuple[Any, ...]:
    held = [item for item in (await handle.status()).items if not action or item.get("action") == action]
    value = values.read(args, "--args")
    if len(held) != 1 or "step" not in held[0]:
        return tuple(value) if isinstance(value, list) else ()  # refused by `retry`, which says why
    signature = REGISTRY.step(str(held[0]["step"])).signature
    named = values.by_name(signature, value, "--args")
    names = signature.plan[0]
    missing = [name for name in names if name not in named]
    if missing:
        raise Problem(
            f"--args lacks {', '.join(missing)}", hint=f"it takes {values.described(signature)}, all of them"
        )
    return tuple(named[name] for name in names)


@command("""amends resolve order-1001 --action 3 --value '"parcel-7"' --reason 'sent by hand'""")
@one_id
@action_option
@click.option("--value", metavar="JSON", help="The result of a held step; leave out for a compensation.")
@app_option
@reason_option(required=True)
@by_option
@wait_option
async def resolve(
    where: Where,
    *,
    id: str,
    action: str,
    value: str | None,
    app: str | None,
    reason: str,
    by: str,
    wait: bool,
) -> Exit:
    """Say that parked work was settled by hand.

    A compensation counts as done; a held step counts as succeeded with --value as its result. With --app the
    value is checked against what the step returns.
    """
    if app:
        apps.load(app)
    given = None if value is None else values.read(value, "--value")
    return await _each(
        where, (id,), "resolve", wait, lambda handle: handle.resolve(given, reason, action=action, by=by)
    )


@command("amends skip order-1001 --action 1 --reason 'refunded by bank transfer' --yes")
@some_ids
@action_option
@reason_option(required=True)
@yes_option
@by_option
@wait_option
async def skip(
    where: Where, *, ids: tuple[str, ...], action: str, reason: str, yes: bool, by: str, wait: bool
) -> Exit:
    """Give up on parked work; its effect stays.

    A compensation is left undone and recorded as residue; a held step yields null and the saga goes on.
    """

    def asked(header: Header, rows: Any) -> str:
        parked = [text.short(str(i.get("step"))) for i in status_of(header).items if i.get("step")]
        return f"Give up on {action or ', '.join(parked) or 'all that is parked'} of {header.id}?"

    act: Act = lambda handle: handle.skip(reason, action=action, by=by)  # noqa: E731 - beside the question
    return await _each(where, ids, "skip", wait, act, None if yes else asked)


@command("amends terminate order-1001 --reason 'test data' --yes")
@some_ids
@reason_option(required=True)
@yes_option
@by_option
@wait_option
async def terminate(
    where: Where, *, ids: tuple[str, ...], reason: str, yes: bool, by: str, wait: bool
) -> Exit:
    """End executions at once; nothing is undone.

    All effects stay, and the status says so. `amends cancel` undoes them instead.
    """

    def asked(header: Header, rows: Any) -> str:
        owed = [text.short(action.name) for action in tell(rows).ledger.owed()]
        stays = f"{len(owed)} effect(s) stay ({', '.join(owed[:5])})" if owed else "it has no effects to undo"
        return f"End {header.id} without undoing? {stays}."

    return await _each(
        where, ids, "terminate", wait, lambda handle: handle.terminate(reason, by=by), None if yes else asked
    )


# ---------------------------------------------------------------- one after the other


async def _each(
    where: Where,
    ids: tuple[str, ...],
    name: str,
    wait: bool,
    act: Act,
    question: Callable[[Header, Any], str] | None = None,
) -> Exit:
    """Do it to each; a failure is told and the others go on. The exit code is the worst."""
    codes = []
    async with where.desk() as desk:
        if wait and desk.worker() is None:
            where.output.note(f"waiting for somebody to serve this store: {where.worker()}", style="careful")
        for id in dict.fromkeys(ids):
            try:
                codes.append(await _one(where, desk, id, name, wait, act, question))
            except (AmendsError, click.UsageError) as error:
                if len(ids) == 1:
                    raise
                tell_error({**exits.told(error), "id": id}, json=where.json)
                codes.append(exits.of_error(error))
        if not where.json and not wait and desk.worker() is None:
            where.output.note(f"nobody serves this store: {where.worker()}", style="careful")
    return worst(codes)


async def _one(
    where: Where,
    desk: Desk,
    id: str,
    name: str,
    wait: bool,
    act: Act,
    question: Callable[[Header, Any], str] | None,
) -> Exit:
    header, rows, _ = await desk.read(await desk.find(id))
    if question is not None:
        ask(where, question(header, rows))
    handle = desk.handle(id)
    await act(handle)
    if wait:
        await handle.outcome()
    header = await desk.seen(await desk.find(id))
    if where.json:
        where.output.data({**forms.outcome(header), "action": name})
    elif wait:
        where.output.show(f"{id} {header.status}" + (f" ({header.cause})" if header.cause else ""))
    else:
        where.output.show(f"{id}: {name} recorded")
    return of_status(header.status) if wait else Exit.OK
