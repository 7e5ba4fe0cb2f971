"""Where the executions are kept, and what can happen to it: a power cut, a log that ends in the middle of a frame, a flipped bit.

Both kinds of store can lose the end of what was written, and a bit of what was written long ago.  On SQLite the write-ahead log is
cut or damaged as a disk would leave it, after every process that has it open is gone.
"""

from __future__ import annotations

import copy
import os
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apsw
import msgspec

from amends.kernel.entries import Row
from amends.store.memory import MemoryStore
from amends.store.port import FINAL
from amends.store.sqlite import SqliteStore
from amends.testing.seams import LoopExecutor
from amends.testing.simulation import Process

if TYPE_CHECKING:
    from .run import Run

KEPT = 4  # commits that a disk may still forget
FRAME = 24 + 4096
HEAD = 32
Rows = dict[str, dict[int, Row]]
Spot = tuple[str, int, Row]


class MemoryDisk:
    """One memory store that all processes share, as if it were a server."""

    def __init__(self, run: Run, keep: bool) -> None:
        self.memory = MemoryStore()
        self._keep = keep
        self._snapshots: list[Any] = []

    def store(self, process: Process) -> Any:
        return self.memory

    def commits(self) -> None:
        """A commit is about to be made."""
        if self._keep:
            self._snapshots = [*self._snapshots[1 - KEPT :], copy.deepcopy(self.memory._state)]

    def cut(self, kind: str, chance: random.Random) -> None:
        """Power is lost, and with it the last commits."""
        if self._snapshots:
            self.memory._state = chance.choice(self._snapshots)
        self._snapshots = []

    def rows(self) -> Rows:
        """All journals, as they are on the disk."""
        return {uid: dict(x.rows) for uid, x in self.memory._state.executions.items()}

    def give_away(self) -> None:
        """Whoever is the worker has lost its place."""
        self.memory._free_worker()

    def has_given_away(self, incarnation: int) -> bool:
        """Has it lost its place? (It hears of that when it writes next.)"""
        return not self.memory._state.fences[incarnation]

    def rot(self, chance: random.Random) -> Spot | None:
        """A bit of some journal flips."""
        spots = [
            (uid, position, row)
            for uid, x in self.memory._state.executions.items()
            if x.header.status not in FINAL
            for position, row in x.rows.items()
        ]
        if not spots:
            return None
        uid, position, row = chance.choice(spots)
        self.memory._state.executions[uid].rows[position] = _flipped(row, chance)
        return uid, position, row

    def mend(self, spot: Spot) -> None:
        """The row is restored from a backup."""
        uid, position, row = spot
        self.memory._state.executions[uid].rows[position] = row

    def close(self) -> None:
        """Nothing to do."""


class SqliteDisk:
    """One SQLite file; every process opens it for itself."""

    def __init__(self, run: Run, folder: Path) -> None:
        self._run = run
        self.path = folder / f"run-{os.getpid()}.db"
        self._log = Path(f"{self.path}-wal")
        self._before = 0
        self.close()
        shutil.copy(template(folder), self.path)

    def store(self, process: Process) -> Any:
        run = self._run
        return SqliteStore(
            self.path,
            synchronous="OFF",  # a cut chooses what is lost; nothing here depends on the real disk
            clock=run.clock,
            executor=LoopExecutor(process.loop),
            pause=self._pause,
            standby_poll=2.0,  # whoever stands by all the time looks twenty times as often, and sees the same
        )

    def _pause(self, seconds: float) -> None:
        """A process that waits for a lock stands still, and time goes on."""
        self._run.simulation.now += seconds

    def commits(self) -> None:
        """A commit is about to be made."""
        self._before = self._log.stat().st_size if self._log.exists() else 0

    def cut(self, kind: str, chance: random.Random) -> None:
        """Power is lost, with what stands at the end of the log."""
        for left in [each for each in apsw.connections() if each.filename == str(self.path.resolve())]:
            self._run.broken(0, f"{left} outlives its process, and would see what is no longer there")
        Path(f"{self.path}-shm").unlink(missing_ok=True)
        size = self._log.stat().st_size if self._log.exists() else 0
        first, last = (self._before - HEAD) // FRAME if self._before else 0, (size - HEAD) // FRAME
        if kind == "lost_tail":
            frames = max(0, last)
            os.truncate(
                self._log, HEAD + FRAME * chance.randint(max(0, frames - 12), frames)
            ) if size else None
        elif size > self._before and last > first:
            start = HEAD + FRAME * chance.randrange(first, last)
            if kind == "torn_between_frames":
                os.truncate(self._log, start)
            elif kind == "torn_inside_frame":
                os.truncate(self._log, start + chance.randrange(1, FRAME))
            else:
                self._flip(start + chance.randrange(FRAME), chance)

    def _flip(self, place: int, chance: random.Random) -> None:
        with self._log.open("r+b") as file:
            file.seek(place)
            byte = file.read(1)
            file.seek(place)
            file.write(bytes([byte[0] ^ (1 << chance.randrange(8))]))

    def _sql(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        connection = apsw.Connection(str(self.path))
        try:
            connection.wal_autocheckpoint(0)
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            return connection.execute(sql, parameters).fetchall()
        finally:
            connection.close()

    def rows(self) -> Rows:
        """All journals, as they are on the disk."""
        found: Rows = {}
        for uid, *row in self._sql(
            "SELECT uid, position, now, events, commands, checksum FROM amends_journal"
            " JOIN amends_executions ON num = execution ORDER BY execution, position"
        ):
            found.setdefault(uid, {})[row[0]] = Row(*row)
        return found

    def give_away(self) -> None:
        """A file lock cannot be lost while its holder lives."""
        raise NotImplementedError

    def has_given_away(self, incarnation: int) -> bool:
        """Never (see `give_away`)."""
        return False

    def rot(self, chance: random.Random) -> Spot | None:
        """A bit of some journal flips."""
        final = ", ".join(f"'{status}'" for status in sorted(FINAL))
        live = self._sql(f"SELECT uid FROM amends_executions WHERE status NOT IN ({final}) ORDER BY num")
        rows = self.rows()
        spots = [(uid, row.position, row) for (uid,) in live for row in rows.get(uid, {}).values()]
        if not spots:
            return None
        uid, position, row = chance.choice(spots)
        self.mend((uid, position, _flipped(row, chance)))
        return uid, position, row

    def mend(self, spot: Spot) -> None:
        """The row is restored from a backup."""
        uid, position, row = spot
        self._sql(
            "UPDATE amends_journal SET events = ?, commands = ? WHERE position = ?"
            " AND execution = (SELECT num FROM amends_executions WHERE uid = ?)",
            (row.events, row.commands, position, uid),
        )

    def close(self) -> None:
        """Remove the file and those beside it."""
        for ending in ("", "-wal", "-shm", ".worker"):
            Path(f"{self.path}{ending}").unlink(missing_ok=True)


def _flipped(row: Row, chance: random.Random) -> Row:
    """One letter of its events or commands becomes another."""
    name = "events" if len(row.commands) <= 2 or chance.random() < 0.5 else "commands"
    text: str = getattr(row, name)
    place = chance.randrange(len(text))
    return msgspec.structs.replace(
        row, **{name: f"{text[:place]}{chr(ord(text[place]) ^ 1)}{text[place + 1 :]}"}
    )


def template(folder: Path) -> Path:
    """An empty database: copying it is quicker than making one."""
    path = folder / "template.db"
    if not path.exists():
        from amends.store.sqlite.connection import checkpoint_on_close, open_writer
        from amends.store.sqlite.schema import bring_up_to_date

        making = folder / f"template-{os.getpid()}.db"
        connection = open_writer(str(making), "OFF", None, lambda _tries: False)
        bring_up_to_date(connection, str(making))
        checkpoint_on_close(connection, wanted=True)  # the schema would stay in the log, which is not copied
        connection.close()
        making.rename(path)
    return path
