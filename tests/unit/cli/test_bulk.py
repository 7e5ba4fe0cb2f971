"""``amends bulk``: asks, says what it does, and stops for nobody's refusal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.cli import shop
from tests.unit.cli.conftest import Done

Amends = Callable[..., Done]
Order = Callable[[str], Path]


def test_a_dry_run_changes_nothing(amends: Amends, order: Order) -> None:
    order("stuck")
    done = amends("bulk", "retry", "--status", "attention", "--dry-run")
    assert done.code == 0
    assert done.out == "order-1001  attention  shop.place_order\n1 execution would be asked to retry\n"
    assert amends("show", "order-1001", "--json").json["audit"] == []


def test_it_acts_and_is_audited(amends: Amends, order: Order, tmp_path: Path) -> None:
    folder = order("stuck")
    (tmp_path / "repaired").touch()
    where = 'attributes.customer = "42"'
    with shop.worker(folder):
        done = amends(
            "bulk", "retry", "--where", where, "--reason", "repaired", "--by", "ann", "--yes", "--json"
        )
    assert (done.json["id"], done.json["done"], done.json["action"], done.json["dry_run"]) == (
        "order-1001", True, "retry", False,
    )  # fmt: skip
    (record,) = amends("show", "order-1001", "--json").json["audit"]
    assert (record["by"], record["action"], record["reason"]) == ("ann", "retry", "repaired")


def test_it_must_be_confirmed(amends: Amends, order: Order) -> None:
    order("stuck")
    done = amends("bulk", "skip", "--saga", "shop.place_order", "--reason", "x")
    assert done.code == 2
    assert "nobody can be asked here: Skip 1 execution?" in done.err
    assert (
        amends("bulk", "skip", "--saga", "shop.other", "--reason", "x").out == "0 executions asked to skip\n"
    )


def test_refusals_are_told(amends: Amends, order: Order) -> None:
    order("completed")
    done = amends("bulk", "cancel", "--status", "completed", "--reason", "x", "--yes")
    assert done.code == 6
    assert done.out == "0 executions asked to cancel; 1 refused\n"
    assert "order-1001: order-1001 has ended (completed); there is nothing to cancel" in done.err


def test_everything_must_be_said(amends: Amends, order: Order) -> None:
    order("stuck")
    done = amends("bulk", "retry", "--yes")
    assert done.code == 2
    assert "--all" in done.err
    assert amends("bulk", "retry", "--all", "--yes").out == "1 execution asked to retry\n"


def test_where_to_go_on_is_said(amends: Amends, order: Order, monkeypatch: pytest.MonkeyPatch) -> None:
    order("stuck")
    uid = amends("show", "order-1001", "--json").json["uid"]

    def broken(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("amends.cli.commands.bulk._tell", broken)
    done = amends("bulk", "retry", "--all", "--yes")
    assert done.code == 130
    assert f"go on with --after {uid}" in done.err
