"""Choice points of attempts, and what can come between one and its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...kernel.actions import Action
from . import waiting

if TYPE_CHECKING:
    from .run import Attempt, Run

ENDLESS = 3
"""Attempts that fail before one gets through, where a policy would go on for ever."""


BETWEEN = frozenset({"crash", "cancel", "deadline", "slow"})


def choose(run: Run, attempt: Attempt, action: Action, options: tuple[str, ...]) -> str:
    """Ask the path what becomes of the attempt. The point is named by step, action and number."""
    name = f"{run.subject.short(action.name, attempt.direction)}:{attempt.seat.tag}{action.id}"
    number = run.counts[name] = run.counts.get(name, 0) + 1
    return run.path.choose(f"{name}#{number}", options)


def come_between(run: Run, attempt: Attempt, option: str) -> None:
    """Carry out an option after which the attempt is still in flight."""
    if option == "slow":
        attempt.slow = True
        if run.flight:
            run.flight.append(attempt)
        else:
            waiting.let_time_pass(run)
            run.flight.append(attempt)
        return
    run.flight.appendleft(attempt)
    if option == "crash":
        run.crash()
    elif option == "cancel":
        waiting.cancel(run)
    else:
        waiting.pass_deadline(run)


def digest_of(run: Run) -> int:
    """What names the choice point that was met last."""
    return run.path.points[-1].digest if run.path.points else 0
