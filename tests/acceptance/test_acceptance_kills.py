"""Workers killed with SIGKILL at random moments: nothing lost, nothing silent, nothing repeated in vain."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from amends import Client, Handle, Refused

from .audit import Audit
from .book import BEGUN, CANCELLED
from .processes import FINAL, Shop, all_end, journaled, shop_in, start_all, until_so
from .shop import abreast, forgiving, parent, patient, sleeper, straight, threads

KINDS = {
    "straight": straight(3),
    "refused": straight(3, "refuse"),
    "unanswered": straight(2, "ask"),
    "sleeping": sleeper(0.4),
    "sleeping-refused": sleeper(0.3, "refuse"),
    "threads": threads(3),
    "threads-refused": threads(2, "refuse"),
    "abreast": abreast(),
    "abreast-refused": abreast("refuse"),
    "parent": parent(),
    "parent-refused": parent("refuse"),
    "childs-refusal": parent("", "refuse"),
    "forgiving": forgiving(),
    "forgiving-refused": forgiving("refuse"),
    "cancelled": patient(),
    "cancelled-at-work": straight(12),
}
COMPLETED = {"straight", "sleeping", "threads", "abreast", "parent", "forgiving"}


def wanted(count: int) -> dict[str, Any]:
    """As many sagas, of each kind in turn, by ids that say the kind."""
    kinds = list(KINDS)
    return {f"{kinds[i % len(kinds)]}-{i}": KINDS[kinds[i % len(kinds)]] for i in range(count)}


def kind_of(id: str) -> str:
    return id.partition("~")[0].rpartition("-")[0]


class Killing:
    """One run: so many sagas, so many kills at moments that the seed decides."""

    steps = 24  # attempts at once
    waves = 1  # parts in which the sagas are started, each before its share of the kills

    def __init__(self, shop: Shop, count: int, kills: int, seed: int) -> None:
        self.shop = shop
        self.wanted = wanted(count)
        self.kills = kills
        self.chance = random.Random(seed)
        self.statuses: dict[str, str] = {}
        self.busy: list[int] = []  # how many had not ended, at each kill
        self.handles: list[Handle[Any]] = []

    async def main(self) -> None:
        async with Client(self.shop.url) as client:
            cancelling = []
            sagas, size = list(self.wanted.items()), len(self.wanted) // self.waves
            for wave in range(self.waves):
                await self._make_ready()
                handles = await start_all(client, dict(sagas[wave * size : (wave + 1) * size]))
                self.handles += handles
                cancelling.append(asyncio.create_task(self._cancel(handles)))
                for _ in range(self.kills // self.waves):
                    await self._one_life()
            last = self.shop.start_worker(steps=self.steps)
            await asyncio.gather(*cancelling)
            ended = await all_end(self.handles)
            self.statuses = {id: status.status for id, status in ended.items()}
        assert self.shop.stop(last) == 0

    async def _make_ready(self) -> None:
        """What a wave needs before its sagas are started."""

    async def _one_life(self) -> None:
        """A worker lives until the book has grown by so many lines; one in four dies while it recovers."""
        before = self.shop.book.size()
        worker = self.shop.start_worker(wait="", steps=self.steps)
        if self.chance.random() < 0.75:
            await until_so(lambda: worker.said("working"), "the worker")
            goal = before + self.chance.randint(5, 2 * len(self.wanted) // (3 * self.waves))
            await until_so(lambda: self.shop.book.size() >= goal, "the book to grow")
        await asyncio.sleep(self.chance.uniform(0.0, 0.3) ** 2)
        self.shop.kill(worker)  # before anybody asks: hundreds of answers take a busy machine seconds
        unfinished = [h for h in self.handles if (await h.status()).status not in FINAL]
        self.busy.append(len(unfinished))

    async def _cancel(self, handles: list[Handle[Any]]) -> None:
        """Cancel those that are meant to be, a few at a time, whether a worker lives or not."""
        before = self.shop.book.size()
        chosen = [h for h in handles if kind_of(h.id).startswith("cancelled")]
        self.chance.shuffle(chosen)
        for number, handle in enumerate(chosen):
            goal = before + 2 * number * len(handles) // len(chosen)
            await until_so(lambda goal=goal: self.shop.book.size() >= goal, "the book to grow")
            try:
                await handle.cancel("changed my mind")
            except Refused:  # it has completed meanwhile
                assert (await handle.status()).status == "completed"

    def check(self) -> Audit:
        """No execution lost or silent; the book is as it must be."""
        known = {id: status.status for id, status in self.shop.all_statuses().items()}
        assert {id for id in known if "~" not in id} == set(self.wanted) == set(self.statuses)
        assert {id: known[id] for id in self.statuses} == self.statuses
        wrong = {
            id: status
            for id, status in self.statuses.items()
            if (status == "completed") != (kind_of(id) in COMPLETED) and kind_of(id) != "cancelled-at-work"
        }
        assert not wrong
        audit = Audit(self.shop.book.lines())
        audit.judge(known)
        assert not audit.findings, "\n".join(audit.findings)
        assert len(audit.kills) == self.kills
        assert not self.shop.complaints()
        return audit

    def figures(self, audit: Audit) -> str:
        flight = [len(audit.in_flight(kill)) for kill in range(self.kills)]
        running = [len(audit.cut_off(kill)) for kill in range(self.kills)]
        return (
            f"{len(self.wanted)} sagas, unfinished at the kills {self.busy}, in flight {flight}, "
            f"functions running {running}; {len(audit.twice())} keys dispatched again, "
            f"{len(audit.lines)} lines"
        )


@pytest.mark.slow
def test_two_hundred_sagas_survive_eight_kills(tmp_path: Path) -> None:
    with shop_in(tmp_path) as shop:
        run = Killing(shop, 200, 8, seed=20)
        asyncio.run(run.main())
        audit = run.check()
        print(run.figures(audit))
        assert all(run.busy), "each kill met work"
        assert audit.twice(), "some kill met a step"
        assert any(line.outcome == CANCELLED for line in audit.lines), "some outcome was unknown"


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(20))
def test_many_sagas_survive_many_kills(tmp_path: Path, seed: int) -> None:
    with shop_in(tmp_path) as shop:
        run = Killing(shop, 400, 25, seed)
        asyncio.run(run.main())
        print(run.figures(run.check()))


@pytest.mark.slow
def test_a_thousand_in_flight_and_one_kill(tmp_path: Path) -> None:
    with shop_in(tmp_path) as shop:
        ids = {f"s-{i}": straight(4, seconds=0.02) for i in range(1000)}
        durable: set[str] = set()  # the actions whose end stood in the journal at the kill

        async def main() -> None:
            async with Client(shop.url) as client:
                handles = await start_all(client, ids)
                worker = shop.start_worker()
                await until_so(lambda: shop.book.size() >= 3_000, "work")
                shop.kill(worker)
                durable.update(await journaled(handles))
                worker = shop.start_worker()
                ended = await all_end(handles)
                assert {status.status for status in ended.values()} == {"completed"}
                assert shop.stop(worker) == 0

        asyncio.run(main())
        known = {id: status.status for id, status in shop.all_statuses().items()}
        audit = Audit(shop.book.lines())
        audit.judge(known)
        assert not audit.findings, "\n".join(audit.findings)
        assert set(known) == set(ids)
        assert not shop.complaints()
        dispatched = [deed for deed in audit.deeds.values() if deed.dispatches]
        assert len(dispatched) == 4 * len(ids)
        assert all(deed.done for deed in dispatched)
        twice, flight, running = audit.twice(), audit.in_flight(0), audit.cut_off(0)
        begun = {line.key for line in audit.lines[: audit.kills[0]] if line.outcome == BEGUN}
        print(
            f"dispatched twice {len(twice)}; at the kill {len(flight)} were their saga's last in the book,"
            f" {len(running)} functions were running, {len(begun - durable)} were not journaled"
        )
        assert running <= twice <= flight
        assert len(twice) <= len(flight) <= len(ids)
        assert twice == begun - durable, "dispatched again is what was not journaled, and nothing else"
