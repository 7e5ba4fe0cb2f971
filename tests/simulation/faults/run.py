"""One seed, from the first callback to the audit.

A run has a *client* process, which starts the saga and does what people do, and *worker* processes, each with an engine of its
own on one store.  For a while faults strike; then they stop, an operator helps what needs help, and everything has to come
to an end (`converge`).  Then the books are audited (`invariants`).
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from amends.definition.registry import REGISTRY
from amends.encryption import Codec
from amends.engine.backend import Backend
from amends.engine.handle import Handle
from amends.errors import AmendsError, StoreBusy, StoreError
from amends.kernel.entries import Row
from amends.store.port import ATTENTION, FINAL, PAUSED, Code, Header, Message, Query, Store, Verdict, Write
from amends.testing.marks import sometimes
from amends.testing.schedule import Fifo, order_named
from amends.testing.seams import SeededIds, VirtualClock, VirtualEngine
from amends.testing.services import Account, Network, Request, Service
from amends.testing.simulation import Process, Simulation, Stuck
from amends.testing.wire import PromptWire, Wire
from tests.simulation.order import interpreter

from . import saga
from .chaos import Chaos
from .disks import MemoryDisk, Spot, SqliteDisk
from .operator import Operator
from .plans import Plan, plan

PROCESS: contextvars.ContextVar[Process] = contextvars.ContextVar("process")
HORIZON = 40.0
PATIENCE = 4_000.0
LATE = saga.TIMEOUT + 35.0
"""What is on its way arrives within this (seconds): see `chaos`."""


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """What the engine logs about faults is not wanted (and costs time); afterwards it logs as before."""
    logger = logging.getLogger("amends")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)


class Violation(AssertionError):
    """A promise does not hold."""

    def __init__(self, promise: int, text: str) -> None:
        super().__init__(f"promise {promise}: {text}" if promise else text)
        self.promise = promise


class Run:
    """One seed at work."""

    def __init__(self, plan: Plan, folder: Path | None = None) -> None:
        self.plan = plan
        self.folder = folder
        self.simulation = Simulation(plan.seed, turns=100_000)
        self.clock = VirtualClock(self.simulation.time)
        self.chaos = Chaos(self)
        self.service = Service(self.simulation, self._script)
        self.network = Network(self.simulation, self.service, self.chaos)
        self.disk: Any = (
            SqliteDisk(self, folder)
            if plan.store == "sqlite" and folder is not None
            else MemoryDisk(self, keep="lost_tail" in plan.kinds)
        )
        self.tail_lost = False
        self.rotten: dict[str, Spot] = {}
        self.damaged: set[str] = set()
        self.deployed = "right"
        self.locks: list[Any] = []
        self.workers: dict[int, VirtualEngine] = {}
        self.engines: list[VirtualEngine] = []  # also of processes that are no more
        self.stops: dict[int, asyncio.Event] = {}
        self.rows: dict[str, dict[int, Row]] = {}
        self.intents: dict[tuple[str, str, str], str] = {}
        self.story: list[tuple[int, str, str]] | None = (
            None  # what saga code sees, while a journal is replayed
        )
        self.parked: set[str] = set()
        self.violations: list[Violation] = []
        self.running: Counter[tuple[int, str]] = Counter()
        self.headers: list[Header] = []
        self.journals: dict[str, tuple[Header, list[Row], list[Message]]] = {}
        self.history: list[tuple[str, str]] = []
        self.knows: dict[int, set[tuple[str, str]]] = {}  # of pauses, by process: what the store last told it
        self.lies: Counter[str] = Counter()
        self.verified: set[str] = set()
        self.by_hand: set[str] = set()
        self.sent: dict[str, float] = {}
        self.replaced: set[int] = set()
        self.client: Process | None = None
        self.start_client()
        self.operator = Operator(self)
        self.observer: Store | None = None

    # ------------------------------------------------------------ processes

    def store(self, process: Process) -> Any:
        """The store, as a process opens it."""
        return self.disk.store(process)

    def start_client(self) -> None:
        """A process without a worker: it starts the saga, unless that has been done, and then does what people do."""
        if self.client is not None and self.client.alive:
            return
        self.client = self.simulation.process("client", Fifo())
        wire: Any = Wire(self.store(self.client), self.client, self.chaos)
        ids = SeededIds(random.Random(f"ids {self.plan.seed} {self.client.number}"))
        self.backend = Backend(wire, "default", self.clock, ids, self.plan.settings.limits)
        self.client.start(self._begin())

    def handle(self, id: str) -> Handle[Any]:
        """What the client has in hand."""
        return Handle(self.backend, interpreter.order_saga, id, local=False)

    def start_worker(self, instead_of: Process | None = None) -> Process:
        """A new process with an engine."""
        if instead_of is not None:
            self.replaced.add(instead_of.number)
        number = len(self.simulation.processes) + len(self.simulation.graveyard)
        order = order_named(self.plan.order, random.Random(f"order {self.plan.seed} {number}"))
        process = self.simulation.process(f"worker {number}", order)
        chance = random.Random(f"threads {self.plan.seed} {number}")
        process.loop.thread_delay = lambda: chance.random() * self.plan.latency
        process.on_killed.append(lambda: self._gone(process))
        process.start(self._serve(process))
        return process

    def codec(self) -> Codec | None:
        """What each worker's payloads pass."""
        return None

    async def _serve(self, process: Process) -> None:
        PROCESS.set(process)
        kind = PromptWire if self.plan.seed % 4 == 2 else Wire  # a quarter of the seeds
        wire: Any = kind(self.store(process), process, self.chaos)
        engine = VirtualEngine(
            wire,
            sagas=[interpreter.order_saga],
            settings=self.plan.settings,
            clock=self.clock,
            ids=SeededIds(random.Random(f"ids {self.plan.seed} {process.number}")),
            chance=random.Random(f"jitter {self.plan.seed} {process.number}"),
            codec=self.codec(),
        )
        if self.deployed == "missing":
            registry = engine._registry
            registry.parent, registry.sagas, registry.steps = None, {}, dict(REGISTRY.steps)
        self.engines.append(engine)
        stop = self.stops[process.number] = asyncio.Event()
        try:
            await engine.__aenter__()
        except AmendsError:
            process.kill()  # it could not even start: somebody starts it again
            return
        self.workers[process.number] = engine
        await stop.wait()
        try:
            await engine.close()
        except AmendsError as error:
            sometimes(f"a drain ended in {error.code}")
        process.kill()

    def _gone(self, process: Process) -> None:
        """A worker is no more: it is replaced, unless that was done before."""
        self.workers.pop(process.number, None)
        self.stops.pop(process.number, None)
        if not self.simulation.over and process.number not in self.replaced:
            delay = self.chaos.chance.choice((0.0, 0.2, 2.0)) if self.chaos.active else 0.1
            self.simulation.outside.loop.call_later(delay, self.start_worker)

    def stir(self, process: Process) -> None:
        """Hint to a worker that there is news."""
        engine = self.workers.get(process.number)
        if engine is not None:
            process.loop.call_soon(engine._stir)

    def deploy(self, what: str) -> None:
        """Stop all workers, and start one with other code."""
        self.deployed = what
        self.simulation.note(f"deployed: {what}")
        for process in self._workers():
            process.kill()

    def _workers(self) -> list[Process]:
        return [process for process in self.simulation.processes if process.name.startswith("worker")]

    def cut_power(self, kind: str) -> None:
        """All processes are gone, and with them what the disk had not yet kept."""
        self.unlock()
        for process in list(self.simulation.processes):
            if process is not self.simulation.outside:
                process.kill()
        if self.observer is not None and self.plan.store == "sqlite":
            self.observer.abandon()  # type: ignore[attr-defined]
        self.observer = None
        self.disk.cut(kind, self.chaos.chance)
        self.tail_lost = self.tail_lost or kind == "lost_tail"
        before, self.rows = self.rows, {}
        for uid, rows in self.disk.rows().items():
            for row in rows.values():
                self._row(uid, row)
        lost = [
            (uid, place)
            for uid, rows in before.items()
            for place in rows
            if place not in self.rows.get(uid, {})
        ]
        if lost and not self.tail_lost:
            self.broken(4, f"these rows were acknowledged, and are lost: {lost}")
        self.simulation.outside.loop.call_later(1.0, self.start_client)

    def unlock(self) -> None:
        """Other programs let go of the database."""
        for connection in self.locks:
            connection.close()
        self.locks.clear()

    # ------------------------------------------------------------ what steps do

    async def call(self, label: str, result: Any = None) -> str:
        """A step or compensation asks its service."""
        import amends

        current = amends.current()
        process = PROCESS.get()
        self._dispatched(process, current, label)
        self.running[process.number, current.idempotency_key] += 1
        began = self.sent[current.idempotency_key] = self.simulation.now
        try:
            return await self.network.call(process, Request(current.idempotency_key, label))
        except asyncio.CancelledError:
            self._cut(process, current, began)
            raise
        finally:
            self.running[process.number, current.idempotency_key] -= 1
            if process.alive:
                self.sent.pop(current.idempotency_key, None)

    def call_in_thread(self, label: str) -> str:
        """The same from a thread: at once, or never."""
        import amends

        current = amends.current()
        process = PROCESS.get()
        self._dispatched(process, current, label)
        fate = self.chaos.send(process, Request(current.idempotency_key, label))
        if fate.refused:
            raise ConnectionRefusedError(label)
        request = Request(current.idempotency_key, label, self.simulation.now)
        for delay in fate.there[1:] if fate.back is not None else fate.there:
            self.simulation.outside.loop.call_later(delay, self._arrives, request)
        if fate.back is None:
            raise TimeoutError("no reply")
        return self.service.handle(request)

    def _arrives(self, request: Request) -> None:
        with contextlib.suppress(Exception):
            self.service.handle(request)

    def _dispatched(self, process: Process, current: Any, label: str) -> None:
        """Promises 3, 5 and 7, and that of pauses, at the moment of a dispatch."""
        key = current.idempotency_key
        self.simulation.note(f"dispatch {key} {label} {current.attempt}")
        where = (current.uid, f"{current.run}/{current.action}", current.direction)
        if self.knows.get(process.number, set()) & {("default", ""), ("default", current.saga)}:
            self.broken(0, f"{key} ({label}) is dispatched, and its worker knows that it is paused")
        if current.uid in self.rotten:
            self.broken(13, f"{key} ({label}) is dispatched from a damaged journal")
        if where not in self.intents:
            self._read_again()
        if where not in self.intents:
            self.broken(3, f"{key} ({label}) is dispatched before its command is durable")
        if self.running[process.number, key]:
            self.broken(7, f"{key} ({label}) runs twice at a time in one process")
        uid, run, action, direction = key.split("/")
        if (uid, run, action) != (current.uid, str(current.run), current.action):
            self.broken(5, f"{key} is no key of {current.uid}/{current.run}/{current.action}")
        if label not in self.plan.nodes:
            self.broken(13, f"{key} ({label}) is dispatched, and no code of this saga says so")
        other = key.removesuffix("undo") + "do"
        sent = self.sent.get(other)
        early = sent is not None and self.simulation.now < sent + saga.TIMEOUT
        # who measures by another clock, or has lost its place unknowingly, is kept off by the barrier alone
        if direction == "undo" and early and not self.clock.skew and "zombie" not in self.chaos.fired:
            self.broken(7, f"{key} ({label}) is undone while a lost attempt of it may still run")
        if direction == "undo" and self.running[process.number, other]:
            self.broken(7, f"{key} ({label}) is undone while an attempt of it still runs")

    def _cut(self, process: Process, current: Any, began: float) -> None:
        """An attempt was cancelled: for a compensation only its timeout may do that (promise 7)."""
        timed_out = self.simulation.now >= began + saga.TIMEOUT
        if current.direction == "undo" and process.alive and not timed_out:
            self.broken(7, f"{current.idempotency_key} is interrupted")

    def _script(self, request: Request, number: int) -> str:
        node = self.plan.nodes[request.label]
        if request.direction == "undo" or node.op == "undo_with":
            if number <= node.options["undo"] and (self.chaos.active or node.options["undo"] < 1_000):
                self.chaos.count(
                    "compensation_fails_for_a_while" if number == 1 else "compensation_fails_for_ever"
                )
                return "fail-"
            return "ok"
        by_chance = self.chaos.script(request)
        if by_chance:
            return by_chance
        words = node.options["ends"]
        word: str = words[number - 1] if number <= len(words) else "ok"
        if word == "reject":
            self.chaos.count("rejected")
        return word

    def verify(self, label: str) -> bool:
        """Did the compensation take?"""
        self.lies[label] += 1
        if self.lies[label] <= self.plan.nodes[label].options.get("lies", 0):
            self.chaos.count("verification_wrong")
            return False
        self.verified.add(label)
        return True

    # ------------------------------------------------------------ what is durable

    def durable(self, incarnation: int, writes: Sequence[Write], verdicts: Sequence[Verdict]) -> None:
        """A commit has taken place."""
        for write, verdict in zip(writes, verdicts, strict=True):
            if verdict.code is not Code.COMMITTED:
                sometimes(f"verdict {verdict.code.value}")
                continue
            sometimes("a release was refused, because there was news", verdict.awake)
            if write.row is not None:
                self._row(write.uid, write.row)

    def _row(self, uid: str, row: Row) -> None:
        rows = self.rows.setdefault(uid, {})
        self.simulation.note(f"row {uid} {row.position} {row.checksum}")
        if uid in self.rotten:
            self.broken(13, f"{uid} goes on with a damaged journal")
        if row.position and row.position - 1 not in rows:
            self._read_again()
        gap = row.position and row.position - 1 not in rows
        if (gap or rows.get(row.position, row) != row) and not self.tail_lost:
            self.broken(15, f"{uid}: row {row.position} is written twice, or leaves a gap")
        rows[row.position] = row
        commands = msgspec.json.decode(row.commands)
        if not commands:
            return
        run = self._run_of(uid, row)
        for command in commands:
            tag = command[0]
            if tag in ("run", "undo_with"):
                self.intents[uid, f"{run}/{command[1]}", "do"] = command[3]["label"]
            elif tag == "undo":
                for earlier in range(run + 1):  # an action of an earlier run keeps its run
                    self.intents[uid, f"{earlier}/{command[1]}", "undo"] = ""

    def _read_again(self) -> None:
        """A commit that its worker no longer waited for took place all the same: what is on the disk is durable."""
        for uid, rows in self.disk.rows().items():
            known = self.rows.setdefault(uid, {})
            for position in sorted(rows):
                if position not in known and (not position or position - 1 in known):
                    self._row(uid, rows[position])

    def _run_of(self, uid: str, row: Row) -> int:
        run = 0
        for position in range(row.position, -1, -1):
            for event in msgspec.json.decode(self.rows[uid][position].events):
                if event[0] == "started":
                    return int(event[2]) if len(event) > 2 else 0
        return run

    def broken(self, promise: int, text: str) -> None:
        """Note a violation (raised at the end: where it shows, the engine might swallow it)."""
        self.simulation.note(f"VIOLATION {promise} {text}")
        self.violations.append(Violation(promise, text))

    # ------------------------------------------------------------ the run

    def play(self, check: Callable[[Run], None]) -> None:
        """From the first callback to the audit. Raises what went wrong."""
        with silence(), saga.stage(self, self.plan.nodes):
            try:
                self.simulation.run(self._main())
                check(self)
            except Stuck as error:
                raise Violation(16, str(error)) from error
            finally:
                self.simulation.over = True
                self.close()

    def close(self) -> None:
        self.defects_seen = self.simulation.defects
        for process in list(self.simulation.processes):
            if process is not self.simulation.outside:
                process.kill()
        if self.observer is not None and self.plan.store == "sqlite":
            self.observer.abandon()  # type: ignore[attr-defined]
        self.unlock()
        for engine in self.engines:
            for live in engine._worker.lives.values() if engine._worker is not None else ():
                live.instance.discard()
        self.simulation.close()
        self.disk.close()

    async def _main(self) -> None:
        self.start_worker()
        for when, kind in self.plan.moments:
            self.simulation.outside.loop.call_later(when, self.operator.strike, kind)
        while self.simulation.now < HORIZON and not await self._is_over():
            await asyncio.sleep(2.0)
        self.heal()
        await self.converge()

    async def _begin(self) -> None:
        while True:
            try:
                await self.backend.store.open()
                await self._accept()
                return
            except StoreBusy:
                await asyncio.sleep(0.5)

    async def _accept(self) -> None:
        if self.history and not self.tail_lost:
            return
        call = interpreter.order_saga(next(iter(self.plan.nodes)))
        if self.plan.deadline:
            call = call.options(deadline=self.plan.deadline)
        header = self.backend.header_for(call, "root", None)
        known = await self.backend.create(header, call)
        self.history.append(("started", known.uid))

    async def _is_over(self) -> bool:
        observer = await self._observe()
        self.headers = await observer.headers(Query(namespace="", limit=1000))
        return bool(self.headers) and all(header.status in FINAL for header in self.headers)

    async def _observe(self) -> Store:
        """The store, as somebody sees it who only looks."""
        while self.observer is None:
            self.observer = store = self.store(self.simulation.outside)
            try:
                await store.open()
            except StoreError:
                if self.observer is store:
                    raise  # else power was cut meanwhile
        return self.observer

    def heal(self) -> None:
        """The faults stop."""
        if self.deployed != "right":
            self.deploy("right")
        self.simulation.note("healed")
        self.unlock()
        self.chaos.active = False
        self.chaos.full_until = 0.0
        for process in self.simulation.processes:
            process.paused_until = 0.0

    async def converge(self) -> None:
        """Promise 16: now everything must come to an end; people help where they are asked."""
        until = self.simulation.now + PATIENCE
        while True:
            pauses = await (await self._observe()).pauses()
            if await self._is_over() and not pauses:
                break
            if self.simulation.now > until:
                waiting = [(h.id, h.status, h.cause) for h in self.headers if h.status not in FINAL]
                self.broken(16, f"these never end: {waiting}")
                return
            for pause in pauses:
                await self.operator.lift(pause)
            for header in self.headers:
                if header.cause == PAUSED:
                    await self.operator.resume(header)
                elif header.status == ATTENTION:
                    await self.operator.help(header)
            await asyncio.sleep(5.0)
        await asyncio.sleep(LATE)
        await self._is_over()
        observer = await self._observe()
        for uid, spot in list(self.rotten.items()):  # it ended without being read again
            self.mend(uid, spot)
        self._read_again()
        for header in self.headers:
            found = await observer.read(header.uid)
            if found is not None:
                self.journals[header.uid] = found
            if header.cause == "deadline":
                self.chaos.fired["deadline"] += 1

    def mend(self, uid: str, spot: Spot) -> None:
        """A damaged row is restored from the backup."""
        self.disk.mend(spot)
        del self.rotten[uid]

    def account(self, uid: str, run: int, action: str) -> Account:
        """What the service knows of an action."""
        return self.service.account(f"{uid}/{run}/{action}")


__all__ = ["Plan", "Run", "Violation", "plan"]
