"""A store's life: its few connections, its keeper and its listener; what happens at close and at a crash."""

from __future__ import annotations

import asyncio
import os
import random
import re
import socket
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ...clock import Clock, SystemClock
from ...errors import CommitUnknown, StoreError
from ...redaction import redacted, redacted_of
from ..times import LONGEST, check_times
from .faults import Lost, translate
from .keeper import Keeper
from .link import Connection, Link, pooled_unsaid, unreachable
from .listening import Listener
from .mail import Mail
from .placement import must_be_alone
from .reading import HEADER
from .schema import bring_up_to_date
from .statement import check_schema, statements

OLDEST = 140_000
CONNECT_SECONDS = 5


class Core:
    """What both sides of the store stand on. See `PostgresStore` for the arguments."""

    shared = True
    aside = True
    alone = True
    """Does it hold all partitions? (`store.places` makes one of several of it before it opens.)"""

    def __init__(
        self,
        url: str,
        *,
        schema: str = "amends",
        lease: float = 10.0,
        look: float = 1.0,
        patience: float = 5.0,
        answer: float = 30.0,
        step_seconds: float = 5.0,
        orphaned: float = 60.0,
        pooled: bool = False,
        unsafe: bool = False,
        clock: Clock | None = None,
    ) -> None:
        self.schema = check_schema(schema)
        times = {"lease": lease, "look": look, "patience": patience, "answer": answer}
        check_times(0.01, LONGEST, step_seconds=step_seconds, **times)
        check_times(0, LONGEST, orphaned=orphaned)
        self.pooled = pooled
        self.lease = lease
        self._unsafe = unsafe
        self._look = look
        self._patience = patience
        self._answer = answer
        self._step_seconds = step_seconds
        self._clock = clock or SystemClock()
        self._channel = f"amends:{schema}"
        self.conninfo, self.where = self._address(url)
        self._sql = statements(schema, HEADER)
        self._writer = Link(self._connect, self.where, answer=answer, prepared=not pooled)
        self._control = Link(self._connect, self.where, answer=answer, prepared=not pooled)
        self._keeper = Keeper(
            self._control, self._sql, self._clock, self._wrote, lambda: len(self._owned), lease, orphaned
        )
        self._listener = Listener(self._connect, self._channel, self._wrote, self.where)
        self._incarnation: int | None = None
        self._owned: dict[str, int] = {}
        self._shares: dict[str, float] = {}
        self._told: set[int] = set()
        self._generation = 0
        self._callers: weakref.WeakKeyDictionary[asyncio.Task[Any], tuple[int, float]] = (
            weakref.WeakKeyDictionary()
        )
        self._jitter = random.Random(0)
        self._mails: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Mail] = weakref.WeakKeyDictionary()

    # ------------------------------------------------------------ connections

    def _address(self, url: str) -> tuple[str, str]:
        try:
            words = conninfo_to_dict(url)
        except psycopg.Error as error:
            raise StoreError(
                f"not the address of a PostgreSQL database: {redacted_of(url, str(error).strip())}",
                hint="postgresql://user@host:5432/database; for the rest see libpq's connection URIs",
            ) from None  # whose text may quote a password
        host, port, database = (str(words.get(name, "")) for name in ("host", "port", "dbname"))
        if re.search(r"[^,]@", host) or re.search(r"[^0-9,]", port):
            raise StoreError(
                f"not the address of a PostgreSQL database: {redacted(url)}",
                hint="in a password write %40 for @, %2F for /, %23 for #, %3F for ?",
            )
        where = f"postgresql://{host}/{database.rpartition('@')[2]}"
        defaults: dict[str, Any] = {
            "application_name": "amends",
            "connect_timeout": CONNECT_SECONDS,
            "target_session_attrs": "read-write",
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
        }
        if not self.pooled:
            limits = {
                "statement_timeout": self._answer,
                "lock_timeout": self._patience,
                "idle_in_transaction_session_timeout": self._answer,
            }
            ours = [f"-c {name}={int(seconds * 1000)}" for name, seconds in limits.items()]
            # Tables that fill and empty within seconds mislead the planner; every statement has its index.
            ours += ["-c enable_seqscan=off", "-c enable_hashjoin=off", "-c enable_mergejoin=off"]
            ours.append("-c amends.heard=on")  # so that we notice a pooler that drops all this in silence
            defaults["options"] = " ".join([*ours, str(words.pop("options", ""))]).strip()
        return make_conninfo(url, **{**defaults, **words}), where

    async def _connect(self) -> Connection:
        connection = await psycopg.AsyncConnection.connect(
            self.conninfo, autocommit=True, prepare_threshold=None if self.pooled else 0
        )
        connection.prepared_max = 200
        try:
            found = await (await connection.execute(self._sql["server"].encode())).fetchall()
            self._check_server(*found[0])
        except BaseException:
            await connection.close()
            raise
        return connection

    def _check_server(
        self, number: int, committing: str, fsync: str, pages: str, encoding: str, standby: bool, heard: bool
    ) -> None:
        if number < OLDEST:
            raise StoreError(
                f"{self.where} runs PostgreSQL {number // 10_000}; needed is {OLDEST // 10_000} or later"
            )
        if encoding != "UTF8":
            raise StoreError(
                f"the database on {self.where} is encoded as {encoding}; needed is UTF8",
                hint="CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0",
            )
        if standby:
            raise StoreError(
                f"{self.where} is a standby", hint="name the primary, or all servers: host=a,b,c"
            )
        if not (heard or self.pooled):
            raise pooled_unsaid(self.where)
        settings = {"synchronous_commit": committing, "fsync": fsync, "full_page_writes": pages}
        off = [name for name, value in settings.items() if value == "off"]
        if off and not self._unsafe:
            raise StoreError(
                f"{self.where} has {' and '.join(f'{name}=off' for name in off)}: what it says is committed"
                " may be lost, and an effect that has happened may happen again",
                hint="turn it on (ALTER SYSTEM, ALTER ROLE … SET); for tests that may lose data: unsafe=true",
            )

    # ------------------------------------------------------------ life

    async def open(self) -> None:
        """Connect, and bring the schema up to date. Raises `SchemaMismatch`, `Misplaced`, `StoreError`."""
        if self._control.refusal is None:
            return
        self._control.open()
        self._writer.open()
        try:
            await bring_up_to_date(self._control, self.schema)
            if self.alone:
                await must_be_alone(self._control.fetch, self.schema, self.where)
        except BaseException as error:
            await self.close()
            raise self._said(error) from error

    async def close(self) -> None:
        """Let go of everything. A worker that did not retire counts as dead."""
        if self._control.refusal is not None:
            return
        self._keeper.stop()
        if self._incarnation is not None:
            try:
                await self._keeper.expire(self._incarnation)
            except Exception as error:  # noqa: BLE001  # then its lease runs out by itself
                self._said(error)
        await self._listener.stop()
        await self._writer.close()
        await self._control.close()
        self._ended()

    def abandon(self) -> None:
        """Vanish as a killed process would, in the middle of whatever it is (for simulations of crashes)."""
        self._keeper.stop()
        self._listener.abandon()
        self._writer.abandon()
        self._control.abandon()
        self._ended()

    def _ended(self) -> None:
        self._incarnation = None
        self._owned.clear()
        self._told.clear()
        self._mails.clear()

    async def tidy(self) -> None:
        """Nothing to tidy: the server's autovacuum does it."""

    async def changed(self) -> bool:
        """May anybody have written something for this worker since this task last asked?

        Notifications say so at once; without one it is so every `look` seconds. Raises `Fenced`.
        """
        self._control.check_open()
        caller = asyncio.current_task()
        now = self._clock.monotonic()
        if caller is None:
            return True
        seen, due = self._callers.get(caller, (-1, 0.0))
        if seen == self._generation and now < due and not self._keeper.fenced:
            return False
        pause = self._look * self._jitter.uniform(0.8, 1.2)
        self._callers[caller] = (self._generation, now + pause)
        return True

    def _wrote(self) -> None:
        self._generation += 1

    def _said(self, error: BaseException) -> BaseException:
        """The error as the port promises it."""
        if isinstance(error, psycopg.OperationalError) and error.sqlstate is None:
            return unreachable(error, self.where)
        return translate(error, self.where)

    @contextmanager
    def _changing(self, again: str) -> Iterator[None]:
        """Around a change: errors as the port promises them. again: what to do where its end is unknown."""
        try:
            yield
        except Lost as error:
            raise CommitUnknown(f"the connection was lost: {error}", hint=again) from error
        except Exception as error:
            raise self._said(error) from error

    def _place(self) -> str:
        return f"{socket.gethostname()}:{os.getpid()}"
