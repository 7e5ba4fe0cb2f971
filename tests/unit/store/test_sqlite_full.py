"""A full disk that is met where SQLite does not call it one."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import apsw
import pytest

from amends.errors import StoreError, StoreFull
from amends.store.sqlite.faults import explain
from amends.store.sqlite.liveness import WorkerLock, holder


def test_the_log_index_that_cannot_grow() -> None:
    error = apsw.exception_for(apsw.SQLITE_IOERR_SHMSIZE)
    assert isinstance(error, apsw.Error)
    assert isinstance(explain(error, "x.db"), StoreFull)


def test_another_failure_of_the_disk_is_none() -> None:
    error = apsw.exception_for(apsw.SQLITE_IOERR_READ)
    assert isinstance(error, apsw.Error)
    said = explain(error, "x.db")
    assert type(said) is StoreError
    assert said.hint.startswith("look at the disk")


def test_a_lock_whose_holder_cannot_be_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has the lock needs no room to have it; the name in it is for people."""

    def full(file: int, text: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    lock = WorkerLock(str(tmp_path / "x.db"))
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        assert lock.take()
    assert lock.held
    assert not WorkerLock(str(tmp_path / "x.db")).take()
    assert holder(str(tmp_path / "x.db")) == 0
    lock.release()
    assert WorkerLock(str(tmp_path / "x.db")).take()
