"""A new execution goes on from the journal of one that has ended: `Handle.fork`.

**Theory of operation.**  `cutting` says where the journal is cut and whether it may be.  The new execution
gets the rows before the cut, a row that says whose they are (`Forked`), and one that keeps what happened
besides; then it is claimed and replayed like any other, and goes on with the code of today.  What was begun
before the cut keeps the original's idempotency keys: its participants know it by them, and it is undone by
them if it comes to that.  What is begun afterwards has keys of the new execution.

*One owner.*  An execution is forked once, so that what it did has one execution that may undo it.  The uid of
the fork follows from the original's: two who ask at the same time make the same one, and the store takes one
of them.  Its row, its journal and the audit record of the original are one transaction; the record stays
when the fork is cleared away, so that nobody makes it a second time.

The fork needs nothing of the original but its keys: that may be cleared away.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from ..definition.naming import RESERVED
from ..errors import IdInUse, Refused, UnknownName
from ..kernel import entries as e
from ..kernel.entries import Row
from ..kernel.forking import Forked
from ..store.enclosed import as_kept, copied, unopened
from ..store.partition import partition_of
from ..store.places import place_of
from ..store.port import FINAL, AuditRecord, Header, History
from .backend import check_id, must_be_text, operator
from .cutting import Cut, cut_before

if TYPE_CHECKING:
    from .backend import Backend

FORK = "fork"
"""The audit's word; the record's detail is the id of the new execution."""


def fork_uid(uid: str) -> str:
    """The uid of the one execution that is forked from another."""
    return uid[:12] + hashlib.blake2b(f"{uid}/{FORK}".encode(), digest_size=10).hexdigest()


async def forked(
    backend: Backend, id: str, step: str, *, new_id: str | None, reason: str, by: str | None
) -> Header:
    """The header of the fork, made now or before. Raises what `Handle.fork` says."""
    must_be_text("step", step)
    must_be_text("reason", reason)
    if by is not None:
        must_be_text("by", by)
    if new_id is not None:
        check_id(new_id)
    found = await backend.store.read((await backend.find(id)).uid)
    if found is None:
        raise UnknownName(f"{id} was cleared away just now")
    header, rows, _ = found
    _must_have_ended(header)
    if (closed := unopened(backend.store, header, rows)) is not None:
        raise closed
    cut = cut_before(header, rows, step)
    there = await _there(backend, header, cut, new_id)
    if there is not None:
        return there
    history = _history(backend, header, rows, cut, new_id, reason, by or operator())
    kept = await copied(backend.store, header.uid, history)
    if await as_kept(backend.store).restore([kept]):
        backend.stir()
        return history.header
    there = await _there(backend, header, cut, new_id)
    if there is not None:
        return there
    taken = history.header.id
    raise IdInUse(f"the id {taken!r} belongs to another execution", hint="give the fork another id")


def _must_have_ended(header: Header) -> None:
    if header.parent:
        root = header.id.partition(RESERVED)[0]
        raise Refused(f"{header.id} is nested, and would have no parent to tell", hint=f"fork {root}")
    if header.status not in FINAL:
        raise Refused(
            f"{header.id} has not ended ({header.status}); only what has ended can be forked",
            hint="cancel it, which undoes what it did, or terminate it, which leaves that to the fork",
        )


async def _there(backend: Backend, header: Header, cut: Cut, new_id: str | None) -> Header | None:
    """The fork that exists. Raises `Refused` when it is another than the one that is asked for."""
    forked = forked_as(await backend.store.audited(header.uid))  # asked first: it came with the fork
    found = await backend.store.read(fork_uid(header.uid))
    if found is None:
        if forked is not None:
            raise Refused(
                f"{header.id} was forked, as {forked}, which is cleared away; it can be forked once",
                hint="start a new execution",
            )
        return None
    there, rows, _ = found
    said = fork_of(rows)
    if said is None or said.action != cut.begun.action:
        before = "" if said is None else f" before {said.step} (action {said.action})"
        raise Refused(
            f"{header.id} was forked{before}, as {there.id}; it can be forked once",
            hint=f"fork {there.id} once it has ended, or start a new execution",
        )
    if new_id is not None and there.id != new_id:
        raise Refused(
            f"{header.id} was forked before that step already, as {there.id}, not as {new_id}",
            hint=f"leave out the id, or look at {there.id}",
        )
    return there


def forked_as(audit: Sequence[AuditRecord]) -> str | None:
    """The id of the execution that was forked from the one with these audit records."""
    return next((record.detail for record in audit if record.action == FORK), None)


def fork_of(rows: Sequence[Row]) -> Forked | None:
    """What a journal says of the execution that this one was forked from; None: of none."""
    for row in reversed(rows):
        if '"forked"' in row.events:
            for event in e.decode_events(row.events):
                if isinstance(event, Forked):
                    return event
    return None


def _history(
    backend: Backend,
    header: Header,
    rows: Sequence[Row],
    cut: Cut,
    new_id: str | None,
    reason: str,
    by: str,
) -> History:
    """All that is kept of the fork, and the original's audit record."""
    now = backend.clock.now()
    idle = max(0.0, now - cut.at)
    uid, id = fork_uid(header.uid), _id_beside(backend, header, new_id)
    made = Header(
        uid=uid,
        id=id,
        saga=header.saga,
        version=header.version,
        input=header.input,
        created_at=now,
        updated_at=now,
        namespace=header.namespace,
        partition=partition_of(header.namespace, id),
        root=uid,
        deadline=None if header.deadline is None else header.deadline + idle,
        attributes=header.attributes,
    )
    said = Forked(cut.uid, cut.id, header.id, cut.begun.action, cut.begun.step, idle, reason, by)
    record = AuditRecord(now, header.uid, by, FORK, reason, made.id)
    return History(made, _rows(rows[: cut.rows], cut, said), [], [record])


def _id_beside(backend: Backend, header: Header, new_id: str | None) -> str:
    """The fork and the original's audit record are one transaction, so both are on one server."""
    store = as_kept(backend.store)
    home = place_of(store, header.namespace, header.id)
    more = (f"{header.id}-fork-{number}" for number in itertools.count(2))
    for id in [new_id] if new_id is not None else itertools.chain([f"{header.id}-fork"], more):
        check_id(id)
        if place_of(store, header.namespace, id) == home:
            return id
    raise Refused(
        f"the id {new_id!r} belongs on another server than {header.id}, which is forked",
        hint="leave out the id, or take another one",
    )


def _rows(kept: Sequence[Row], cut: Cut, said: Forked) -> list[Row]:
    """The journal as the fork begins with it."""
    now = cut.at + said.idle
    mark = e.seal(cut.rows, now, [said], [], kept[-1].checksum if kept else 0)
    events = [_later(event, said.idle) for event in cut.events]
    return [*kept, mark, e.seal(cut.rows + 1, now, events, [e.Defer()], mark.checksum)]


def _later(event: e.Event, idle: float) -> e.Event:
    """A run that begins after the cut has as much time as it had then."""
    if isinstance(event, e.Started) and event.deadline is not None:
        return msgspec.structs.replace(event, deadline=event.deadline + idle)
    return event
