"""Policies: durations, retries, error types. Waits are bounded and grow to their cap."""

from __future__ import annotations

import math
import random
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from amends import DefinitionError, Kind, Outcome, Recovery, Rejected, Retry
from amends.definition.policy import DEFAULT_RETRY, UNDO_RETRY, error_types, seconds

RETRIES = st.builds(
    Retry,
    attempts=st.none() | st.integers(1, 1000),
    delay=st.floats(0, 1000),
    factor=st.floats(1, 10),
    cap=st.floats(0, 10_000),
    jitter=st.floats(0, 1),
    total=st.none() | st.floats(0.001, 100_000),
)
ATTEMPTS = st.integers(1, 10_000)
TIMES = st.floats(0, 4e9)


class Always(random.Random):
    """Chance that always gives the same number."""

    def __init__(self, value: float) -> None:
        super().__init__(0)
        self.value = value

    def random(self) -> float:
        return self.value


# ---------------------------------------------------------------- Retry


@given(RETRIES, ATTEMPTS, st.integers())
def test_a_wait_is_never_negative_and_never_over_the_cap(retry: Retry, attempt: int, seed: int) -> None:
    wait = retry.wait(attempt, random.Random(seed))
    assert math.isfinite(wait)
    assert 0 <= wait <= retry.cap


@given(RETRIES, ATTEMPTS)
def test_without_chance_waits_grow_up_to_the_cap(retry: Retry, attempt: int) -> None:
    longest = Always(0.0)  # jitter shortens
    assert retry.wait(attempt, longest) <= retry.wait(attempt + 1, longest)
    assert retry.wait(1, longest) == min(retry.cap, retry.delay)


@given(RETRIES, ATTEMPTS, st.integers())
def test_jitter_shortens_by_at_most_its_fraction(retry: Retry, attempt: int, seed: int) -> None:
    full = retry.wait(attempt, Always(0.0))
    wait = retry.wait(attempt, random.Random(seed))
    assert full * (1 - retry.jitter) <= wait * (1 + 1e-12) + 1e-12
    assert wait <= full


def test_waits_double_until_the_cap() -> None:
    retry = Retry(delay=1, factor=2, cap=10, jitter=0)
    assert [retry.wait(n, random.Random(1)) for n in range(1, 7)] == [1, 2, 4, 8, 10, 10]


@given(RETRIES, ATTEMPTS, TIMES, st.floats(0, 1e6), st.integers())
def test_next_is_in_the_future_and_within_attempts_and_total(
    retry: Retry, attempt: int, since: float, later: float, seed: int
) -> None:
    now = since + later
    due = retry.next(attempt, ValueError(), since, now, random.Random(seed))
    if due is None:
        used_up = retry.attempts is not None and attempt >= retry.attempts
        assert used_up or retry.total is not None
    else:
        assert now <= due <= now + retry.cap
        assert retry.attempts is None or attempt < retry.attempts
        assert retry.total is None or due <= since + retry.total


@given(RETRIES, TIMES)
def test_attempts_come_to_an_end(retry: Retry, now: float) -> None:
    assume(retry.attempts is not None)
    assert retry.attempts is not None
    assert retry.next(retry.attempts, ValueError(), now, now, Always(0.5)) is None


def test_the_first_attempt_counts() -> None:
    assert Retry(attempts=1).next(1, ValueError(), 0, 0, Always(0)) is None
    assert Retry(attempts=2).next(1, ValueError(), 0, 0, Always(0)) is not None


def test_no_attempt_starts_after_the_total() -> None:
    retry = Retry(attempts=None, delay=1, factor=1, jitter=0, total=10)
    assert retry.next(5, ValueError(), since=100, now=109, chance=Always(0)) == 110
    assert retry.next(5, ValueError(), since=100, now=109.5, chance=Always(0)) is None


def test_on_and_never_choose_by_class() -> None:
    retry = Retry(on=(OSError, ValueError), never=(FileNotFoundError,))
    assert retry.allows(ConnectionResetError())
    assert retry.allows(ValueError())
    assert not retry.allows(FileNotFoundError())
    assert not retry.allows(KeyError())
    assert retry.next(1, KeyError(), 0, 0, Always(0)) is None


def test_on_and_never_are_checked_when_declared() -> None:
    assert Retry(on=[OSError]) == Retry(on=(OSError,))
    with pytest.raises(DefinitionError, match="Retry: on takes exception classes, got 'OSError'"):
        Retry(on=("OSError",))


def test_control_flow_is_not_retried_by_default() -> None:
    assert not Retry().allows(KeyboardInterrupt())
    assert Retry().allows(Rejected("no"))  # a rejection is final for another reason; see the worker


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"attempts": 0}, "attempts must be at least 1"),
        ({"attempts": "3"}, "attempts must be at least 1"),
        ({"delay": -1}, "delay must be a number of seconds, not negative"),
        ({"delay": math.nan}, "delay must be a number of seconds, not negative"),
        ({"delay": timedelta(1)}, "delay must be a number of seconds, not negative"),
        ({"delay": math.inf}, "delay must be a number of seconds, not negative"),
        ({"factor": 0.5}, "factor must be at least 1"),
        ({"factor": 10_001}, "factor must be at least 1"),
        ({"cap": -1}, "cap must be a number of seconds, not negative"),
        ({"jitter": 1.5}, "jitter must be between 0 and 1"),
        ({"jitter": -0.1}, "jitter must be between 0 and 1"),
        ({"total": 0}, "total must be a positive number of seconds"),
    ],
)
def test_wrong_numbers_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(DefinitionError, match=f"Retry: {said}"):
        Retry(**options)


def test_however_steep_and_however_late_a_wait_is_a_number() -> None:
    steep = Retry(attempts=None, delay=1e9, factor=10_000, cap=math.inf, jitter=0.0)
    assert math.isfinite(steep.wait(1_000_000, random.Random(0)))


def test_the_defaults_are_sane() -> None:
    assert DEFAULT_RETRY.attempts == 3
    assert UNDO_RETRY.attempts == 10


def test_a_retry_is_a_value() -> None:
    assert Retry(attempts=2) == Retry(attempts=2)
    assert len({Retry(attempts=2), Retry(attempts=2)}) == 1
    with pytest.raises(AttributeError):
        Retry().attempts = 5


# ---------------------------------------------------------------- durations and error types


@pytest.mark.parametrize(
    ("given_", "expected"), [(None, None), (3, 3.0), (0.5, 0.5), (timedelta(minutes=1), 60.0)]
)
def test_durations_are_seconds_or_timedeltas(given_: Any, expected: float | None) -> None:
    assert seconds(given_, "timeout") == expected


@pytest.mark.parametrize("given_", [0, -1, -0.0, timedelta(0), timedelta(days=-1), "3", True, math.nan, [3]])
def test_other_durations_are_refused(given_: Any) -> None:
    with pytest.raises(
        DefinitionError, match="timeout must be a positive number of seconds or a timedelta"
    ) as caught:
        seconds(given_, "timeout")
    assert caught.value.hint == "for no limit leave it out"


def test_error_types_are_classes() -> None:
    assert error_types(None, "rejects") == ()
    assert error_types(ValueError, "rejects") == (ValueError,)
    assert error_types([ValueError, KeyError], "rejects") == (ValueError, KeyError)
    for wrong in (ValueError("x"), [int], ["ValueError"], "ValueError", 3):
        with pytest.raises(DefinitionError, match="rejects takes exception classes"):
            error_types(wrong, "rejects")


def test_policies_are_words() -> None:
    assert Kind("perfect") is Kind.PERFECT
    assert Outcome.UNKNOWN == "unknown"
    assert [str(way) for way in Recovery] == ["backward", "forward", "ask", "halt"]
