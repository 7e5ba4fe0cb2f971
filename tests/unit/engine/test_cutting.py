"""Journals that only rarely come about, and where they may be cut."""

from __future__ import annotations

from typing import Any

import pytest

from amends.engine.cutting import cut_before
from amends.errors import Refused
from amends.kernel import entries as e
from amends.kernel.entries import Fault, Raw, Row
from amends.store.port import Header

NOTHING = Raw(b"{}")
STARTED = e.Started(NOTHING)
END = ([e.TerminateRequested("no more")], [e.Finish("terminated")])


def journal(*entries: tuple[list[Any], list[Any]]) -> list[Row]:
    rows: list[Row] = []
    for position, (events, commands) in enumerate(entries):
        previous = rows[-1].checksum if rows else 0
        rows.append(e.seal(position, float(position), events, commands, previous))
    return rows


def header() -> Header:
    return Header(uid="u", id="one", saga="s", input="{}", created_at=0.0, status="terminated")


def step(id: str, undo: int = e.UNDO_NONE) -> e.RunStep:
    return e.RunStep(id, f"s.step{id}", NOTHING, undo)


def test_arguments_that_were_replaced_at_that_moment() -> None:
    """A key that an action gets with new arguments names the row; in a fork that would be another one."""
    held = e.Failed("1", Fault("No", ""), "rejected", "ask")
    again = e.Retried("1", "ann", Raw(b'{"n":1}'))
    rows = journal(
        ([STARTED], [step("1", e.UNDO_STEP), step("2")]),
        ([held], []),
        ([again, e.Completed("2", e.NULL)], [step("3")]),
        ([e.Completed("3", e.NULL), e.Completed("1", e.NULL)], [step("4")]),
        END,
    )
    with pytest.raises(
        Refused, match=r"it began s.step3 \(action 3\) it was given new arguments for another"
    ):
        cut_before(header(), rows, "3")
    cut = cut_before(header(), rows, "4")
    assert (cut.rows, len(cut.events), cut.uid) == (3, 2, "u")


def test_a_nested_saga_that_goes_on_tells_its_end_to_the_original() -> None:
    """Also after the pivot: it would be waited for in vain."""
    child = e.StartChild("1", "s.child", "", NOTHING, "child")
    rows = journal(
        ([STARTED], [e.Pivot("0"), child, step("2")]),
        ([e.Completed("2", e.NULL)], [step("3")]),
        ([e.ChildEnded("1", "completed")], []),
        END,
    )
    with pytest.raises(Refused, match="is a nested saga"):
        cut_before(header(), rows, "3")


def test_rows_that_only_keep_their_events_belong_to_the_next() -> None:
    rows = journal(
        ([STARTED], [step("1")]),
        ([e.Completed("1", e.NULL)], [e.Defer()]),
        ([e.Signalled("word", e.NULL)], [e.Defer()]),
        ([e.Signalled("word", e.NULL)], [step("2")]),
        END,
    )
    cut = cut_before(header(), rows, "2")
    assert cut.rows == 1
    assert [type(event) for event in cut.events] == [e.Completed, e.Signalled, e.Signalled]
    assert cut.at == 3.0
