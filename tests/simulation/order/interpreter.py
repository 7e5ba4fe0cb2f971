"""A tree becomes a real saga body, over the public API only.

The body notes what saga code sees: where it enters a node, and how it leaves it, with the journal position at
that moment.  These notes are the reference's only knowledge of the inside of a saga.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import amends
from amends import Rejected, Retry, saga, step

from .programs import Node

TWICE = Retry(attempts=2, delay=1.0, factor=1.0, jitter=0.0)
ONCE = Retry(attempts=1)

STAGE: dict[str, Node] = {}
"""The program that plays: its nodes by label."""


class Trouble(Exception):
    """What the body itself raises."""


async def _never(label: str) -> str:
    raise AssertionError("the driver plays the participants; no step function is called")


async def _never_undo(result: str | None, label: str) -> None:
    raise AssertionError("the driver plays the participants; no compensation is called")


def _define(kind: str, *, soft: bool = False, undo: bool = True, **options: Any) -> Any:
    options.setdefault("retry", ONCE)
    defined = step(name=f"order.{kind}", **options)(_never)
    if undo:
        defined.compensation(critical=not soft, retry=TWICE)(_never_undo)
    return defined


_spare = _define("spare")
STEPS: dict[str, Any] = {
    "undoable": _define("undoable"),
    "plain": _define("plain", undo=False),
    "soft": _define("soft", soft=True),
    "irreversible": _define("irreversible", undo=False, irreversible=True),
    "retried": _define("retried", retry=TWICE),
    "barrier": _define("barrier", retry=TWICE, remembers_rejections=True),
    "asking": _define("asking", recovery={Exception: "ask"}),
    "preferring": _define("preferring", fallback=[_spare]),
    "spare": _spare,
    "adhoc": step(name="order.adhoc", retry=TWICE)(_never),
}
FAILURES = (
    amends.StepFailed,
    amends.Compensated,
    amends.PivotRefused,
    amends.Refused,
    Rejected,
    TimeoutError,
    Trouble,
    ExceptionGroup,
)


@saga(name="order.saga")
async def order_saga(label: str) -> str:
    """The body of every execution here: runs the part of the program with that label."""
    node = STAGE[label]
    await run(node.kids[0])
    return f"r:{label}"


def note(label: str, what: str) -> None:
    """Remember what saga code sees, with the position of the activation that shows it."""
    port: Any = getattr(asyncio._get_running_loop(), "amends_port", None)
    if port is not None and not port.loop.dead:
        port.instance.story.append((port.instance.position, label, what))


async def run(node: Node) -> None:
    """Enter a node, do what it says, leave it."""
    note(node.label, "enter")
    try:
        await _DO[node.op](node)
    except GeneratorExit:
        raise  # the instance is discarded: this is not something a saga sees
    except BaseException as error:
        note(node.label, type(error).__name__)
        raise
    note(node.label, "ok")


async def _act(node: Node) -> None:
    value = await STEPS[node.options["kind"]](node.label)
    assert value in (None, f"r:{node.label}"), value


async def _undo_with(node: Node) -> None:
    amends.undo_with(STEPS["adhoc"], node.label)


async def _pivot(node: Node) -> None:
    await amends.pivot()


async def _fail(node: Node) -> None:
    raise Trouble(node.label)


async def _nap(node: Node) -> None:
    await asyncio.sleep(node.options["seconds"])


async def _seq(node: Node) -> None:
    for kid in node.kids:
        await run(kid)


async def _group(node: Node) -> None:
    async with asyncio.TaskGroup() as group:
        for kid in node.kids:
            group.create_task(run(kid))


async def _gather(node: Node) -> None:
    await asyncio.gather(*map(run, node.kids))


async def _collect(node: Node) -> None:
    await asyncio.gather(*map(run, node.kids), return_exceptions=True)


async def _savepoint(node: Node) -> None:
    try:
        async with amends.savepoint():
            note(node.label, "inside")
            try:
                await run(node.kids[0])
            except GeneratorExit:
                raise
            except BaseException:
                note(node.label, "broken")
                raise
    except FAILURES:
        if not node.options["caught"]:
            raise


async def _attempt(node: Node) -> None:
    try:
        await run(node.kids[0])
    except FAILURES:
        await run(node.kids[1])


async def _ending(node: Node) -> None:
    try:
        await run(node.kids[0])
    except GeneratorExit:
        raise
    except BaseException:
        await run(node.kids[1])
        raise
    await run(node.kids[1])


async def _stubborn(node: Node) -> None:
    try:
        await run(node.kids[0])
    except (Exception, asyncio.CancelledError) as error:
        note(node.label, f"swallowed {type(error).__name__}")


async def _within(node: Node) -> None:
    body = run(node.kids[0])
    try:
        await asyncio.wait_for(body, node.options["seconds"])
    finally:
        body.close()  # after a cancel, wait_for raises before it has begun to wait


async def _until(node: Node) -> None:
    async with asyncio.timeout(node.options["seconds"]):
        await run(node.kids[0])


async def _spawn(node: Node) -> None:
    asyncio.create_task(run(node.kids[0]))  # noqa: RUF006 - the saga's loop keeps its tasks


async def _shield(node: Node) -> None:
    await asyncio.shield(run(node.kids[0]))


async def _child(node: Node) -> None:
    call = order_saga(node.label)
    if node.options["deadline"]:
        call = call.options(deadline=node.options["deadline"])
    value = await call
    assert value == f"r:{node.label}", value


async def _again(node: Node) -> None:
    await amends.continue_as_new(node.label)


_DO: dict[str, Callable[[Node], Awaitable[None]]] = {
    "act": _act,
    "undo_with": _undo_with,
    "pivot": _pivot,
    "fail": _fail,
    "nap": _nap,
    "seq": _seq,
    "group": _group,
    "gather": _gather,
    "collect": _collect,
    "savepoint": _savepoint,
    "attempt": _attempt,
    "ending": _ending,
    "stubborn": _stubborn,
    "within": _within,
    "until": _until,
    "spawn": _spawn,
    "shield": _shield,
    "child": _child,
    "again": _again,
}
