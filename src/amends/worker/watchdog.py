"""Stops saga code that never gives control back (``while True: pass``).

One thread looks now and then whether the same activation still runs after its time is up, and then
raises `Overrun` in the loop's thread. `guard` makes sure that it cannot strike after the activation
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
    """A context manager around each activation; see the module's head."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._lock = threading.Lock()
        self._began: float | None = None
        self._struck = False
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
        self._began = self._clock.monotonic()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.acquire()
        self._began = None
        struck = self._struck
        self._struck = False
        self._lock.release()
        if struck and kind is None:
            self._absorb()

    def _absorb(self) -> None:
        """The strike came too late to matter: wait for it here, where it does no harm."""
        try:
            for _ in range(1_000_000):
                pass
        except ActivationOverrun:
            return

    def _watch(self) -> None:
        while not self._stop.wait(self._seconds / 4):
            with self._lock:
                began = self._began
                if began is None:
                    continue
                if self._clock.monotonic() - began >= self._seconds:
                    self._struck = True
                    _raise_in(ctypes.c_ulong(self._target), ctypes.py_object(ActivationOverrun))
