"""The sagas of the simulation: random programs of `tests/simulation/order`, whose steps call simulated services.

The body is that of the order tests, so that their reference, written from the sentences of DESIGN §3, can be held against
journals that the whole engine wrote.  What saga code saw is heard when the journal is replayed at the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import amends
from amends import Retry, Signal
from tests.simulation.order import interpreter
from tests.simulation.order.programs import Node

if TYPE_CHECKING:
    from .run import Run

TWICE = Retry(attempts=2, delay=1.0, factor=1.0, jitter=0.5)
ONCE = Retry(attempts=1)
TIMEOUT = 5.0

heard = Signal[str]("sim.heard")

RUNNING: list[Run] = []
"""The run that is under way (the last)."""


def _define(kind: str, *, soft: bool = False, undo: bool = True, plain: bool = False, **options: Any) -> Any:
    options.setdefault("retry", ONCE)
    declare = amends.step(name=f"sim.{kind}", timeout=TIMEOUT, **options)

    async def act(label: str) -> str:
        return await RUNNING[-1].call(label)

    def act_in_thread(label: str) -> str:
        return RUNNING[-1].call_in_thread(label)

    defined = declare(act_in_thread if plain else act)
    if undo:

        async def take_back(result: str | None, label: str) -> None:
            await RUNNING[-1].call(label, result)

        defined.compensation(critical=not soft, retry=TWICE, timeout=TIMEOUT)(take_back)
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
    "thread": _define("thread", plain=True, retry=TWICE),
    "verified": _define("verified", retry=TWICE),
    "spare": _spare,
    "adhoc": _define("adhoc", undo=False, retry=TWICE),
}


@STEPS["verified"].verify
async def _is_undone(result: str | None, label: str) -> bool:
    return RUNNING[-1].verify(label)


async def _hear(node: Node) -> None:
    """Wait for a signal, for so long."""
    try:
        await heard.receive(timeout=node.options["seconds"])
    except TimeoutError:
        interpreter.note(node.label, "deaf")


def hear(seconds: int = 20) -> Node:
    """A durable wait for a signal, with a timeout."""
    return Node("hear", (), {"seconds": seconds})


def note(label: str, what: str) -> None:
    """Remember what saga code sees, with the position of the activation that shows it (when its journal is replayed)."""
    story = RUNNING[-1].story
    if story is None:
        return
    port: Any = getattr(asyncio._get_running_loop(), "amends_port", None)
    if port is not None and not port.loop.dead:
        story.append((port.instance.position, label, what))


async def _act(node: Node) -> None:
    """As the interpreter's; but while the wrong code is deployed, it does something else when it is replayed."""
    port: Any = getattr(asyncio._get_running_loop(), "amends_port", None)
    diverges = RUNNING[-1].deployed == "diverging" and port is not None and port.instance.expected is not None
    value = await STEPS[node.options["kind"]]("something else" if diverges else node.label)
    assert value in (None, f"r:{node.label}"), value


@contextmanager
def stage(run: Run, nodes: dict[str, Node]) -> Iterator[None]:
    """Let the interpreter play this program, with the steps above."""
    before = dict(interpreter.STAGE), dict(interpreter.STEPS), interpreter.note, interpreter._DO["act"]
    interpreter.STAGE.clear()
    interpreter.STAGE.update(nodes)
    interpreter.STEPS.update(STEPS)
    interpreter._DO["hear"] = _hear
    interpreter._DO["act"] = _act
    interpreter.note = note
    RUNNING.append(run)
    try:
        yield
    finally:
        RUNNING.pop()
        interpreter.STAGE.clear()
        interpreter.STAGE.update(before[0])
        interpreter.STEPS.clear()
        interpreter.STEPS.update(before[1])
        interpreter.note = before[2]
        interpreter._DO["act"] = before[3]
