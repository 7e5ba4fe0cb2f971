"""Whole executions: pruned when they are over, restored as they were elsewhere."""

from __future__ import annotations

from ..port import AuditRecord, History, Query, Store
from ..where.parsing import parse
from .queues import task
from .support import (
    Subject,
    all_committed,
    asleep,
    case,
    claim_one,
    done,
    head_of,
    header,
    holds,
    inbox_of,
    positions,
    row,
    same,
    start,
    to,
)


async def _left(store: Store) -> list[str]:
    return sorted(each.uid for each in await store.headers(Query()))


@case()
async def prune_takes_all_that_is_kept(subject: Subject) -> None:
    """What is pruned leaves nothing (header, journal, inbox, audit, attributes, tasks); its id is free."""
    store, me = await subject.worker()
    for uid in ("a", "b"):
        child = start(f"{uid}-child", root=uid, parent=uid)
        child.tasks = [task(child.uid)]
        all_committed(await store.commit(me, [start(uid, root=uid, attributes='{"k":"v"}'), child]))
        all_committed(await store.commit(me, [done(uid, 1), done(child.uid, 1)]))  # at 9.0
        await store.send([to(uid)])  # too late: nobody waits for it
        await store.send([], [AuditRecord(1.0, uid, "ann", "retry")])
    same(await store.prune(["a", "none"], 10.0), ["a"], "what was pruned")
    same(await store.prune(["a"], 10.0), [], "again")
    same(await _left(store), ["b", "b-child"], "what is left")
    same(await store.read("a"), None, "its journal")
    same(await store.read("a-child"), None, "the nested one")
    same(await store.find("default", "a"), None, "by its id")
    same(await store.audited("a"), [], "its audit")
    same(await store.tasks_of("a-child"), [], "its tasks")
    same(len(await store.audited("b")), 1, "the audit of others")
    where = parse('attributes.k = "v"', 0.0)
    same([each.uid for each in await store.headers(Query(where=where))], ["b"], "by attribute")
    holds(await store.create(header("a")), "the id and the uid are free")
    same(await positions(store, "a"), [], "nothing is left for the new one")
    same(await positions(store, "b-child"), [0, 1], "the journals of others")


@case()
async def prune_never_touches_what_lives(subject: Subject) -> None:
    """What runs, is owned, ended too late, is nested in what lives, or has something live in it stays."""
    store, me = await subject.worker()
    trees: dict[str, list[str]] = {
        "runs": [], "late": [], "owned": [],
        "parent": ["over-child"],  # the child has ended, its root has not
        "over": ["live-child"],  # the root has ended, a nested one has not
        "gone": ["gone-child"],
    }  # fmt: skip
    for root, nested in trees.items():
        children = [start(uid, root=root, parent=root) for uid in nested]
        all_committed(await store.commit(me, [start(root, root=root), *children]))
    ends = ["late", "over-child", "over", "gone", "gone-child"]
    all_committed(await store.commit(me, [done(uid, 1) for uid in ends]))  # at 9.0
    await store.send([to("owned")])
    same([v.awake for v in await store.commit(me, [done("owned", 1)])], [True], "it has ended, and is owned")
    every = [*trees, "over-child", "live-child", "gone-child"]
    same(await store.prune(every, 9.0), [], "nothing ended before 9.0")
    same(await store.prune([uid for uid in every if uid != "late"], 9.5), ["gone"], "what was pruned")
    same(await _left(store), sorted(set(every) - {"gone", "gone-child"}), "what is left")
    same(await positions(store, "over"), [0, 1], "a journal that is left")
    same(await inbox_of(store, "owned"), ['["fired","9"]'], "a message that is left")
    same(await store.prune(["late"], 9.5), ["late"], "once it is old enough")


@case()
async def pruned_is_not_claimed(subject: Subject) -> None:
    """What was due and is pruned is due no more."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a"), start("b")]))
    all_committed(await store.commit(me, [done("a", 1), asleep("b", 1, 50.0)]))
    await store.send([to("a")])  # too late: nobody waits for it
    same(await store.prune(["a"], 10.0), ["a"], "what was pruned")
    same(await store.next_wake(), 50.0, "the next to wake")
    same([each.header.uid for each in await store.claim(me, 100.0, 10)], ["b"], "what is claimed")


def _histories() -> list[History]:
    ended = header(
        "a", id="order-1", root="a", attributes='{"k":"ü"}', version="2", cause="failed", detail="{}",
        status="compensated", deadline=7.5, updated_at=8.5, finished_at=9.0, input='{"x":"\x7f"}',
    )  # fmt: skip
    nested = header("b", root="a", parent="a", parent_action="2", status="completed", finished_at=8.0)
    live = header("c", root="c")
    audit = [AuditRecord(1.0, "a", "ann", "cancel", "why", "1"), AuditRecord(2.0, "a", "bob", "retry")]
    return [
        History(ended, [row(0), row(1, 9.0)], [], audit),
        History(nested, [row(0)], [to("b", "[1]", "k")]),
        History(live, [row(0), row(1)], [to("c", "[1]"), to("c", "[2]")]),
    ]


@case()
async def restored_is_as_it_was(subject: Subject) -> None:
    """What is restored reads as it was elsewhere; it belongs to nobody."""
    store = await subject.open()
    given = _histories()
    same(await store.restore(given), True, "restored")
    for each in given:
        found = await store.read(each.header.uid)
        assert found is not None
        head, rows, inbox = found
        each.header.inbox_seq = len(each.inbox)
        each.header.wake_at = None if each.header.uid == "a" else 0.0
        same(head, each.header, "the header")
        same(rows, each.rows, "the journal")
        same([(m.event, m.key) for m in inbox], [(m.event, m.key) for m in each.inbox], "the inbox")
        same(await store.audited(head.uid), each.audit, "the audit")
    where = parse('attributes.k = "ü"', 0.0)
    same([each.uid for each in await store.headers(Query(where=where))], ["a"], "by attribute")


@case()
async def restored_goes_on(subject: Subject) -> None:
    """What has not ended is claimed, as lost; what has ended only if messages wait."""
    store, me = await subject.worker()
    same(await store.restore(_histories()[::2]), True, "restored")
    claim = await claim_one(store, me)
    same((claim.header.uid, claim.lost, len(claim.rows)), ("c", True, 2), "the claim")
    same([message.event for message in claim.inbox], ["[1]", "[2]"], "its messages, in order")
    write = asleep("c", 2, None, seen=2)
    write.consumed = [message.seq for message in claim.inbox]
    all_committed(await store.commit(me, [write]))
    same(await inbox_of(store, "c"), [], "nothing waits any more")
    same((await head_of(store, "c")).owner, None, "it sleeps")


@case()
async def restore_is_all_or_none(subject: Subject) -> None:
    """If an id or a uid exists, nothing is restored and nothing changes."""
    store = await subject.open()
    await store.create(header("x", id="order-1"))
    same(await store.restore(_histories()), False, "an id exists")
    same(await _left(store), ["x"], "what is there")
    same(await store.restore(_histories()[1:]), True, "the others")
    same(await store.restore(_histories()[1:2]), False, "a uid exists")
    same(await positions(store, "b"), [0], "its journal")
    same(await store.restore([]), True, "nothing")


@case()
async def restore_takes_audit_records_of_others(subject: Subject) -> None:
    """With an execution come the audit records that it is given, also of another one; all or none."""
    store = await subject.open()
    await store.create(header("a"))
    record = AuditRecord(1.0, "a", "ann", "fork", "why", "b")
    given = History(header("b", root="b"), [row(0)], [], [record])
    same(await store.restore([given]), True, "restored")
    same(await store.audited("a"), [record], "the audit of the other")
    same(await store.audited("b"), [], "its own audit")
    same(await store.restore([given]), False, "a uid exists")
    same(await store.audited("a"), [record], "nothing is written twice")
