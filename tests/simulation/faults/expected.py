"""The branches that a campaign must have taken: what is never taken is not tested."""

from __future__ import annotations

import typing

from amends.kernel import entries as e
from amends.kernel.forking import Forked
from amends.kernel.holding import PauseRequested, ResumeRequested

_RARE = {
    e.Patch,
    e.Defer,
    e.Heed,
}  # no program patches; rows that only keep events are read together with the next one; and few rows need to tell an order

# Never journaled; and nobody forks here (see tests/unit/engine/test_forking_random.py).
_ELSEWHERE = {PauseRequested, ResumeRequested, Forked}
EVENTS = {
    f"event {kind.__struct_config__.tag}" for kind in typing.get_args(e.Event) if kind not in _ELSEWHERE
}
COMMANDS = {
    f"command {kind.__struct_config__.tag}" for kind in typing.get_args(e.Command) if kind not in _RARE
}

MARKS = {
    *EVENTS,
    *COMMANDS,
    *(f"status {status}" for status in ("completed", "compensated", "partially_compensated", "terminated")),
    *(f"cause {cause}" for cause in ("cancelled", "deadline", "failed", "terminated")),
    *(f"order {order}" for order in ("fifo", "uniform", "pct")),
    *(f"verdict {verdict}" for verdict in ("conflict", "poison")),
    "a release was refused, because there was news",
    "a worker gave up: fenced",
    "a worker gave up: commit_unknown",
    "a drain ended in store",
    "an execution stood still",
    "a saga stood still",
    "attention because of corrupt",
    "attention because of divergence",
    "attention because of failed",
    "attention because of poison",
    *(
        f"a service said {verdict} to do"
        for verdict in ("execute", "duplicate", "Hanging", "Rejected", "Broken")
    ),
    *(f"a service said {verdict} to undo" for verdict in ("execute", "duplicate", "null", "Broken")),
    *(
        f"an operator's {how} of {what}"
        for how in ("retry", "skip", "resolve")
        for what in (
            "do, because of ask",
            "do, because of irreversible",
            "do, because of pivot",
            "undo, because of compensation failed",
        )
    ),
    *(
        f"reference: {what}"
        for what in (
            "cancel after the end of the body",
            "child undone",
            "continued as new",
            "fell back",
            "held",
            "held, then given up",
            "interrupted",
            "irreversible",
            "left as residue",
            "parked",
            "pivot of a child",
            "pivot refused",
            "pivoted",
            "rolled back",
            "settled",
            "undone side by side",
            "waited in order",
        )
    ),
}
