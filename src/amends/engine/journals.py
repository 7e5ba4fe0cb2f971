"""Journals as JSON lines: how whole executions travel between stores, and rest in archives.

**Theory of operation.**  A file is a row of sections: a line ``begin``, one line ``tree`` for each root
execution with all that is nested in it, a line ``end`` that counts them.  Each line carries a crc32 that is
seeded with that of the line before it, so a line that is changed, lost or moved is found at its place, and a
file that is cut off has no ``end``.  Within a tree each journal has the chain of its own rows.  (Both find
damage, not malice.)

What is read is believed only if its journal folds: every row decodes, chains, and can be applied to what came
before, and what comes out is what the header says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from zlib import crc32

import msgspec

from ..definition.registry import Registry
from ..errors import AmendsError, CorruptJournal
from ..kernel.instance import Instance
from ..kernel.ledger import Ledger
from ..kernel.limits import Limits
from ..store.port import ATTENTION, FINAL, Header, History

FORMAT = 1
_DAMAGED = "take another copy of the file; what was read before this line is sound"


class Begin(msgspec.Struct, tag="begin", tag_field="kind"):
    """The first line of a section."""

    format: int
    at: float
    namespace: str


class Tree(msgspec.Struct, tag="tree", tag_field="kind"):
    """A root execution and all that is nested in it."""

    executions: list[History]


class End(msgspec.Struct, tag="end", tag_field="kind"):
    """The last line of a section."""

    trees: int


class _Line(msgspec.Struct):
    sum: int
    entry: msgspec.Raw


_line = msgspec.json.Decoder(_Line)
_entry = msgspec.json.Decoder(Begin | Tree | End)
_encode = msgspec.json.Encoder().encode


class Writing:
    """One section, line by line."""

    def __init__(self, namespace: str, at: float) -> None:
        self._sum = 0
        self._trees = 0
        self._begin = Begin(FORMAT, at, namespace)

    def begin(self) -> bytes:
        """The first line."""
        return self._write(self._begin)

    def tree(self, executions: Sequence[History]) -> bytes:
        """The line of a tree."""
        self._trees += 1
        return self._write(Tree(list(executions)))

    def end(self) -> bytes:
        """The last line."""
        return self._write(End(self._trees))

    def _write(self, entry: Begin | Tree | End) -> bytes:
        data = _encode(entry)
        self._sum = crc32(data, self._sum)
        return _encode(_Line(self._sum, msgspec.Raw(data))) + b"\n"


def read(lines: Iterable[bytes]) -> Iterator[list[History]]:
    """The trees of a file, as they come. Raises `CorruptJournal` with the number of the line."""
    sum_, trees, inside, number = 0, 0, False, 0
    for number, line in enumerate(lines, 1):
        try:
            given = _line.decode(line)
            entry = _entry.decode(given.entry)
        except (msgspec.MsgspecError, UnicodeError) as error:
            raise _damage(number, f"cannot be read: {error}") from error
        if isinstance(entry, Begin) != (not inside):
            raise _damage(number, "is not the one that belongs here: lines are missing before it")
        sum_ = crc32(given.entry, 0 if isinstance(entry, Begin) else sum_)
        if sum_ != given.sum:
            raise _damage(number, f"does not match its checksum (stored {given.sum}, computed {sum_})")
        match entry:
            case Begin(format):
                if format != FORMAT:
                    raise _damage(number, f"is of format {format}; this release reads {FORMAT}")
                inside, trees = True, 0
            case Tree(executions):
                trees += 1
                yield executions
            case End(counted):
                inside = False
                if counted != trees:
                    raise _damage(number, f"counts {counted} trees, there are {trees}")
    if not number:
        raise CorruptJournal(
            "the file is empty: also an export of nothing has a first and a last line", hint=_DAMAGED
        )
    if inside:
        raise _damage(number, "is the last one, and there is no end: the file is cut off")


def _damage(number: int, what: str) -> CorruptJournal:
    return CorruptJournal(f"line {number} {what}", hint=_DAMAGED)


def verified(history: History) -> Ledger:
    """What its journal says. Raises `CorruptJournal` unless it folds to what its header says."""
    header = history.header
    instance = Instance(
        header.uid, header.id, header.saga, header.version, Registry(), Limits(), depth=header.depth
    )
    try:
        instance.fold(history.rows)
    except AmendsError as error:
        raise CorruptJournal(f"the journal of {header.id} does not fold: {error.message}") from error
    except (LookupError, ValueError, TypeError, AttributeError) as error:  # an entry of what is not there
        raise CorruptJournal(f"the journal of {header.id} does not fold: {error!r}") from error
    ledger = instance.ledger
    says = header.status if header.status in FINAL else ""
    if ledger.status != says and header.status != ATTENTION:
        end = ledger.status or "not ended"
        raise CorruptJournal(f"the journal of {header.id} says {end}, its header {header.status}")
    if any(message.uid != header.uid for message in history.inbox):
        raise CorruptJournal(f"a message to {header.id} is addressed to another execution")
    return ledger


def of_one_tree(executions: Sequence[History]) -> Header:
    """The root. Raises `CorruptJournal` unless all others are nested in it."""
    roots = [each.header for each in executions if not each.header.parent]
    if len(roots) != 1 or any(each.header.root != roots[0].uid for each in executions if each.header.parent):
        raise CorruptJournal("executions of one line are not a root and what is nested in it")
    return roots[0]
