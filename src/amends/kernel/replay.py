"""Recovery by the front door: rows of the journal through the same `activate`, and the comparison.

Nothing here decides how to go on after a mismatch: a real divergence parks the execution with both
sides shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import AmendsError, Divergence, PayloadError
from . import entries as e
from .entries import Row, Started, decode_commands, decode_events, opened
from .forking import Forked

if TYPE_CHECKING:
    from .instance import Instance

_Decoded = tuple[Row, list[Any], list[Any]]
_MARKS = frozenset({e.Patch, e.Backward, e.Finish})


class Journal(msgspec.Struct, gc=False):
    """Decoded rows: those of the last run (`rows`), whether its saga code has ended for good, and those
    before it (earlier runs, or, when it has ended, all that came before its end). `forks`: those in `rows`.
    """

    rows: list[_Decoded]
    ended: bool
    before: list[_Decoded]
    patches: set[str]
    forks: list[Forked]


def load(self: Instance, rows: Sequence[Row]) -> None:
    """See `Instance.load`."""
    journal = _read(self, rows)
    for row, events, commands in journal.before:
        _fold_row(self, row, events, commands)
    self.journaled_patches |= journal.patches
    if journal.ended:
        for row, events, commands in journal.rows:
            _fold_row(self, row, events, commands)
    else:
        self.forks = journal.forks
        _replay(self, journal.rows)


def _replay(self: Instance, rows: list[_Decoded]) -> None:
    """Run the saga's code through its rows, entering its loop once for all of them."""
    place = 0
    try:
        while place < len(rows) and self.program is None:
            _replay_row(self, *rows[place])
            place += 1
        if self.program is not None:
            with self.program.loop:
                for row, events, commands in rows[place:]:
                    _replay_row(self, row, events, commands)
    finally:
        self.expected = None


def fold(self: Instance, rows: Sequence[Row]) -> None:
    """See `Instance.fold`."""
    journal = _read(self, rows)
    for row, events, commands in (*journal.before, *journal.rows):
        _fold_row(self, row, events, commands)


def _read(self: Instance, rows: Sequence[Row]) -> Journal:
    """Decode and verify, in one pass; positions must be gap-free and checksums must chain."""
    journal = Journal([], False, [], set(), [])
    position, checksum = self.position, self.checksum
    for row in rows:
        came, went = opened(row, position, checksum)
        events, commands = decode_events(came), decode_commands(went)
        for event in events:
            if type(event) is Started:
                _begin_anew(journal, ended=False)
            elif type(event) is Forked:
                journal.forks.append(event)
        for command in commands:
            if type(command) in _MARKS:
                if isinstance(command, e.Patch):
                    journal.patches.add(command.change)
                else:
                    _begin_anew(journal, ended=True)
        journal.rows.append((row, events, commands))
        position += 1
        checksum = row.checksum
    return journal


def _begin_anew(journal: Journal, *, ended: bool) -> None:
    """What was read so far comes before the run (or the end) that this row brings."""
    journal.before += journal.rows
    journal.rows = []
    journal.ended = ended
    journal.patches.clear()
    journal.forks.clear()


def _fold_row(self: Instance, row: Row, events: list[Any], commands: list[Any]) -> None:
    ledger = self.ledger
    if _is_deferred(commands):
        ledger.now = max(ledger.now, row.now)
        self.deferred.extend(events)
    else:
        ledger.now = row.now
        for came, went in in_order([*self.deferred, *events], commands):
            for event in came:
                ledger.take(event, row.position)
            for command in went:
                ledger.issue(command, row.position)
        self.deferred = []
    self.position = row.position + 1
    self.checksum = row.checksum


def _heeded(command: Any) -> int | None:
    return command.events if type(command) is e.Heed else None


def in_order(
    events: list[Any], commands: list[Any], heeded: Callable[[Any], int | None] = _heeded
) -> Iterator[tuple[list[Any], list[Any]]]:
    """A row as its fold takes it: events, and the commands to issue once these are taken (see `taking`).

    heeded: how many events a command that is `Heed` names; None for all others.
    """
    taken = issued = 0
    for place, command in enumerate(commands):
        count = heeded(command)
        if count is not None:
            yield events[taken:count], commands[issued:place]
            taken, issued = count, place + 1
    yield events[taken:], commands[issued:]


def _is_deferred(commands: list[Any]) -> bool:
    return len(commands) == 1 and type(commands[0]) is e.Defer


def _replay_row(self: Instance, row: Row, events: list[Any], commands: list[Any]) -> None:
    if commands and type(commands[0]) is e.Defer:
        self.ledger.now = max(self.ledger.now, row.now)
        self.deferred.extend(events)
    else:
        self.expected = commands
        issued = self.activate(events, row.now).commands
        if issued != commands:
            reconcile(self, row, issued, commands)
    self.position = row.position + 1
    self.checksum = row.checksum


# ---------------------------------------------------------------- comparing


def reconcile(self: Instance, row: Row, issued: list[Any], journaled: list[Any]) -> None:
    """Compare command by command, by id and as values; adopt what the journal says. Raises `Divergence`."""
    theirs = {_key(command): command for command in journaled}
    for command in issued:
        other = theirs.pop(_key(command), None)
        if other is None or not _same(self, command, other):
            raise _divergence(self, row, command, other, list(theirs.values()))
        _adopt(self, command, other)
    if theirs:
        raise _divergence(self, row, None, next(iter(theirs.values())), [])


def _key(command: Any) -> tuple[str, str]:
    if type(command) is e.Heed:
        name = str(command.events)
    else:
        name = command.change if type(command) is e.Patch else getattr(command, "id", "")
    return type(command).__struct_config__.tag, name


def _same(self: Instance, mine: Any, theirs: Any) -> bool:
    if mine == theirs:
        return True
    if type(mine) in (e.RunStep, e.UndoWith):
        return mine.step == theirs.step and mine.scope == theirs.scope and _same_args(self, mine, theirs)
    if type(mine) is e.StartChild:
        return mine.saga == theirs.saga and mine.uid == theirs.uid and _same_args(self, mine, theirs)
    if type(mine) is e.ContinueAsNew:
        return _same_args(self, mine, theirs)
    return type(mine) in (e.Return, e.Unwind)


def _same_args(self: Instance, mine: Any, theirs: Any) -> bool:
    """Equal once both are read with today's annotations: a new field with a default is no divergence."""
    if mine.args == theirs.args:
        return True
    try:
        if type(mine) is e.StartChild:
            signature = self.registry.saga(mine.saga, mine.version).signature
        elif type(mine) is e.ContinueAsNew:
            signature = self.registry.saga(self.saga_name, self.version).signature
        else:
            signature = self.registry.step(mine.step).signature
        old, new = signature.decode_args(theirs.args), signature.decode_args(mine.args)
    except (PayloadError, AmendsError):
        return False
    return bool(old == new)


def _adopt(self: Instance, mine: Any, theirs: Any) -> None:
    """The journal's arguments, undo flag and return value hold, not today's."""
    action = self.ledger.actions.get(getattr(mine, "id", ""))
    if action is not None and type(mine) in (e.RunStep, e.StartChild, e.UndoWith):
        action.args = theirs.args
        action.undo = getattr(theirs, "undo", action.undo)
    if type(mine) is e.Return:
        self.ledger.value = theirs.value
    if type(mine) is e.ContinueAsNew:
        self.ledger.next_args = theirs.args


def _divergence(self: Instance, row: Row, mine: Any, theirs: Any, others: list[Any]) -> Divergence:
    """`others`: commands of the journal for which the code has shown nothing yet."""
    if mine is not None and theirs is None:
        near = [c for c in others if getattr(c, "id", "") == getattr(mine, "id", None)]
        theirs = next(iter((*near, *others)), None)
    return Divergence(
        f"the code of {self.saga_name} no longer does what journal row {row.position} says\n"
        f"    journal:  {_show(theirs)}\n"
        f"    code:     {_show(mine)}",
        hint="deploy the earlier code, or guard the change with amends.patched(…), then retry; "
        "cancel undoes the execution from its journal alone",
    )


def _show(command: Any) -> str:
    return "(nothing)" if command is None else msgspec.json.encode(command).decode()[:500]
