"""Exit codes of executions."""

from __future__ import annotations

from ..store import port
from .exits import Exit


def of_status(status: str) -> Exit:
    """The exit code of an execution that ended or stopped with `status`."""
    if status == port.COMPLETED:
        return Exit.OK
    return Exit.ATTENTION if status == port.ATTENTION else Exit.FAILED


def worst(codes: list[Exit]) -> Exit:
    """One code for several executions: the largest below the internal ones says the most."""
    return max(codes, default=Exit.OK)
