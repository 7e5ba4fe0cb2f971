"""A journal that cannot be read says which row it is, what was found, and what a person can do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from amends.errors import CorruptJournal
from amends.kernel import entries as e

TO_DO = "from a backup, or terminate this execution"


def rows() -> list[e.Row]:
    made: list[e.Row] = []
    checksum = 0
    for position in range(3):
        made.append(e.seal(position, float(position), [e.Fired(str(position))], [], checksum))
        checksum = made[-1].checksum
    return made


def test_a_row_that_is_missing_is_named_and_so_is_the_one_in_its_place() -> None:
    first, _, third = rows()
    with pytest.raises(CorruptJournal) as caught:
        e.opened(third, 1, first.checksum)
    assert caught.value.message == "journal row 1 is missing; found row 2 in its place"
    assert caught.value.hint == f"restore the journal {TO_DO}"


def test_a_row_that_was_changed_shows_both_checksums() -> None:
    first, second, _ = rows()
    right = e.checksum(1, second.now, second.events.encode(), second.commands.encode(), first.checksum)
    with pytest.raises(CorruptJournal) as caught:
        e.opened(second, 1, first.checksum + 1)
    stored, computed = f"stored {right}", caught.value.message.rpartition("computed ")[2].rstrip(")")
    assert caught.value.message.startswith(f"journal row 1 does not match its checksum ({stored}, computed ")
    assert int(computed) not in {right, 0}
    assert caught.value.hint == f"restore the row {TO_DO}"


@pytest.mark.parametrize(
    ("decode", "what"),
    [
        (e.decode_events, "events of a journal row cannot be read: "),
        (e.decode_commands, "commands of a journal row cannot be read: "),
        (e.decode_event, "an inbox message cannot be read: "),
    ],
)
@pytest.mark.parametrize("text", ["", "[[", '[["no such entry"]]', '{"a": 1}'])
def test_entries_that_are_none_say_whose_and_why(decode: Callable[[str], Any], what: str, text: str) -> None:
    with pytest.raises(CorruptJournal) as caught:
        decode(text)
    assert caught.value.message.startswith(what)
    assert len(caught.value.message) > len(what), "and what is wrong with it"
    assert caught.value.hint == f"restore it {TO_DO}"
    assert caught.value.__cause__ is not None
