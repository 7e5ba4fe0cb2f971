"""The seam to the barrier: an action is executed once per key, whatever comes twice, never, or too late."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import NamedTuple


class Refusal(Exception):
    """The service says no: certainly no effect."""


class Answer(NamedTuple):
    """verdict: execute, duplicate, null, hanging, rejected.  reply: the effect's own id, or the reason."""

    verdict: str
    reply: str


def once(connection: sqlite3.Connection, key: str, direction: str, effect: Callable[[], str]) -> Answer:
    """Run `effect` in a transaction, together with the note that the key has been used."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        answer = _judge(connection, key, direction, effect)
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
    return answer


def _judge(connection: sqlite3.Connection, key: str, direction: str, effect: Callable[[], str]) -> Answer:
    connection.execute(
        "CREATE TABLE IF NOT EXISTS barrier (key TEXT, direction TEXT, verdict TEXT, reply TEXT,"
        " PRIMARY KEY (key, direction)) STRICT"
    )
    rows = connection.execute("SELECT direction, verdict, reply FROM barrier WHERE key = ?", (key,))
    known = {row[0]: (row[1], row[2]) for row in rows}

    def keep(answer: Answer) -> Answer:
        connection.execute("INSERT INTO barrier VALUES (?, ?, ?, ?)", (key, direction, *answer))
        return answer

    if direction in known:
        verdict, reply = known[direction]
        return Answer(verdict if verdict in ("rejected", "hanging") else "duplicate", reply)
    if direction == "do" and "undo" in known:
        return keep(Answer("hanging", "it was undone before it arrived"))
    if direction == "undo" and known.get("do", ("",))[0] != "execute":
        return keep(Answer("null", ""))
    try:
        return keep(Answer("execute", effect()))
    except Refusal as refusal:
        return keep(Answer("rejected", str(refusal)))
