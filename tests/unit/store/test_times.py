"""Options and settings with which nothing could work are refused when they are given, not found by a worker that spins."""

from __future__ import annotations

import math
from typing import Any

import pytest

from amends import Settings
from amends.errors import DefinitionError, StoreError
from amends.store.url import open_store

POSTGRES = [
    f"postgresql://shop@localhost/shop?{name}={text}"
    for name in ("lease", "look", "patience", "answer", "step_seconds")
    for text in ("0", "-1", "nan", "inf", "1e12")
]
MORE = ["postgresql://shop@localhost/shop?orphaned=-1", "postgresql://shop@localhost/shop?orphaned=nan"]
SQLITE = [
    f"sqlite:///shop.db?{each}"
    for each in ("patience=-1", "patience=nan", "standby_poll=-1", "step_seconds=0", "max_pages=0")
]


@pytest.mark.parametrize("url", [*POSTGRES, *MORE, *SQLITE])
def test_an_option_that_is_no_time_is_refused(url: str) -> None:
    name = url.rpartition("?")[2].partition("=")[0]
    with pytest.raises(StoreError, match=f"{name}=.*expected") as caught:
        open_store(url)
    assert caught.value.hint


@pytest.mark.parametrize(
    "given",
    [
        {"steps": 0},
        {"threads": 0},
        {"batch": 0},
        {"claim": -1},
        {"live": 0},
        {"poll": 0},
        {"poll": math.nan},
        {"lease": 0.0},
        {"grace": -1.0},
        {"grace": math.inf},
        {"linger": -1},
        {"resident": "many"},
    ],
    ids=str,
)
def test_a_setting_with_which_no_worker_can_work_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError, match=r"Settings.*expected") as caught:
        Settings(**given)
    assert caught.value.hint


def test_the_least_of_each_is_allowed() -> None:
    Settings(steps=1, threads=1, batch=1, claim=1, live=1, resident=0, linger=0, grace=0)
    open_store("postgresql://shop@localhost/shop?orphaned=0&lease=0.5")
    open_store("sqlite:///shop.db?patience=0&standby_poll=0")
