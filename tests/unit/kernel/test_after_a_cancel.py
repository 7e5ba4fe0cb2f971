"""Once the saga is cancelled, or its body has failed, its code starts nothing new; and what cancelling a future says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import amends
from amends.errors import Refused
from amends.kernel import entries as e
from tests.unit.kernel.lives import Life, shielded

news = amends.Signal[str]("after_a_cancel.news")
CANCEL = e.CancelRequested("enough")


@amends.step(name="after_a_cancel.pay")
async def pay() -> None: ...


@pay.compensation
async def refund(result: None) -> None: ...


@amends.saga(name="after_a_cancel.nested")
async def nested() -> None: ...


async def a_step() -> None:
    await pay()


async def a_child() -> None:
    await nested()


async def a_signal() -> None:
    await news.receive()


async def a_timer() -> None:
    await asyncio.sleep(5)


async def a_savepoint() -> None:
    async with amends.savepoint():
        await pay()


async def an_undo() -> None:
    amends.undo_with(pay)


async def a_pivot() -> None:
    await amends.pivot()


async def a_new_run() -> None:
    await amends.continue_as_new()


ALL = [a_step, a_child, a_signal, a_timer, a_savepoint, an_undo, a_pivot, a_new_run]


class Cleaning(Life):
    """A saga that wants something while it cleans up, in its body or in another task. told: what it was told."""

    def __init__(
        self, wanted: Callable[[], Awaitable[Any]], *, shield: bool = False, body: bool = True
    ) -> None:
        self.told: list[Any] = []
        self.tasks: list[Any] = []

        async def cleans_up() -> None:
            if shield:
                shielded()
            try:
                await asyncio.sleep(50)
            finally:
                await self._want(wanted)

        async def fails() -> None:
            self.tasks.append(asyncio.create_task(cleans_up()))
            await asyncio.sleep(5)
            raise OSError("no")

        super().__init__(amends.saga(name="after_a_cancel.cleans_up")(cleans_up if body else fails))

    async def _want(self, wanted: Callable[[], Awaitable[Any]]) -> None:
        try:
            await wanted()
            self.told.append("done")
        except asyncio.CancelledError as error:
            self.told.append(error.args)
            raise


@pytest.mark.parametrize("wanted", ALL)
def test_after_a_cancel_nothing_new_begins_and_the_code_is_told_why(wanted: Any) -> None:
    cleaning = Cleaning(wanted)
    cleaning.tell(CANCEL)
    assert cleaning.told == [("enough",)]
    assert [type(c) for c in cleaning.wrote()] == [e.CancelTimer, e.Unwind, e.Backward, e.Finish]


@pytest.mark.parametrize("wanted", ALL)
def test_once_the_body_has_failed_nothing_new_begins_in_other_tasks(wanted: Any) -> None:
    cleaning = Cleaning(wanted, body=False)
    cleaning.fire()
    assert cleaning.told == [("the saga is being undone",)]
    assert [type(c) for c in cleaning.wrote()] == [e.Unwind, e.CancelTimer, e.Backward, e.Finish]


@pytest.mark.parametrize("body", [True, False])
def test_what_is_shielded_may_act_all_the_same(body: bool) -> None:
    cleaning = Cleaning(a_step, shield=True, body=body)
    if body:
        cleaning.tell(CANCEL)
    else:
        cleaning.fire()
    (begun,) = cleaning.wrote(e.RunStep)
    cleaning.tell(e.Completed(begun.id, e.NULL))
    assert cleaning.told == ["done"]
    assert cleaning.wrote(e.Undo) == [e.Undo(begun.id)], "and is undone like all else"


def test_after_a_cancel_there_is_no_pivot_even_in_a_shield() -> None:
    cleaning = Cleaning(a_pivot, shield=True)
    cleaning.tell(CANCEL)
    assert cleaning.told == [("the saga is being undone",)]
    assert cleaning.live.ledger.status == "compensated"


# ---------------------------------------------------------------- futures


def test_to_cancel_a_future_says_whether_there_was_something_to_cancel() -> None:
    async def cancels() -> None:
        port: Any = asyncio.get_running_loop().amends_port  # type: ignore[attr-defined]
        futures.extend((port.run_step(pay()), port.run_child(nested()), port.receive(news.name, str)))
        said.append([future.cancel() for future in futures])
        said.append([future.cancel() for future in futures])
        await pay()

    futures: list[Any] = []
    said: list[list[bool]] = []
    living = Life(amends.saga(name="after_a_cancel.cancels")(cancels))
    assert said == [[True, True, True], [False, False, False]]
    assert all(future.cancelled() for future in futures)
    assert [type(c) for c in living.wrote()] == [
        e.Withdrawn, e.Withdrawn, e.AwaitSignal, e.StopAwait, e.RunStep,
    ]  # fmt: skip


@pytest.mark.parametrize("wanted", [a_step, a_child, a_signal])
def test_who_is_cancelled_is_told_what_the_cancel_says(wanted: Any) -> None:
    async def waits() -> None:
        try:
            await wanted()
        except asyncio.CancelledError as error:
            told.append(error.args)
            raise

    async def cancels() -> None:
        task = asyncio.create_task(waits())
        await asyncio.sleep(5)
        task.cancel("not any more")
        await pay()

    told: list[Any] = []
    living = Life(amends.saga(name="after_a_cancel.cancels_a_task")(cancels))
    living.fire()
    for stopped in living.wrote(e.Interrupt):
        kind = e.ChildEnded(stopped.id, "compensated") if wanted is a_child else None
        living.tell(kind or e.Failed(stopped.id, e.Fault("X", ""), "rejected"))
    assert told == [("not any more",)]


@pytest.mark.parametrize("wanted", [a_step, a_child, a_signal])
def test_code_that_leaves_memory_may_cancel_its_tasks(wanted: Any) -> None:
    async def cancels_on_its_way_out() -> None:
        task = asyncio.create_task(wanted())
        try:
            await asyncio.sleep(50)
        finally:
            said.append(task.cancel())
            said.append("no error")

    said: list[Any] = []
    living = Life(amends.saga(name="after_a_cancel.leaves")(cancels_on_its_way_out))
    before = list(living.live.commands)
    living.live.discard()
    assert said == [True, "no error"]
    assert living.live.commands == before


def test_who_kept_the_port_of_an_execution_that_left_memory_is_refused() -> None:
    living = Life(amends.saga(name="after_a_cancel.keeps")(a_signal))
    kept = living.live.program
    assert kept is not None
    living.live.discard()
    with pytest.raises(Refused) as refused:
        kept.run_step(pay())
    assert refused.value.message == "this execution was evicted; its code must not act any more"
