"""The circuit breaker: when it opens, who may probe, what it remembers; on a clock of the test's own."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import amends
from amends import NotSent, NotYet, Rejected
from amends.definition.context import CURRENT, Current
from amends.participants.breaker import Breaker, CircuitOpen
from amends.participants.failures import TryLater, UnknownOutcome


class Clock:
    def __init__(self) -> None:
        self.at = 1_000.0

    def now(self) -> float:
        return self.at

    monotonic = now


class Bench:
    """A breaker and its clock."""

    def __init__(self, file: Path | None = None, clock: Clock | None = None, **options: Any) -> None:
        self.clock = clock or Clock()
        options = {"failures": 3, "wait": 10, "longest": 100, "jitter": 0, **options}
        self.breaker = Breaker("bank", file=file, clock=self.clock, chance=random.Random(1), **options)

    def call(self, error: BaseException | None = None) -> str:
        """One call that ends so: ``ok``, ``failed`` or ``held``."""
        try:
            with self.breaker.guard():
                if error is not None:
                    raise error
        except CircuitOpen:
            return "held"
        except BaseException as raised:
            assert raised is error
            return "failed"
        return "ok"

    def break_it(self) -> None:
        for _ in range(3):
            assert self.call(NotSent("no")) == "failed"
        assert self.breaker.state == "opened"


OUTAGES = [NotSent(""), UnknownOutcome(""), TryLater("", outage=True), TimeoutError(), ConnectionResetError()]
ANSWERS = [Rejected("no"), TryLater("slow down"), ValueError("a bug of the caller's")]
CUT_OFF = [asyncio.CancelledError(), KeyboardInterrupt(), NotYet("", retry_after=1)]


@pytest.mark.parametrize("error", OUTAGES, ids=repr)
def test_failures_in_a_row_open_it(error: Exception) -> None:
    bench = Bench()
    assert [bench.call(error) for _ in range(5)] == ["failed"] * 3 + ["held"] * 2


@pytest.mark.parametrize("error", [*ANSWERS, None], ids=repr)
def test_an_answer_is_no_failure_and_ends_the_row(error: Exception | None) -> None:
    bench = Bench()
    for _ in range(5):
        bench.call(NotSent(""))
        bench.call(NotSent(""))
        bench.call(error)
    assert bench.breaker.state == "closed"


@pytest.mark.parametrize("error", CUT_OFF, ids=repr)
def test_a_call_that_was_cut_off_says_nothing(error: BaseException) -> None:
    bench = Bench()
    for _ in range(9):
        bench.call(error)
    assert bench.breaker.state == "closed"
    bench.call(NotSent(""))
    bench.call(error)
    bench.call(NotSent(""))
    bench.call(NotSent(""))
    assert bench.breaker.state == "opened", "nor does it end the row"


def test_a_step_that_its_own_timeout_cut_off_does_say_something() -> None:
    bench = Bench()
    token = CURRENT.set(Current("id", "uid", 0, "saga", "step", "1", 1, deadline_at=bench.clock.at))
    try:
        bench.call(asyncio.CancelledError())
        bench.call(asyncio.CancelledError())
        bench.call(asyncio.CancelledError())
    finally:
        CURRENT.reset(token)
    assert bench.breaker.state == "opened"


def test_one_probe_closes_it_and_only_one_is_let_through() -> None:
    bench = Bench()
    bench.break_it()
    bench.clock.at += 9.9
    assert bench.call() == "held"
    bench.clock.at += 0.2
    with bench.breaker.guard():
        assert bench.breaker.state == "half-opened"
        assert [bench.call() for _ in range(100)] == ["held"] * 100
    assert bench.breaker.state == "closed"
    assert bench.call() == "ok"


def test_a_probe_that_fails_opens_it_for_twice_as_long_up_to_a_limit() -> None:
    bench = Bench()
    bench.break_it()
    waits = []
    for _ in range(6):
        began = bench.clock.at
        while bench.call(NotSent("")) == "held":
            bench.clock.at += 1
        waits.append(bench.clock.at - began)
    assert waits == [10, 20, 40, 80, 100, 100]
    bench.clock.at += 101
    bench.call()
    bench.break_it()
    bench.clock.at += 10.1
    assert bench.call() == "ok", "once closed, it begins anew"


@pytest.mark.parametrize("error", CUT_OFF, ids=repr)
def test_a_probe_that_was_cut_off_leaves_its_place(error: BaseException) -> None:
    bench = Bench()
    bench.break_it()
    bench.clock.at += 11
    assert bench.call(error) == "failed"
    assert bench.breaker.state == "half-opened"
    assert bench.call() == "ok"
    assert bench.breaker.state == "closed"


def test_late_answers_count_for_nothing() -> None:
    """Of calls that began before it opened: neither does a success close it, nor a failure open it again."""
    bench = Bench()
    late_success, late_failure = bench.breaker.guard(), bench.breaker.guard()
    late_success.__enter__()
    late_failure.__enter__()
    bench.break_it()
    late_success.__exit__(None, None, None)
    assert bench.breaker.state == "opened"
    bench.clock.at += 11
    with bench.breaker.guard():
        assert not late_failure.__exit__(NotSent, NotSent(""), None)
        assert bench.breaker.state == "half-opened", "the probe decides"
        assert bench.call() == "held", "and it still has the place"
    assert bench.breaker.state == "closed"


def test_how_long_to_hold() -> None:
    bench = Bench(jitter=0.5)
    for _ in range(3):
        bench.call(NotSent(""))
    waits = []
    for _ in range(200):
        with pytest.raises(
            CircuitOpen, match="bank is not called at the moment: it has been failing"
        ) as caught:
            bench.breaker.guard().__enter__()
        waits.append(caught.value.retry_after)
    assert isinstance(caught.value, NotYet)
    assert min(waits) > 5, "not before it lets a probe through"
    assert max(waits) < 10 + 5 + 0.1
    assert max(waits) - min(waits) > 4, "spread, so that they do not come all at once"


def test_it_is_closed_by_hand() -> None:
    bench = Bench()
    bench.break_it()
    bench.breaker.reset()
    assert bench.call() == "ok"


@pytest.mark.parametrize("error", OUTAGES, ids=repr)
def test_the_attempt_of_a_failed_probe_does_not_count(error: Any) -> None:
    """Else an outage would use up the attempts of one saga after another, though each was told to hold."""
    error = TryLater("again", outage=True) if isinstance(error, TryLater) else type(error)("again")
    bench = Bench()
    for _ in range(3):
        bench.call(before := NotSent(""))
        assert getattr(before, "counts", True), "those that open it do count"
    bench.clock.at += 11
    bench.call(error)
    assert bench.breaker.state == "opened"
    assert error.counts is False
    assert error.retry_after == pytest.approx(20, abs=0.1)


# ---------------------------------------------------------------- memory


def test_its_state_outlives_the_process(tmp_path: Path) -> None:
    file, clock = tmp_path / "bank.json", Clock()
    Bench(file, clock).break_it()

    again = Bench(file, clock)
    assert again.breaker.state == "opened"
    assert again.call() == "held"
    clock.at += 10.1
    assert again.call(NotSent("")) == "failed"

    third = Bench(file, clock)
    clock.at += 15
    assert third.call() == "held", "the failed probe counts too"
    clock.at += 5.1
    assert third.call() == "ok"
    assert Bench(file, clock).breaker.state == "closed"
    assert [p.name for p in tmp_path.iterdir()] == ["bank.json"]


def test_a_process_that_dies_with_its_probe_leaves_it_open(tmp_path: Path) -> None:
    file, clock = tmp_path / "bank.json", Clock()
    bench = Bench(file, clock)
    bench.break_it()
    clock.at += 11
    guard = bench.breaker.guard()
    guard.__enter__()
    again = Bench(file, clock)
    assert again.breaker.state == "opened"
    with again.breaker.guard():
        assert again.call() == "held"
    assert again.breaker.state == "closed"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"state": 3}', b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_a_closed_breaker_with_a_warning(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "bank.json"
    file.write_bytes(content)
    bench = Bench(file)
    assert bench.call() == "ok"
    assert "its file cannot be read" in caplog.text
    bench.break_it()
    assert Bench(file, bench.clock).breaker.state == "opened"


def test_a_file_that_cannot_be_written_is_said_and_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Bench(tmp_path / "nowhere" / "bank.json").break_it()
    assert "its state was not written" in caplog.text


def test_a_clock_that_was_set_back_does_not_hold_it_open_for_ever(tmp_path: Path) -> None:
    file, clock = tmp_path / "bank.json", Clock()
    clock.at = 9_999_999.0
    Bench(file, clock).break_it()
    clock.at = 1_000.0
    bench = Bench(file, clock)
    clock.at += 101
    assert bench.call() == "ok"


# ---------------------------------------------------------------- laws


@given(st.lists(st.tuples(st.sampled_from(["ok", "down", "cut"]), st.floats(0, 30)), max_size=60))
def test_whatever_happens_it_lets_a_call_through_after_the_longest_wait(
    events: list[tuple[str, float]],
) -> None:
    bench = Bench(jitter=0.3)
    errors = {"ok": None, "down": NotSent(""), "cut": asyncio.CancelledError()}
    for what, pause in events:
        bench.call(errors[what])
        bench.clock.at += pause
    bench.clock.at += 100.1
    assert bench.call() == "ok"
    assert bench.breaker.state == "closed"


def test_threads_find_one_probe_between_them() -> None:
    bench = Bench()
    bench.break_it()
    bench.clock.at += 11
    through, gate = [], threading.Barrier(8)

    def knock() -> None:
        gate.wait()
        try:
            with bench.breaker.guard():
                through.append(1)
                ready.wait(5)
        except CircuitOpen:
            held.append(1)
            if len(held) == 7:
                ready.set()

    held: list[int] = []
    ready = threading.Event()
    threads = [threading.Thread(target=knock) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(through), len(held)) == (1, 7)


@pytest.mark.parametrize("wrong", [{"failures": 0}, {"jitter": 2}, {"wait": 0}, {"wait": -1}])
def test_nonsense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(amends.DefinitionError):
        Breaker("bank", **wrong)


def test_changes_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "amends.participants")
    bench = Bench()
    bench.break_it()
    bench.clock.at += 11
    bench.call()
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "breaker bank is open: no calls for 10.0 s",
        "breaker bank: one call goes through",
        "breaker bank is closed again",
    ]
