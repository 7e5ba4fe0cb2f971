"""How many actions at once, and how deep: where the limits lie, and what is told past them."""

from __future__ import annotations

import math
from typing import Any

import pytest

from amends.errors import DefinitionError, Refused
from amends.kernel.limits import Limits


def test_as_many_actions_in_flight_as_allowed_and_no_more() -> None:
    limits = Limits(fan_out=1_000)
    limits.check_fan_out(999, "pay()")
    with pytest.raises(Refused) as refused:
        limits.check_fan_out(1_000, "pay()")
    assert refused.value.message == "pay() would be action number 1,001 in flight, the limit is 1,000"
    assert refused.value.hint == "await some first (a Semaphore helps), or raise Limits(fan_out=…)"


def test_as_deep_as_allowed_and_no_deeper() -> None:
    limits = Limits(depth=3)
    limits.check_depth(3, "shop")
    with pytest.raises(Refused) as refused:
        limits.check_depth(4, "shop")
    assert refused.value.message == "shop would be nested 4 deep, the limit is 3"
    assert refused.value.hint == "use continue_as_new for recursion, or raise Limits(depth=…)"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("payload", "a", "a whole number"),
        ("rows", 0, "a whole number"),
        ("fan_out", 1.5, "a whole number"),
        ("depth", True, "a whole number"),
        ("seconds", 0.0, "seconds"),
        ("seconds", math.inf, "seconds"),
        ("deaths", -1, "a whole number"),
    ],
)
def test_limits_with_which_nothing_runs_are_refused(name: str, value: Any, expected: str) -> None:
    with pytest.raises(DefinitionError) as raised:
        Limits(**{name: value})
    assert raised.value.message == f"Limits({name}={value!r}): expected {expected}, more than 0"
