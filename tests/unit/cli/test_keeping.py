"""``amends retain``, ``export`` and ``import``."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from amends.cli import main
from tests.unit.cli.conftest import Done

Amends = Callable[..., Done]
Order = Callable[[str], Path]


def test_what_is_old_goes_into_the_archive_and_comes_back(
    amends: Amends, order: Order, tmp_path: Path
) -> None:
    order("gift")
    before = amends("show", "order-1001", "--json").json
    done = amends("retain", "--older-than", "0s", "--dry-run")
    assert (done.code, done.out) == (0, "1 execution would be deleted\n")
    asked = amends("retain", "--older-than", "0s")
    assert "nobody can be asked here: Delete 1 execution, without an archive?" in asked.err
    done = amends("retain", "--older-than", "0s", "--archive", "old", "--yes")
    assert (done.code, done.out) == (0, "1 execution deleted, in old\n")
    assert amends("list", "--json").lines == []
    (file,) = (tmp_path / "old").iterdir()
    done = amends("import", str(file))
    assert (done.code, done.out) == (0, "1 execution imported\n")
    assert amends("show", "order-1001", "--json").json == before
    assert amends("import", str(file)).out == "0 executions imported; 1 there already\n"


def test_json_names_what_went(amends: Amends, order: Order) -> None:
    order("completed")
    done = amends("retain", "--older-than", "0s", "--yes", "--json")
    assert (done.json["ids"], done.json["kept"], done.json["dry_run"]) == (["order-1001"], [], False)


@pytest.mark.parametrize(("state", "age"), [("completed", "1h"), ("waiting", "0s"), ("stuck", "0s")])
def test_young_and_live_ones_stay(state: str, age: str, amends: Amends, order: Order) -> None:
    order(state)
    assert amends("retain", "--older-than", age, "--yes").out == "0 executions deleted\n"
    assert len(amends("list", "--json").lines) == 1


@pytest.mark.parametrize("age", ["month", "30", "-1d", ""])
def test_an_age_must_be_a_duration(age: str, amends: Amends, order: Order) -> None:
    order("completed")
    done = amends("retain", "--older-than", age)
    assert done.code == 2
    assert f"{age!r} is no duration\n  → for example --older-than 30d" in done.err


def test_what_has_not_ended_is_refused_but_for_a_move(amends: Amends, order: Order) -> None:
    order("waiting")
    assert amends("export", "all.jsonl").out == "1 execution in all.jsonl\n"
    elsewhere = ("--store", "sqlite:///other.db")
    done = amends("import", "all.jsonl", *elsewhere)
    assert (done.code, done.out) == (6, "0 executions imported; 1 refused\n")
    assert "order-1001: order-1001 has not ended (running)" in done.err
    assert amends("import", "all.jsonl", "--live", *elsewhere).out == "1 execution imported\n"
    assert amends("show", "order-1001", "--json", *elsewhere).json["status"] == "running"


def test_standard_streams(
    order: Order, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    order("completed")
    assert main(["export", "-"]) == 0
    lines = capfdbinary.readouterr().out
    kinds = [msgspec.json.decode(line)["entry"]["kind"] for line in lines.splitlines()]
    assert kinds == ["begin", "tree", "end"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines)))
    assert main(["import", "-", "--store", "sqlite:///other.db"]) == 0


def test_a_damaged_file_is_told_with_its_line(amends: Amends, order: Order, tmp_path: Path) -> None:
    order("completed")
    amends("export", "all.jsonl")
    text = (tmp_path / "all.jsonl").read_bytes()
    (tmp_path / "all.jsonl").write_bytes(text.replace(b"completed", b"compelted", 1))
    done = amends("import", "all.jsonl")
    assert done.code == 1
    assert "line 2 does not match its checksum" in done.err


def test_a_file_that_cannot_be_opened(amends: Amends, order: Order) -> None:
    order("completed")
    done = amends("import", "none.jsonl")
    assert done.code == 2
    assert "cannot open none.jsonl: No such file" in done.err
