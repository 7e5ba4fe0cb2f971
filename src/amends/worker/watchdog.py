"""Stops saga code that never gives control back (``while True: pass``).

One thread looks now and then whether the same activation still runs after its time is up, and then
raises `Overrun` in the loop's thread. Leaving makes sure that it cannot strike after the activation
has ended: leaving takes the same lock, and a strike that is already on its way is absorbed before
anything else runs.
"""

from __future__ import annotations

import ctypes
import threading
from types import TracebackType

from ..clock import Clock
from ..errors import Overrun

_raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc


class ActivationOverrun(Overrun):
    """Raised from outside into code that ran too long."""

    def __init__(self) -> None:
        super().__init__(
            "one activation ran past its time without awaiting anything durable",
            hint="look for an endless or very long loop in the saga's body; put heavy work into a step",
        )


class Watchdog:
    """A context manager around each activation; see the module's head.

    Entering and leaving cost two assignments.  The thread announces a strike (`striking`) before it
    looks again whether the activation still runs; leaving says that it ended (`active`) before it
    looks for an announcement.  So either the thread sees the end, or leaving sees the strike and
    absorbs it.
    """

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._lock = threading.Lock()
        self.count = 0
        self.active = False
        self.striking = False
        self._strikes = 0
        self._stop = threading.Event()
        self._target = threading.get_ident()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to watch the calling thread."""
        self._target = threading.get_ident()
        self._thread = threading.Thread(target=self._watch, name="amends-watchdog", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop watching."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def __enter__(self) -> None:
        self.count += 1
        self.active = True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.active = False
        if self.striking:
            self.absorb(kind)

    def absorb(self, kind: type[BaseException] | None) -> None:
        """A strike that came too late to matter: wait for it here, where it does no harm.

        One that did hit, but was caught by the saga's code (``except Exception``, a TaskGroup), counts.
        """
        with self._lock:
            self.striking = False
            strikes, self._strikes = self._strikes, 0
        late = 0
        try:
            for _ in range(1_000_000):
                pass
        except ActivationOverrun:
            late = 1
        if kind is None and strikes > late:
            raise ActivationOverrun

    def _watch(self) -> None:
        seen, since = -1, self._clock.monotonic()
        while not self._stop.wait(self._seconds / 4):
            now = self._clock.monotonic()
            if not self.active or self.count != seen:
                seen, since = self.count, now
            elif now - since >= self._seconds:
                self._strike(seen)

    def _strike(self, count: int) -> None:
        with self._lock:
            self.striking = True
            if self.active and self.count == count:
                self._strikes += 1
                _raise_in(ctypes.c_ulong(self._target), ctypes.py_object(ActivationOverrun))
            else:
                self.striking = False
