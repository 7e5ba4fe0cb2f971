"""What people do: cancel, signal, end, start again; and help what needs help."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any

import apsw

from amends.engine.pauses import Pauses
from amends.errors import AmendsError
from amends.store.pausing import Pause
from amends.store.port import FINAL, Header
from amends.testing.marks import sometimes
from tests.simulation.order import interpreter

from . import saga

if TYPE_CHECKING:
    from .run import Run


class Operator:
    """All that is done by hand, in the client's process."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.chance = random.Random(f"operator {run.plan.seed}")
        self.tried: Counter[str] = Counter()

    def strike(self, kind: str) -> None:
        """A moment of the plan has come."""
        if self.run.chaos.active:
            getattr(self, f"_{kind}")(kind)

    # ------------------------------------------------------------ workers

    def _workers(self) -> list[Any]:
        return self.run._workers()

    def _crash(self, kind: str) -> None:
        for process in self._workers()[:1]:
            self.run.chaos.count(kind)
            process.kill()

    def _zombie(self, kind: str) -> None:
        """It sleeps, its place is given away, and then it wakes."""
        run = self.run
        for process in self._workers()[:1]:
            if process.number in run.workers and run.workers[process.number].working:
                run.chaos.count(kind)
                process.pause(self.chance.choice((1.0, 6.0, 15.0)))
                run.disk.give_away()
                run.start_worker()

    def _loop_blocked(self, kind: str) -> None:
        for process in self._workers()[:1]:
            self.run.chaos.count(kind)
            process.pause(self.chance.choice((0.5, 4.0, 9.0)))

    def _drain(self, kind: str) -> None:
        for process in self._workers()[:1]:
            stop = self.run.stops.get(process.number)
            if stop is not None and process.number in self.run.workers:
                self.run.chaos.count(kind)
                process.loop.call_soon(stop.set)
                self.run.start_worker(instead_of=process)

    def _drain_killed(self, kind: str) -> None:
        for process in self._workers()[:1]:
            stop = self.run.stops.get(process.number)
            if stop is not None and process.number in self.run.workers:
                self.run.chaos.count(kind)
                process.loop.call_soon(stop.set)
                self.run.simulation.outside.loop.call_later(self.chance.random(), process.kill)

    def _standby(self, kind: str) -> None:
        if len(self._workers()) < 3:
            self.run.chaos.count(kind)
            self.run.start_worker()

    # ------------------------------------------------------------ disks and code

    def _row_flipped(self, kind: str) -> None:
        """A letter of a journal changes; all who have read it before are gone."""
        run = self.run
        if run.rotten:
            return
        for process in self._workers():
            process.kill()
        run.unlock()
        spot = run.disk.rot(self.chance)
        if spot is not None:
            run.chaos.count(kind)
            run.rotten[spot[0]] = spot
            run.damaged.add(spot[0])

    def _database_locked(self, kind: str) -> None:
        run = self.run
        connection = apsw.Connection(str(run.disk.path))
        connection.wal_autocheckpoint(0)
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        try:
            connection.execute("BEGIN IMMEDIATE")
        except apsw.BusyError:
            connection.close()
            return
        run.chaos.count(kind)
        run.locks.append(connection)
        run.simulation.outside.loop.call_later(self.chance.choice((0.3, 7.0)), run.unlock)

    def _divergence(self, kind: str) -> None:
        self._deploy(kind, "diverging")

    def _missing_version(self, kind: str) -> None:
        self._deploy(kind, "missing")

    def _deploy(self, kind: str, what: str) -> None:
        run = self.run
        if run.deployed == "right":
            run.chaos.count(kind)
            run.deploy(what)
            run.simulation.outside.loop.call_later(self.chance.choice((3.0, 12.0)), self._put_right)

    def _put_right(self) -> None:
        if self.run.deployed != "right":
            self.run.deploy("right")

    # ------------------------------------------------------------ the world around

    def _partition(self, kind: str) -> None:
        self.run.chaos.count(kind)
        self.run.chaos.down_until = self.run.simulation.now + self.chance.choice((0.5, 3.0, 12.0))

    def _clock_forward(self, kind: str) -> None:
        self.run.chaos.count(kind)
        self.run.clock.skew += self.chance.choice((0.5, 5.0, 3600.0))

    def _clock_back(self, kind: str) -> None:
        self.run.chaos.count(kind)
        self.run.clock.skew -= self.chance.choice((0.5, 5.0, 60.0))

    # ------------------------------------------------------------ people

    def _do(self, what: Callable[..., Awaitable[Any]], *arguments: Any, **options: Any) -> None:
        async def done() -> None:
            try:
                await what(*arguments, **options)
            except AmendsError as error:
                sometimes(f"a person was told {error.code}")
            except Exception as error:
                self.run.broken(0, f"a person met {error!r}")

        self.run.client.start(done())

    def _somebody(self) -> str:
        ids = [h.id for h in self.run.headers if h.status not in FINAL] or ["root"]
        return self.chance.choice(["root", *ids])

    def _cancel(self, kind: str) -> None:
        self.run.chaos.count(kind)
        self._do(self.run.handle(self._somebody()).cancel, "somebody says so", by="sim")

    def _terminate(self, kind: str) -> None:
        self.run.chaos.count(kind)
        self._do(self.run.handle(self._somebody()).terminate, "somebody says so", by="sim")

    def _pause(self, kind: str) -> None:
        self.run.chaos.count(kind)
        handle = self.run.handle(self._somebody())
        self._do(handle.pause, "not now", by="sim")
        later = self.run.simulation.outside.loop.call_later
        later(self.chance.choice((0.2, 3.0, 20.0)), lambda: self._do(handle.resume, by="sim"))

    def _pause_type(self, kind: str) -> None:
        self.run.chaos.count(kind)
        pauses = Pauses(self.run.backend)
        later = self.run.simulation.outside.loop.call_later
        wait = self.chance.choice((0.2, 3.0, 20.0))
        if self.chance.random() < 0.5:
            self._do(pauses.pause_all, reason="not now", by="sim")
            later(wait, lambda: self._do(pauses.resume_all, by="sim"))
        else:
            self._do(pauses.pause, interpreter.order_saga, reason="not now", by="sim")
            later(wait, lambda: self._do(pauses.resume, interpreter.order_saga, by="sim"))

    def _signal_duplicated(self, kind: str) -> None:
        self.run.chaos.count(kind)
        key = f"k{self.chance.randrange(2)}"
        for _ in range(2):
            self._do(self.run.handle("root").send, saga.heard, "hello", key=key)

    def _signal_early(self, kind: str) -> None:
        self.run.chaos.count(kind)
        self._do(self.run.handle("root").send, saga.heard, "hello")

    def _started_twice(self, kind: str) -> None:
        self.run.chaos.count(kind)
        self._do(self._again)

    async def _again(self) -> None:
        run = self.run
        call = interpreter.order_saga(next(iter(run.plan.nodes)))
        header = run.backend.header_for(call, "root", None)
        known = await run.backend.create(header, call)
        run.history.append(("started", known.uid))

    # ------------------------------------------------------------ help

    async def help(self, header: Header) -> None:
        """Decide about an execution that needs attention."""
        await self._in_the_client(self._decide(header))

    async def resume(self, header: Header) -> None:
        """End a pause, once the faults are over: who would have done it may have been told of an error."""
        sometimes("an execution stood still")
        await self._in_the_client(self.run.handle(header.id).resume(by="sim"))

    async def lift(self, pause: Pause) -> None:
        """The same for a saga or the namespace."""
        sometimes("a saga stood still")
        pauses = Pauses(self.run.backend)
        await self._in_the_client(
            pauses.resume(pause.saga, by="sim") if pause.saga else pauses.resume_all(by="sim")
        )

    async def _in_the_client(self, work: Coroutine[Any, Any, Any]) -> None:
        done: asyncio.Future[None] = self.run.simulation.outside.loop.create_future()

        async def decide() -> None:
            try:
                await work
            except AmendsError as error:
                sometimes(f"an operator was told {error.code}")
            except Exception as error:
                self.run.broken(0, f"an operator met {error!r}")
            finally:
                done.set_result(None)

        self.run.client.start(decide())
        await done

    async def _decide(self, header: Header) -> None:
        handle = self.run.handle(header.id)
        self.tried[header.uid] += 1
        status = await handle.status()
        sometimes(f"attention because of {header.cause}")
        if header.uid in self.run.rotten:
            self.run.mend(header.uid, self.run.rotten[header.uid])
        if status.parked_whole:
            if self.tried[header.uid] > 3:
                await handle.terminate("nothing else helps", by="sim")
            else:
                await handle.retry(reason="try", by="sim")
            return
        for item in status.items:
            await self._decide_item(handle, header, item)

    async def _decide_item(self, handle: Any, header: Header, item: Any) -> None:
        if "action" not in item:
            await handle.terminate("nothing else helps", by="sim")
            return
        action = str(item["action"])
        how = self.chance.choice(("retry", "skip", "resolve"))
        if self.tried[f"{header.uid} {action}"] > 2 and how == "retry":
            how = "resolve"
        self.tried[f"{header.uid} {action}"] += 1
        sometimes(f"an operator's {how} of {item['direction']}, because of {item.get('why')}")
        if how == "retry":
            await handle.retry(action=action, reason="try", by="sim")
        elif how == "skip":
            await handle.skip("leave it", action=action, by="sim")
        else:
            await self._resolve(handle, header, action, item)

    async def _resolve(self, handle: Any, header: Header, action: str, item: Any) -> None:
        """They bring about by hand what they say."""
        run = self.run
        which = next(
            (where for where in run.intents if where[0] == header.uid and where[1].partition("/")[2] == action
             and where[2] == "do"), None,
        )  # fmt: skip
        if which is None:
            return
        label = run.intents[which]
        account = run.service.account(f"{header.uid}/{which[1]}")
        run.by_hand.add(label)
        if item["direction"] == "do":
            await handle.resolve(f"r:{label}", "did it", action=action, by="sim")
            account.state, account.effect = "done", 1
        else:
            await handle.resolve(None, "undid it", action=action, by="sim")
            account.state, account.effect = "undone", 0
