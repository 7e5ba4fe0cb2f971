"""Findings: what is wrong with a saga, in words for whoever wrote it."""

from __future__ import annotations

from typing import Any

import msgspec


class Cause(msgspec.Struct, frozen=True):
    """A kind of finding: what is wrong, and what to do. `{step}` is the step, `{short}` its last name."""

    text: str
    advice: str


CAUSES: dict[str, Cause] = {
    "no-compensation": Cause(
        "{step} has no compensation: what it did stays when the saga is undone",
        "declare one with @{short}.compensation, or say @step(irreversible=True)",
    ),
    "incomplete": Cause(
        "the compensation of {step} leaves something behind",
        "undo all that the step does",
    ),
    "ignores-unknown": Cause(
        "the compensation of {step} undoes nothing when the outcome is unknown, although the effect is there",
        "with the result None, look for the effect by the idempotency key",
    ),
    "partial": Cause(
        "{step} can break off halfway, and its compensation leaves what was done by then",
        "find and undo each part by the idempotency key, not by the result",
    ),
    "nothing-to-undo": Cause(
        "the compensation of {step} does harm when there is nothing to undo",
        "first look whether the effect is there, by the idempotency key",
    ),
    "needs-result": Cause(
        "the compensation of {step} needs the result, which is not known when the outcome is unknown",
        "with the result None, look for the effect by the idempotency key",
    ),
    "undo-fails": Cause(
        "the compensation of {step} fails by itself",
        "it is tried again, then a person has to look: mend it",
    ),
    "not-idempotent": Cause(
        "{step} is not idempotent: a second attempt has a second effect",
        "give the participant amends.current().idempotency_key, and let it answer a repeated key as before",
    ),
    "minted-inside": Cause(
        "{step} makes a new id in each attempt, so a second attempt has a second effect",
        "use amends.current().idempotency_key as the id, or make it in the saga with amends.uuid()",
    ),
    "undo-not-idempotent": Cause(
        "the compensation of {step} is not idempotent: a second attempt fails, or has a second effect",
        "give the participant the idempotency key, and let it answer a repeated key as before",
    ),
    "late": Cause(
        "a request of {step} that arrives after its compensation still has its effect, and nothing undoes it",
        "let the participant refuse a key that was undone (amends.participants.barrier does)",
    ),
    "rejected-with-effect": Cause(
        "{step} was rejected, which says that it certainly did nothing, but it had an effect",
        "raise Rejected only before anything was done; else raise another error, and it is compensated",
    ),
    "swallowed": Cause(
        "{step} swallows an error of its participant and reports success",
        "let the error out: amends tries again, and compensates in the end",
    ),
    "undo-swallowed": Cause(
        "the compensation of {step} swallows an error of its participant and reports that all is undone",
        "let the error out: it is tried again",
    ),
    "failure-ignored": Cause(
        "the saga completes as if nothing had happened, although {step} failed",
        "let StepFailed out, or do something else instead; if it is meant so, accept it",
    ),
    "order": Cause(
        "the compensation of {step} does not work once {other} was undone",
        "effects are undone in reverse: do {step} after {other}, or let its compensation cope",
    ),
    "fallible-after-pivot": Cause(
        "{step} can be rejected after the pivot, when nothing can be undone any more: a person has to decide",
        "do it before the pivot, or make it a step that cannot be rejected",
    ),
    "fails-after-pivot": Cause(
        "the saga's body can fail after the pivot, when nothing can be undone any more",
        "do what can fail before the pivot",
    ),
    "retry-outlives-deadline": Cause(
        "the retries of {step} can outlive the saga's deadline",
        "fewer or quicker attempts, schedule_to_close=, or a longer deadline",
    ),
    "non-deterministic": Cause(
        "the body of {step} (or a participant) does not do the same thing when it is repeated",
        "take clock, chance and ids from amends.now(), amends.random(), amends.uuid(); all else is for steps",
    ),
    "stuck": Cause("{step} can come to wait for something that nothing can deliver", "see the message"),
    "parked": Cause("{step} can come to a point where it cannot go on", "see the message"),
    "attention": Cause("{step} can end in attention by itself", "see the message"),
    "leftover": Cause("{step} was undone, and something is left", "see what differs"),
}
"""What can be wrong with a saga, by the code of the finding."""

NOTES: dict[str, str] = {
    "fails-anyway": "without any fault the saga ends {status}: {why}",
    "waits-for-ever": "it waits for the signal {step} without a timeout: without that signal, for ever",
    "attention-if-down": "if the participant is down for longer than the compensation of {step} is retried, "
    "a person has to look",
    "asks": "{step} waits for a person by its own declaration ({why})",
    "residue": "something of {step} can stay by its own declaration ({why})",
    "undo-never-ran": "the compensation of {step} never ran in any path",
    "undo-never-unknown": "the compensation of {step} never ran after an unknown outcome of its own",
    "undo-never-nothing": "the compensation of {step} never ran with nothing to undo",
    "no-compensation": "{step} has no compensation: fine if it changes nothing",
    "cut": "paths of more than {why} journal rows were cut short",
    "stubbed": "steps were stubbed: give participants to see whether they are left as they were",
}


class Finding(msgspec.Struct, kw_only=True):
    """One thing that is wrong. `replay`: the shortest path that shows it. `paths`: how many show it."""

    code: str
    step: str
    text: str
    advice: str
    replay: str = ""
    story: list[str] = []
    evidence: list[str] = []
    paths: int = 1

    @property
    def name(self) -> str:
        """How to accept it: ``late shop.charge``."""
        return f"{self.code} {self.step}"


class Note(msgspec.Struct, kw_only=True, frozen=True):
    """Something to know that is not wrong in itself."""

    code: str
    step: str
    text: str


def finding(code: str, step: str, *, evidence: list[str] | None = None, **words: Any) -> Finding:
    """A finding of the table."""
    cause = CAUSES[code]
    filled = {"step": step, "short": step.rpartition(".")[2], **words}
    text, advice = cause.text.format(**filled), cause.advice.format(**filled)
    return Finding(code=code, step=step, text=text, advice=advice, evidence=evidence or [])


def note(code: str, step: str, **words: Any) -> Note:
    """A note of the table."""
    return Note(code=code, step=step, text=NOTES[code].format(step=step, **words))


_UNDOING = frozenset({"ignores-unknown", "partial", "nothing-to-undo", "needs-result", "undo-not-idempotent"})
_FOLLOWS: dict[str, frozenset[str]] = {
    "incomplete": _UNDOING,
    "undo-fails": _UNDOING,
    "order": _UNDOING | {"undo-fails", "incomplete"},
    "ignores-unknown": frozenset({"late"}),
    "needs-result": frozenset({"late"}),
    "minted-inside": frozenset({"not-idempotent", "late"}),
}
"""What follows from a cause, so that it need not be said as well."""


def essential(found: list[Finding]) -> list[Finding]:
    """Without those that follow from another one of the same step."""
    implied = {(each.step, code) for each in found for code in _FOLLOWS.get(each.code, ())}
    return [each for each in found if (each.step, each.code) not in implied]
