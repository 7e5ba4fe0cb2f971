"""``amends pause --saga``, ``--all``, ``amends resume`` and ``amends pauses``."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from amends.cli.exits import Exit
from tests.unit.cli import shop
from tests.unit.cli.conftest import Done

Amends = Callable[..., Done]
Order = Callable[[str], Path]
NAME = "shop.place_order"


def test_a_saga_stands_still_and_goes_on(order: Order, amends: Amends) -> None:
    folder = order("waiting")
    done = amends("pause", "--saga", NAME, "-r", "the bank is closed", "--by", "ann")
    assert done.out.startswith(f"saga {NAME} stands still since ")
    assert done.out.endswith(" by ann: the bank is closed\n")
    again = amends("pause", "--saga", NAME, "-r", "me too", "--by", "bob", "--json").json
    assert (again["action"], again["done"], again["paused"]["by"]) == ("pause", True, "ann")
    with shop.worker(folder):
        amends("send", "order-1001", "approved", "--value", '{"by": "ada"}')
        shown = amends("show", "order-1001")
        assert f"saga {NAME} stands still since" in shown.out.replace("\n", " ")
        assert "running" in shown.out
        assert amends("show", "order-1001", "--json").json["saga_paused"]["reason"] == "the bank is closed"
        assert "saga paused" in amends("list").out
        (listed,) = amends("list", "--json").lines
        assert (listed["saga_paused"]["saga"], listed["paused"], listed["cause"]) == (NAME, None, "")
        doctor = amends("doctor").out
        assert f"saga {NAME} stands still" in doctor.replace("\n", " ")
        assert "none waits" in doctor, "what is paused is not late"
        assert amends("resume", "--saga", NAME, "--by", "bob").out == f"saga {NAME} goes on\n"
        while "completed" not in amends("show", "order-1001").out:
            time.sleep(0.05)
    assert amends("pauses").out == ""
    assert amends("resume", "--saga", NAME).out == f"saga {NAME} was not paused\n"
    told = [
        (one["saga"], one["action"], one["by"])
        for one in amends("pauses", "--saga", NAME, "--audit", "--json").lines
    ]
    assert told == [(NAME, "pause", "ann"), (NAME, "resume", "bob")]


def test_all_of_the_namespace(order: Order, amends: Amends) -> None:
    order("waiting")
    assert amends("pause", "--all", "-r", "moving", "--by", "ann").out.startswith(
        "namespace default stands still"
    )
    amends("pause", "--saga", NAME, "-r", "and this", "--by", "ann")
    assert [one["saga"] for one in amends("pauses", "--json").lines] == ["", NAME]
    assert amends("--help").code == 0
    resumed = amends("resume", "--saga", NAME)
    assert resumed.out.splitlines()[0] == f"saga {NAME} goes on"
    assert "namespace default stands still" in resumed.out, "it still does not go on"
    assert "namespace paused" in amends("list").out
    assert amends("pauses", "--namespace", "other").out == ""
    assert amends("resume", "--all").out == "namespace default goes on\n"
    assert "namespace default  pause by ann: moving" in amends("pauses", "--audit").out


def test_mistakes(order: Order, amends: Amends) -> None:
    order("waiting")
    for given in ([], ["order-1001", "--all"], ["--saga", NAME, "--all"]):
        done = amends("pause", *given, "-r", "why")
        assert (done.code, "one of these" in done.err) == (Exit.USAGE, True)
    unknown = amends("pause", "--saga", "place_order", "-r", "why")
    assert (unknown.code, f"did you mean '{NAME}'?" in unknown.err) == (Exit.NOT_FOUND, True)
    misspelt = amends("resume", "--saga", "shop.plaec_order", "--json")
    assert misspelt.error["hint"].startswith(f"did you mean '{NAME}'")
    assert amends("pause", "--saga", "", "-r", "why").code == Exit.REFUSED
    assert amends("pauses").out == ""
