"""Settings with which a worker would stand still, or run in circles, are refused where they are made."""

from __future__ import annotations

import math
from typing import Any

import pytest

from amends import DefinitionError, Settings


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        *((name, 0, "a whole number, at least 1") for name in ("steps", "threads", "batch", "claim", "live")),
        ("steps", "5", "a whole number, at least 1"),
        ("threads", 1.5, "a whole number, at least 1"),
        ("batch", True, "a whole number, at least 1"),
        ("resident", -1, "a whole number, not negative"),
        ("poll", 0, "seconds, at least 0.001"),
        ("poll", None, "seconds, at least 0.001"),
        ("lease", 0.0, "seconds, at least 0.001"),
        ("linger", -1, "seconds, not negative"),
        ("linger", math.inf, "seconds, not negative"),
        ("grace", math.nan, "seconds, not negative"),
        ("retention", -1.0, "seconds, not negative, or None"),
    ],
)
def test_what_cannot_work_is_refused(name: str, value: Any, expected: str) -> None:
    with pytest.raises(DefinitionError) as raised:
        Settings(**{name: value})
    assert raised.value.message == f"Settings({name}={value!r}): expected {expected}"


def test_what_can_work_is_taken() -> None:
    made = Settings(steps=1, resident=0, linger=5, grace=0, retention=0.0, poll=0.001)
    assert made.steps == 1
