"""Finding and reading: headers by filter and page, copies that are consistent, audit, several handles."""

from __future__ import annotations

from ...errors import StoreError
from ..port import ATTENTION, AuditRecord, Change, Query, Store, Write
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
    refuses,
    row,
    same,
    start,
    to,
    told,
)


async def _uids(store: Store, **query: object) -> list[str]:
    return [head.uid for head in await store.headers(Query(**query))]  # type: ignore[arg-type]


@case()
async def unknown_is_none(subject: Subject) -> None:
    """What does not exist is None or empty, not an error."""
    store = await subject.open()
    same(await store.find("default", "x"), None, "find")
    same(await store.read("x"), None, "read")
    same(await store.headers(Query()), [], "headers")
    same(await store.audited("x"), [], "audited")
    same(await store.next_wake(), None, "next_wake")


@case()
async def headers_filter(subject: Subject) -> None:
    """Every filter of a query narrows, empty ones match all, and several hold together."""
    store, me = await subject.worker()
    all_committed(
        await store.commit(
            me,
            [
                start("1", id="order-1", saga="shop.order", root="1"),
                start("2", id="order-2", saga="shop.order", root="2"),
                start("3", id="Order-3", saga="shop.refund", root="3"),
                start("4", id="order_4", saga="shop.order", namespace="eu", root="4"),
                start("5", id="child", saga="shop.pay", root="1", parent="1", depth=1),
                start("6", id="grandchild", saga="shop.pay", root="1", parent="5", depth=2),
            ],
        )
    )
    all_committed(await store.commit(me, [done("2", 1), Write("3", change=Change(ATTENTION))]))
    same(await _uids(store), ["6", "5", "3", "2", "1"], "the default namespace")
    same(await _uids(store, namespace=""), ["6", "5", "4", "3", "2", "1"], "every namespace")
    same(await _uids(store, namespace="eu"), ["4"], "a namespace")
    same(await _uids(store, statuses=["completed"]), ["2"], "a status")
    same(await _uids(store, statuses=[ATTENTION]), ["3"], "attention")
    same(await _uids(store, statuses=["completed", ATTENTION]), ["3", "2"], "two statuses")
    same(await _uids(store, saga="shop.order"), ["2", "1"], "a saga")
    same(await _uids(store, root="1"), ["6", "5", "1"], "a root, itself included")
    same(await _uids(store, parent="1"), ["5"], "a parent")
    same(await _uids(store, id_prefix="order-"), ["2", "1"], "a prefix (case counts, _ is no wildcard)")
    same(await _uids(store, namespace="", id_prefix="order_"), ["4"], "another prefix")
    same(await _uids(store, saga="shop.order", statuses=["running"]), ["1"], "two filters")
    same(await _uids(store, root="1", parent="5"), ["6"], "root and parent")
    same(await _uids(store, saga="nothing"), [], "no match")


@case()
async def headers_by_time(subject: Subject) -> None:
    """A range of times includes its begin and not its end; what has not finished is in no range."""
    store, me = await subject.worker()
    starts = [start(uid, created_at=float(uid)) for uid in ("1", "2", "3", "4")]
    all_committed(await store.commit(me, starts))
    all_committed(await store.commit(me, [done("2", 1), done("4", 1)]))  # at 9.0
    same(await _uids(store, created_from=2.0), ["4", "3", "2"], "created from")
    same(await _uids(store, created_until=3.0), ["2", "1"], "created until")
    same(await _uids(store, created_from=2.0, created_until=4.0), ["3", "2"], "created between")
    same(await _uids(store, finished_from=9.0), ["4", "2"], "finished from")
    same(await _uids(store, finished_until=9.0), [], "finished until")
    same(await _uids(store, finished_until=9.5, created_from=3.0), ["4"], "both")


@case()
async def headers_page(subject: Subject) -> None:
    """Newest first, `limit` at a time, going on after the last uid of a page; all are seen once."""
    store = await subject.open()
    uids = [f"{number:03}" for number in range(25)]
    for uid in uids:
        await store.create(header(uid, saga="even" if int(uid) % 2 == 0 else "odd"))
    seen: list[str] = []
    while page := await _uids(store, limit=7, after=seen[-1] if seen else ""):
        holds(len(page) <= 7, "a page is no longer than its limit")
        seen += page
    same(seen, uids[::-1], "all pages")
    same(await _uids(store, saga="odd", limit=2, after="010"), ["009", "007"], "a filtered page")


@case()
async def header_is_found_by_its_id(subject: Subject) -> None:
    """`find` gives the same header as `read`."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a", id="order-1"), start("b", id="order-2")]))
    all_committed(await store.commit(me, [done("a", 1)]))
    same(await store.find("default", "order-1"), await head_of(store, "a"), "the header")
    same(await store.find("default", "order-3"), None, "another id")


@case()
async def read_changes_nothing(subject: Subject) -> None:
    """Reading takes nothing and wakes nobody."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a")]))
    all_committed(await store.commit(me, [asleep("a", 1, 50.0)]))
    await store.send([to("a", "[1]")])
    first = await store.read("a")
    same(await store.read("a"), first, "a second reading")
    same(await inbox_of(store, "a"), ["[1]"], "the message")
    same(len((await claim_one(store, me)).inbox), 1, "and it is still there for the worker")


@case()
async def audit_is_kept_in_order(subject: Subject) -> None:
    """Audit records come back as given, oldest first, each with its execution."""
    store = await subject.open()
    await store.create(header("a"))
    await store.create(header("b"))
    records = [AuditRecord(3.0 - n, "a", f"user {n}", "cancel", "why", '{"n":1}') for n in range(3)]
    await store.send([to("a")], records[:2])
    await store.send([to("b")], [AuditRecord(9.0, "b", "ann", "retry")])
    await store.send([], records[2:])
    same(await store.audited("a"), records, "of a")
    same(await store.audited("b"), [AuditRecord(9.0, "b", "ann", "retry")], "of b")


@case()
async def two_clients_and_a_worker(subject: Subject) -> None:
    """What one handle writes the others see: clients create, signal and watch; the worker does the work."""
    ann, bob = await subject.open(), await subject.open()
    holds(await ann.create(header("a", id="order-1")), "created by one client")
    same(await bob.create(header("b", id="order-1")), False, "the same id by another")
    store, me = await subject.worker()
    claim = await claim_one(store, me)
    same(claim.header.uid, "a", "claimed by the worker")
    all_committed(await store.commit(me, [Write("a", row=row(0))]))
    same(await positions(bob, "a"), [0], "rows, seen by a client")
    await bob.send([to("a", "[1]")])
    (message,) = await store.news(me, 0)
    same((message.uid, message.event), ("a", "[1]"), "news, seen by the worker")
    write = done("a", 1, seen=1)
    write.consumed = [message.seq]
    all_committed(await store.commit(me, [write]))
    head = await ann.find("default", "order-1")
    same(head and (head.status, head.result), ("completed", '{"id":1}'), "the end, seen by a client")


@case()
async def changed_tells_of_others(subject: Subject) -> None:
    """`changed` is True after another handle wrote, and becomes False when nobody writes."""
    store, me = await subject.worker()
    client = await subject.open()
    all_committed(await store.commit(me, [start("a")]))
    for _ in range(3):
        quiet = not await store.changed()
    same(quiet, True, "quiet when nobody writes")
    await client.send([to("a")])
    await told(store)
    for _ in range(3):
        quiet = not await store.changed()
    same(quiet, True, "quiet again")
    await client.create(header("b"))
    await told(store)


@case()
async def changed_tells_of_own_clients(subject: Subject) -> None:
    """Messages sent through the worker's own handle count as changes too."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a")]))
    for _ in range(3):
        await store.changed()
    await store.send([to("a")])
    same(await store.changed(), True, "after a message")


@case()
async def data_outlives_the_handle(subject: Subject) -> None:
    """What was committed is there when the store is opened again."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a")]))
    all_committed(await store.commit(me, [asleep("a", 1, 5.0)]))
    before = await store.read("a")
    await store.retire(me)
    await subject.close()
    store, me = await subject.worker()
    same(await store.read("a"), before, "what is stored")


@case()
async def closed_store_refuses(subject: Subject) -> None:
    """A store that is not open says so."""
    store, me = await subject.worker()
    await store.retire(me)
    await subject.close()
    await refuses(StoreError, store.create(header("a")), "create")
    await refuses(StoreError, store.find("default", "a"), "find")
    await refuses(StoreError, store.commit(me, [start("a")]), "commit")


@case()
async def tidy_changes_nothing(subject: Subject) -> None:
    """Housekeeping is invisible."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a")]))
    before = await store.read("a")
    await store.tidy()
    same(await store.read("a"), before, "what is stored")
    all_committed(await store.commit(me, [Write("a", row=row(1))]))
    client = await subject.open()
    await client.tidy()
