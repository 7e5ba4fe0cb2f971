"""Named crash points: where a process can be made to kill itself, to test that nothing is lost there.

``AMENDS_CRASH_AT=store.commit.after`` ends the process by SIGKILL the first time it comes there,
``AMENDS_CRASH_AT=store.commit.after:5`` the fifth time.  The variable is read when a client or an engine
is made and whenever an engine begins to work.  Unset, nothing here is called again: a point is a wrapper
around one method of one object, put there when the object is made, so the ways between cost nothing.

`POINTS` is the register.  The acceptance tests kill workers and clients at every one of them, then audit
the participants' own books (docs/reliability.md).
"""

from __future__ import annotations

import functools
import inspect
import itertools
import os
import signal
from collections.abc import Callable
from typing import Any, NamedTuple

from ..errors import DefinitionError, did_you_mean
from ..store.port import Store
from ..worker.attempts import Attempt
from ..worker.worker import Worker

VARIABLE = "AMENDS_CRASH_AT"

Hit = Callable[[], None]
Arm = Callable[[Any, Hit], None]
"""Makes an object (a store, or a worker) call `hit` each time it comes to the point."""


class Point(NamedTuple):
    """`where`: the place in words.  `of`: is it the store's or the worker's?  `arm`: see `Arm`."""

    where: str
    of: str
    arm: Arm


# ---------------------------------------------------------------- ways to come to a point


def before(path: str) -> Arm:
    """When the method at `path` (from the store or the worker, by dots) is called."""
    return functools.partial(_wrap, path, early=True)


def after(path: str) -> Arm:
    """When it has returned; when it raises, the point is not reached."""
    return functools.partial(_wrap, path, early=False)


def _wrap(path: str, subject: Any, hit: Hit, *, early: bool) -> None:
    *way, name = path.split(".")
    for part in way:
        subject = getattr(subject, part, None)
    if subject is None:  # another kind of store: it has no such place
        return
    method = getattr(subject, name)

    async def waited(*args: Any, **kwargs: Any) -> Any:
        if early:
            hit()
        result = await method(*args, **kwargs)
        if not early:
            hit()
        return result

    def called(*args: Any, **kwargs: Any) -> Any:
        if early:
            hit()
        result = method(*args, **kwargs)
        if not early and (result is not None or name != "commit_now"):  # None from that: not done
            hit()
        return result

    setattr(subject, name, waited if inspect.iscoroutinefunction(method) else called)
    if name == "commit" and hasattr(subject, "commit_soon"):
        subject.commit_soon = _declined  # so that all commits come this way


def _declined(*_: Any) -> bool:
    return False


def _in_commit(store: Any, hit: Hit) -> None:
    """Inside SQLite's COMMIT, before anything of it is written."""
    writer = getattr(store, "_writer", None)
    if writer is None:
        return
    connect = writer._connect

    def hook() -> bool:
        hit()
        return False

    def connected(*args: Any) -> Any:
        connection = connect(*args)
        connection.set_commit_hook(hook)
        return connection

    writer._connect = connected


def _attempts(direction: str, change: Callable[[Attempt, Hit], None]) -> Arm:
    """Change each attempt in one direction as it starts."""

    def arm(worker: Worker, hit: Hit) -> None:
        start = worker.attempts.start

        def started(attempt: Attempt) -> None:
            if attempt.key[2] == direction:
                change(attempt, hit)
            start(attempt)

        worker.attempts.start = started  # type: ignore[method-assign]

    return arm


def _dispatched(attempt: Attempt, hit: Hit) -> None:
    hit()


def _took_effect(attempt: Attempt, hit: Hit) -> None:
    """The function has returned, and nobody has heard of it."""
    function = attempt.function

    async def awaited() -> Any:
        value = await function()
        hit()
        return value

    def called() -> Any:
        value = function()
        hit()
        return value

    attempt.function = awaited if attempt.is_async else called


def _reported(attempt: Attempt, hit: Hit) -> None:
    """Its end has been made an event, and the event is not durable."""
    ended = attempt.ended

    def told(current: Any, value: Any, error: BaseException | None) -> None:
        ended(current, value, error)
        hit()

    attempt.ended = told


# ---------------------------------------------------------------- the register


def _both(name: str, where: str) -> dict[str, Point]:
    """Before and after a call of the store."""
    return {
        f"store.{name}.before": Point(f"about to {where}", "store", before(name)),
        f"store.{name}.after": Point(f"done: {where}", "store", after(name)),
    }


POINTS: dict[str, Point] = {
    **_both("open", "open the store"),
    **_both("register", "become the worker: retire the dead, begin an incarnation"),
    **_both("claim", "claim executions that are due"),
    **_both("commit_now", "commit a small batch in place"),
    **_both("commit", "commit a batch in the writer's thread"),
    **_both("transact", "run a transactional step"),
    **_both("news", "read messages for those in memory"),
    **_both("park", "park an execution"),
    **_both("unpark", "make a parked execution claimable"),
    **_both("create", "start an execution from a client"),
    **_both("send", "send a message"),
    **_both("tidy", "truncate the log in a quiet moment"),
    **_both("retire", "retire this incarnation"),
    **_both("close", "close the store"),
    "writer.commit.before": Point("inside COMMIT, nothing written", "store", _in_commit),
    "writer.commit.after": Point(
        "COMMIT is durable and has not returned", "store", before("_writer._logged")
    ),
    "writer.checkpoint.before": Point(
        "about to copy the log into the file", "store", before("_writer._copy_log")
    ),
    "writer.checkpoint.after": Point("the log is copied", "store", after("_writer._copy_log")),
    "activation.decided": Point("a decision is made and not committed", "worker", before("_journal")),
    "decision.durable": Point("a decision is durable, nothing carried out", "worker", before("committed")),
    "decision.carried_out": Point("all that it commands is dispatched", "worker", after("committed")),
    "action.dispatch": Point("an action is about to be dispatched", "worker", _attempts("do", _dispatched)),
    "action.effect": Point(
        "an action took effect, its end is not reported", "worker", _attempts("do", _took_effect)
    ),
    "action.reported": Point(
        "an action's end is reported and not durable", "worker", _attempts("do", _reported)
    ),
    "compensation.decided": Point(
        "compensations are durable, none dispatched", "worker", before("_carry_out_rest")
    ),
    "compensation.dispatch": Point(
        "a compensation is about to be dispatched", "worker", _attempts("undo", _dispatched)
    ),
    "compensation.effect": Point(
        "a compensation took effect, its end is not reported", "worker", _attempts("undo", _took_effect)
    ),
    "compensation.reported": Point(
        "a compensation's end is reported and not durable", "worker", _attempts("undo", _reported)
    ),
    "recovery.claimed": Point("an execution is claimed and not replayed", "worker", before("loader.adopt")),
    "recovery.replayed": Point(
        "it is replayed, nothing is sent again yet", "worker", before("loader._resume")
    ),
    "recovery.resumed": Point("what was open is sent again", "worker", after("loader._resume")),
    "sleep.decided": Point("an idle execution is about to be given back", "worker", before("put_to_sleep")),
    "sleep.left": Point("an execution has left memory", "worker", after("leave")),
    "drain.begun": Point("told to stop: the drain begins", "worker", before("drain")),
    "drain.quiet": Point("in the drain, running attempts have ended", "worker", before("_quiet")),
    "drain.ended": Point("the drain is over, the incarnation not retired", "worker", after("drain")),
}
"""Every crash point by its name."""


# ---------------------------------------------------------------- arming


_passed = itertools.count(1)  # one point per process, so one count


def _chosen() -> tuple[str, int] | None:
    """The point that the environment names, and the how manieth time. Raises `DefinitionError`."""
    told = os.environ.get(VARIABLE)
    if not told:
        return None
    name, _, nth = told.partition(":")
    if name not in POINTS:
        raise DefinitionError(f"{VARIABLE}: {name!r} is no crash point", hint=did_you_mean(name, POINTS))
    if not nth:
        return name, 1
    if not nth.isdigit() or int(nth) < 1:
        raise DefinitionError(
            f"{VARIABLE}={told!r}: {nth!r} is no number of times",
            hint=f"write {VARIABLE}={name}:3 for the third",
        )
    return name, int(nth)


def _arm(of: str, subject: Store | Worker) -> None:
    chosen = _chosen()
    if chosen is None:
        return
    name, nth = chosen
    point = POINTS[name]

    def hit() -> None:
        if next(_passed) == nth:
            crash(name)

    if point.of == of:
        point.arm(subject, hit)


def crash(name: str) -> None:
    """Say where on stderr, and end at once, as by `kill -9`: nothing is flushed, nobody is told."""
    os.write(2, f"amends: crash point {name}\n".encode())
    if hasattr(signal, "SIGKILL"):
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(137)  # where there are no signals


def arm_store(store: Store) -> None:
    """Put the chosen point into a store, if it is one of the store's. Raises `DefinitionError`."""
    _arm("store", store)


def arm_worker(worker: Worker) -> None:
    """Put the chosen point into a worker, if it is one of the worker's. Raises `DefinitionError`."""
    _arm("worker", worker)
