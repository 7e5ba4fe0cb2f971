"""One shop, many lives of its worker, each ended by SIGKILL: at a named crash point, or at a random moment.

Every life begins with more work, one saga of each kind, and whatever earlier lives left behind.  In the end
one worker finishes it all, and the book is audited.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Self

from amends import Client, Handle, Refused
from amends.engine.crashes import POINTS, VARIABLE

from .audit import Audit
from .book import BEGUN, KILLED
from .newest import newest
from .processes import FINAL, ROOT, Process, Shop, all_end, start_all, until_so
from .shop import abreast, banking, forgiving, parent, patient, sleeper, straight, threads

KINDS: dict[str, Any] = {
    "straight": straight(3),
    "refused": straight(2, "refuse"),
    "unanswered": straight(1, "ask"),
    "sleeping": sleeper(0.2),
    "sleeping-refused": sleeper(0.2, "refuse"),
    "threads-refused": threads(2, "refuse"),
    "abreast-refused": abreast("refuse"),
    "parent": parent(),
    "childs-refusal": parent("", "refuse"),
    "forgiving": forgiving(),
    "banking": banking(),
    "cancelled": patient(),
    "newest": newest(),
}
COMPLETED = {"straight", "sleeping", "parent", "forgiving", "banking", "newest", "patient"}

# What a client does, not a worker.
CLERKS = ["store.create.before", "store.create.after", "store.send.before", "store.send.after"]
CLERKS += ["store.unpark.before", "store.unpark.after"]
# What a worker comes to once it is told to stop.
DRAINS = [name for name in POINTS if name.startswith(("drain.", "store.retire.", "store.close."))]
WORKERS = [name for name in POINTS if name not in CLERKS and name not in DRAINS]
# What it comes to again and again: any time of many will do.
OFTEN = [name for name in WORKERS if not name.startswith("store.")]
OFTEN = [name for name in OFTEN if "checkpoint" not in name]
# What more work does not bring about.
ONCE = [*DRAINS, "store.open.before", "store.open.after", "store.register.before", "store.register.after"]


@dataclass
class Figures:
    """What came out. The last four must be nothing."""

    kills: int = 0
    sagas: int = 0
    dispatched: int = 0
    again: int = 0
    points: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    duplicate: list[str] = field(default_factory=list)
    disordered: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not (self.lost or self.silent or self.duplicate or self.disordered or self.wrong)

    def numbers(self) -> dict[str, int]:
        """For reports."""
        return {name: value if isinstance(value, int) else len(value) for name, value in vars(self).items()}


class Crashing:
    """See the module's head. The seed decides when a worker dies at random, and how often it passes a point."""

    def __init__(self, shop: Shop, seed: int, *, often: int = 4, **settings: Any) -> None:
        self.shop = shop
        self.settings = {"steps": 24, **settings}
        self.chance = random.Random(seed)
        self.often = often
        self.points: Counter[str] = Counter()
        self.wanted: dict[str, Any] = {}
        self.handles: list[Handle[Any]] = []
        self.lives = 0
        self.statuses: dict[str, str] = {}
        self.expected: list[str] = []  # what workers may log as errors
        self.client: Client

    async def __aenter__(self) -> Self:
        self.client = await Client(self.shop.url).__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.__aexit__(None, None, None)

    async def more_work(self) -> None:
        """One saga of each kind; what waits to be cancelled from earlier is cancelled now."""
        await self._cancel()
        self.lives += 1
        batch = {f"{kind}-{self.lives}": call for kind, call in KINDS.items()}
        self.wanted |= batch
        self.handles += await start_all(self.client, batch)

    async def _cancel(self) -> None:
        for handle in [h for h in self.handles if h.id.startswith("cancelled-")][-2:]:
            try:
                await handle.cancel("changed my mind")
            except Refused:  # it was, before
                continue

    # ------------------------------------------------------------ lives

    async def at_point(self, name: str) -> None:
        """A worker, or a client, that kills itself there."""
        await self.more_work()
        if name in CLERKS:
            await self._clerk(name)
            self.points[name] += 1
            return
        nth = self.chance.randint(1, self.often) if name in OFTEN else 1
        store = "inline_rows=0" if name.startswith("store.commit.") else ""
        worker = self.shop.start_worker(wait="", crash_at=f"{name}:{nth}", store=store, **self.settings)
        if name in DRAINS:
            await self.some_work(worker)
            worker.popen.send_signal(signal.SIGTERM)
        while not await self._dies_within(worker, 3.0):
            await self.more_work()  # it has not come there so often
        await self.shop.crashed(worker)
        self.points[name] += 1

    async def _dies_within(self, worker: Process, seconds: float) -> bool:
        for _ in range(int(seconds / 0.01)):
            if worker.popen.poll() is not None:
                return True
            await asyncio.sleep(0.01)
        return name_of(worker) in ONCE

    async def at_random(self) -> None:
        """A worker that is killed at a random moment; one in four while it starts."""
        await self.more_work()
        worker = self.shop.start_worker(wait="", **self.settings)
        if self.chance.random() < 0.75:
            await self.some_work(worker)
        await asyncio.sleep(self.chance.uniform(0.0, 0.5) ** 2)
        self.shop.kill(worker)

    async def while_refusing(self) -> None:
        """Workers that are killed until one of them was, for certain, while a participant was about to say no."""
        while True:
            await self.more_work()
            slow = {f"refused-slow{self.lives}": straight(1, "refuse", seconds=0.3)}
            self.wanted |= slow
            self.handles += await start_all(self.client, slow)
            worker = self.shop.start_worker(wait="", **self.settings)
            await until_so(lambda: self._refusing() > 0, "somebody to refuse")
            running = self._refusing()
            self.shop.kill(worker)
            if running and self._refusing():
                return

    def _refusing(self) -> int:
        """How many refusals have begun and not ended since the last kill, but for the mark of that kill."""
        lines = self.shop.book.lines()
        if lines and lines[-1].outcome == KILLED:
            lines.pop()
        since = max((n for n, line in enumerate(lines) if line.outcome == KILLED), default=-1)
        life = [line for line in lines[since + 1 :] if line.action == "refuse" and line.direction == "do"]
        return sum(1 if line.outcome == BEGUN else -1 for line in life)

    async def some_work(self, worker: Process) -> None:
        await until_so(lambda: worker.said("working"), "the worker")
        goal = self.shop.book.size() + self.chance.randint(1, 30)
        await until_so(lambda: self.shop.book.size() >= goal, "the book to grow")

    async def _clerk(self, name: str) -> None:
        """A client that is killed, and the same again, that is not."""
        if name.startswith("store.unpark."):  # something must be parked
            worker = self.shop.start_worker(**self.settings)
            handle = next(h for h in self.handles if h.id == f"newest-{self.lives}")
            await until_so_async(handle, "attention")
            self.shop.kill(worker)
        who = f"clerk{self.lives}"
        code, said = await self._run_clerk(who, name)
        assert code == -signal.SIGKILL, said
        assert f"amends: crash point {name}\n" in said
        code, said = await self._run_clerk(who, "")
        assert code == 0, said
        id = f"patient-{who}"
        self.wanted[id] = patient()
        self.handles.append(self.client.handle(patient, id))

    async def _run_clerk(self, who: str, name: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "tests.acceptance.clerk", str(self.shop.folder), who]
        process = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, env={**os.environ, VARIABLE: name}, stderr=subprocess.PIPE
        )
        _, said = await process.communicate()
        assert process.returncode is not None
        return process.returncode, said.decode()

    # ------------------------------------------------------------ the end

    async def finish(self) -> None:
        """One worker that knows everything lives until all have ended."""
        last = self.shop.start_worker(everything=True, **self.settings)
        for handle in [h for h in self.handles if h.id.startswith("cancelled-")]:
            if (await handle.status()).status not in FINAL:
                await handle.cancel("changed my mind")
        for handle in [h for h in self.handles if h.id.startswith("newest-")]:
            if (await handle.status()).status == "attention":
                await handle.retry(reason="deployed", by="test")
        ended = await all_end(self.handles)
        self.statuses = {id: status.status for id, status in ended.items()}
        assert self.shop.stop(last) == 0

    def figures(self) -> Figures:
        """Audit the book and the table of deposits, after `finish`."""
        known = {id: status.status for id, status in self.shop.all_statuses().items()}
        audit = Audit(self.shop.book.lines())
        audit.judge(known)
        found = Figures(self.shop.kills, len(known), len(audit.deeds), len(audit.twice()), self.points)
        found.lost = sorted(set(self.wanted) - set(known))
        found.silent = sorted(id for id, status in known.items() if status not in FINAL)
        for finding in audit.findings:
            kind = found.wrong
            if "dispatched again" in finding or "twice" in finding or "more often" in finding:
                kind = found.duplicate
            elif "was undone before" in finding:
                kind = found.disordered
            kind.append(finding)
        for id, status in self.statuses.items():
            if (status == "completed") != (id.rpartition("-")[0] in COMPLETED):
                found.wrong.append(f"{id} ended {status}")
        found.duplicate += [f"{id}: {times} deposits" for id, times in self.deposits().items() if times != 1]
        completed = {id for id in self.statuses if id.startswith("banking-")}
        found.lost += sorted(completed - set(self.deposits()))
        found.wrong += self.shop.complaints("parked (missing_definition)", *self.expected)
        return found

    def deposits(self) -> Counter[str]:
        """The rows of the transactional steps, by execution."""
        with sqlite3.connect(self.shop.folder / "sagas.db") as db:
            rows = db.execute("SELECT id, count(*) FROM deposits GROUP BY id").fetchall()
        db.close()
        return Counter(dict(rows))


def name_of(worker: Process) -> str:
    return worker.crash_at.partition(":")[0]


async def until_so_async(handle: Handle[Any], *statuses: str) -> None:
    while (await handle.status()).status not in statuses:
        await asyncio.sleep(0.02)
