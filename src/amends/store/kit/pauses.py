"""Pauses of sagas and namespaces: nobody claims what they cover, and their rows are all that there is."""

from __future__ import annotations

import asyncio

from ..pausing import Pause, audit_key
from ..port import AuditRecord, Store
from .support import (
    Subject,
    all_committed,
    asleep,
    case,
    head_of,
    header,
    holds,
    inbox_of,
    same,
    start,
    to,
    told,
)

ORDER, MAIL = "shop.order", "shop.mail"


def _pause(saga: str = ORDER, namespace: str = "default", by: str = "ann", since: float = 7.5) -> Pause:
    return Pause(namespace=namespace, saga=saga, by=by, reason="the bank is closed", since=since)


def _audit(action: str, saga: str = ORDER, namespace: str = "default") -> AuditRecord:
    return AuditRecord(7.5, audit_key(namespace, saga), "ann", action, "the bank is closed")


async def _hold(store: Store, pause: Pause) -> Pause:
    return await store.add_pause(pause, _audit("pause", pause.saga, pause.namespace))


async def _end(store: Store, saga: str = ORDER, namespace: str = "default") -> Pause | None:
    return await store.end_pause(namespace, saga, _audit("resume", saga, namespace))


async def _claimed(store: Store, me: int, limit: int = 10) -> list[str]:
    return [claim.header.uid for claim in await store.claim(me, 100.0, limit)]


@case()
async def first_pause_holds(subject: Subject) -> None:
    """A saga or a namespace is paused once: a second pause gets the first, and what holds is listed by
    namespace and saga; ending it returns it, and once more nothing."""
    store = await subject.open()
    odd = _pause("ünï \x00 'x\"", by="", since=0.25)
    every = [_pause("", since=3.0), _pause(), odd, _pause(namespace="other")]
    for pause in reversed(every):
        same(await _hold(store, pause), pause, "the pause that holds")
    same(await _hold(store, _pause(by="bob", since=9.0)), _pause(), "paused twice")
    other = await subject.open()
    same(await other.pauses(), every, "all, by another handle")
    same(await other.pauses("default"), every[:3], "those of a namespace")
    same(await _end(other, odd.saga), odd, "what ends")
    same(await _end(other, odd.saga), None, "ended twice")
    same(await store.pauses("default"), every[:2], "what is left")


@case()
async def pauses_are_audited(subject: Subject) -> None:
    """A pause and its end leave a record each under the pause's name; what changes nothing leaves none."""
    store = await subject.open()
    for _ in range(2):
        await _hold(store, _pause())
    for _ in range(2):
        await _end(store)
    await _hold(store, _pause(""))
    same(await store.audited(audit_key("default", ORDER)), [_audit("pause"), _audit("resume")], "of the saga")
    same(await store.audited(audit_key("default", "")), [_audit("pause", "")], "of the namespace")


@case()
async def two_pause_at_once(subject: Subject) -> None:
    """Of two that pause a saga at the same time both get the same pause; of two that end it one does."""
    one, two = await subject.open(), await subject.open()
    got = await asyncio.gather(_hold(one, _pause(by="ann")), _hold(two, _pause(by="bob")))
    same(got[0], got[1], "the pauses")
    same(await one.pauses(), [got[0]], "what holds")
    ended = await asyncio.gather(_end(one), _end(two))
    same(sorted(each is None for each in ended), [False, True], "who ended it")


@case()
async def paused_saga_is_not_claimed(subject: Subject) -> None:
    """What a pause of its saga covers is not claimed, nor does it count as due, whatever it is told; all else
    is; and at the end of the pause it is as it was."""
    store, me = await subject.worker()
    for uid, saga in (("a", ORDER), ("b", MAIL), ("c", ORDER)):
        holds(await store.create(header(uid, saga=saga)), f"{uid} is created")
    holds(await store.create(header("d", namespace="other")), "d is created")
    await _hold(store, _pause())
    before = await head_of(store, "a")
    same(sorted(await _claimed(store, me)), ["b", "d"], "claimed")
    same(await store.next_wake(), None, "what may be claimed")
    await store.send([to("a")])
    same(await _claimed(store, me), [], "claimed for a message")
    await _end(store)
    same(await store.next_wake(), 0.0, "what may be claimed")
    claims = await store.claim(me, 100.0, 10)
    same([claim.header.uid for claim in claims], ["a", "c"], "claimed at the end")
    same(len(claims[0].inbox), 1, "messages")
    same(claims[0].header.status, before.status, "its status")


@case()
async def paused_namespace_is_not_claimed(subject: Subject) -> None:
    """A pause without a saga covers all of its namespace and nothing of others; both must end."""
    store, me = await subject.worker()
    for uid, saga in (("a", ORDER), ("b", MAIL)):
        holds(await store.create(header(uid, saga=saga)), f"{uid} is created")
    holds(await store.create(header("c", namespace="other")), "c is created")
    await _hold(store, _pause(""))
    await _hold(store, _pause())
    same(await _claimed(store, me), ["c"], "claimed")
    await _end(store, "")
    same(await _claimed(store, me), ["b"], "claimed: its saga is not paused by itself")
    same(await store.next_wake(), None, "what may be claimed")
    await _end(store)
    same(await _claimed(store, me), ["a"], "claimed at the end")


@case()
async def what_is_due_besides_comes_first(subject: Subject) -> None:
    """Behind more paused executions than are claimed at once the others are found, the earliest first."""
    store, me = await subject.worker()
    for place in range(6):
        await store.create(header(f"a{place}"))
    await store.create(header("z", saga="shop.zoo"))
    all_committed(await store.commit(me, [start("m", saga=MAIL), start("n", saga="shop.news")]))
    all_committed(await store.commit(me, [asleep("m", 1, wake_at=20.0), asleep("n", 1, wake_at=10.0)]))
    await _hold(store, _pause())
    same(await _claimed(store, me, 1), ["z"], "the first")
    same(await store.next_wake(), 10.0, "when the next is due")
    same(await _claimed(store, me, 2), ["n", "m"], "the others")


@case()
async def owner_keeps_what_is_paused(subject: Subject) -> None:
    """Who owns an execution goes on writing it, hears its messages, and gives it up due at once; nobody takes
    it then."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a")]))
    await _hold(store, _pause())
    await store.send([to("a")])
    same([message.uid for message in await store.news(me, 0)], ["a"], "news")
    all_committed(await store.commit(me, [asleep("a", 1, wake_at=0.0, seen=1)]))
    same(await _claimed(store, me), [], "claimed")
    same(len(await inbox_of(store, "a")), 1, "messages")
    all_committed(await store.commit(me, [start("b")]))
    await store.retire(me)
    again = await store.register(0.0, wait=False)
    assert again is not None
    same(await _claimed(store, again), [], "claimed by the next")
    await _end(store)
    same(sorted(await _claimed(store, again)), ["a", "b"], "claimed at the end")


@case()
async def pauses_are_news(subject: Subject) -> None:
    """A worker hears by `changed` that a pause was made, or ended, by whatever handle."""
    store, _ = await subject.worker()
    client = await subject.open()
    while await store.changed():
        pass
    await _hold(client, _pause())
    await told(store)
    while await store.changed():
        pass
    await _end(store)
    await told(store)
