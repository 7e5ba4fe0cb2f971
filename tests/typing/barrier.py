"""Types of the barrier: what is asked on an asynchronous connection is awaited, on any other it is a value."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable
from typing import assert_type

import psycopg
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import Session

from amends.participants.barrier import Barrier, Entry, Found, Key

barrier = Barrier()
KEY = Key("order-1/charge")


def blocking(c: sqlite3.Connection, p: psycopg.Connection, s: Session, a: Connection) -> None:
    for entry in (barrier.enter(p, "uid/0/a/do"), barrier.enter(s, KEY), barrier.enter(a, KEY)):
        assert_type(entry, Entry)
    entry = barrier.enter(c, KEY, reply={"id": 1})
    assert_type(entry, Entry)
    assert_type(entry.execute, bool)
    assert_type(barrier.seal(c, KEY), Found)
    assert_type(barrier.clean_up(c, older_than=86_400.0), int)
    barrier.create_table(c)
    barrier.enter(c)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    barrier.enter(c, KEY, answer=1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


async def asynchronous(p: psycopg.AsyncConnection, s: AsyncSession, a: AsyncConnection) -> None:
    assert_type(await barrier.enter(p, KEY, reply=1), Entry)
    assert_type(await barrier.enter(s, KEY), Entry)
    assert_type(await barrier.enter(a, KEY), Entry)
    assert_type(await barrier.probe(p, KEY), Found)
    found: Awaitable[Found] = barrier.seal(a, KEY)
    await found
