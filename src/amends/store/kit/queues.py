"""Queued tasks: added with the row that issues them, leased, reported once, and never lost.

Stores with a clock of their own do not look at `now`; so the cases use leases and delays that are over at
once, or far away.
"""

from __future__ import annotations

from typing import Any

from ...errors import Fenced
from ..port import Message, Store, Write
from ..queueing import (
    SIGN,
    Ask,
    End,
    Lease,
    Pulse,
    QueueLimits,
    Standing,
    Task,
    TaskReport,
    decode_end,
)
from .support import (
    Subject,
    all_committed,
    asleep,
    case,
    claim_one,
    codes,
    done,
    holds,
    refuses,
    row,
    same,
    start,
)

NOW = 100.0
AGES = 3600.0


def task(uid: str, action: str = "1", direction: str = "do", **fields: Any) -> Task:
    """A task that is due."""
    given = {"namespace": "default", "queue": "q", "step": "send", "call": "{}", "at": NOW, **fields}
    return Task(uid=uid, action=action, direction=direction, **given)


def issuing(uid: str, *tasks: Task) -> Write:
    """A write that starts an execution with tasks."""
    write = start(uid)
    write.tasks = tasks
    return write


async def take(store: Store, limit: int = 10, **fields: Any) -> list[Lease]:
    """Take from the queue ``q``."""
    ask = Ask(**{"queue": "q", "holder": "h", "limit": limit, "lease": AGES, **fields})
    return (await store.take_tasks(ask, NOW)).leases


def only(leases: list[Lease]) -> Lease:
    """The one that there should be."""
    same(len(leases), 1, "leases")
    return leases[0]


def ended(lease: Lease, how: str = "completed") -> TaskReport:
    """A report."""
    return TaskReport(lease.token, End(lease.task.action, lease.task.direction, lease.task.attempt, how))


async def reports(store: Store, uid: str) -> list[End]:
    """What the inbox of an execution has of reports."""
    found = await store.read(uid)
    inbox: list[Message] = [] if found is None else found[2]
    return [decode_end(message.event) for message in inbox if message.key.startswith(SIGN)]


@case()
async def task_comes_with_its_row(subject: Subject) -> None:
    """A committed write's task can be taken, whole; that of a write that conflicts does not exist."""
    store, me = await subject.worker()
    given = task("a", step="mail.send", call='{"to":"ä"}', attempt=3, key="k", pool="p", priority=-2)
    all_committed(await store.commit(me, [issuing("a", given)]))
    same(
        codes(await store.commit(me, [Write("a", row=row(0), tasks=[task("a", "2")])])),
        ["conflict"],
        "the other",
    )
    same(codes(await store.commit(me, [issuing("a", task("a", "3"))])), ["conflict"], "and a start")
    leases = await take(store)
    same([(lease.tries, lease.lapses) for lease in leases], [(1, 0)], "one lease, the first")
    got = leases[0].task
    same(
        (got.uid, got.action, got.step, got.call, got.attempt, got.key, got.pool, got.priority),
        ("a", "1", "mail.send", '{"to":"ä"}', 3, "k", "p", -2),
        "the task",
    )
    same(await take(store), [], "nobody else gets it")


@case()
async def retired_adds_and_drops_no_task(subject: Subject) -> None:
    """What a retired incarnation commits leaves the tasks as they are."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [issuing("a", task("a"))]))
    await store.retire(me)
    await refuses(Fenced, store.commit(me, [Write("a", tasks=[task("a", "2")])]), "adding")
    await refuses(Fenced, store.commit(me, [Write("a", dropped=[("1", "do")])]), "dropping")
    same([lease.task.action for lease in await take(store)], ["1"], "the task that was there")


@case("many")
async def retired_unawares_adds_and_drops_no_task(subject: Subject) -> None:
    """Nor does what one commits that was retired by others and has not heard of it."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [issuing("a", task("a"))]))
    other, _ = await subject.worker()
    await other.retire(me)
    await refuses(Fenced, store.commit(me, [Write("a", tasks=[task("a", "2")])]), "adding")
    await refuses(Fenced, store.commit(me, [Write("a", dropped=[("1", "do")])]), "dropping")
    same([each.action for each in await other.tasks_of("a")], ["1"], "the task that was there")


@case()
async def task_of_another_process(subject: Subject) -> None:
    """Who is no worker takes and reports, too; the owner hears of it."""
    store, me = await subject.worker()
    client = await subject.open()
    all_committed(await store.commit(me, [issuing("a", task("a"))]))
    leases = await take(client)
    same(await client.report_tasks([ended(leases[0])]), [True], "heard")
    same([message.uid for message in await store.news(me, 0)], ["a"], "news")


@case()
async def report_wakes_a_sleeper(subject: Subject) -> None:
    """A report is a message: it makes its owner due, and refuses a release that has not seen it."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [issuing("a", task("a")), issuing("b", task("b"))]))
    all_committed(await store.commit(me, [asleep("a", 1)]))
    first, second = await take(store)
    same(await store.report_tasks([ended(first), ended(second)]), [True, True], "heard")
    same(codes(await store.commit(me, [asleep("b", 1)])), ["awake"], "the release of the other")
    claim = await claim_one(store, me)
    same((claim.header.uid, len(claim.inbox), claim.header.inbox_seq), ("a", 1, 1), "due")


@case()
async def report_counts_once(subject: Subject) -> None:
    """The same report again is true and changes nothing, in one call or in two."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [issuing("a", task("a"))]))
    lease = only(await take(store))
    same(await store.report_tasks([ended(lease)]), [True], "heard")
    same(await store.report_tasks([ended(lease)]), [True], "again")
    same(len(await reports(store, "a")), 1, "one message")


@case()
async def late_report_is_refused(subject: Subject) -> None:
    """Whose lease lapsed and was taken by another is neither renewed nor heard; the other is."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [issuing("a", task("a"))]))
    late = only(await take(store, lease=0.0))
    lease = only(await take(store))
    same((lease.num, lease.tries, lease.lapses), (late.num, 2, 1), "taken again, and the lapse is counted")
    holds(lease.lapsed_at > 0, "when it lapsed is known")
    pulses = [Pulse(late.token), Pulse(lease.token)]
    same(await store.renew_tasks(pulses, AGES, NOW), [Standing.LOST, Standing.HELD], "renewals")
    stale = Pulse(late.token, '"stale"')
    same(await store.renew_tasks([stale], AGES, NOW), [Standing.LOST], "with progress")
    same((await store.tasks_of("a"))[0].progress, None, "the progress of the other")
    same(await store.report_tasks([ended(late, "failed")]), [False], "the late one")
    same(await store.report_tasks([ended(lease)]), [True], "the other")
    same([end.how for end in await reports(store, "a")], ["completed"], "the inbox")


@case()
async def renewal_moves_the_lease_on(subject: Subject) -> None:
    """A lease that is renewed is not taken by others, and its progress can be seen."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [issuing("a", task("a"))]))
    lease = only(await take(store, lease=0.0))
    same(await store.renew_tasks([Pulse(lease.token, '"half"')], AGES, NOW), [Standing.HELD], "renewed")
    same(await take(store), [], "it is not taken")
    (shown,) = await store.tasks_of("a")
    same((shown.state, shown.progress, shown.holder), ("leased", '"half"', "h"), "as people see it")
    same(await store.renew_tasks([Pulse(lease.token)], AGES, NOW), [Standing.HELD], "without progress")
    same((await store.tasks_of("a"))[0].progress, '"half"', "the last one stays")


@case()
async def ended_task_stays_until_its_owner_drops_it(subject: Subject) -> None:
    """To add a task again changes nothing while it is there, ended or not; dropped, its place is free."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [issuing("a", task("a"))]))
    all_committed(await store.commit(me, [Write("a", tasks=[task("a")])]))
    lease = only(await take(store))
    all_committed(await store.commit(me, [Write("a", tasks=[task("a")])]))
    same(await take(store), [], "it is leased")
    await store.report_tasks([ended(lease, "failed")])
    all_committed(await store.commit(me, [Write("a", tasks=[task("a")])]))
    same(await take(store), [], "it is done")
    again = Write("a", row=row(1), dropped=[("1", "do")], tasks=[task("a", attempt=2)])
    all_committed(await store.commit(me, [again]))
    second = only(await take(store))
    same((second.task.attempt, second.tries, second.lapses), (2, 1, 0), "the next attempt is a new task")
    holds(second.num > lease.num, "with a new number")
    same(await store.report_tasks([ended(lease)]), [False], "the first attempt's token opens nothing")


@case()
async def dropped_task_is_gone(subject: Subject) -> None:
    """What is dropped while it waits is not taken; while it runs, its holder hears at its next renewal."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [issuing("a", task("a"), task("a", "2"))]))
    lease = only(await take(store, 1))
    all_committed(await store.commit(me, [Write("a", row=row(1), dropped=[("1", "do"), ("2", "do")])]))
    same(await take(store), [], "the one that waited")
    same(await store.renew_tasks([Pulse(lease.token)], AGES, NOW), [Standing.LOST], "the one that runs")
    same(await store.tasks_of("a"), [], "nothing is there")


@case()
async def row_that_only_drops_drops(subject: Subject) -> None:
    """Also where it could be committed in place."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [issuing("a", task("a"))]))
    write = Write("a", row=row(1), dropped=[("1", "do")])
    verdicts = store.commit_now(me, [write])
    all_committed(verdicts if verdicts is not None else await store.commit(me, [write]))
    same(await store.tasks_of("a"), [], "nothing is there")


@case()
async def priority_goes_first_then_age(subject: Subject) -> None:
    """Of what is due the highest priority comes first, and of these the oldest."""
    store, me = await subject.worker()
    tasks = [task("a", str(n), priority=p) for n, p in enumerate((0, 5, 0, 5, -1))]
    all_committed(await store.commit(me, [issuing("a", *tasks)]))
    same([lease.task.action for lease in await take(store)], ["1", "3", "0", "2", "4"], "order")


@case()
async def delayed_task_waits(subject: Subject) -> None:
    """A task with a delay is not taken before; how long that is, is told. It does not hold up others."""
    store, me = await subject.worker()
    tasks = [task("a", "1", delay=AGES, priority=9), task("a", "2")]
    all_committed(await store.commit(me, [issuing("a", *tasks)]))
    same([lease.task.action for lease in await take(store)], ["2"], "taken")
    wait = (await store.take_tasks(Ask(queue="q", holder="h"), NOW)).wait
    holds(wait is not None and AGES - 60 < wait <= AGES, f"the wait is about {AGES:g} s, got {wait}")


@case()
async def delayed_task_is_hastened(subject: Subject) -> None:
    """Added again without a delay, a delayed task may be taken now; added with one, it stays as it is."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [issuing("a", task("a", delay=AGES), task("a", "2"))]))
    all_committed(
        await store.commit(me, [Write("a", tasks=[task("a", delay=2 * AGES), task("a", "2", delay=AGES)])])
    )
    same([lease.task.action for lease in await take(store)], ["2"], "as it was")
    all_committed(await store.commit(me, [Write("a", row=row(1), tasks=[task("a")])]))
    same(only(await take(store)).task.action, "1", "hastened")


@case()
async def queues_are_apart(subject: Subject) -> None:
    """Taken is only from the queue, and in the namespace, that was asked for."""
    store, me = await subject.worker()
    tasks = [task("a", "1", queue="r"), task("a", "2", namespace="n"), task("a", "3")]
    all_committed(await store.commit(me, [issuing("a", *tasks)]))
    same([lease.task.action for lease in await take(store)], ["3"], "q")
    same([lease.task.action for lease in await take(store, queue="r")], ["1"], "r")
    same([lease.task.action for lease in await take(store, namespace="n")], ["2"], "q in n")


@case()
async def cancelled_before_it_ran(subject: Subject) -> None:
    """Cancelling what nobody has taken ends it at once, with a report, also if it is delayed."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [issuing("a", task("a"), task("a", "2", delay=AGES))]))
    keys = [("a", "1", "do"), ("a", "2", "do"), ("a", "9", "do")]
    same(await store.cancel_tasks(keys), [True, True, False], "found")
    same(await take(store), [], "nothing to take")
    found = sorted((end.action, end.how) for end in await reports(store, "a"))
    same(found, [("1", "withdrawn"), ("2", "withdrawn")], "reports")


@case()
async def cancelled_while_it_runs(subject: Subject) -> None:
    """The holder of what is cancelled hears of it, and its end counts; if it dies, its lapse is the end."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [issuing("a", task("a")), issuing("b", task("b"))]))
    first = (await take(store, 1))[0]
    second = only(await take(store, 1, lease=0.0))
    same(await store.cancel_tasks([("a", "1", "do"), ("b", "1", "do")]), [True, True], "found")
    same(await store.renew_tasks([Pulse(first.token)], AGES, NOW), [Standing.CANCELLED], "told")
    same(await store.report_tasks([ended(first)]), [True], "its end counts")
    same(await take(store), [], "the other is not begun again")
    ends = await reports(store, "b")
    same([(end.how, end.lapses) for end in ends], [("withdrawn", 1)], "but over")
    same(await store.report_tasks([ended(second)]), [True], "late")
    same(len(await reports(store, "b")), 1, "and told once")


@case()
async def returned_task_waits_again(subject: Subject) -> None:
    """What is given back was not begun: another takes it, and no lapse is counted."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [issuing("a", task("a"))]))
    lease = only(await take(store))
    await store.return_tasks([lease.token])
    same(await store.report_tasks([ended(lease)]), [False], "it is its holder's no more")
    again = only(await take(store))
    same((again.num, again.tries, again.lapses), (lease.num, 2, 0), "taken again")


@case()
async def dead_task_is_reported(subject: Subject) -> None:
    """A task whose leases ran out so often in a row is not given out again; its owner hears that."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [issuing("a", task("a"))]))
    for _ in range(3):
        same(len(await take(store, lease=0.0, deaths=3)), 1, "taken")
    same(await take(store, deaths=3), [], "no more")
    ends = await reports(store, "a")
    same([(end.action, end.how, end.lapses) for end in ends], [("1", "dead", 3)], "the report")


@case()
async def compensation_waits_for_its_action(subject: Subject) -> None:
    """The task that undoes an action is not given out while the action's own may run."""
    store, me = await subject.worker()
    tasks = [task("a"), task("a", direction="undo", priority=9)]
    all_committed(await store.commit(me, [issuing("a", *tasks)]))
    lease = only(await take(store))
    same(lease.task.direction, "do", "first the action")
    same(await take(store), [], "while it runs")
    await store.report_tasks([ended(lease)])
    same([each.task.direction for each in await take(store)], ["undo"], "then the compensation")


@case()
async def paused_queue_gives_nothing(subject: Subject) -> None:
    """Nothing is taken from a paused queue, by whoever; resumed, all is there."""
    store, me = await subject.worker()
    client = await subject.open()
    await client.set_queue("default", "q", paused=True)
    all_committed(await store.commit(me, [issuing("a", task("a"))]))
    same(await take(store), [], "paused")
    (status,) = await store.queues("default", NOW)
    same((status.name, status.paused, status.waiting), ("q", True, 1), "as people see it")
    await client.set_queue("default", "q", paused=False)
    same(len(await take(store)), 1, "resumed")


@case()
async def concurrency_holds_for_all(subject: Subject) -> None:
    """No more run at once than the queue allows; who ends, or dies, makes room."""
    store, me = await subject.worker()
    client = await subject.open()
    await store.set_queue("default", "q", limits=QueueLimits(concurrency=2))
    all_committed(await store.commit(me, [issuing("a", *(task("a", str(n)) for n in range(5)))]))
    first = (await take(store, 1))[0]
    same(len(await take(client, lease=0.0)), 1, "one more")
    lapsed = only(await take(client))
    same((lapsed.task.action, lapsed.lapses), ("1", 1), "a lapsed one is first again, in its own place")
    same(await take(client), [], "full")
    await client.report_tasks([ended(first)])
    same([lease.task.action for lease in await take(client)], ["2"], "room for one")
    await store.set_queue("default", "q", limits=QueueLimits())
    same(len(await take(store)), 2, "without a limit")


@case()
async def keys_are_limited_each(subject: Subject) -> None:
    """Of one key no more run at once than allowed; other keys, and tasks without one, pass by."""
    store, me = await subject.worker()
    await store.set_queue("default", "q", limits=QueueLimits(per_key=1))
    keys = ("x", "x", "y", "", "", "x")
    all_committed(
        await store.commit(me, [issuing("a", *(task("a", str(n), key=k) for n, k in enumerate(keys)))])
    )
    leases = await take(store)
    same([lease.task.action for lease in leases], ["0", "2", "3", "4"], "one of each key")
    same(await take(store), [], "the rest waits")
    await store.report_tasks([ended(leases[0])])
    same([lease.task.action for lease in await take(store)], ["1"], "the next of its key")


@case()
async def pool_is_shared(subject: Subject) -> None:
    """A pool's places are those of all queues together; what has none, or another, passes by; a lapse frees
    one."""
    store, me = await subject.worker()
    await store.set_queue("default", "pool:p", limits=QueueLimits(concurrency=2))
    tasks = [task("a", "1", pool="p", queue="r"), *(task("a", str(n), pool="p") for n in (2, 3))]
    all_committed(await store.commit(me, [issuing("a", *tasks, task("a", "4"), task("a", "5", pool="o"))]))
    first = only(await take(store, queue="r"))
    same([lease.task.action for lease in await take(store, lease=0.0)], ["2", "4", "5"], "one place was left")
    (again, *_) = await take(store)
    same((again.task.action, again.lapses), ("2", 1), "the place of a lapsed one is free again")
    same(await take(store), [], "full")
    await store.set_queue("default", "pool:p", paused=True)
    await store.report_tasks([ended(first)])
    same(await take(store), [], "paused")
    await store.set_queue("default", "pool:p", paused=False)
    same([lease.task.action for lease in await take(store)], ["3"], "a place is free")


@case()
async def rate_is_limited(subject: Subject) -> None:
    """No more begin than the rate has saved up; when the next may, is told."""
    store, me = await subject.worker()
    await store.set_queue("default", "q", limits=QueueLimits(rate=1 / AGES, burst=2))
    all_committed(await store.commit(me, [issuing("a", *(task("a", str(n)) for n in range(4)))]))
    first = await store.take_tasks(Ask(queue="q", holder="h", limit=10, lease=AGES), NOW)
    same(len(first.leases), 2, "the burst")
    second = await store.take_tasks(Ask(queue="q", holder="h", limit=10, lease=AGES), NOW)
    same(second.leases, [], "no more")
    holds(second.wait is not None and AGES - 60 < second.wait <= AGES, f"about {AGES:g} s, got {second.wait}")


@case()
async def limits_are_kept(subject: Subject) -> None:
    """Settings are set one by one, and come back as they were."""
    store = await subject.open()
    limits = QueueLimits(concurrency=3, per_key=2, rate=1.5, burst=7, depth=100)
    await store.set_queue("default", "r", limits=limits)
    await store.set_queue("default", "r", paused=True)
    await store.set_queue("other", "s", paused=True)
    found = await store.queues("default", NOW)
    same([(each.name, each.paused, each.limits) for each in found], [("r", True, limits)], "r")


@case()
async def queues_show_what_is_there(subject: Subject) -> None:
    """How many wait, are delayed, and run; what is done is not counted."""
    store, me = await subject.worker()
    tasks = [task("a", str(n)) for n in range(4)]
    all_committed(
        await store.commit(me, [issuing("a", *tasks, task("a", "9", delay=AGES), task("a", "r", queue="r"))])
    )
    lease, _ = await take(store, 2)
    await store.report_tasks([ended(lease)])
    q, r = await store.queues("default", NOW + 1e10)
    same((q.name, q.waiting, q.delayed, q.running), ("q", 2, 1, 1), "q")
    same((r.name, r.waiting, r.delayed, r.running), ("r", 1, 0, 0), "r")


@case()
async def pruned_with_its_tasks(subject: Subject) -> None:
    """An execution that is deleted leaves no tasks; what is reported for it is told nobody."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [issuing("a", task("a"), task("a", "2"))]))
    lease = only(await take(store, 1))
    all_committed(await store.commit(me, [done("a", 1)]))
    same(await store.prune(["a"], 1e9), ["a"], "pruned")
    same(await store.tasks_of("a"), [], "tasks")
    same(await store.report_tasks([ended(lease)]), [False], "too late")
