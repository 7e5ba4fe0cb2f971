"""State is the fold of the journal also where a row's events and commands came by turns (`entries.Heed`)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

import amends
from amends.kernel import entries as e
from tests.simulation.order.driver import snapshot
from tests.unit.kernel.lives import Life

news = amends.Signal[str]("order_in_rows.news")


@amends.step(name="order_in_rows.launch", irreversible=True)
async def launch() -> None: ...


@amends.step(name="order_in_rows.pay")
async def pay() -> None: ...


@pay.compensation
async def refund(result: None) -> None: ...


@amends.saga(name="order_in_rows.launching")
async def launching() -> None:
    await launch()


@amends.saga(name="order_in_rows.paying")
async def paying() -> None:
    await pay()


@amends.saga(name="order_in_rows.listening")
async def listening(round: int = 1) -> None:
    if round == 1:
        try:
            await news.receive(timeout=5)
        except TimeoutError:
            await asyncio.sleep(9)
        await amends.continue_as_new(2)
    await news.receive()


FAULT = e.Fault("OSError", "who knows")
CANCEL = e.CancelRequested("enough")
HELD = e.Failed("1", FAULT, "unknown", "irreversible")
ASKING = e.Failed("1", FAULT, "unknown", "ask")
TROUBLED = e.AttemptFailed("1", 1, FAULT, True, 500.0)


def a_held_action(*requests: e.Event) -> Life:
    return lived(launching, [HELD], requests)


def asking(*requests: e.Event) -> Life:
    return lived(paying, [ASKING], requests)


def a_troubled_action(*requests: e.Event) -> Life:
    return lived(paying, [TROUBLED], requests)


def lived(saga: Any, *rows: Sequence[e.Event]) -> Life:
    life = Life(saga)
    for events in rows:
        life.tell(*events)
    return life


def a_kept_request() -> Life:
    life = lived(launching, [HELD])
    life.keep(CANCEL, e.Skipped("leave it", "1"))
    life.tell(e.Signalled("other", e.NULL))
    return life


def a_signal_too_late() -> Life:
    """The wait is over before the signal comes: it is kept for the next run."""
    life = Life(listening)
    (timer,) = life.live.ledger.timers
    life.tell(e.Fired(timer), e.Signalled(news.name, e.Raw(b'"late"')))
    return life


CASES: dict[str, Callable[[], Life]] = {
    "cancel, skip": lambda: a_held_action(CANCEL, e.Skipped("leave it", "1")),
    "cancel, skip all": lambda: a_held_action(CANCEL, e.Skipped("leave it")),
    "cancel, retry": lambda: asking(CANCEL, e.Retried("1")),
    "cancel, resolve": lambda: a_held_action(CANCEL, e.Resolved("did it", id="1")),
    "cancel, skip what struggles": lambda: a_troubled_action(CANCEL, e.Skipped("leave it", "1")),
    "cancel, resolve what struggles": lambda: a_troubled_action(CANCEL, e.Resolved("did it", id="1")),
    "cancel and skip, kept by an earlier row": a_kept_request,
    "timeout, signal": a_signal_too_late,
}


@pytest.mark.parametrize("case", CASES)
def test_live_replayed_and_folded_are_the_same(case: str) -> None:
    life = CASES[case]()
    assert snapshot(life.folded().ledger) == snapshot(life.live.ledger)
    assert snapshot(life.replayed().ledger) == snapshot(life.live.ledger)


@pytest.mark.parametrize("case", CASES)
def test_each_of_these_needs_it(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amends.kernel.instance.ORDERED", {})
    life = CASES[case]()
    assert snapshot(life.folded().ledger) != snapshot(life.live.ledger)


def test_the_row_says_after_how_many_events_a_command_was_issued() -> None:
    commands = e.decode_commands(a_held_action(CANCEL, e.Skipped("leave it", "1")).rows[-1].commands)
    assert commands[:3] == [e.Interrupt("1"), e.Undo("1"), e.Heed(1)]


def test_where_the_order_makes_no_difference_the_row_does_not_say_it() -> None:
    for life in (a_held_action(e.Skipped("leave it", "1"), CANCEL), a_held_action(CANCEL)):
        assert not [row for row in life.rows if "heed" in row.commands]


def test_a_signal_that_came_too_late_is_there_for_the_next_run() -> None:
    life = a_signal_too_late()
    (timer,) = life.live.ledger.timers
    life.tell(e.Fired(timer))
    assert life.live.ledger.next_args is not None
    life.tell(e.Started(life.live.ledger.next_args, 1, "3.11"))
    assert "finish" in life.rows[-1].commands, "it waits for a signal that is there"
    assert life.replayed().ledger.status == "completed"


def test_rows_of_before_are_replayed_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("amends.kernel.instance.ORDERED", {})
        life = a_signal_too_late()
    assert "heed" not in life.rows[-1].commands
    assert snapshot(life.replayed().ledger) == snapshot(life.live.ledger)
