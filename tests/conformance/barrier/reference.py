"""What the barrier promises, as the plainest program that keeps it, and whether what was seen can be explained by it.

The promise: an action is done once; a copy of it gets the first answer, be it a reply or a rejection; a compensation whose
action never arrived does nothing and is remembered; an action that comes after its compensation, or after its key was
sealed, is never answered as a success.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

Answer = tuple[str, Any]


@dataclass(frozen=True)
class Facts:
    """All that is true of one action."""

    reply: Any = None
    done: bool = False
    rejection: str | None = None
    compensated: bool = False
    undo_reply: Any = None
    sealed: bool = False


def do(facts: Facts, reply: Any) -> tuple[Facts, Answer]:
    if refused := _refused(facts):
        return facts, refused
    if facts.done:
        return facts, ("duplicate", facts.reply)
    return replace(facts, done=True, reply=reply), ("execute", reply)


def reject(facts: Facts, message: str) -> tuple[Facts, Answer]:
    if refused := _refused(facts):
        return facts, refused
    if facts.done:
        return facts, ("duplicate", facts.reply)
    return replace(facts, rejection=message), ("rejected", message)


def _refused(facts: Facts) -> Answer | None:
    if facts.compensated or facts.sealed:
        return "hanging", None
    return None if facts.rejection is None else ("rejected", facts.rejection)


def undo(facts: Facts, reply: Any) -> tuple[Facts, Answer]:
    if facts.compensated:
        return facts, ("duplicate", facts.undo_reply)
    if facts.done:
        return replace(facts, compensated=True, undo_reply=reply), ("execute", reply)
    return replace(facts, compensated=True), ("null", None)


def probe(facts: Facts, _: Any) -> tuple[Facts, Answer]:
    if facts.compensated or facts.sealed or facts.rejection is not None:
        return facts, ("rejected", None)
    return facts, ("succeeded", facts.reply) if facts.done else ("unknown", None)


def seal(facts: Facts, _: Any) -> tuple[Facts, Answer]:
    nothing = not (facts.done or facts.compensated or facts.rejection is not None)
    return probe(replace(facts, sealed=True) if nothing else facts, _)


STEPS = {step.__name__: step for step in (do, reject, undo, probe, seal)}


class Call(NamedTuple):
    """One request: what was asked, when it began and ended (in ticks), and what was answered. None: it was lost."""

    kind: str
    value: Any
    began: int
    ended: int
    answer: Answer | None


def explained(calls: list[Call]) -> bool:
    """Is there an order of the calls, agreeing with who ended before whom began, that gives these answers?

    A call that was lost (rolled back, its connection killed) must have had no effect, so it is left out.
    """
    tried: set[tuple[frozenset[int], Facts]] = set()

    def search(left: frozenset[int], facts: Facts) -> bool:
        if not left:
            return True
        if (left, facts) in tried:
            return False
        tried.add((left, facts))
        first_end = min(calls[n].ended for n in left)
        for n in left:
            if calls[n].began <= first_end:
                after, answer = STEPS[calls[n].kind](facts, calls[n].value)
                if answer == calls[n].answer and search(left - {n}, after):
                    return True
        return False

    return search(frozenset(n for n, call in enumerate(calls) if call.answer is not None), Facts())
