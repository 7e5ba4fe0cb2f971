"""The journal: positions, verdicts per write, data errors, a full store."""

from __future__ import annotations

from ...errors import StoreFull
from ..port import AuditRecord, Change, Release, Write
from .support import (
    UNSTORABLE,
    Subject,
    all_committed,
    asleep,
    case,
    codes,
    done,
    head_of,
    header,
    holds,
    inbox_of,
    positions,
    refuses,
    row,
    same,
    start,
    to,
)


@case()
async def rows_come_back_in_order(subject: Subject) -> None:
    """A journal is read in the order of positions, exactly as written."""
    store, me = await subject.worker()
    texts = ["[]", '[["x","ü€😀"]]', "nul \x00 inside", "", "x" * 300_000]
    rows = [row(at, 0.1 + at / 3, text, text[::-1]) for at, text in enumerate(texts)]
    all_committed(await store.commit(me, [start("z")]))
    for each in rows:
        write = Write("a", row=each, start=header("a") if each.position == 0 else None)
        all_committed(await store.commit(me, [write, Write("z", row=row(each.position + 1))]))
    found = await store.read("a")
    same(found and found[1], rows, "rows")


@case()
async def taken_position_conflicts(subject: Subject) -> None:
    """A write whose position is taken is a conflict; the other writes of its batch stand."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a"), start("b"), start("c")]))
    writes = [Write("a", row=row(1)), Write("b", row=row(0, 5.0, "[5]")), Write("c", row=row(1))]
    same(codes(await store.commit(me, writes)), ["committed", "conflict", "committed"], "verdicts")
    same([await positions(store, uid) for uid in "abc"], [[0, 1], [0], [0, 1]], "rows")
    found = await store.read("b")
    same(found and found[1], [row(0)], "the row that was there")


@case()
async def conflicting_write_changes_nothing(subject: Subject) -> None:
    """A conflict leaves the header, the inbox, the children and the ownership of its execution as they
    were."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a"), start("b")]))
    await store.send([to("a")])
    seq = (await store.news(me, 0))[0].seq
    before = [await store.read(uid) for uid in "ab"]
    write = Write(
        "a",
        row=row(0),
        change=Change("completed", result="1", finished_at=2.0),
        release=Release(None, 1),
        children=[header("c")],
        messages=[to("b")],
        consumed=[seq],
    )
    same(codes(await store.commit(me, [write])), ["conflict"], "verdict")
    same([await store.read(uid) for uid in "ab"], before, "both executions")
    same(await store.read("c"), None, "the child")


@case()
async def only_the_owner_appends(subject: Subject) -> None:
    """A write to an execution that its sender does not own (asleep, unknown) is a conflict."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a"), start("b")]))
    all_committed(await store.commit(me, [asleep("a", 1)]))
    writes = [Write("a", row=row(2)), Write("unknown", row=row(0)), Write("b", row=row(1))]
    same(codes(await store.commit(me, writes)), ["conflict", "conflict", "committed"], "verdicts")
    same(await positions(store, "a"), [0, 1], "rows of the sleeper")
    same(codes(await store.commit(me, [Write("a", change=Change("completed"))])), ["conflict"], "a change")
    same((await head_of(store, "a")).status, "running", "its status")


@case()
async def change_writes_all_status_fields(subject: Subject) -> None:
    """A change replaces status, cause, result, detail and finished_at, and dates the header by its row."""
    store, me = await subject.worker()
    first = Change("compensating", cause="failed", result="1", detail="{}", finished_at=3.0)
    all_committed(await store.commit(me, [start("a"), start("b")]))
    all_committed(await store.commit(me, [Write("a", row=row(1, 4.0), change=first), Write("b", row=row(1))]))
    head = await head_of(store, "a")
    got = (head.status, head.cause, head.result, head.detail, head.finished_at, head.updated_at)
    same(got, ("compensating", "failed", "1", "{}", 3.0, 4.0), "after the first")
    all_committed(await store.commit(me, [Write("a", row=row(2, 5.0), change=Change("running"))]))
    head = await head_of(store, "a")
    got = (head.status, head.cause, head.result, head.detail, head.finished_at, head.updated_at)
    same(got, ("running", "", None, None, None, 5.0), "after the second")
    same((await head_of(store, "b")).status, "running", "the other execution")


@case()
async def verdict_per_write_in_order(subject: Subject) -> None:
    """A mixed batch gets one verdict per write, in the order of the writes."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start(uid) for uid in "abcdef"]))
    await store.send([to("d")])
    writes = [
        Write("a", row=row(1)),
        Write("b", row=row(0)),
        start("g"),
        start("h", id="a"),
        asleep("d", 1, seen=0),
        Write("e", row=row(1, 1.0, UNSTORABLE)),
        asleep("f", 1, 50.0),
        Write("nobody", row=row(0)),
        done("c", 1),
    ]
    want = [
        "committed", "conflict", "committed", "conflict", "awake", "poison",
        "committed", "conflict", "committed",
    ]  # fmt: skip
    same(codes(await store.commit(me, writes)), want, "verdicts")
    rows = [len(await positions(store, uid)) for uid in "abcdefgh"]
    same(rows, [2, 1, 2, 2, 1, 2, 1, 0], "rows of each")
    owners = [(await head_of(store, uid)).owner for uid in "acdef"]
    same(owners, [me, None, me, me, None], "owners")


@case()
async def large_batch(subject: Subject) -> None:
    """A batch may be large and of any size; its verdicts keep the order."""
    store, me = await subject.worker()
    uids = [f"{number:04}" for number in range(389)]
    all_committed(await store.commit(me, [start(uid) for uid in uids]))
    writes = [Write(uid, row=row(0 if number % 97 == 5 else 1)) for number, uid in enumerate(uids)]
    want = ["conflict" if number % 97 == 5 else "committed" for number in range(389)]
    same(codes(await store.commit(me, writes)), want, "verdicts")
    again = [asleep(uid, 2, 10.0 + number) for number, uid in enumerate(uids)]
    all_committed(await store.commit(me, again))
    claims = await store.claim(me, 1e9, 1000)
    same([claim.header.uid for claim in claims], uids, "all are claimed, by the time they are due")
    same({len(claim.rows) for claim in claims}, {2, 3}, "with their rows")


@case()
async def empty_batch(subject: Subject) -> None:
    """A batch of nothing has no verdicts."""
    store, me = await subject.worker()
    same(await store.commit(me, []), [], "verdicts")


@case()
async def commit_now_is_the_same_or_declines(subject: Subject) -> None:
    """`commit_now` commits as `commit` does, or returns None and has done nothing."""
    store, me = await subject.worker()
    verdicts = store.commit_now(me, [start("a")])
    if verdicts is None:
        same(await store.read("a"), None, "nothing happened")
        verdicts = await store.commit(me, [start("a")])
    all_committed(verdicts)
    writes = [Write("a", row=row(0)), start("b"), start("c", id="a")]
    verdicts = store.commit_now(me, writes)
    if verdicts is None:
        verdicts = await store.commit(me, writes)
    same(codes(verdicts), ["conflict", "committed", "conflict"], "verdicts")
    same((await positions(store, "a"), await positions(store, "b")), ([0], [0]), "rows")


@case()
async def row_now_is_the_same_or_declines(subject: Subject) -> None:
    """One row alone: the next is committed, one whose place is taken or that cannot be stored is not."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a")]))
    for write, code in (
        (Write("a", row=row(1)), "committed"),
        (Write("a", row=row(1)), "conflict"),
        (Write("a", row=row(2, 1.0, UNSTORABLE)), "poison"),
        (Write("b", row=row(0)), "conflict"),
        (Write("a", row=row(2)), "committed"),
    ):
        verdicts = store.commit_now(me, [write])
        if verdicts is None:
            verdicts = await store.commit(me, [write])
        same(codes(verdicts), [code], "the verdict")
    same(await positions(store, "a"), [0, 1, 2], "rows")


@case()
async def life_now_is_the_same_or_declines(subject: Subject) -> None:
    """One write at a time from the start to the end: the verdicts and the header are those of any commit."""
    store, me = await subject.worker()

    async def one(write: Write) -> str:
        return codes(store.commit_now(me, [write]) or await store.commit(me, [write]))[0]

    same(await one(Write("a", start=header("a"), row=row(0, 1.0, UNSTORABLE))), "poison", "a bad first row")
    same(await store.read("a"), None, "nothing is begun")
    same([await one(start("a")) for _ in range(2)], ["committed", "conflict"], "a start, and again")
    same(await one(Write("a", row=row(1))), "committed", "a row")
    same(await one(start("b", id="a")), "conflict", "a start with an id that is taken")
    same((await positions(store, "a"), await store.read("b")), ([0, 1], None), "what is stored")
    same(await one(done("a", 1)), "conflict", "an end whose place is taken")
    same((await head_of(store, "a")).status, "running", "nothing has ended")
    same(await one(done("a", 2)), "committed", "the end")
    head = await head_of(store, "a")
    told = (head.status, head.result, head.finished_at, head.updated_at, head.owner, head.wake_at)
    same(told, ("completed", '{"id":1}', 9.0, 9.0, None, None), "the header")
    same(await one(Write("a", row=row(3))), "conflict", "a row after it was given up")
    same(await one(start("c")), "committed", "another start")
    await store.send([to("c")])
    same(await one(done("c", 1)), "awake", "an end with a message that was not seen")
    head = await head_of(store, "c")
    same((head.status, head.owner, head.wake_at), ("completed", me, None), "its header")
    same(await one(Write("c", row=row(2))), "committed", "a row after it")


@case()
async def data_error_leaves_only_the_guilty_out(subject: Subject) -> None:
    """A row that cannot be stored is poison; every other write of its batch is committed."""
    store, me = await subject.worker()
    uids = [f"{number:02}" for number in range(23)]
    all_committed(await store.commit(me, [start(uid) for uid in uids]))
    bad = {4, 5, 19}
    writes = [
        Write(uid, row=row(1, 1.0, UNSTORABLE if number in bad else "[]")) for number, uid in enumerate(uids)
    ]
    verdicts = await store.commit(me, writes)
    same(codes(verdicts), ["poison" if n in bad else "committed" for n in range(23)], "verdicts")
    holds(all(verdicts[n].reason for n in bad), "poison has a reason")
    same(
        [len(await positions(store, uid)) for uid in uids], [1 if n in bad else 2 for n in range(23)], "rows"
    )
    after = await store.commit(me, [Write(uids[4], row=row(1))])
    same(codes(after), ["committed"], "the guilty can go on with a better row")


@case()
async def poison_leaves_no_trace(subject: Subject) -> None:
    """A poisoned write starts nothing, sends nothing, consumes nothing and releases nothing."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a"), start("b")]))
    await store.send([to("a")])
    seq = (await store.news(me, 0))[0].seq
    before = [await store.read(uid) for uid in "ab"]
    bad = row(1, 1.0, "[]", UNSTORABLE)
    writes = [
        Write(
            "a", row=bad, children=[header("c")], messages=[to("b")], consumed=[seq], release=Release(9.0, 1)
        ),
        Write("d", start=header("d"), row=row(0, 1.0, UNSTORABLE)),
    ]
    same(codes(await store.commit(me, writes)), ["poison", "poison"], "verdicts")
    same([await store.read(uid) for uid in "ab"], before, "both executions")
    same((await store.read("c"), await store.read("d")), (None, None), "the new ones")
    all_committed(await store.commit(me, [start("d")]))


@case()
async def not_a_number_is_poison(subject: Subject) -> None:
    """A time that is not a number cannot be stored."""
    store, me = await subject.worker()
    verdicts = await store.commit(me, [start("a"), Write("b", start=header("b"), row=row(0, float("nan")))])
    same(codes(verdicts), ["committed", "poison"], "verdicts")
    same(await store.read("b"), None, "the execution")


@case()
async def message_to_nobody_is_poison(subject: Subject) -> None:
    """A write that sends to an execution that does not exist is poison, and its row is not kept."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a"), start("b")]))
    writes = [Write("a", row=row(1), messages=[to("b"), to("nobody")]), Write("b", row=row(1))]
    same(codes(await store.commit(me, writes)), ["poison", "committed"], "verdicts")
    same(
        (await positions(store, "a"), await inbox_of(store, "b")), ([0], []), "its row, and its good message"
    )


@case("fill")
async def full_store_changes_nothing(subject: Subject) -> None:
    """A store without room refuses with `StoreFull`, has changed nothing, and goes on when there is room."""
    fill, relieve = subject.fill, subject.relieve
    assert fill is not None
    assert relieve is not None
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a"), start("b")]))
    before = await store.read("a")
    await fill(store)
    big = row(1, 1.0, "x" * 100_000)
    writes = [Write("a", row=big, messages=[to("b")]), Write("b", row=row(1))]
    await refuses(StoreFull, store.commit(me, writes), "a commit in a full store")
    await refuses(StoreFull, store.commit(me, writes), "again")
    await refuses(StoreFull, store.create(header("c", input="x" * 100_000)), "a creation in a full store")
    record = AuditRecord(1.0, "a", "me", "send")
    await refuses(StoreFull, store.send([to("a", "x" * 100_000)], [record]), "a message in a full store")
    same(await store.read("a"), before, "what is stored")
    same(await store.audited("a"), [], "the audit")
    await relieve(store)
    all_committed(await store.commit(me, writes))
    same(
        (await positions(store, "a"), await positions(store, "b")),
        ([0, 1], [0, 1]),
        "rows, once there is room",
    )


@case()
async def audit_of_a_write_stands_or_falls_with_it(subject: Subject) -> None:
    """A write's audit records are stored with it; those of a refused write are not."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a"), start("b")]))
    told = AuditRecord(2.0, "a", "ann", "retry: no effect", "too late", "1")
    untold = AuditRecord(2.0, "b", "ann", "skip: no effect")
    verdicts = await store.commit(
        me, [Write("a", row=row(1), audit=[told]), Write("b", row=row(0), audit=[untold])]
    )
    same(codes(verdicts), ["committed", "conflict"], "verdicts")
    same((await store.audited("a"), await store.audited("b")), ([told], []), "what is on record")
