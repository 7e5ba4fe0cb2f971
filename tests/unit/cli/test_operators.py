"""What operators do, with a worker that does it; and what they are asked before."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.cli import shop
from tests.unit.cli.conftest import Done

Amends = Callable[..., Done]
Order = Callable[[str], Path]


def audit(amends: Amends) -> list[dict[str, str]]:
    found: list[dict[str, str]] = amends("show", "order-1001", "--json").json["audit"]
    return [{key: one[key] for key in ("by", "action", "reason", "detail")} for one in found]


def test_retry_once_the_cause_is_gone(order: Order, amends: Amends) -> None:
    folder = order("stuck")
    (folder / "repaired").touch()
    with shop.worker(folder):
        done = amends(
            "retry", "order-1001", "--action", "1", "--wait", "-r", "payment is back", "--by", "bob"
        )
    assert done.code == 1  # compensated is not completed
    assert done.out == "order-1001 compensated (failed)\n"
    assert audit(amends) == [{"by": "bob", "action": "retry", "reason": "payment is back", "detail": "1"}]


def test_retry_while_it_is_not_gone(order: Order, amends: Amends) -> None:
    with shop.worker(order("stuck")):
        assert amends("retry", "order-1001", "--wait").code == 4


def test_resolve_a_held_step_with_its_result(order: Order, amends: Amends) -> None:
    with shop.worker(order("held")):
        given = ["resolve", "order-1001", "--action", "3", "--value", '"parcel-by-hand"', "-r", "sent"]
        done = amends(*given, "--wait", "--json")
    assert done.code == 0
    assert done.json["result"] == "parcel-by-hand"
    assert audit(amends)[0]["by"] == "ada"


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("held", ["resolve", "order-1001", "--action", "3", "--value", '"by hand"', "-r", "sent"]),
        ("held", ["skip", "order-1001", "--action", "3", "-r", "never mind", "--yes"]),
        ("stuck", ["resolve", "order-1001", "-r", "paid back"]),
    ],
)
def test_what_was_settled_shows_no_error(order: Order, amends: Amends, kind: str, given: list[str]) -> None:
    """The one for which it had waited for a person is over."""
    folder = order(kind)
    before = str(amends("show", "order-1001", "--json").json["steps"])
    (folder / "repaired").touch()  # what else is undone meets no error
    with shop.worker(folder):
        amends(*given, "--wait")
    shown = amends("show", "order-1001", "--json").json["steps"]
    settled = [each for each in shown if str(each["state"]) == "succeeded"]
    assert len(settled) >= 2
    errors = [each["error"] for each in settled] + [each["undo"]["error"] for each in settled if each["undo"]]
    assert "'message'" in before
    assert errors == [None] * len(errors)


def test_a_compensation_that_was_tried_again_shows_no_error(order: Order, amends: Amends) -> None:
    folder = order("stuck")
    (folder / "repaired").touch()
    with shop.worker(folder):
        amends("retry", "order-1001", "--wait", "-r", "payment is back")
    undone = [each["undo"] for each in amends("show", "order-1001", "--json").json["steps"] if each["undo"]]
    assert [(each["state"], each["error"]) for each in undone] == [("undone", None)] * 2


def test_resolve_is_checked_against_the_step_with_app(order: Order, amends: Amends) -> None:
    order("held")
    done = amends("resolve", "order-1001", "--value", "7", "-r", "sent", "--app", "app")
    assert done.code == 2
    assert "shop.ship" in done.err


def test_retry_with_new_arguments(order: Order, amends: Amends) -> None:
    order("held")
    given = ["retry", "order-1001", "--app", "app", "--args"]
    assert "--args lacks reservation" in amends(*given, '{"order": {"id": "1", "cents": 1}}').err
    assert "did you mean 'order'" in amends(*given, '{"ordr": 1}').err
    done = amends(*given, '{"order": {"id": "1", "cents": 1}, "reservation": "r"}')
    assert done.code == 6
    assert "may have had an effect" in done.err


def test_skip_leaves_residue(order: Order, amends: Amends) -> None:
    with shop.worker(order("stuck")):
        done = amends("skip", "order-1001", "-r", "refunded by hand", "--yes", "--wait")
    assert done.out == "order-1001 partially_compensated (failed)\n"
    page = amends("show", "order-1001").out
    assert "What remains\n  ■ charge (action 1): compensation skipped: refunded by hand" in page


def test_cancel_undoes(order: Order, amends: Amends) -> None:
    folder = order("waiting")
    (folder / "repaired").touch()
    with shop.worker(folder):
        done = amends("cancel", "order-1001", "-r", "called", "--wait")
    assert done.out == "order-1001 compensated (cancelled)\n"
    assert "cancel requested: called" in amends("show", "order-1001").out


def test_pause_and_resume(order: Order, amends: Amends) -> None:
    folder = order("waiting")
    amends("pause", "order-1001", "-r", "the bank is closed", "--by", "ann")
    with shop.worker(folder):
        while "order-1001" not in amends("list", "--where", 'cause = "paused"', "--ids").out:
            time.sleep(0.05)
        shown = amends("show", "order-1001").out
        assert "running (paused)" in shown
        assert "by ann: the bank is closed" in shown
        assert "1 paused" in amends("doctor").out
        amends("resume", "order-1001", "--by", "bob")
        amends("send", "order-1001", "approved", "--value", '{"by": "ada"}')
        while "completed" not in amends("show", "order-1001").out:
            time.sleep(0.05)
    assert [(record["action"], record["by"]) for record in audit(amends)] == [
        ("pause", "ann"), ("resume", "bob"),
    ]  # fmt: skip


def test_terminate_undoes_nothing(order: Order, amends: Amends) -> None:
    with shop.worker(order("waiting")):
        assert amends("terminate", "order-1001", "-r", "test data", "--yes", "--wait").code == 1
    page = amends("show", "order-1001").out
    assert "test data (by ada); nothing was undone" in page
    again = amends("cancel", "order-1001", "-r", "late")
    assert again.code == 6
    assert "has ended (terminated)" in again.err


def test_send_ends_the_wait(order: Order, amends: Amends) -> None:
    folder = order("waiting")
    with shop.worker(folder) as engine:
        assert amends("send", "order-1001", "approved", "--value", '{"by": "ada"}').code == 0
        with shop.module(folder) as app:
            assert engine.wait(engine.engine.handle(app.place_order, "order-1001").result()) == "parcel-1001"  # type: ignore[attr-defined]


def test_a_signal_of_a_near_name_is_refused(order: Order, amends: Amends) -> None:
    order("waiting")
    done = amends("send", "order-1001", "aproved")
    assert done.code == 3
    assert "did you mean 'approved'?" in done.err
    assert amends("send", "order-1001", "aproved", "--force").code == 0
    assert "kept until it asks" in amends("send", "order-1001", "cancelled-by-courier").err


def test_a_signal_is_checked_with_app(order: Order, amends: Amends) -> None:
    order("waiting")
    assert "expected" in amends("send", "order-1001", "approved", "--app", "app", "--value", "7").err.lower()
    assert "declares no signal" in amends("send", "order-1001", "aproved", "--app", "app").err


@pytest.mark.parametrize("command", ["skip", "terminate"])
def test_what_cannot_be_taken_back_is_asked(
    command: str, order: Order, amends: Amends, monkeypatch: pytest.MonkeyPatch
) -> None:
    order("stuck")
    given = [command, "order-1001", "-r", "why not"]
    assert "add --yes" in amends(*given).err
    assert audit(amends) == []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    asked: list[str] = []
    for answer, code in ((False, 6), (True, 0)):
        monkeypatch.setattr(
            "click.confirm", lambda question, answer=answer, **_: asked.append(question) or answer
        )
        assert amends(*given).code == code
    assert "order-1001" in asked[0]
    assert [one["action"] for one in audit(amends)] == [command]


def test_each_of_several_is_done_and_the_worst_code_counts(order: Order, amends: Amends) -> None:
    order("stuck")
    done = amends("retry", "order-1001", "order-1002", "--json")
    assert done.code == 3
    assert [one["id"] for one in done.lines] == ["order-1001"]
    assert done.error["id"] == "order-1002"


def test_a_missing_reason_is_asked_for(order: Order, amends: Amends) -> None:
    order("stuck")
    for command in ("cancel", "skip", "resolve", "terminate"):
        done = amends(command, "order-1001")
        assert done.code == 2
        assert "--reason" in done.err


def test_nobody_serves_is_said(order: Order, amends: Amends) -> None:
    folder = order("stuck")
    assert "nobody serves this store: amends worker\n" in amends("retry", "order-1001").err
    (folder / "pyproject.toml").unlink()
    said = amends("retry", "order-1001", "--store", "sqlite:///orders.db").err
    assert "amends worker --store sqlite:///orders.db MODULE" in said
    with shop.worker(folder):
        assert "nobody" not in amends("retry", "order-1001", "--store", "sqlite:///orders.db").err


def test_an_operator_needs_no_code(order: Order, amends: Amends) -> None:
    folder = order("stuck")
    (folder / "app.py").unlink()
    for given in (
        ["list"],
        ["show", "order-1001"],
        ["history", "order-1001"],
        ["retry", "order-1001"],
        ["resolve", "order-1001", "-r", "x"],
        ["skip", "order-1001", "-r", "x", "--yes"],
        ["cancel", "order-1001", "-r", "x"],
        ["send", "order-1001", "approved"],
        ["terminate", "order-1001", "-r", "x", "--yes"],
    ):
        assert amends(*given).code == 0, given


def test_fork_goes_on_in_a_new_one(order: Order, amends: Amends) -> None:
    folder = order("compensated")
    (folder / "repaired").touch()
    with shop.worker(folder):
        given = ["fork", "order-1001", "--step", "reserve", "--reason", "a courier was found", "--by", "bob"]
        refused = amends(*given)
        assert refused.code == 6
        assert "shop.charge (action 1), begun before shop.reserve (action 2), was undone" in refused.err
        given[3] = "charge"
        done = amends(*given, "--wait")
        assert done.code == 1
        assert done.out == "order-1001-fork compensated (failed)\n"
        again = amends(*given, "--json").json
        assert (again["id"], again["forked_from"], again["action"]) == (
            "order-1001-fork",
            "order-1001",
            "fork",
        )
        assert amends("fork", "order-1001", "--step", "chrage").code == 3
    (record,) = audit(amends)
    assert record == {
        "by": "bob",
        "action": "fork",
        "reason": "a courier was found",
        "detail": "order-1001-fork",
    }


def test_the_two_tell_of_each_other(order: Order, amends: Amends) -> None:
    order("compensated")
    done = amends(
        "fork", "order-1001", "--step", "charge", "--id", "order-1002", "-r", "mended", "--by", "bob"
    )
    assert done.out == "order-1001: forked as order-1002\n"
    assert "nobody serves this store" in done.err
    page = amends("show", "order-1001").out
    assert "forked as  order-1002" in " ".join(page.split("\n")).replace("forked as   ", "forked as  ")
    assert "bob: fork as order-1002, mended" in page
    assert amends("show", "order-1001", "--json").json["forked_as"] == "order-1002"
    assert "it was forked, as order-1002" in amends("history", "order-1001").err
    page = amends("show", "order-1002").out
    assert "forked from  order-1001" in page
    assert "forked: from order-1001 before shop.charge (action 1): mended (by bob)" in page
    found = amends("show", "order-1002", "--json").json
    assert (found["forked_from"], found["forked_as"]) == ("order-1001", None)
    assert "forked" in amends("history", "order-1002").out
    assert amends("show", "order-1001", "--json").json["forked_from"] is None
