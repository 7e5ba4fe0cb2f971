"""Starting executions: by a commit (owned) or by a client (due), each id once."""

from __future__ import annotations

from ..port import COMMITTED, Change, Message, Query, Release, Write
from .support import (
    Subject,
    all_committed,
    asleep,
    case,
    claim_one,
    codes,
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


@case()
async def start_is_owned(subject: Subject) -> None:
    """An execution started in a commit belongs to the committer and is not due."""
    store, me = await subject.worker()
    same(await store.commit(me, [start("a")]), [COMMITTED], "the start is committed")
    head = await head_of(store, "a")
    same((head.owner, head.wake_at, head.inbox_seq), (me, None, 0), "owner, wake_at, inbox_seq")
    same(await store.claim(me, 1e9, 10), [], "nobody can claim it")


@case()
async def start_keeps_every_field(subject: Subject) -> None:
    """A header is stored as given, but for what the store itself keeps (owner, wake_at, inbox_seq)."""
    store, me = await subject.worker()
    full = header(
        "a", id="order-1", namespace="eu", partition=3, version="2", status="compensating", cause="failed",
        root="r", parent="p", parent_action="2.1", depth=2, deadline=77.25, attributes='{"k":"v"}',
        input='["ü",1]', created_at=12.5, updated_at=13.5, result="1", detail='{"d":2}', finished_at=14.5,
    )  # fmt: skip
    all_committed(await store.commit(me, [Write("a", start=full)]))
    full.owner = me
    same(await head_of(store, "a"), full, "the header")
    same(await store.find("eu", "order-1"), full, "the header by id")


@case()
async def start_of_a_taken_id_conflicts(subject: Subject) -> None:
    """A start whose id exists is a conflict and changes nothing."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a", id="order-1")]))
    before = await store.read("a")
    again = Write(
        "b", start=header("b", id="order-1"), row=row(0), children=[header("c")], messages=[to("a", key="k")]
    )
    same(codes(await store.commit(me, [again])), ["conflict"], "the second start")
    same(await store.read("b"), None, "the second execution")
    same(await store.read("c"), None, "its child")
    same(await store.read("a"), before, "the first execution (its inbox too)")


@case()
async def start_of_a_taken_uid_conflicts(subject: Subject) -> None:
    """A start whose uid exists is a conflict, even when its own worker owns that execution."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a", id="order-1")]))
    again = Write("a", start=header("a", id="order-2"), row=row(1))
    same(codes(await store.commit(me, [again])), ["conflict"], "the second start")
    same(await positions(store, "a"), [0], "the journal")
    same(await store.find("default", "order-2"), None, "the other id")


@case()
async def start_of_a_created_id_conflicts(subject: Subject) -> None:
    """It makes no difference whether the id was taken by a client or by a commit."""
    store, me = await subject.worker()
    holds(await store.create(header("a", id="order-1")), "created")
    same(codes(await store.commit(me, [start("b", id="order-1")])), ["conflict"], "the start")
    same(await store.create(header("c", id="order-1")), False, "a second creation")


@case()
async def ids_are_of_a_namespace(subject: Subject) -> None:
    """The same id may exist once in each namespace."""
    store, me = await subject.worker()
    starts = [start("a", id="x", namespace="eu"), start("b", id="x", namespace="us")]
    all_committed(await store.commit(me, starts))
    holds(await store.create(header("c", id="x", namespace="asia")), "created in a third")
    found = await store.find("us", "x")
    same(found and found.uid, "b", "found in its namespace")


@case()
async def first_of_two_starts_wins(subject: Subject) -> None:
    """Of two starts with one id in one batch the first is committed."""
    store, me = await subject.worker()
    verdicts = await store.commit(me, [start("a", id="x"), start("b", id="x"), start("c")])
    same(codes(verdicts), ["committed", "conflict", "committed"], "verdicts")
    same(await store.read("b"), None, "the second")


@case()
async def started_and_ended_in_one_write(subject: Subject) -> None:
    """One write may start an execution, end it and let it go."""
    store, me = await subject.worker()
    change = Change("completed", cause="", result="3", finished_at=5.0)
    write = Write("a", start=header("a"), row=row(0, 5.0), change=change, release=Release(None, 0))
    all_committed(await store.commit(me, [write]))
    head = await head_of(store, "a")
    same((head.status, head.result, head.finished_at), ("completed", "3", 5.0), "status fields")
    same((head.owner, head.wake_at), (None, None), "nobody owns it and nothing wakes it")
    same(await store.next_wake(), None, "nothing sleeps")


@case()
async def started_and_asleep_in_one_write(subject: Subject) -> None:
    """One write may start an execution and let it sleep; it wakes in its time."""
    store, me = await subject.worker()
    write = Write("a", start=header("a"), row=row(0), release=Release(50.0, 0))
    all_committed(await store.commit(me, [write]))
    same(await store.claim(me, 49.0, 10), [], "too early")
    same((await claim_one(store, me, 50.0)).header.uid, "a", "in time")


@case()
async def created_is_due_and_unowned(subject: Subject) -> None:
    """What a client creates has no owner and is due at once."""
    store, me = await subject.worker()
    made = header("a", owner=5, wake_at=1e12, inbox_seq=3)
    holds(await store.create(made), "created")
    head = await head_of(store, "a")
    same((head.owner, head.inbox_seq), (None, 0), "owner and inbox_seq")
    claim = await claim_one(store, me, 1.0)
    same((claim.header.uid, claim.rows, claim.inbox), ("a", [], []), "claimed, and empty")
    same((claim.lost, claim.deaths), (False, 0), "nobody died on it")


@case()
async def created_twice_is_refused(subject: Subject) -> None:
    """Creating an id that exists returns False and changes nothing, whatever else is new."""
    store = await subject.open()
    holds(await store.create(header("a", id="x", input="[1]")), "the first")
    before = await store.read("a")
    same(await store.create(header("b", id="x", input="[2]")), False, "the second")
    same(await store.create(header("a", id="y")), False, "a uid that exists")
    same((await store.read("a"), await store.read("b")), (before, None), "what is stored")


@case()
async def children_start_unowned_and_due(subject: Subject) -> None:
    """Children started by a write are unowned and due, and may get messages in the same write."""
    store, me = await subject.worker()
    child = header("c", root="a", parent="a", parent_action="1", depth=1)
    write = Write("a", start=header("a"), row=row(0), children=[child], messages=[to("c", '["fired","7"]')])
    all_committed(await store.commit(me, [write]))
    claim = await claim_one(store, me)
    same((claim.header.uid, claim.header.parent), ("c", "a"), "the child")
    same([message.event for message in claim.inbox], ['["fired","7"]'], "its inbox")
    same(claim.header.inbox_seq, 1, "its inbox_seq")


@case()
async def children_may_start_owned(subject: Subject) -> None:
    """A child whose `owner` is the committer is born owned by it; with any other owner it is unowned and
    due."""
    store, me = await subject.worker()
    children = [header("c", parent="a", owner=me), header("d", parent="a", owner=me + 1)]
    all_committed(await store.commit(me, [Write("a", start=header("a"), row=row(0), children=children)]))
    head = await head_of(store, "c")
    same((head.owner, head.wake_at), (me, None), "owner and wake_at of the first")
    same((await claim_one(store, me)).header.uid, "d", "the second is due")
    all_committed(await store.commit(me, [Write("c", row=row(0)), Write("d", row=row(0))]))
    all_committed(await store.commit(me, [asleep("c", 1, 9.0)]))
    await subject.kill(store)
    store, me = await subject.worker()
    found = {claim.header.uid: claim.lost for claim in await store.claim(me, 100.0, 10)}
    same(found, {"a": True, "c": False, "d": True}, "what the dead one owned, and what it had let go")


@case()
async def children_are_atomic_with_the_row(subject: Subject) -> None:
    """A write whose row conflicts starts no children and sends no messages."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a"), start("b")]))
    write = Write("a", row=row(0), children=[header("c", parent="a")], messages=[to("b")])
    same(codes(await store.commit(me, [write])), ["conflict"], "verdict")
    same(await store.read("c"), None, "the child")
    same(await inbox_of(store, "b"), [], "the message")
    same(await store.headers(Query(parent="a")), [], "children of a")


@case()
async def child_of_a_taken_id_conflicts(subject: Subject) -> None:
    """A child whose id exists makes its whole write a conflict; the other writes stand."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a"), start("b"), start("x")]))
    bad = Write("a", row=row(1), children=[header("new"), header("c", id="x")])
    verdicts = await store.commit(me, [Write("b", row=row(1)), bad, start("d")])
    same(codes(verdicts), ["committed", "conflict", "committed"], "verdicts")
    same((await positions(store, "a"), await positions(store, "b")), ([0], [0, 1]), "rows of a and b")
    same((await store.read("new"), await store.read("c")), (None, None), "children")


@case()
async def values_are_copied(subject: Subject) -> None:
    """Changing a value after handing it over, or after getting it, changes nothing in the store."""
    store, me = await subject.worker()
    mine, message = header("a"), Message("a", "[1]")
    holds(await store.create(mine), "created")
    await store.send([message])
    mine.status = message.event = "spoilt"
    got = await store.read("a")
    holds(got is not None, "stored")
    assert got is not None
    got[0].status = got[2][0].event = "spoilt"
    claim = await claim_one(store, me)
    claim.header.status = claim.inbox[0].event = "spoilt"
    same((await head_of(store, "a")).status, "running", "the stored status")
    same(await inbox_of(store, "a"), ["[1]"], "the stored message")
    all_committed(await store.commit(me, [asleep("a", 0, seen=1)]))
