"""Several workers on one database: each owns its own, none takes what another holds, the dead are buried."""

from __future__ import annotations

import asyncio

from ...errors import Fenced
from ..port import AuditRecord, Change, Release, Store, Write
from .support import (
    Subject,
    all_committed,
    asleep,
    case,
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


async def _two(subject: Subject) -> tuple[tuple[Store, int], tuple[Store, int]]:
    return await subject.worker(), await subject.worker()


@case("many")
async def several_register(subject: Subject) -> None:
    """While one worker lives others register too, each with a number of its own."""
    (ann, a), (bob, b) = await _two(subject)
    same(a != b, True, "two numbers")
    all_committed(await ann.commit(a, [start("a")]))
    all_committed(await bob.commit(b, [start("b")]))
    same([(await head_of(ann, uid)).owner for uid in "ab"], [a, b], "owners")


@case("many")
async def claims_are_disjoint(subject: Subject) -> None:
    """Workers that claim at the same time take different executions, and together all of them."""
    (ann, a), (bob, b) = await _two(subject)
    uids = [f"{number:02}" for number in range(60)]
    for uid in uids:
        await ann.create(header(uid))
    taken: list[str] = []
    while True:
        found = await asyncio.gather(ann.claim(a, 1e9, 2), bob.claim(b, 1e9, 2))
        if not any(found):
            break
        taken += [claim.header.uid for claims in found for claim in claims]
    same(sorted(taken), uids, "each once")


@case("many")
async def another_workers_execution_is_not_mine(subject: Subject) -> None:
    """A write to an execution that another worker owns is a conflict; the owner's goes on."""
    (ann, a), (bob, b) = await _two(subject)
    all_committed(await ann.commit(a, [start("a")]))
    same(codes(await bob.commit(b, [Write("a", row=row(1)), start("b")])), ["conflict", "committed"], "bob's")
    same(await bob.claim(b, 1e9, 10), [], "a claim of what is owned")
    all_committed(await ann.commit(a, [Write("a", row=row(1))]))


@case("many")
async def messages_reach_another_workers_execution(subject: Subject) -> None:
    """A message sent in one worker's commit is news to the worker that owns the receiver."""
    (ann, a), (bob, b) = await _two(subject)
    all_committed(await ann.commit(a, [start("a")]))
    all_committed(await bob.commit(b, [start("b")]))
    all_committed(await ann.commit(a, [Write("a", row=row(1), messages=[to("b", "[1]")])]))
    same([(m.uid, m.event) for m in await bob.news(b, 0)], [("b", "[1]")], "bob's news")
    same(await ann.news(a, 0), [], "ann's news")
    same(codes(await bob.commit(b, [asleep("b", 1)])), ["awake"], "a release that has not seen it")


@case("many")
async def released_by_one_claimed_by_another(subject: Subject) -> None:
    """What one worker lets go another takes, with all rows and messages; it is not lost."""
    (ann, a), (bob, b) = await _two(subject)
    all_committed(await ann.commit(a, [start("a")]))
    all_committed(await ann.commit(a, [asleep("a", 1, 5.0)]))
    await ann.send([to("a", "[1]")])
    (claim,) = await bob.claim(b, 10.0, 10)
    got = ([each.position for each in claim.rows], [each.event for each in claim.inbox], claim.lost)
    same(got, ([0, 1], ["[1]"], False), "rows, inbox, lost")
    same(codes(await ann.commit(a, [Write("a", row=row(2))])), ["conflict"], "the owner before")
    write = Write("a", row=row(2), consumed=[claim.inbox[0].seq])
    all_committed(await bob.commit(b, [write]))
    same(await inbox_of(bob, "a"), [], "inbox")


@case("many")
async def death_of_one_leaves_the_other(subject: Subject) -> None:
    """Registering buries the dead and touches no living worker's executions."""
    (ann, a), (bob, b) = await _two(subject)
    all_committed(await ann.commit(a, [start("a")]))
    all_committed(await bob.commit(b, [start("b")]))
    await subject.kill(ann)
    cat, c = await subject.worker(7.0)
    found = [(claim.header.uid, claim.lost, claim.deaths) for claim in await cat.claim(c, 1e9, 10)]
    same(found, [("a", True, 1)], "what the dead one owned")
    all_committed(await bob.commit(b, [Write("b", row=row(1))]))
    await refuses(Fenced, cat.commit(a, [start("c")]), "under the number of the dead")


@case("many")
async def retirement_of_one_leaves_the_other(subject: Subject) -> None:
    """Retiring hands back what one owned, and nothing of another's."""
    (ann, a), (bob, b) = await _two(subject)
    all_committed(await ann.commit(a, [start("a"), start("c")]))
    all_committed(await bob.commit(b, [start("b")]))
    await ann.retire(a, ["a"])
    found = {claim.header.uid: claim.lost for claim in await bob.claim(b, 1e9, 10)}
    same(found, {"a": False, "c": True}, "lost, by uid")
    same((await head_of(bob, "b")).owner, b, "bob's own")


@case("many")
async def message_in_between_is_not_lost(subject: Subject) -> None:
    """Messages sent while another worker claims are in its claim or in its news, each of them."""
    (ann, a), (bob, b) = await _two(subject)
    for round_ in range(10):
        uid = f"r{round_}"
        all_committed(await ann.commit(a, [start(uid)]))
        all_committed(await ann.commit(a, [asleep(uid, 1, 0.0)]))
        events = [f"[{number}]" for number in range(4)]
        claims, *_ = await asyncio.gather(
            bob.claim(b, 1.0, 1), *(ann.send([to(uid, event)]) for event in events)
        )
        claims = claims or await bob.claim(b, 1.0, 1)  # what was locked just then was passed over
        told = [message.event for claim in claims for message in claim.inbox]
        told += [message.event for message in await bob.news(b, 0) if message.uid == uid]
        same([claim.header.uid for claim in claims], [uid], "the claim")
        same(sorted(set(told)), events, "what bob has heard")


@case("many")
async def retired_changes_nothing_at_all(subject: Subject) -> None:
    """Of a write by who was retired by others, and has not heard of it, no part is kept: no row, child,
    message, change, release or audit."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a"), start("b")]))
    await store.send([to("a", "[1]")])
    (message,) = await store.news(me, 0)
    other, successor = await subject.worker()
    await other.retire(me)
    claims = {claim.header.uid for claim in await other.claim(successor, 1e9, 10)}
    same(claims, {"a", "b"}, "the successor has them")
    before = [await other.read(uid) for uid in "ab"]
    for write in (
        Write("a", row=row(1)),
        Write("a", change=Change("completed", result="1")),
        Write("a", release=Release(9.0, 1)),
        Write("a", consumed=[message.seq]),
        Write("a", messages=[to("b", "[2]")]),
        Write("a", children=[header("c")]),
        Write("a", children=[header("c")], messages=[to("c", "[3]")]),
        Write("a", audit=[AuditRecord(1.0, "a", "me", "retry")]),
        start("d"),
    ):
        await refuses(Fenced, store.commit(me, [write]), f"{write}")
        same([await other.read(uid) for uid in "ab"], before, f"both executions, after {write}")
        same([await other.read(uid) for uid in "cd"], [None, None], f"new ones, after {write}")
        same(await other.audited("a"), [], f"the audit, after {write}")
    same(await positions(other, "a"), [0], "rows")
