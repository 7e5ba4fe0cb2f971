"""Which worker takes what: definitions that it has the code of, and turns between namespaces."""

from __future__ import annotations

from ...errors import Fenced
from ..port import MISSING, Store
from .support import Subject, case, head_of, header, holds, refuses, same

OLD, NEW = ("shop.order", "1"), ("shop.order", "2")


async def _create(
    store: Store, uid: str, definition: tuple[str, str] = OLD, namespace: str = "default"
) -> None:
    saga, version = definition
    holds(
        await store.create(header(uid, saga=saga, version=version, namespace=namespace)), f"{uid} is created"
    )


async def _claimed(store: Store, me: int, limit: int = 100) -> list[str]:
    return [claim.header.uid for claim in await store.claim(me, 100.0, limit)]


@case()
async def unserved_before_it_is_said(subject: Subject) -> None:
    """A worker that has not said what it serves takes anything (as a worker of an earlier release)."""
    store, me = await subject.worker()
    await _create(store, "a")
    same(await store.next_wake(), 0.0, "what sleeps")
    same(await _claimed(store, me), ["a"], "claimed")


@case()
async def what_is_served_is_taken(subject: Subject) -> None:
    """A worker takes what it serves, of each version, and says so as often as it likes."""
    store, me = await subject.worker()
    for _ in range(2):
        await store.serve(me, [OLD, NEW])
    await _create(store, "a")
    await _create(store, "b", NEW)
    same(await _claimed(store, me), ["a", "b"], "claimed")


@case()
async def serving_needs_a_living_incarnation(subject: Subject) -> None:
    """Whoever is retired serves nothing."""
    store, me = await subject.worker()
    await store.retire(me)
    await refuses(Fenced, store.serve(me, [OLD]), "refused")


@case()
async def parked_for_want_of_code_goes_on_when_it_comes(subject: Subject) -> None:
    """What was parked with the cause `missing_definition` becomes claimable once a worker serves its name and
    version, with its status before; what was parked for another cause, or needs another version, does not."""
    store, me = await subject.worker()
    for uid, version in (("a", OLD), ("b", NEW), ("c", OLD)):
        await _create(store, uid, version)
    same(sorted(await _claimed(store, me)), ["a", "b", "c"], "claimed")
    await store.park(me, "a", MISSING, "{}", 5.0)
    await store.park(me, "b", MISSING, "{}", 5.0)
    await store.park(me, "c", "divergence", "{}", 5.0)
    await store.serve(me, [OLD])
    found = {uid: (await head_of(store, uid)).status for uid in "abc"}
    same(found, {"a": "running", "b": "attention", "c": "attention"}, "statuses")
    claims = await store.claim(me, 100.0, 10)
    same(
        [(claim.header.uid, claim.header.cause, claim.lost) for claim in claims], [("a", "", True)], "claimed"
    )
    await store.serve(me, [OLD, NEW])
    same(await _claimed(store, me), ["b"], "claimed once its version came")


@case("many")
async def each_worker_takes_what_it_serves(subject: Subject) -> None:
    """Old code drains old executions while new code takes new ones; each is woken only for its own."""
    one, me = await subject.worker()
    other, you = await subject.worker()
    await one.serve(me, [OLD])
    await other.serve(you, [NEW])
    await _create(one, "a", NEW)
    same(await one.next_wake(), None, "nothing sleeps for the one that lacks it")
    same(await other.next_wake(), 0.0, "it is due for the other")
    await _create(one, "b", OLD)
    same(await _claimed(one, me), ["b"], "the first one's")
    same(await _claimed(other, you), ["a"], "the second one's")


@case("many")
async def unserved_stays_where_it_is(subject: Subject) -> None:
    """What no living worker serves is left alone: unowned, due, not parked; and taken by one that comes."""
    one, me = await subject.worker()
    await one.serve(me, [NEW])
    await _create(one, "a", OLD)
    same((await one.next_wake(), await _claimed(one, me)), (None, []), "not for this one")
    head = await head_of(one, "a")
    same((head.status, head.owner, head.wake_at), ("running", None, 0.0), "as it was")
    other, you = await subject.worker()
    await other.serve(you, [OLD])
    same(await _claimed(other, you), ["a"], "the one that came")


@case("many")
async def what_the_dead_served_nobody_serves(subject: Subject) -> None:
    """A worker that dies takes its definitions along; the next incarnation says again what it has."""
    one, me = await subject.worker()
    await one.serve(me, [OLD])
    await subject.kill(one)
    other, you = await subject.worker(50.0)
    await other.serve(you, [NEW])
    await _create(other, "a", OLD)
    same(await _claimed(other, you), [], "not served by the other")
    third, they = await subject.worker(60.0)
    await third.serve(they, [OLD])
    same(await _claimed(third, they), ["a"], "served again")


@case()
async def namespaces_take_turns(subject: Subject) -> None:
    """A flood in one namespace does not hold up another: they take turns, earliest first in each."""
    store, me = await subject.worker()
    for number in range(6):
        await _create(store, f"a{number}", namespace="flood")
    for number in range(2):
        await _create(store, f"b{number}", namespace="quiet")
    same(await _claimed(store, me, 4), ["a0", "b0", "a1", "b1"], "the first batch")
    same(await _claimed(store, me, 4), ["a2", "a3", "a4", "a5"], "the second one")


@case()
async def namespaces_have_shares(subject: Subject) -> None:
    """A namespace with the weight 3 gets three turns for each of one that has none (which counts as 1)."""
    store, me = await subject.worker()
    await store.serve(me, [OLD], {"gold": 3.0})
    for number in range(8):
        await _create(store, f"a{number}", namespace="gold")
        await _create(store, f"b{number}", namespace="tin")
    taken = await _claimed(store, me, 8)
    same(sorted(taken), ["a0", "a1", "a2", "a3", "a4", "a5", "b0", "b1"], "the first batch")
