"""Transactional steps and compensations: the effect and its journal row in one commit, on the store's own
connection.

The row only keeps the end (`Defer`); the next activation applies it.  While the transaction runs the
execution counts as busy, because the row takes the journal's next position.  Whatever raises inside
rolls everything back: certainly no effect.

Until its turn comes the work waits in `Live.exclusive`, and activations go first: by then the saga may no
longer want it (`Job.wanted`), or its action may be asked for a second time (`_under_way`).
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from ..definition.context import CURRENT, Current
from ..definition.step import in_thread
from ..errors import CommitUnknown, Fenced, NotYet, StoreBusy, StoreFull
from ..kernel import entries as e
from ..kernel.entries import Row
from ..kernel.phases import FINISHED
from ..store.port import Code, Transaction, Verdict
from .attempts import Key, TurnedAway
from .live import Live

if TYPE_CHECKING:
    from .worker import Worker

AGAIN = 1.0
"""Seconds before a step is tried again whose store was away."""

HELD = 10.0
"""Seconds after which a transaction that still runs is reported."""


class Job(msgspec.Struct):
    """One attempt inside a transaction: `perform` has the effect and returns the event of its end.

    wanted: is it still, when its turn comes?  failed: is told of what rolled it back.
    """

    key: Key
    current: Current
    wanted: Callable[[], bool]
    perform: Callable[[Transaction], e.Event]
    failed: Callable[[Exception], None]


class Transactions:
    """Runs the jobs of one worker, each as soon as its execution has no row under way."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self._under_way: set[Key] = set()

    def run(self, live: Live, job: Job) -> None:
        """Run it, unless it waits or runs already."""
        if job.key in self._under_way:
            return
        self._under_way.add(job.key)
        if live.busy:
            live.exclusive.append(lambda: self._begin(live, job))
        else:
            self._begin(live, job)

    def forget(self, live: Live) -> None:
        """The execution leaves memory; what waited for its turn is named again when it is loaded."""
        uid = live.header.uid
        self._under_way = {key for key in self._under_way if key[0] != uid}

    def _begin(self, live: Live, job: Job) -> None:
        over = live.instance.ledger.phase == FINISHED
        if self.worker.draining or over or self.worker.pausing.stands(live) or not job.wanted():
            self._under_way.discard(job.key)
            self.worker.go_on(live)
            return
        live.busy = True
        self.worker.spawn(self._transact(live, job))

    async def _transact(self, live: Live, job: Job) -> None:
        worker, instance = self.worker, live.instance
        ended: list[e.Event] = []
        rows: list[Row] = []
        context = contextvars.copy_context()
        context.run(CURRENT.set, job.current)

        def body(tx: Transaction) -> Row:
            if worker.pausing.stands(live):  # heard while it waited for the store
                raise TurnedAway
            event = context.run(in_thread, job.perform, tx)
            now = worker.clock.now()
            ended.append(event)
            rows.append(e.seal(instance.position, now, [event], [e.Defer()], instance.checksum))
            return rows[-1]

        long = worker.loop.call_later(HELD, self._complain, live, job.current.step)
        try:
            verdict: Verdict = await worker.store.transact(worker.incarnation, live.header.uid, body)
        except (CommitUnknown, Fenced) as error:
            worker.lost(error)
            return
        except asyncio.CancelledError:
            raise
        except TurnedAway:
            self._under_way.discard(job.key)
            self._go_on(live)
            worker.holds.turned_away(live.header.uid)
            return
        except Exception as error:  # noqa: BLE001 - the function's failure, rolled back
            self._under_way.discard(job.key)
            self._go_on(live)
            job.failed(_of_the_store(error))
            return
        finally:
            long.cancel()
        self._under_way.discard(job.key)
        if verdict.code is not Code.COMMITTED:
            worker.loader.reload(live, f"the journal moved under a transactional step: {verdict.reason}")
            return
        instance.absorb(rows[-1], ended)
        self._go_on(live)
        worker.schedule(live)

    def _go_on(self, live: Live) -> None:
        live.busy = False
        if live.events or live.exclusive:
            self.worker.schedule(live)

    def _complain(self, live: Live, name: str) -> None:
        """SQL is interrupted in time; Python that does not come back cannot be: a person must judge."""
        self.worker.log.error(
            "[%s] the transactional step %s has held the store for %g s, and every other saga here waits for "
            "it; if it is stuck, kill this process: nothing of the step is kept, and it is tried again",
            live.header.id,
            name,
            HELD,
        )


def wants_transaction(resources: dict[str, Any]) -> bool:
    """Is the transaction among a function's resource types?"""
    return Transaction in resources.values()


def _of_the_store(error: Exception) -> Exception:
    """That the store is away, locked or full is no failure of the step: it holds, no attempt is counted."""
    if isinstance(error, (StoreBusy, StoreFull)):
        return NotYet(error.message, retry_after=AGAIN, hint=error.hint)
    return error
