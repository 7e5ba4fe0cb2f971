"""Safeguards switched off in a worker process, to show that the audit of the books finds what follows."""

from __future__ import annotations

from typing import Any

from amends.definition.context import Current
from amends.kernel import backward
from amends.store.postgres import statement
from amends.worker.loading import Loader


def a_key_for_each_attempt() -> None:
    key = Current.idempotency_key
    assert isinstance(key, property)
    assert key.fget is not None
    made = key.fget

    def changed(self: Current) -> str:
        where, _, direction = made(self).rpartition("/")
        return f"{where}.{self.attempt}/{direction}"

    Current.idempotency_key = property(changed)


def no_order() -> None:
    def turn(self: backward.Plan) -> list[Any]:
        found = [action for _, _, action in self._unbegun if action.owed and not action.undo_state]
        self._unbegun.clear()
        return found

    backward.Plan.turn = turn  # type: ignore[method-assign]


def lost_attempts_are_forgotten() -> None:
    send = Loader._send_again

    def forgetful(self: Loader, live: Any, action: Any, **how: bool) -> None:
        send(self, live, action, **{**how, "lost": False})

    Loader._send_again = forgetful  # type: ignore[method-assign]


def no_fence() -> None:
    """What a worker writes on PostgreSQL is written, whoever owns it by now."""
    text = statement.read

    def unfenced(file: str) -> str:
        head, mark, rest = text(file).partition("-- name: fence\n")
        if not mark:
            return head
        rest = rest[rest.index("-- name: started") :]
        return f"{head}{mark}fence AS MATERIALIZED (SELECT %(me)s::bigint AS incarnation)\n\n{rest}"

    statement.read = unfenced


ALL = (a_key_for_each_attempt, no_order, lost_attempts_are_forgotten, no_fence)
SABOTAGES = {each.__name__: each for each in ALL}
