"""The port by which calls in saga code reach the kernel.

Definitions know nothing of replay.  The kernel's event loop carries an attribute `amends_port`; a
call awaited on such a loop is handed to it, anywhere else it is an ordinary call.
"""

from __future__ import annotations

import random
from asyncio import Future, _get_running_loop
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from .context import Current
    from .saga import SagaCall
    from .step import Step, StepCall


class Port(Protocol):
    """What saga code can ask of the kernel. Every method may raise `asyncio.CancelledError`."""

    replaying: bool

    def now(self) -> float:
        """Time of the current activation, seconds since the epoch."""
        ...

    def random(self) -> random.Random:
        """The current task's own random stream."""
        ...

    def current(self) -> Current:
        """Who and where this code is."""
        ...

    def run_step(self, call: StepCall[Any]) -> Future[Any]:
        """Issue the step; the future ends with its result or failure."""
        ...

    def run_child(self, call: SagaCall[Any]) -> Future[Any]:
        """Start a nested saga; the future ends with its result or `Compensated`."""
        ...

    def receive(self, name: str, type_: Any) -> Future[Any]:
        """Wait for the next signal of that name."""
        ...

    def undo_with(self, step: Step[Any, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Register an ad hoc compensation."""
        ...

    def enter_savepoint(self) -> str:
        """Open a savepoint in the current task; returns its id."""
        ...

    def leave_savepoint(self, id: str) -> None:
        """Close it; its actions now belong to the scope around it."""
        ...

    def roll_back(self, id: str) -> Future[None]:
        """Undo what was done inside; the future ends when all of it is settled."""
        ...

    def pivot(self) -> Future[None]:
        """Pass the point of no return."""
        ...

    def patched(self, change: str) -> bool:
        """Does this execution take the new path?"""
        ...

    def continue_as_new(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Future[Any]:
        """End this run and begin the next; the future never ends."""
        ...


def current_port() -> Port | None:
    """The kernel that runs the calling code, or None outside a saga."""
    return getattr(_get_running_loop(), "amends_port", None)
