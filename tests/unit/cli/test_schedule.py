"""``amends schedule``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.unit.cli.conftest import Done

Amends = Callable[..., Done]
Order = Callable[[str], Path]


def test_a_schedule_is_added_listed_and_removed(amends: Amends, order: Order) -> None:
    order("completed")
    add = ("schedule", "add", "hourly", "app:other", "--every", "1h")
    done = amends(*add)
    assert (done.code, done.out) == (0, "hourly: starts shop.other\n")
    assert amends(*add).code == 0  # the same again
    done = amends("schedule", "list", "--json")
    assert (done.json["name"], done.json["saga"], done.json["every"]) == ("hourly", "shop.other", 3600.0)
    assert amends("schedule", "list").out == "hourly  shop.other  every 3600 s  not begun\n"
    done = amends("schedule", "add", "hourly", "app:other", "--every", "2h")
    assert done.code == 6
    assert "another schedule" in done.err
    assert amends("schedule", "remove", "hourly").out == "hourly: remove recorded\n"


def test_preview_needs_no_store(amends: Amends) -> None:
    done = amends("schedule", "preview", "--cron", "0 2 * * *", "--zone", "Europe/Berlin", "--count", "2")
    assert done.code == 0
    assert len(done.out.splitlines()) == 2
    assert all("+01:00" in line or "+02:00" in line for line in done.out.splitlines())


def test_mistakes(amends: Amends, order: Order) -> None:
    order("completed")
    assert "is no cron expression" in amends("schedule", "preview", "--cron", "x").err
    assert (
        "did you mean" in amends("schedule", "preview", "--cron", "* * * * *", "--zone", "Europe/Berln").err
    )
    assert "'soon' is no duration" in amends("schedule", "preview", "--every", "soon").err
    assert amends("schedule", "pause").code == 2
    done = amends("schedule", "pause", "nightly")
    assert (done.code, "there is no schedule 'nightly'" in done.err) == (3, True)
    assert amends("schedule", "add", "x", "app:othr", "--every", "1h").code == 2
