"""Workers killed while sagas are in a particular state: between runs, undoing, stuck, in a thread."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from amends import Client, Status

from .audit import Audit
from .book import BEGUN, DONE, FAILED, KILLED, REJECTED
from .processes import Shop, all_end, reaches, shop_in, start_all, until_so
from .shop import parent, rounds, sleeper, straight, stuck, threads


def audited(shop: Shop, *retried: str) -> Audit:
    audit = Audit(shop.book.lines(), retried=retried)
    audit.judge({id: status.status for id, status in shop.all_statuses().items()})
    assert not audit.findings, "\n".join(audit.findings)
    return audit


def kill_at(shop: Shop, wanted: dict[str, Any], goals: list[int], **line: Any) -> dict[str, Status]:
    """Kill a worker each time so many such lines are in the book; then let one finish."""

    async def main() -> dict[str, Status]:
        async with Client(shop.url) as client:
            handles = await start_all(client, wanted)
            for goal in goals:
                worker = shop.start_worker()
                await until_so(lambda goal=goal: shop.book.count(**line) >= goal, f"{goal} lines {line}")
                shop.kill(worker)
            worker = shop.start_worker()
            found = await all_end(handles)
            assert shop.stop(worker) == 0
            return found

    return asyncio.run(main())


# ---------------------------------------------------------------- continue as new


@pytest.mark.slow
def test_killed_between_runs(tmp_path: Path) -> None:
    """Of many that are continued as new after each step, some are between two runs at each kill."""
    with shop_in(tmp_path) as shop:
        wanted = {f"r-{i}": rounds(8) for i in range(30)} | {
            f"u-{i}": rounds(5, end="refuse") for i in range(30)
        }
        found = kill_at(shop, wanted, [40, 120, 220], direction="do", outcome=BEGUN)
        assert {id: s.status for id, s in found.items()} == {
            id: "completed" if id.startswith("r-") else "compensated" for id in wanted
        }
        audit = audited(shop)
        for id in wanted:
            runs = [
                key.split("/")[1]
                for key, deed in audit.deeds.items()
                if key.endswith("/do") and _of(deed, id)
            ]
            count = 8 if id.startswith("r-") else 5
            assert sorted(set(runs)) == [str(run) for run in range(count)], f"{id} has other runs: {runs}"
        undone = [line for line in audit.lines if line.direction == "undo" and line.outcome == DONE]
        assert {line.key.split("/")[1] for line in undone} == set("01234"), "earlier runs are undone too"
        assert not shop.complaints()


def _of(deed: Any, id: str) -> bool:
    return bool(deed.dispatches) and deed.dispatches[0].line.id == id


# ---------------------------------------------------------------- compensating


@pytest.mark.slow
def test_killed_while_compensating(tmp_path: Path) -> None:
    with shop_in(tmp_path) as shop:
        wanted: dict[str, Any] = {f"s-{i}": straight(4, "refuse", seconds=0.05) for i in range(10)}
        wanted |= {f"t-{i}": threads(3, "refuse", seconds=0.05) for i in range(10)}
        wanted |= {f"p-{i}": parent("refuse") for i in range(10)}
        wanted |= {f"c-{i}": parent("", "refuse") for i in range(5)}
        wanted |= {f"w-{i}": sleeper(0.1, "ask") for i in range(5)}
        found = kill_at(shop, wanted, [5, 25, 60], direction="undo", outcome=BEGUN)
        assert {status.status for status in found.values()} == {"compensated"}
        audit = audited(shop)
        assert any(key.endswith("/undo") for key in audit.twice()), "a kill met a compensation"
        assert not shop.complaints()


@pytest.mark.slow
def test_a_refusal_after_a_lost_attempt_is_no_certainty(tmp_path: Path) -> None:
    """The attempt that died with its worker may have had an effect, so the step is undone after all."""
    with shop_in(tmp_path) as shop:
        wanted = {f"s-{i}": straight(1, "refuse", seconds=0.3) for i in range(10)}
        found = kill_at(shop, wanted, [5], action="refuse", outcome=BEGUN)
        assert {status.status for status in found.values()} == {"compensated"}
        audit = audited(shop)
        lost = {key for key in audit.cut_off(0) if audit.deeds[key].dispatches[0].line.action == "refuse"}
        assert len(lost) >= 5
        for key in lost:
            assert [dispatch.outcome for dispatch in audit.deeds[key].dispatches] == ["", REJECTED]
            assert audit.deeds[key.replace("/do", "/undo")].done is not None
        assert not shop.complaints()


# ---------------------------------------------------------------- a compensation that fails


@pytest.mark.slow
def test_killed_while_a_compensation_fails_and_while_it_is_parked(tmp_path: Path) -> None:
    """Killed between two attempts of it, then once it is parked: what a person needs is still there."""
    with shop_in(tmp_path) as shop:
        ids = [f"stuck-{i}" for i in range(10)]
        failing = {"action": "rent", "direction": "undo", "outcome": FAILED}

        async def main() -> None:
            async with Client(shop.url) as client:
                handles = await start_all(client, {id: stuck() for id in ids})
                worker = shop.start_worker()
                await until_so(lambda: shop.book.count(**failing) >= 5, "failing compensations")
                shop.kill(worker)
                worker = shop.start_worker()
                for handle in handles:
                    await reaches(handle, "attention")
                    await until_so(lambda id=handle.id: others_undone(shop, id), "the others to be undone")
                shop.kill(worker)
                worker = shop.start_worker()
                parked = [await handle.outcome() for handle in handles]
                for result in parked:
                    assert [(item["step"], item["direction"]) for item in result.items] == [
                        ("acceptance.rent", "undo")
                    ]
                    assert result.items[0]["error"]["message"] == "nobody opens"
                before = shop.book.count(**failing)
                (tmp_path / "repaired").touch()
                for handle in handles[:-1]:
                    await handle.retry(reason="repaired")
                await handles[-1].resolve(None, "the owner came by")
                found = [await handle.outcome() for handle in handles]
                assert {result.status for result in found} == {"compensated"}
                assert shop.book.count(**failing) == before, "nothing tried it before it was told to"
                assert shop.stop(worker) == 0

        asyncio.run(main())
        lines = shop.book.lines()
        settled_by_hand = {line.key for line in lines if line.id == ids[-1] and line.action == "rent"}
        audit = Audit([line for line in lines if line.key not in settled_by_hand], retried=["rent/undo"])
        audit.judge({id: status.status for id, status in shop.all_statuses().items()})
        assert not audit.findings, "\n".join(audit.findings)
        assert not shop.complaints()


def others_undone(shop: Shop, id: str) -> bool:
    """A failing compensation stops nothing else."""
    undone = {
        line.place
        for line in shop.book.lines()
        if line.id == id and (line.direction, line.outcome) == ("undo", DONE)
    }
    return undone == {1, 3}


# ---------------------------------------------------------------- a step in a thread


@pytest.mark.slow
def test_killed_in_the_middle_of_a_thread(tmp_path: Path) -> None:
    with shop_in(tmp_path) as shop:
        wanted = {f"t-{i}": threads(2, seconds=0.3) for i in range(8)}
        found = kill_at(shop, wanted, [8, 20], action="press", outcome=BEGUN)
        assert {status.status for status in found.values()} == {"completed"}
        audit = audited(shop)
        assert len([line for line in audit.lines if line.outcome == KILLED]) == 2
        assert audit.cut_off(0)
        for kill in (0, 1):
            assert audit.cut_off(kill) <= audit.twice(), (
                "each thread that was cut off was begun again, same key"
            )
        assert not shop.complaints()
