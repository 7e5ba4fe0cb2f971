"""Runs whose engines and clients have a codec: every payload on the disk is in an envelope.

Who looks from outside (the audit at the end) opens them; what the wire sees stays closed.
"""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from amends.encryption import Codec, KeyRing, MasterKey, envelope
from amends.encryption.codec import DataKey
from amends.encryption.masters import LENGTH
from amends.kernel.entries import Row
from amends.store.enclosed import enclosed
from amends.store.port import Store

from . import run as plain

SECRET = b"s" * LENGTH
MASTER = MasterKey(base64.b64encode(b"m" * LENGTH).decode())


class Ring(KeyRing):
    """A ring whose data keys all have one secret, so that the audit can look into envelopes on the wire."""

    def fresh(self) -> tuple[str, bytes]:
        return super().fresh()[0], SECRET


def codec() -> Codec:
    return Codec(keys=Ring(MASTER, lifetime=7.0))


def opened(uid: str, command: list[Any]) -> Any:
    """The arguments of a command as the wire sees it."""
    data = envelope.of_raw(msgspec.json.encode(command[3]))
    apart = envelope.taken_apart(data or b"")
    key = DataKey(apart.key, SECRET, 0.0)
    return msgspec.json.decode(codec().open(apart, uid, f"{command[0]}/{command[1]}/args", key))


class CodecRun(plain.Run):
    """One seed at work, with a codec."""

    def start_client(self) -> None:
        before = self.client
        super().start_client()
        if self.client is not before:
            self.backend.store = enclosed(self.backend.store, codec(), self.clock)

    def codec(self) -> Codec:
        return codec()

    async def _observe(self) -> Store:
        return enclosed(await super()._observe(), codec(), self.clock)

    def _row(self, uid: str, row: Row) -> None:
        commands = msgspec.json.decode(row.commands)
        for command in commands:
            if command[0] in ("run", "undo_with"):
                command[3] = opened(uid, command)
        super()._row(uid, msgspec.structs.replace(row, commands=msgspec.json.encode(commands).decode()))

    async def converge(self) -> None:
        """The audit compares what was acknowledged with what is there: both as they are stored, then open."""
        await super().converge()
        for uid, rows in self.disk.rows().items():
            said = {place: row.checksum for place, row in self.rows.get(uid, {}).items()}
            if said != {place: row.checksum for place, row in rows.items()} and not self.tail_lost:
                self.broken(4, f"{uid}: what is stored is not what was acknowledged")
        self.rows = {uid: {row.position: row for row in rows} for uid, (_, rows, _) in self.journals.items()}
