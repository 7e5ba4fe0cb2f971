"""What the saga's code is told: results, failures and signals, who it is, chance; and what the log is told of it."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from typing import Any

import pytest

import amends
from amends.kernel import entries as e
from amends.kernel.forking import Forked
from amends.kernel.limits import Limits
from amends.kernel.loop import Stage
from tests.unit.kernel.lives import Life

news = amends.Signal[int]("told.news")
FAULT = e.Fault("OSError", "who knows")
CANCEL = e.CancelRequested("enough")
UID = "ab" * 16


@amends.step(name="told.pay")
async def pay() -> int: ...  # type: ignore[empty-body]


@pay.compensation
async def refund(result: int | None) -> None: ...


@amends.saga(name="told.nested")
async def nested() -> int: ...  # type: ignore[empty-body]


@amends.saga(name="told.paying")
async def paying() -> int | None:
    return await pay()


@amends.saga(name="told.parent")
async def parent() -> int:
    return await nested()


@amends.saga(name="told.late")
async def late() -> int:
    await asyncio.sleep(5)
    return await news.receive()


def life(body: Any, **given: Any) -> Life:
    return Life(amends.saga(name=f"told.{body.__name__}")(body), **given)


def said(number: Any) -> e.Signalled:
    return e.Signalled(news.name, e.Raw(json.dumps(number).encode()))


# ---------------------------------------------------------------- results and signals


def test_a_result_reaches_the_saga_and_an_operator_may_skip_it() -> None:
    for saga, ended in ((paying, e.Completed("1", e.Raw(b"7"))), (parent, _child_ended(b"7"))):
        living = Life(saga)
        living.tell(ended)
        assert living.value == 7
    skipped = Life(paying)
    skipped.tell(e.Failed("1", FAULT, "unknown", "ask"))
    skipped.tell(e.Skipped("leave it", "1"))
    assert (skipped.live.ledger.status, skipped.value) == ("completed", None)


def _child_ended(value: bytes) -> e.ChildEnded:
    return e.ChildEnded("1", "completed", e.Raw(value))


@pytest.mark.parametrize(
    ("saga", "ended", "name"),
    [
        (paying, e.Completed("1", e.Raw(b'"seven"')), "told.pay"),
        (parent, _child_ended(b'"seven"'), "told.nested"),
    ],
)
def test_a_result_that_does_not_fit_is_an_error_that_names_it(saga: Any, ended: e.Event, name: str) -> None:
    living = Life(saga)
    living.tell(ended)
    kind, text = living.failure
    assert kind == "PayloadError"
    assert text.startswith(f"result of {name} does not fit int: ")


@pytest.mark.parametrize("kept", [True, False])
def test_a_signal_that_does_not_fit_is_an_error_that_names_it(kept: bool) -> None:
    living = Life(late)
    for tell in (lambda: living.fire(), lambda: living.tell(said("seven")))[:: -1 if kept else 1]:
        tell()
    kind, text = living.failure
    assert kind == "PayloadError"
    assert text.startswith("signal 'told.news' does not fit int: ")


# ---------------------------------------------------------------- children


def told_by_a_child(ended: e.ChildEnded) -> BaseException:
    async def asks() -> None:
        try:
            await nested()
        except Exception as error:
            caught.append(error)

    caught: list[Exception] = []
    living = life(asks)
    living.tell(ended)
    assert living.live.ledger.status == "completed"
    (error,) = caught
    return error


def test_a_child_that_failed_says_why_and_what_it_left() -> None:
    residue = e.Residue("4", "told.pay", "irreversible", "elsewhere")
    error = told_by_a_child(e.ChildEnded("1", "partially_compensated", fault=FAULT, residue=[residue]))
    assert isinstance(error, amends.Compensated)
    assert error.cause == "failed"
    assert error.error == {"type": "OSError", "message": "who knows"}
    assert error.residue == [{"action": "4", "step": "told.pay", "reason": "irreversible"}]
    assert str(error) == "compensated (failed: OSError: who knows); 1 effect(s) remain"


def test_a_child_that_was_undone_without_an_error_left_nothing() -> None:
    error = told_by_a_child(e.ChildEnded("1", "compensated"))
    assert isinstance(error, amends.Compensated)
    assert (error.cause, error.error, error.residue) == ("failed", None, [])


def test_a_child_that_was_terminated_is_named() -> None:
    error = told_by_a_child(e.ChildEnded("1", "terminated"))
    assert isinstance(error, amends.Terminated)
    assert str(error) == "the nested saga told.nested was terminated by an operator"


# ---------------------------------------------------------------- savepoints and parked settlements


def test_what_runs_in_a_savepoint_that_is_rolled_back_is_told_so() -> None:
    async def leaves() -> str:
        async def inside() -> None:
            try:
                await asyncio.sleep(50)
            except asyncio.CancelledError as error:
                heard.append(error.args)
                raise

        try:
            async with amends.savepoint():
                tasks.append(asyncio.create_task(inside()))
                await asyncio.sleep(0)
                raise OSError
        except OSError:
            return "went on"

    heard: list[Any] = []
    tasks: list[Any] = []
    assert life(leaves).value == "went on"
    assert heard == [("the savepoint is rolled back",)]


def test_a_rollback_that_is_settled_is_no_longer_in_flight() -> None:
    async def tries_twice() -> None:
        for _ in range(2):
            try:
                async with amends.savepoint():
                    raise OSError
            except OSError:
                pass
        await pay()

    assert [c.step for c in life(tries_twice, limits=Limits(fan_out=1)).wrote(e.RunStep)] == ["told.pay"]


@pytest.mark.parametrize("cancelled", [True, False])
def test_who_waits_for_a_parked_settlement_is_told_that_all_is_undone(cancelled: bool) -> None:
    """Unless it was cancelled itself: then it is told what the cancel said."""

    async def pays() -> None:
        try:
            await pay()
        except asyncio.CancelledError as error:
            heard.append(error.args)
            raise

    async def waits() -> None:
        tasks.append(asyncio.create_task(pays()))
        await asyncio.sleep(5)
        if cancelled:
            tasks[0].cancel("not any more")
        await asyncio.sleep(50)

    heard: list[Any] = []
    tasks: list[Any] = []
    living = life(waits)
    (action,) = living.live.ledger.actions
    living.fire()
    living.tell(e.Failed(action, FAULT, "unknown"))
    living.tell(e.UndoFailed(action, FAULT))
    assert heard == [], "a person may still settle it"
    living.tell(CANCEL)
    assert heard == [("not any more",) if cancelled else ("parked; the saga is being undone",)]


# ---------------------------------------------------------------- who it is, and chance


def test_the_code_knows_which_execution_it_is() -> None:
    async def says_who() -> list[Any]:
        await news.receive()
        own = amends.current()
        return [own.id, own.uid, own.run, own.saga, own.deadline_at, own.action]

    living = life(says_who)
    living.live.ledger.deadline = 500.0
    living.tell(said(1))
    assert living.value == ["x", UID, 0, "told.says_who", 500.0, ""]


async def draws() -> dict[str, list[float]]:
    """By whom, and what: before and after a signal."""

    def draw(name: str) -> None:
        drawn.setdefault(name, []).append(amends.random().random())

    async def other() -> None:
        for _ in range(2):
            draw("task")
            await asyncio.sleep(20)

    drawn: dict[str, list[float]] = {}
    task = asyncio.create_task(other())
    for _ in range(2):
        draw("body")
        asyncio.get_running_loop().call_soon(draw, "callback")
        await news.receive()
    await task
    return drawn


def first_of(uid: str, place: str, count: int) -> list[float]:
    """As journals that exist have it: the seeds must never change."""
    stream = random.Random(f"{uid}/0/{place}")
    return [stream.random() for _ in range(count)]


def test_each_task_and_the_callbacks_have_a_stream_of_chance_of_their_own() -> None:
    living = life(draws)
    for _ in range(2):
        living.tell(said(1))
    living.fire()
    living.fire()
    streams = {"body": "", "task": "1.", "callback": "callbacks"}
    assert living.value == {name: first_of(UID, place, 2) for name, place in streams.items()}


def test_after_a_fork_each_stream_is_the_executions_own() -> None:
    living = life(draws)
    living.tell(Forked("of-another", "y", "y", "1", "told.pay"))
    for _ in range(2):
        living.tell(said(1))
    living.fire()
    living.fire()
    for name, place in {"body": "", "task": "1.", "callback": "callbacks"}.items():
        (before,) = first_of(UID, place, 1)
        assert living.value[name] == [before, before], "drawn anew: here the uid is the same"


def test_a_fork_that_has_drawn_nothing_yet_may_do_so_later() -> None:
    async def draws_later() -> float:
        await news.receive()
        return amends.random().random()

    living = life(draws_later)
    living.tell(Forked("of-another", "y", "y", "1", "told.pay"))
    living.tell(said(1))
    assert [living.value] == first_of(UID, "", 1)


# ---------------------------------------------------------------- the log, and the thread


def test_what_nobody_retrieved_is_logged_with_the_execution_once(caplog: pytest.LogCaptureFixture) -> None:
    async def complains() -> None:
        handler = asyncio.get_running_loop().call_exception_handler
        handler({"message": "something broke", "exception": error})
        handler({})
        await news.receive()

    error = OSError("no")
    with caplog.at_level(logging.ERROR, "amends.saga"):
        living = life(complains)
        assert [record.getMessage() for record in caplog.records] == [
            "[x] something broke",
            "[x] unhandled error in saga code",
        ]
        first, second = caplog.records
        assert first.exc_info is not None
        assert first.exc_info[1] is error
        assert not second.exc_info
        living.replayed()
        assert len(caplog.records) == 2


def test_on_a_stage_the_thread_is_given_back_when_that_is_left() -> None:
    stage = Stage()
    with stage:
        living = Life(paying, stage=stage)
        assert living.live.program is not None
        assert asyncio._get_running_loop() is living.live.program.loop
    assert asyncio._get_running_loop() is None
