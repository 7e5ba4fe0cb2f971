"""What an operator's request leads to: whom the worker runs, undoes or stops, and what the saga is told."""

from __future__ import annotations

import asyncio
import contextlib

import amends
from amends.kernel import entries as e
from tests.unit.kernel.lives import Life

FAULT = e.Fault("OSError", "who knows")
TROUBLED = e.AttemptFailed("1", 1, FAULT, True, 500.0)


@amends.step(name="by_decision.launch", irreversible=True)
async def launch() -> None: ...


@amends.step(name="by_decision.pay")
async def pay(number: int = 0) -> None: ...


@pay.compensation
async def refund(result: None, number: int) -> None: ...


@amends.saga(name="by_decision.paying")
async def paying() -> None:
    await pay()


@amends.saga(name="by_decision.both")
async def both() -> str:
    async def settles() -> None:
        with contextlib.suppress(amends.StepFailed):
            await pay()

    await asyncio.gather(settles(), launch())
    return "both"


@amends.saga(name="by_decision.four")
async def four() -> None:
    for number in range(4):
        await pay(number)
    raise OSError("no")


@amends.saga(name="by_decision.savepoint")
async def in_a_savepoint() -> str:
    try:
        async with amends.savepoint():
            for number in range(3):
                await pay(number)
            raise OSError("no")
    except OSError:
        return "went on"


def ids(actions: list[object]) -> list[str]:
    return [action.id for action in actions]  # type: ignore[attr-defined]


def test_a_step_that_is_tried_again_is_run_and_not_undone() -> None:
    life = Life(paying)
    life.tell(TROUBLED)
    decision = life.decide(e.Retried("1"))
    assert (ids(decision.run), decision.undo, decision.interrupt) == (["1"], [], [])


def test_a_step_that_struggles_is_stopped_when_it_is_skipped_and_one_that_waits_is_not() -> None:
    struggling = Life(paying)
    struggling.tell(TROUBLED)
    assert ids(struggling.decide(e.Skipped("leave it", "1")).interrupt) == ["1"]
    held = Life(paying)
    held.tell(e.Failed("1", FAULT, "unknown", "ask"))
    assert held.decide(e.Skipped("leave it", "1")).interrupt == []


def test_to_skip_all_settles_what_is_undone_and_what_is_held() -> None:
    life = Life(both)
    pays, launches = life.live.ledger.actions
    life.tell(e.Failed(pays, FAULT, "unknown"))
    life.tell(e.UndoFailed(pays, FAULT))
    life.tell(e.Failed(launches, FAULT, "unknown", "irreversible"))
    assert life.live.ledger.status == "", "it is not over"
    life.tell(e.Skipped("leave them"))
    assert life.live.ledger.status == "completed"
    assert life.replayed().ledger.value == e.Raw(b'"both"')


def undone_until_the_last_is_parked(saga: object) -> tuple[Life, list[str]]:
    life = Life(saga)
    done: list[str] = []
    while opened := [a.id for a in life.live.ledger.actions.values() if a.id not in done]:
        done += opened
        life.tell(e.Completed(opened[0], e.NULL))
    assert undone_now(life) == [done[-1]]
    return life, done


def undone_now(life: Life) -> list[str]:
    return [c.id for c in e.decode_commands(life.rows[-1].commands) if isinstance(c, e.Undo)]


def test_what_a_parked_compensation_follows_waits_for_it_again_once_it_is_tried_again() -> None:
    for saga in (four, in_a_savepoint):
        life, done = undone_until_the_last_is_parked(saga)
        life.tell(e.UndoFailed(done[-1], FAULT))
        assert undone_now(life) == [done[-2]], "a parked one holds nobody back"
        decision = life.decide(e.Retried(done[-1]))
        assert (decision.run, ids(decision.undo)) == ([], [done[-1]])
        life.tell(e.Undone(done[-2]))
        assert undone_now(life) == [], "the one that is tried again does"
        life.tell(e.Undone(done[-1]))
        assert undone_now(life) == [done[-3]]
        assert life.replayed().ledger.phase == life.folded().ledger.phase == life.live.ledger.phase
