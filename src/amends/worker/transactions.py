"""Transactional steps: the effect and its journal row in one commit, on the store's own connection.

The row only keeps the completion (`Defer`); the next activation applies it.  While the transaction
runs the execution counts as busy, because the row takes the journal's next position.  Whatever
raises inside rolls everything back: certainly no effect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..definition.step import Step
from ..errors import AmendsError, CommitUnknown, Fenced, NotSent
from ..kernel import entries as e
from ..kernel.actions import Action
from ..kernel.entries import Row
from ..store.port import Code, Transaction, Verdict
from .live import Live

if TYPE_CHECKING:
    from .worker import Worker

Ended = Callable[..., None]

HELD = 10.0
"""Seconds after which a transaction that still runs is reported."""


def run_transaction(
    worker: Worker, live: Live, action: Action, step: Step[..., Any], args: Any, ended: Ended
) -> None:
    """Run the step's function in a transaction as soon as the execution has no row under way."""

    def begin() -> None:
        if worker.draining:
            _go_on(worker, live)
            return
        live.busy = True
        worker.spawn(_transact(worker, live, action, step, args, ended))

    if live.busy:
        live.exclusive.append(begin)
    else:
        begin()


async def _transact(
    worker: Worker, live: Live, action: Action, step: Step[..., Any], args: Any, ended: Ended
) -> None:
    instance = live.instance
    policy = step.options
    current = worker.dispatcher._current(live, action, action.attempts + 1, "do", policy.timeout)
    kept: list[Any] = []

    def body(tx: Transaction) -> Row:
        resources = worker.resources.for_function(step.signature, tx)
        value = step.invoke(args, resources)
        completed = e.Completed(action.id, worker.dispatcher._encoded(step, value))
        kept.append(completed)
        return e.seal(instance.position, worker.clock.now(), [completed], [e.Defer()], instance.checksum)

    row: list[Row] = []

    def remembering(tx: Transaction) -> Row:
        row.append(body(tx))
        return row[-1]

    long = worker.loop.call_later(HELD, _complain, worker, live, step.name)
    try:
        verdict: Verdict = await worker.store.transact(worker.incarnation, live.header.uid, remembering)
    except (CommitUnknown, Fenced) as error:
        worker.lost(error)
        return
    except asyncio.CancelledError:
        raise
    except Exception as error:  # noqa: BLE001 - the step's failure, rolled back
        _go_on(worker, live)
        certain = error if isinstance(error, AmendsError) else _rolled_back(error)
        ended(action, step, policy, current, None, certain)
        return
    finally:
        long.cancel()
    if verdict.code is not Code.COMMITTED:
        worker.loader.reload(live, f"the journal moved under a transactional step: {verdict.reason}")
        return
    instance.absorb(row[-1], kept)
    _go_on(worker, live)
    worker.schedule(live)


def _complain(worker: Worker, live: Live, name: str) -> None:
    """SQL is interrupted in time; Python that does not come back cannot be: a person must judge."""
    worker.log.error(
        "[%s] the transactional step %s has held the store for %g s, and every other saga here waits for it; "
        "if it is stuck, kill this process: nothing of the step is kept, and it is tried again",
        live.header.id,
        name,
        HELD,
    )


def _rolled_back(error: Exception) -> Exception:
    """Nothing was committed: the failure is certain, and keeps its name."""
    kind: type[NotSent] = type(type(error).__name__, (NotSent,), {})
    return kind(str(error))


def _go_on(worker: Worker, live: Live) -> None:
    live.busy = False
    if live.events:
        worker.schedule(live)
