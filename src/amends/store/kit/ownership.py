"""Ownership: incarnations, fences, claims, sleep, and what is left by the dead."""

from __future__ import annotations

import asyncio

from ...errors import Fenced
from ..port import Change, Release, Write
from .support import (
    Subject,
    all_committed,
    asleep,
    case,
    claim_one,
    codes,
    done,
    head_of,
    header,
    holds,
    positions,
    refuses,
    row,
    same,
    start,
    to,
)


@case("single")
async def one_worker_at_a_time(subject: Subject) -> None:
    """While one worker lives, `register(wait=False)` returns None to any other."""
    store, me = await subject.worker()
    other = await subject.open()
    same(await other.register(0.0, wait=False), None, "the second")
    all_committed(await store.commit(me, [start("a")]))


@case("single")
async def standby_takes_over_after_retirement(subject: Subject) -> None:
    """`register(wait=True)` waits until the worker has retired."""
    store, me = await subject.worker()
    other = await subject.open()
    waiting = asyncio.ensure_future(other.register(5.0, wait=True))
    await asyncio.sleep(0)
    same(waiting.done(), False, "it waits")
    await store.retire(me)
    successor = await waiting
    holds(successor is not None and successor != me, "a fresh incarnation")
    assert successor is not None
    all_committed(await other.commit(successor, [start("a")]))


@case("single")
async def standby_takes_over_after_a_crash(subject: Subject) -> None:
    """`register(wait=True)` ends when the worker has died, and finds what it owned."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a")]))
    other = await subject.open()
    waiting = asyncio.ensure_future(other.register(5.0, wait=True))
    await asyncio.sleep(0)
    await subject.kill(store)
    successor = await waiting
    holds(successor is not None, "an incarnation")
    assert successor is not None
    claim = await claim_one(other, successor)
    same(
        (claim.header.uid, claim.lost, claim.header.owner), ("a", True, successor), "what the dead one owned"
    )


@case()
async def close_without_retirement_is_death(subject: Subject) -> None:
    """A worker that closes its store without retiring is taken for dead."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a")]))
    subject.opened.remove(store)
    await store.close()
    other, successor = await subject.worker()
    claim = await claim_one(other, successor)
    same((claim.lost, claim.deaths, claim.lost_by), (True, 1, me), "lost and deaths, and whose")


@case()
async def incarnations_never_repeat(subject: Subject) -> None:
    """Every registration gets a number that was never used before."""
    seen = []
    for _ in range(4):
        store, me = await subject.worker()
        seen.append(me)
        await store.retire(me)
    same(len(set(seen)), 4, "different numbers")


@case()
async def commit_by_the_retired_is_fenced(subject: Subject) -> None:
    """A commit by a retired incarnation is refused as a whole and changes nothing."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a")]))
    await store.retire(me)
    before = await store.read("a")
    await refuses(Fenced, store.commit(me, [Write("a", row=row(1)), start("b")]), "commit")
    same((await store.read("a"), await store.read("b")), (before, None), "what is stored")


@case()
async def commit_now_by_the_retired_is_fenced(subject: Subject) -> None:
    """The same holds for a commit in the caller's thread."""
    store, me = await subject.worker()
    await store.retire(me)
    try:
        verdicts = store.commit_now(me, [start("a")])
    except Fenced:
        verdicts = None
    same(verdicts, None, "no verdicts")
    same(await store.read("a"), None, "what is stored")


@case()
async def zombie_of_a_takeover_is_fenced(subject: Subject) -> None:
    """When another has registered since, the old incarnation's writes are refused, even on its own handle."""
    store, old = await subject.worker()
    all_committed(await store.commit(old, [start("a")]))
    await store.retire(old)
    other, new = await subject.worker()
    await claim_one(other, new)
    await refuses(Fenced, store.commit(old, [Write("a", row=row(1))]), "the zombie's commit")
    await refuses(Fenced, other.commit(old, [Write("a", row=row(1))]), "under its number on another handle")
    all_committed(await other.commit(new, [Write("a", row=row(1))]))
    same(await positions(other, "a"), [0, 1], "rows")


@case()
async def zombie_of_a_takeover_after_a_crash_is_fenced(subject: Subject) -> None:
    """Registering retires those that died: should one only have seemed dead, its commits are refused."""
    store, old = await subject.worker()
    all_committed(await store.commit(old, [start("a")]))
    await subject.kill(store)
    other, new = await subject.worker()
    await refuses(Fenced, other.commit(old, [start("b")]), "under the number of the dead")
    await refuses(Fenced, other.claim(old, 1e9, 10), "a claim under that number")
    same((await claim_one(other, new)).header.uid, "a", "its execution goes to the new one")


@case()
async def row_now_under_the_number_of_the_dead_is_fenced(subject: Subject) -> None:
    """The same holds for the smallest commits there are: one write, in the caller's thread."""
    store, old = await subject.worker()
    all_committed(await store.commit(old, [start("a")]))
    await subject.kill(store)
    other, new = await subject.worker()
    await claim_one(other, new)
    before = await other.read("a")
    for write in (Write("a", row=row(1)), done("a", 1), start("b")):
        try:
            verdicts = other.commit_now(old, [write])
        except Fenced:
            verdicts = None
        same(verdicts, None, "no verdicts")
        same((await other.read("a"), await other.read("b")), (before, None), "what is stored")


@case()
async def claim_and_park_by_the_retired_are_fenced(subject: Subject) -> None:
    """A retired incarnation can neither claim nor park."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a")]))
    await store.create(header("b"))
    await store.retire(me)
    await refuses(Fenced, store.claim(me, 1e9, 10), "claim")
    await refuses(Fenced, store.park(me, "a", "poison", "{}", 1.0), "park")
    same((await head_of(store, "b")).owner, None, "who was not claimed")
    same((await head_of(store, "a")).status, "running", "the status")


@case()
async def unknown_incarnation_is_fenced(subject: Subject) -> None:
    """A number that was never given out is no living incarnation."""
    store, me = await subject.worker()
    await refuses(Fenced, store.commit(me + 1, [start("a")]), "commit")


@case()
async def retiring_twice_is_once(subject: Subject) -> None:
    """Retiring is idempotent, and does not touch a successor."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a")]))
    await store.retire(me)
    await store.retire(me)
    other, successor = await subject.worker()
    await claim_one(other, successor)
    await other.retire(me)
    same((await head_of(other, "a")).owner, successor, "the owner")
    all_committed(await other.commit(successor, [Write("a", row=row(1))]))


@case()
async def retiring_hands_back(subject: Subject) -> None:
    """What a retired incarnation still owned is unowned, due and lost; what it had released is not lost."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a"), start("b")]))
    all_committed(await store.commit(me, [asleep("b", 1, 5.0)]))
    await store.retire(me)
    other, successor = await subject.worker()
    claims = await other.claim(successor, 10.0, 10)
    got = [(claim.header.uid, claim.lost, claim.deaths, claim.lost_by) for claim in claims]
    same(
        got,
        [("a", True, 0, me), ("b", False, 0, None)],
        "uid, lost, deaths (a retirement is no death), by whom",
    )


@case()
async def retiring_after_a_drain_hands_back_unharmed(subject: Subject) -> None:
    """What a drain calls settled is due and not lost; all else that the incarnation owned is lost."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a"), start("b"), start("c")]))
    await store.retire(me, ["a", "c", "never heard of"])
    other, successor = await subject.worker()
    claims = await other.claim(successor, 10.0, 10)
    got = {claim.header.uid: claim.lost for claim in claims}
    same(got, {"a": False, "b": True, "c": False}, "lost, by uid")


@case()
async def the_dead_leave_their_executions_due(subject: Subject) -> None:
    """`register` makes what the dead owned unowned, due now, and lost; sleepers are left asleep."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a"), start("b"), start("c")]))
    all_committed(await store.commit(me, [asleep("b", 1, 500.0), asleep("c", 1)]))
    await subject.kill(store)
    other, successor = await subject.worker(30.0)
    same(await other.next_wake(), 30.0, "due at the time of registration")
    claim = await claim_one(other, successor, 30.0)
    same((claim.header.uid, claim.lost, claim.deaths), ("a", True, 1), "what it owned")
    claim = await claim_one(other, successor, 500.0)
    same((claim.header.uid, claim.lost, claim.deaths), ("b", False, 0), "a sleeper")


@case()
async def deaths_on_one_head_are_counted(subject: Subject) -> None:
    """`deaths` counts the owners in a row that died while the journal stood at the same head."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a")]))
    for number in (1, 2, 3):
        await subject.kill(store)
        store, me = await subject.worker()
        claim = await claim_one(store, me)
        same((claim.lost, claim.deaths), (True, number), "lost and deaths")


@case()
async def deaths_start_again_when_the_head_moves(subject: Subject) -> None:
    """A row written since the last death starts the count anew."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a")]))
    for _ in range(2):
        await subject.kill(store)
        store, me = await subject.worker()
        await claim_one(store, me)
    all_committed(await store.commit(me, [asleep("a", 1, 3.0)]))
    claim = await claim_one(store, me)
    same((claim.lost, claim.deaths), (False, 0), "after progress")
    await subject.kill(store)
    store, me = await subject.worker()
    same((await claim_one(store, me)).deaths, 1, "the first death at the new head")


@case()
async def deaths_without_a_journal_are_counted(subject: Subject) -> None:
    """An execution that kills its owner before its first row is counted like any other."""
    store = await subject.open()
    await store.create(header("a"))
    for number in (0, 1, 2):
        worker, me = await subject.worker()
        same((await claim_one(worker, me)).deaths, number, "deaths")
        await subject.kill(worker)


@case()
async def claim_takes_the_earliest_first(subject: Subject) -> None:
    """Claims come in the order of `wake_at`, at most `limit` of them, each once."""
    store, me = await subject.worker()
    times = {"a": 30.0, "b": 10.0, "c": 20.0, "d": 40.0, "e": 15.0}
    all_committed(await store.commit(me, [start(uid) for uid in times]))
    all_committed(await store.commit(me, [asleep(uid, 1, wake) for uid, wake in times.items()]))
    same(await store.next_wake(), 10.0, "the earliest")
    first = await store.claim(me, 30.0, 2)
    same([claim.header.uid for claim in first], ["b", "e"], "the first two")
    rest = await store.claim(me, 30.0, 10)
    same([claim.header.uid for claim in rest], ["c", "a"], "the rest of those due")
    same(await store.claim(me, 30.0, 10), [], "no more")
    same(await store.next_wake(), 40.0, "the one that sleeps on")


@case()
async def claim_brings_all_it_takes_to_go_on(subject: Subject) -> None:
    """A claim holds the header (owned by the claimer), all rows in order and the waiting messages in
    order."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a"), start("b")]))
    all_committed(await store.commit(me, [Write("a", row=row(1)), Write("b", row=row(1))]))
    all_committed(await store.commit(me, [asleep("a", 2, 5.0), asleep("b", 2, 6.0)]))
    await store.send([to("b", "[1]"), to("a", "[2]"), to("b", "[3]")])
    claims = {claim.header.uid: claim for claim in await store.claim(me, 1.0, 10)}
    same(sorted(claims), ["a", "b"], "both are due")
    for uid, events in (("a", ["[2]"]), ("b", ["[1]", "[3]"])):
        claim = claims[uid]
        same([each.position for each in claim.rows], [0, 1, 2], "rows")
        same([message.event for message in claim.inbox], events, "messages")
        same({message.uid for message in claim.inbox}, {uid}, "their uid")
        same((claim.header.owner, claim.header.wake_at), (me, None), "owner and wake_at")
        same(claim.header.inbox_seq, len(events), "inbox_seq")
        same(claim.header, await head_of(store, uid), "the header as stored")


@case()
async def claimed_can_be_written(subject: Subject) -> None:
    """The claimer owns what it claimed: it appends, and nobody else can claim."""
    store, me = await subject.worker()
    await store.create(header("a"))
    await claim_one(store, me)
    same(await store.claim(me, 1e9, 10), [], "a second claim")
    same(await store.next_wake(), None, "nothing sleeps")
    all_committed(await store.commit(me, [Write("a", row=row(0))]))


@case()
async def sleep_ends_in_time(subject: Subject) -> None:
    """A released execution is unowned and due at its `wake_at`, not before; without one it waits for a
    message."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a"), start("b")]))
    all_committed(await store.commit(me, [asleep("a", 1, 100.5), asleep("b", 1, None)]))
    heads = [await head_of(store, uid) for uid in "ab"]
    same([(head.owner, head.wake_at) for head in heads], [(None, 100.5), (None, None)], "owner, wake_at")
    same(await store.claim(me, 100.25, 10), [], "too early")
    same([claim.header.uid for claim in await store.claim(me, 100.5, 10)], ["a"], "in time")
    same(await store.claim(me, 1e12, 10), [], "the other sleeps on")


@case()
async def release_without_a_row(subject: Subject) -> None:
    """An idle execution is released by a write with nothing else."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a")]))
    all_committed(await store.commit(me, [Write("a", release=Release(7.0, 0))]))
    claim = await claim_one(store, me, 7.0)
    same([each.position for each in claim.rows], [0], "rows")
    same(codes(await store.commit(me, [Write("a", release=Release(None, 0))])), ["committed"], "and again")


@case()
async def release_can_stay_lost(subject: Subject) -> None:
    """An owner that has not journaled what the dead one may have done says so when it lets go."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a")]))
    await subject.kill(store)
    store, me = await subject.worker()
    claim = await claim_one(store, me)
    same((claim.lost, claim.slept), (True, False), "claimed from the dead: lost and slept")
    for change in (None, Change("running")):
        all_committed(await store.commit(me, [Write("a", change=change, release=Release(7.0, 0, lost=True))]))
        claim = await claim_one(store, me)
        same((claim.lost, claim.slept), (True, True), "claimed again: lost and slept")
        same(claim.lost_by != me, True, "it was lost by the dead, not by who let it go asleep")
    await store.retire(me)
    store, me = await subject.worker()
    claim = await claim_one(store, me)
    same((claim.lost, claim.slept), (True, False), "after one who may have dispatched something")
    all_committed(await store.commit(me, [Write("a", row=row(1), release=Release(7.0, 0))]))
    same((await claim_one(store, me)).lost, False, "and after it was journaled")
