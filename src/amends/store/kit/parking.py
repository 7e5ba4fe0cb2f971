"""Parking: an execution whose journal cannot go on is set aside, whole, until somebody helps."""

from __future__ import annotations

from ...errors import Refused, UnknownName
from ..port import ATTENTION, AuditRecord, Change, Write
from .support import (
    Subject,
    all_committed,
    asleep,
    case,
    claim_one,
    codes,
    head_of,
    header,
    inbox_of,
    positions,
    refuses,
    row,
    same,
    start,
    to,
)

HELP = AuditRecord(20.0, "a", "ann", "unpark", "deployed a fix", "{}")


@case()
async def park_sets_aside(subject: Subject) -> None:
    """A parked execution is in attention with its cause, unowned, not due, and its journal is untouched."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a"), start("b")]))
    await store.park(me, "a", "divergence", '{"row":0}', 9.0)
    head = await head_of(store, "a")
    got = (head.status, head.cause, head.detail, head.owner, head.wake_at, head.updated_at)
    same(got, (ATTENTION, "divergence", '{"row":0}', None, None, 9.0), "the header")
    same(await positions(store, "a"), [0], "rows")
    same((await head_of(store, "b")).status, "running", "the other execution")
    same(
        codes(await store.commit(me, [Write("a", row=row(1))])),
        ["conflict"],
        "its worker may not write it now",
    )


@case()
async def messages_do_not_wake_the_parked(subject: Subject) -> None:
    """A message to a parked execution waits; it is there after `unpark`."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a")]))
    await store.park(me, "a", "poison", "{}", 9.0)
    await store.send([to("a", "[1]")])
    same(await store.next_wake(), None, "nothing is due")
    same(await store.claim(me, 1e9, 10), [], "nothing to claim")
    same((await inbox_of(store, "a"), (await head_of(store, "a")).inbox_seq), (["[1]"], 1), "it waits")
    await store.unpark("a", HELP)
    claim = await claim_one(store, me, 1.0)
    same([message.event for message in claim.inbox], ["[1]"], "inbox")


@case()
async def unpark_restores(subject: Subject) -> None:
    """`unpark` gives back status, cause and detail, makes the execution due, and is audited."""
    store, me = await subject.worker()
    change = Change("compensating", cause="failed", detail='{"fault":1}')
    all_committed(await store.commit(me, [Write("a", start=header("a"), row=row(0), change=change)]))
    await store.park(me, "a", "missing_definition", "{}", 9.0)
    await store.unpark("a", HELP)
    head = await head_of(store, "a")
    same((head.status, head.cause, head.detail), ("compensating", "failed", '{"fault":1}'), "the header")
    same(head.updated_at, 20.0, "updated_at")
    same(await store.next_wake(), 0.0, "due")
    same(await store.audited("a"), [HELP], "audit")


@case()
async def parked_is_claimed_as_lost(subject: Subject) -> None:
    """Its open commands may have been dispatched before it was parked, so its next owner gets it as lost."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a")]))
    await store.park(me, "a", "divergence", "{}", 9.0)
    await store.unpark("a", HELP)
    claim = await claim_one(store, me)
    same((claim.lost, claim.deaths, claim.header.status), (True, 0, "running"), "lost, deaths, status")


@case()
async def parking_outlives_the_worker(subject: Subject) -> None:
    """A crash does not wake the parked; a second parking works like the first."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a")]))
    await store.park(me, "a", "divergence", "{}", 9.0)
    await subject.kill(store)
    store, me = await subject.worker()
    same(await store.claim(me, 1e9, 10), [], "nothing to claim")
    await store.unpark("a", HELP)
    await claim_one(store, me)
    await store.park(me, "a", "overrun", "{}", 10.0)
    await store.unpark("a", HELP)
    same((await head_of(store, "a")).status, "running", "the status before, not attention")


@case()
async def only_the_owner_parks(subject: Subject) -> None:
    """Who does not own an execution cannot park it."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a")]))
    all_committed(await store.commit(me, [asleep("a", 1, 5.0)]))
    await refuses(Refused, store.park(me, "a", "poison", "{}", 9.0), "a sleeper")
    await refuses(UnknownName, store.park(me, "nobody", "poison", "{}", 9.0), "an unknown uid")
    same((await head_of(store, "a")).status, "running", "the status")


@case()
async def only_the_parked_are_unparked(subject: Subject) -> None:
    """Attention that the journal knows of is answered by messages; `unpark` refuses and audits nothing."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a")]))
    all_committed(await store.commit(me, [Write("a", row=row(1), change=Change(ATTENTION, cause="failed"))]))
    await refuses(Refused, store.unpark("a", HELP), "not parked by `park`")
    await refuses(UnknownName, store.unpark("nobody", HELP), "an unknown uid")
    same(await store.audited("a"), [], "audit")


@case()
async def attention_in_the_journal_wakes(subject: Subject) -> None:
    """An execution whose status is attention by its own row is woken by messages like any other."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a")]))
    write = asleep("a", 1)
    write.change = Change(ATTENTION, cause="failed")
    all_committed(await store.commit(me, [write]))
    await store.send([to("a", '["retried"]')])
    same((await claim_one(store, me)).header.status, ATTENTION, "claimed")
