"""Replaying a whole journal with the saga's code, also that of an execution that has ended.

Recovery runs no code of what has ended, nor of earlier runs; here each run is brought to its last row, and
that row is compared, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ..kernel import entries as e
from ..kernel.entries import Row, decode_commands, decode_events
from ..kernel.instance import Instance
from ..kernel.replay import reconcile

_ENDS = (e.Backward, e.Finish, e.ContinueAsNew)


def replay(make: Callable[[], Instance], rows: Sequence[Row]) -> None:
    """Replay a journal with instances that `make` makes. Raises `Parked`, mostly as `Divergence`."""
    for last in _last_rows(rows):
        instance = make()
        try:
            instance.load(rows[:last])
            _compare(instance, rows[last])
        finally:
            instance.discard()


def _last_rows(rows: Sequence[Row]) -> Iterator[int]:
    """The last row of each run in which its code still had a say."""
    over = False
    for place, row in enumerate(rows):
        if any(type(event) is e.Started for event in decode_events(row.events)):
            over = False
        if not over and any(type(command) in _ENDS for command in decode_commands(row.commands)):
            over = True
            yield place
    if rows and not over:
        yield len(rows) - 1


def _compare(instance: Instance, row: Row) -> None:
    journaled = decode_commands(row.commands)
    if len(journaled) == 1 and type(journaled[0]) is e.Defer:
        return
    instance.expected = list(journaled)
    issued = instance.activate(list(decode_events(row.events)), row.now).commands
    if issued != journaled:
        reconcile(instance, row, issued, list(journaled))
