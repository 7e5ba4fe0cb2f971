"""The writer's thread, and the seam by which a simulation replaces it.

An `Executor` runs jobs one at a time, in the order given.  The default is one thread per store, started at
the first job.  A simulation hands in an executor that runs each job on the event loop at a moment of its
choosing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Protocol

Job = Callable[[], None]


class Executor(Protocol):
    """Runs jobs one after the other. A job never raises."""

    def submit(self, job: Job) -> None:
        """Run `job` after those submitted before; return at once."""
        ...

    def stop(self) -> None:
        """No more jobs will come. Those submitted still run."""
        ...


class WriterThread:
    """One thread, started when first needed.

    It is a daemon: a program that forgot to close its store still ends, and SQLite forgets what was not
    committed.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def submit(self, job: Job) -> None:
        """Run `job` after those submitted before; return at once."""
        if self._thread is None:
            self._jobs = SimpleQueue()  # a fresh one: the thread before may still be emptying its own
            self._thread = threading.Thread(target=_work, args=(self._jobs,), name=self._name, daemon=True)
            self._thread.start()
        self._jobs.put(job)

    def stop(self) -> None:
        """End the thread when it has done its jobs. A later job starts another."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread = None

    def forget(self) -> None:
        """In a forked child: the thread stayed with the parent."""
        self._thread = None


def _work(jobs: SimpleQueue[Job | None]) -> None:
    while (job := jobs.get()) is not None:
        job()
