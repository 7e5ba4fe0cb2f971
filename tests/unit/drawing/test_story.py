"""A journal told in the order in which its row was made."""

from __future__ import annotations

from typing import Any

from amends.drawing.diagram import State
from amends.drawing.story import tell


def row(position: int, events: list[Any], commands: list[Any]) -> dict[str, Any]:
    return {"position": position, "now": float(position), "events": events, "commands": commands}


WAITS = row(0, [], [{"type": "await", "id": "1", "name": "go"}, {"type": "timer", "id": "2", "due": 1.0}])
RINGS, COMES = {"type": "fired", "id": "2"}, {"type": "signalled", "name": "go", "value": 1}
GIVES_UP, WAITS_AGAIN = {"type": "unawait", "id": "1"}, {"type": "await", "id": "3", "name": "go"}


def states(*rows: dict[str, Any]) -> dict[str, State]:
    return {deed.id: deed.state for deed in tell(rows)}


def test_a_signal_goes_to_who_waits_when_it_comes() -> None:
    together = row(1, [RINGS, COMES], [GIVES_UP, {"type": "heed", "events": 1}, WAITS_AGAIN])
    assert states(WAITS, together) == {"1": State.SKIPPED, "2": State.DONE, "3": State.DONE}


def test_without_such_an_entry_events_come_first() -> None:
    together = row(1, [RINGS, COMES], [WAITS_AGAIN])
    assert states(WAITS, together) == {"1": State.DONE, "2": State.DONE, "3": State.WAITING}


def test_what_a_row_keeps_counts_with_the_next_one() -> None:
    kept = row(1, [RINGS], [{"type": "deferred"}])
    after = row(2, [COMES], [GIVES_UP, {"type": "heed", "events": 1}, WAITS_AGAIN])
    assert states(WAITS, kept, after) == {"1": State.SKIPPED, "2": State.DONE, "3": State.DONE}
    rang = {deed.id: deed.ended for deed in tell([WAITS, kept, after])}
    assert rang["2"] == 1.0, "it ended when its row was written"


def test_what_a_row_keeps_is_shown_before_the_next_one() -> None:
    assert states(WAITS, row(1, [RINGS], [{"type": "deferred"}])) == {"1": State.WAITING, "2": State.DONE}
