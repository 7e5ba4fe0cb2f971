"""What can happen at a choice point. The first option of a point is that all is well."""

from __future__ import annotations

import msgspec


class Kind(msgspec.Struct, frozen=True):
    """A fault: its name in replay strings, and what it means (for people)."""

    name: str
    text: str


OK = "ok"

KINDS = {
    kind.name: kind
    for kind in (
        Kind("rejected", "the participant refuses: certainly no effect"),
        Kind("failed", "the attempt fails before it has an effect; the next one gets through"),
        Kind("lost", "the attempt has its effect, the reply is lost; the next one gets through"),
        Kind("down", "every attempt fails before it has an effect"),
        Kind("mute", "every attempt has its effect, every reply is lost"),
        Kind("breaks", "the attempt breaks off between two calls of participants; the next one gets through"),
        Kind("stays-broken", "every attempt breaks off between the same two calls"),
        Kind("late", "no attempt gets through in time; the request arrives after it was undone"),
        Kind("crash", "the worker dies while the attempt is under way; another one recovers"),
        Kind("cancel", "somebody cancels the saga"),
        Kind("deadline", "the saga's deadline passes"),
        Kind("slow", "other attempts and timers overtake this one"),
        Kind("never", "the signal never comes"),
        Kind("overdue", "the signal comes when nobody waits for it any more"),
        Kind("twice", "the signal comes twice"),
    )
}
"""What can go wrong on a path, by name."""

FREE = frozenset({OK, "absent", "present", "finished"})
"""Options that are no faults: how far a stopped or lost attempt had come is a race, not a fault."""


def cost(option: str) -> int:
    """How many faults of the budget an option takes."""
    return 0 if option in FREE or option.startswith("value-") else 1


def kind_of(option: str) -> str:
    """The kind of an option such as ``breaks-2``."""
    head, _, tail = option.rpartition("-")
    return head if tail.isdigit() else option
