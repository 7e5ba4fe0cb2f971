"""Each part of the barrier is there for a reason: taken away, the check finds what goes wrong."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from amends.participants.barrier import Barrier, Entry, Found, Key, State, Verdict
from amends.participants.barrier.sql import Statement
from tests.conformance.barrier.world import World, plan


class Ablated(Barrier):
    """A barrier whose statements can be changed."""

    def __init__(self) -> None:
        super().__init__()
        self._sql = dict(self._sql)

    def change(self, name: str, pattern: str, replacement: str) -> None:
        text, changed = re.subn(pattern, replacement, self._sql[name].text)
        assert changed == 1
        self._sql[name] = Statement(text)


class NoUniqueKey(Ablated):
    def __init__(self) -> None:
        super().__init__()
        self.change("create_table", " PRIMARY KEY", "")
        for name in ("do", "undo", "seal"):
            self.change(name, "ON CONFLICT .* RETURNING", "RETURNING")


class NoNullRow(Ablated):
    """The compensation of what never came is answered, but not written down."""

    def __init__(self) -> None:
        super().__init__()
        self.change("undo", "^INSERT .* DO UPDATE", "UPDATE amends_barrier AS b")
        self.change("undo", "CASE b.undos WHEN 0 THEN excluded.changed_at ELSE b.changed_at END", ":now")
        self.change("undo", " RETURNING", " WHERE action = :action RETURNING")

    def _record(self, driver: Any, connection: Any, key: Key, state: State, reply: Any) -> Any:
        try:
            return (yield from super()._record(driver, connection, key, state, reply))
        except IndexError:
            return Entry(key, Verdict.NULL, State.NULL)


class NoCrossCheck(Ablated):
    """An action does not look whether its compensation came."""

    def _judged(self, key: Key, calls: int, state: State, stored: str | None) -> Entry:
        if key.direction == "do" and state in (State.NULL, State.UNDONE):
            verdict = Verdict.EXECUTE if calls == 1 else Verdict.DUPLICATE
            return Entry(key, verdict, State.DONE, self._value(Key(key.action), State.DONE, stored))
        return super()._judged(key, calls, state, stored)


class NoReply(Ablated):
    def __init__(self) -> None:
        super().__init__()
        self.change("do", ":reply", "CASE :state WHEN 'rejected' THEN :reply END")


class NoUndoReply(Ablated):
    def __init__(self) -> None:
        super().__init__()
        self.change("undo", "undo_reply = CASE.*?END, ", "")


class NoRejection(Ablated):
    """A rejection is said, but not written down."""

    def _record(self, driver: Any, connection: Any, key: Key, state: State, reply: Any) -> Any:
        if state is State.REJECTED:
            rows = yield driver.fetch(connection, self._sql["probe"], {"action": key.action})
            if not rows:
                return Entry(key, Verdict.EXECUTE, state, reply)
        return (yield from super()._record(driver, connection, key, state, reply))


class OwnTransaction(Ablated):
    """The row is committed by itself, before the work."""

    def _record(self, driver: Any, connection: Any, key: Key, state: State, reply: Any) -> Any:
        entry = yield from super()._record(driver, connection, key, state, reply)
        connection.commit()
        return entry


class NoSeal(Ablated):
    """A probe that finds nothing says that nothing will come, and does nothing about it."""

    def __init__(self) -> None:
        super().__init__()
        self._sql["seal"] = self._sql["probe"]

    def _found(self, key: Key, rows: Any) -> Found:
        return super()._found(key, rows) if rows else Found(key, State.SEALED)


ABLATIONS = {
    NoUniqueKey: "done 2 times",
    NoNullRow: "no order explains",
    NoCrossCheck: "no order explains",
    NoReply: "no order explains",
    NoUndoReply: "no order explains",
    NoRejection: "no order explains",
    OwnTransaction: "no order explains",
    NoSeal: "no order explains",
}
OPERATIONS = 1_000


@pytest.mark.parametrize("ablation", ABLATIONS, ids=lambda cls: cls.__name__)
def test_an_ablation_is_found(ablation: type[Ablated], tmp_path: Path) -> None:
    world = World("sqlite3", str(tmp_path / "service.db"), ablation())
    world.run(plan(1, OPERATIONS))
    found = world.violations()
    assert any(ABLATIONS[ablation] in said for said in found), found[:3]


def test_without_an_ablation_nothing_is_found(tmp_path: Path) -> None:
    world = World("sqlite3", str(tmp_path / "service.db"), Ablated())
    world.run(plan(1, OPERATIONS))
    assert world.violations() == []
