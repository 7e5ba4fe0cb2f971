"""Every rule: its code, its name, how bad it is, why it matters and what to do.

Codes never change their meaning, and a code that was dropped is not used again.  docs/checks.md
shows a wrong and a right program for each; a test runs both through the rules.
"""

from __future__ import annotations

import msgspec

from .finding import Severity

ERROR, WARNING, ADVICE = Severity.ERROR, Severity.WARNING, Severity.ADVICE


class Rule(msgspec.Struct, frozen=True):
    """A rule. `loaded`: it needs the imported module, so `--no-import` switches it off."""

    code: str
    name: str
    severity: Severity
    title: str
    why: str
    hint: str
    loaded: bool = False


RULES: dict[str, Rule] = {}
"""Every rule, by its code."""


def _rule(
    code: str, name: str, severity: Severity, title: str, why: str, hint: str, loaded: bool = False
) -> None:
    RULES[code] = Rule(code, name, severity, title, why, hint, loaded)


# ---------------------------------------------------------------- AM1: undoing

_rule(
    "AM101",
    "missing-compensation",
    WARNING,
    "A step before the pivot has an effect and no compensation",
    (
        "If anything later fails, or the step's own outcome stays unknown, its effect remains and "
        "nobody is told."
    ),
    "declare a compensation, say irreversible=True, or call it after the pivot",
)
_rule(
    "AM102",
    "result-may-be-none",
    WARNING,
    "A compensation's result parameter does not allow None",
    "When the outcome is unknown (timeout, crash) there is no result: the compensation gets None.",
    "annotate it `… | None` and look for the effect by the idempotency key",
)
_rule(
    "AM103",
    "result-not-asked",
    WARNING,
    "A compensation uses the result without asking whether there is one",
    (
        "When the outcome is unknown (timeout, crash) the result is None: the compensation fails until "
        "a person helps."
    ),
    "handle None first, for example by looking for the effect by the idempotency key",
)
_rule(
    "AM104",
    "undo-does-not-fit",
    ERROR,
    "A compensation's parameters do not fit the step's",
    (
        "A compensation gets the result and then the step's own arguments; a step has one compensation "
        "or is irreversible."
    ),
    "take the result first, then the parameters of the step",
)
_rule(
    "AM105",
    "exposed-too-early",
    ADVICE,
    "An effect that cannot be taken back comes before steps that may fail",
    (
        "What others have seen (a mail, a parcel) cannot be undone, so it should happen when nothing "
        "can fail any more."
    ),
    "move it behind `await amends.pivot()`",
)

# ---------------------------------------------------------------- AM2: the pivot

_rule(
    "AM201",
    "two-pivots",
    WARNING,
    "Two pivots on one path",
    (
        "After the first pivot nothing is undone, so the second one does nothing: steps between them "
        "are not protected."
    ),
    "keep the one after which there is no way back",
)
_rule(
    "AM202",
    "not-retriable",
    WARNING,
    "A step after the pivot says that it must not be tried again",
    "After the pivot there is no way back: a step is tried until it succeeds, whatever its Retry says.",
    "make it safe to repeat (by its idempotency key) and give it a Retry, or move it before the pivot",
)
_rule(
    "AM203",
    "refused-after-pivot",
    WARNING,
    "What comes after the pivot can say no",
    (
        "After the pivot there is no way back: a rejection, or a nested saga that was undone, waits for "
        "a person."
    ),
    "ask (reserve, authorise) before the pivot, and only confirm after it",
)
_rule(
    "AM204",
    "time-limit-after-pivot",
    WARNING,
    "A time limit around a step after the pivot",
    "When it strikes, the step is neither tried again nor undone: its effect may or may not be there.",
    "await the step without a limit; it is tried until it succeeds",
)
_rule(
    "AM205",
    "pivot-in-flight",
    ERROR,
    "A pivot while other actions are in flight",
    "No action may be on both sides of the pivot, so it raises PivotRefused.",
    "await everything (leave the TaskGroup) before the pivot",
)
_rule(
    "AM206",
    "raise-after-pivot",
    WARNING,
    "The saga raises after its pivot",
    "Nothing is undone any more, so the execution parks and waits for a deploy or a person.",
    "decide before the pivot; after it, go on until the end",
)

# ---------------------------------------------------------------- AM3: what replay cannot repeat

_rule(
    "AM301",
    "clock",
    ERROR,
    "Saga code reads the clock",
    (
        "Replay runs the code again at another time, so it may decide otherwise, and the execution "
        "parks as diverged."
    ),
    "use amends.now(), `await asyncio.sleep(…)`, or do it in a step",
)
_rule(
    "AM302",
    "chance",
    ERROR,
    "Saga code draws chance",
    "Replay draws other numbers, so the code may decide otherwise, and the execution parks as diverged.",
    "use amends.random() or amends.uuid(), or do it in a step",
)
_rule(
    "AM303",
    "io",
    ERROR,
    "Saga code does I/O",
    "It happens again at every replay, its answer may differ, and nothing undoes it.",
    "do it in a step",
)
_rule(
    "AM304",
    "foreign",
    ERROR,
    "Saga code leaves its event loop",
    (
        "Threads, processes, executors and other loops end in an order that no replay can repeat; they "
        "raise ForeignCall."
    ),
    "use a step (a plain `def` step runs in a thread); the outside reaches a saga by signals",
)
_rule(
    "AM305",
    "environment",
    WARNING,
    "Saga code reads the environment of its process",
    "Another worker may have another environment, so a replay there may decide otherwise.",
    "pass it as an argument of the saga, or read it in a step",
)
_rule(
    "AM306",
    "shared-state",
    WARNING,
    "Saga code uses state that others change",
    "Globals and attributes are not journaled: a replay, or another worker, sees other values.",
    "keep it in local variables, arguments and results of steps",
)
_rule(
    "AM307",
    "unordered",
    WARNING,
    "Steps in the order of a set",
    "The order of a set of strings differs between processes, so a replay issues the steps in another order.",
    "iterate over sorted(…) or a list",
)
_rule(
    "AM308",
    "repeated-output",
    ADVICE,
    "Saga code prints or logs",
    "It is repeated at every replay.",
    "use amends.logger, which is silent during replay",
)

# ---------------------------------------------------------------- AM4: control flow and time

_rule(
    "AM401",
    "effect-in-finally",
    WARNING,
    "A step in a `finally`",
    (
        "When the saga is cancelled or past its deadline no new step begins, so this one is missing "
        "just when it is needed."
    ),
    "make it the compensation of what it cleans up",
)
_rule(
    "AM402",
    "cancel-swallowed",
    WARNING,
    "A cancellation is swallowed",
    "A cancel is sticky: each further step raises again, so the code after it runs half.",
    "catch Exception (a cancellation is none), or raise again at the end of the handler",
)
_rule(
    "AM403",
    "not-awaited",
    ERROR,
    "A call that is never awaited",
    "Calling a step or saga only makes a call object; nothing happens until it is awaited.",
    "await it, or give it to a TaskGroup, gather or create_task",
)
_rule(
    "AM404",
    "recursion",
    WARNING,
    "A saga that nests itself",
    "Each level is an execution of its own that waits for the next; the depth of nesting is limited.",
    "end with `await amends.continue_as_new(…)`, or loop",
)
_rule(
    "AM405",
    "endless-loop",
    WARNING,
    "A loop without end and without continue_as_new",
    "The journal grows with every round until it reaches its limit, and each recovery replays all of it.",
    "call `await amends.continue_as_new(…)` every so many rounds",
)
_rule(
    "AM406",
    "outlives-limit",
    WARNING,
    "Retries or waits that outlive the time there is",
    (
        "The limit strikes first: the later attempts never happen, or all is undone though the step "
        "might yet succeed."
    ),
    "allow more time, or fewer and shorter attempts",
)
_rule(
    "AM407",
    "path-outlives-deadline",
    ADVICE,
    "The longest path may take longer than the deadline",
    "With each step on it at its slowest, all is undone though nothing failed.",
    "a longer deadline, or shorter timeouts and retries",
)

# ---------------------------------------------------------------- AM5: payloads

_rule(
    "AM501",
    "unannotated",
    WARNING,
    "A value of the journal without an annotation",
    "It comes back from the journal as plain JSON: an object as a dict, a date as text.",
    "annotate it (Any says that plain JSON is meant)",
)
_rule(
    "AM502",
    "unreadable",
    ERROR,
    "An annotation that no journal can hold or read back",
    "Values travel as JSON; what is open (a socket, a function) or ambiguous does not.",
    "use plain values, dataclasses or models; pools and clients are a Resource[…]",
    loaded=True,
)
_rule(
    "AM503",
    "mutable-default",
    ADVICE,
    "A default value that can be changed",
    "Calls of the plain function share it; in saga code that is state which no replay can repeat.",
    "use None or an immutable value",
)

# ---------------------------------------------------------------- AM6: names and versions

_rule(
    "AM601",
    "implicit-name",
    ADVICE,
    "A durable name that follows the code's place",
    "Journals know it by that name: renaming or moving the function strands the executions that run.",
    "give it a name of its own",
)
_rule(
    "AM602",
    "duplicate-name",
    ERROR,
    "Two definitions with one durable name",
    "The later one replaces the earlier one in this process, so executions may run the wrong code.",
    "give each its own name, or sagas different versions",
)
_rule(
    "AM603",
    "lonely-version",
    ADVICE,
    "A later version of a saga whose earlier ones are not there",
    "An execution stays with its version; without it, it parks with missing_definition.",
    "keep the old version until its executions have ended, or branch with amends.patched(…)",
)

# ---------------------------------------------------------------- AM9: the check itself

_rule(
    "AM901",
    "unused-ignore",
    WARNING,
    "A comment that ignores nothing",
    "It would hide a finding that comes later, and says something that is not so.",
    "remove it, or correct its code",
)
_rule(
    "AM902",
    "refused-definition",
    ERROR,
    "A definition that amends refuses",
    "The module cannot be imported, so no worker can run its sagas.",
    "see the message",
    loaded=True,
)


def matching(patterns: list[str] | tuple[str, ...]) -> set[str]:
    """The codes that begin with one of the patterns (`AM1`, `AM101`); ``ALL`` means all."""
    return {code for code in RULES if any(code.startswith(p) or p == "ALL" for p in patterns)}
