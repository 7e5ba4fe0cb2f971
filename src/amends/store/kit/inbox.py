"""Messages: none is lost, none wakes in vain, and keys drop duplicates while they wait."""

from __future__ import annotations

from ...errors import UnknownName
from ..port import AuditRecord, Message, Write
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
    inbox_of,
    positions,
    refuses,
    row,
    same,
    start,
    to,
)


@case()
async def message_wakes_a_sleeper_at_once(subject: Subject) -> None:
    """A message makes an unowned execution due, whatever its `wake_at` was."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a"), start("b")]))
    all_committed(await store.commit(me, [asleep("a", 1, None), asleep("b", 1, 1e6)]))
    await store.send([to("a"), to("b")])
    same(await store.next_wake(), 0.0, "due")
    claims = await store.claim(me, 1.0, 10)
    same([claim.header.uid for claim in claims], ["a", "b"], "both")
    same([claim.header.inbox_seq for claim in claims], [1, 1], "inbox_seq")


@case()
async def message_wakes_the_ended(subject: Subject) -> None:
    """A final status does not matter: a completed child can still be asked to compensate."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a")]))
    all_committed(await store.commit(me, [done("a", 1)]))
    await store.send([to("a", '["undo_requested","failed"]')])
    claim = await claim_one(store, me)
    same((claim.header.status, len(claim.inbox)), ("completed", 1), "status and inbox")


@case()
async def release_is_refused_when_a_message_came(subject: Subject) -> None:
    """A release that has not seen the newest message is refused; the row stands, and the owner goes on."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a")]))
    await store.send([to("a")])
    same(codes(await store.commit(me, [asleep("a", 1, 50.0, seen=0)])), ["awake"], "verdict")
    head = await head_of(store, "a")
    same((head.owner, head.wake_at), (me, None), "owner and wake_at")
    same(await positions(store, "a"), [0, 1], "rows")
    same(await store.claim(me, 1e9, 10), [], "nobody else gets it")
    all_committed(await store.commit(me, [asleep("a", 2, 50.0, seen=1)]))
    same((await head_of(store, "a")).wake_at, 50.0, "asleep, having seen it")


@case()
async def end_is_committed_though_awake(subject: Subject) -> None:
    """The same with a change of status: it is committed, only the release is refused."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a")]))
    await store.send([to("a")])
    same(codes(await store.commit(me, [done("a", 1, seen=0)])), ["awake"], "verdict")
    head = await head_of(store, "a")
    same((head.status, head.result, head.owner), ("completed", '{"id":1}', me), "status, result, owner")


@case()
async def release_sees_messages_of_its_own_batch(subject: Subject) -> None:
    """A message sent by another write of the same batch refuses the release too, in whichever order."""
    for first in (True, False):
        store, me = await subject.worker()
        a, b = f"a{first}", f"b{first}"
        all_committed(await store.commit(me, [start(a), start(b)]))
        writes = [asleep(a, 1), Write(b, row=row(1), messages=[to(a)])]
        want = ["awake", "committed"]
        if not first:
            writes.reverse()
            want.reverse()
        same(codes(await store.commit(me, writes)), want, "verdicts")
        same((await head_of(store, a)).owner, me, "owner")
        await store.retire(me)


@case()
async def message_of_a_conflicting_write_does_not_wake(subject: Subject) -> None:
    """A message that was never sent, because its write conflicts, refuses nothing."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a"), start("b")]))
    writes = [asleep("a", 1), Write("b", row=row(0), messages=[to("a")])]
    same(codes(await store.commit(me, writes)), ["committed", "conflict"], "verdicts")
    head = await head_of(store, "a")
    same((head.owner, head.wake_at, head.inbox_seq), (None, None, 0), "asleep")


@case()
async def no_wakeup_is_lost(subject: Subject) -> None:
    """Sent before the release, the message refuses it; sent after, it wakes. There is no third case."""
    store, me = await subject.worker()
    client = await subject.open()
    all_committed(await store.commit(me, [start("a"), start("b")]))
    await client.send([to("a")])
    verdicts = await store.commit(me, [asleep("a", 1), asleep("b", 1)])
    same(codes(verdicts), ["awake", "committed"], "verdicts")
    await client.send([to("b")])
    same([message.uid for message in await store.news(me, 0)], ["a"], "news of the owned")
    same((await claim_one(store, me, 1.0)).header.uid, "b", "and the other is due")


@case()
async def inbox_seq_counts_messages(subject: Subject) -> None:
    """`inbox_seq` is the number of messages ever put into the inbox, consumed or not."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a"), start("b")]))
    await store.send([to("a"), to("b"), to("a")])
    seqs = [message.seq for message in await store.news(me, 0) if message.uid == "a"]
    all_committed(await store.commit(me, [Write("a", row=row(1), consumed=seqs)]))
    all_committed(await store.commit(me, [Write("b", row=row(1), messages=[to("a"), to("a")])]))
    same((await head_of(store, "a")).inbox_seq, 4, "of a")
    same((await head_of(store, "b")).inbox_seq, 1, "of b")


@case()
async def duplicate_key_is_dropped_while_it_waits(subject: Subject) -> None:
    """A second message with a key that waits is dropped: it is not stored and does not count."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a"), start("b")]))
    await store.send([to("a", "[1]", "k")])
    await store.send([to("a", "[2]", "k"), to("a", "[3]", "other"), to("b", "[4]", "k")])
    all_committed(await store.commit(me, [Write("b", row=row(1), messages=[to("a", "[5]", "k")])]))
    same(await inbox_of(store, "a"), ["[1]", "[3]"], "inbox of a")
    same(await inbox_of(store, "b"), ["[4]"], "a key belongs to one execution")
    same((await head_of(store, "a")).inbox_seq, 2, "inbox_seq")
    all_committed(await store.commit(me, [asleep("a", 1, seen=2)]))


@case()
async def duplicates_within_one_sending(subject: Subject) -> None:
    """Of two messages with one key in one call the first is kept; without a key both are."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a")]))
    await store.send([to("a", "[1]", "k"), to("a", "[2]", "k"), to("a", "[3]"), to("a", "[3]")])
    same(await inbox_of(store, "a"), ["[1]", "[3]", "[3]"], "inbox")


@case()
async def key_is_free_again_when_consumed(subject: Subject) -> None:
    """Once consumed, a key waits no longer: the store takes it again."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a")]))
    await store.send([to("a", "[1]", "k")])
    seq = (await store.news(me, 0))[0].seq
    all_committed(await store.commit(me, [Write("a", row=row(1), consumed=[seq])]))
    same(await inbox_of(store, "a"), [], "consumed")
    await store.send([to("a", "[2]", "k")])
    same(await inbox_of(store, "a"), ["[2]"], "sent again")


@case()
async def key_is_free_again_within_one_commit(subject: Subject) -> None:
    """What a batch consumes makes room for what it sends, whichever of its writes does either."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a"), start("b")]))
    await store.send([to("a", "[1]", "k"), to("b", "[2]", "k")])
    seqs = {message.uid: message.seq for message in await store.news(me, 0)}
    writes = [
        Write("a", row=row(1), consumed=[seqs["a"]], messages=[to("a", "[3]", "k"), to("b", "[4]", "k")]),
        Write("b", row=row(1), consumed=[seqs["b"]]),
    ]
    all_committed(await store.commit(me, writes))
    same((await inbox_of(store, "a"), await inbox_of(store, "b")), (["[3]"], ["[4]"]), "inboxes")
    same([(await head_of(store, uid)).inbox_seq for uid in "ab"], [2, 2], "inbox_seq")


@case()
async def consumed_goes_with_the_row(subject: Subject) -> None:
    """Only the consumed messages go, in the commit of the row that holds them."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a"), start("b")]))
    await store.send([to("a", f"[{number}]") for number in range(7)] + [to("b", "[8]")])
    news = await store.news(me, 0)
    gone = [message.seq for message in news if message.event in {"[0]", "[2]", "[5]"}]
    all_committed(await store.commit(me, [Write("a", row=row(1), consumed=gone), Write("b", row=row(1))]))
    same(await inbox_of(store, "a"), ["[1]", "[3]", "[4]", "[6]"], "inbox of a")
    same(await inbox_of(store, "b"), ["[8]"], "inbox of b")


@case()
async def news_is_of_the_owned_and_after(subject: Subject) -> None:
    """`news` has the messages with a higher `seq`, to executions of that incarnation, in `seq` order."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a"), start("b"), start("c")]))
    all_committed(await store.commit(me, [asleep("c", 1)]))
    await store.send([to("b", "[1]"), to("a", "[2]"), to("c", "[3]")])
    first = await store.news(me, 0)
    same([(message.uid, message.event) for message in first], [("b", "[1]"), ("a", "[2]")], "news")
    same([message.seq for message in first], sorted(message.seq for message in first), "in order")
    await store.send([to("a", "[4]", "k")])
    later = await store.news(me, first[-1].seq)
    same([(m.uid, m.event, m.key) for m in later], [("a", "[4]", "k")], "news after those")
    same(await store.news(me, later[-1].seq), [], "no more")
    same(await store.news(me + 1, 0), [], "another incarnation's")


@case()
async def messages_to_oneself(subject: Subject) -> None:
    """A write may send to its own execution; its release does not see that message, so it is refused."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a")]))
    write = asleep("a", 1)
    write.messages = [to("a", "[1]")]
    same(codes(await store.commit(me, [write])), ["awake"], "verdict")
    same(await inbox_of(store, "a"), ["[1]"], "inbox")


@case()
async def sending_to_nobody_sends_nothing(subject: Subject) -> None:
    """With one unknown receiver nothing is sent and nothing audited."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a")]))
    record = AuditRecord(1.0, "a", "me", "cancel")
    await refuses(UnknownName, store.send([to("a"), to("nobody")], [record]), "send")
    same((await inbox_of(store, "a"), await store.audited("a")), ([], []), "inbox and audit")
    same((await head_of(store, "a")).inbox_seq, 0, "inbox_seq")


@case()
async def sequence_numbers_never_go_back(subject: Subject) -> None:
    """A later message has a higher `seq`, even when all before were consumed: a cursor over `news` is
    safe."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a")]))
    last = 0
    for position in range(1, 4):
        await store.send([to("a")])
        (message,) = await store.news(me, last)
        same(message.seq > last, True, "a higher seq")
        last = message.seq
        all_committed(await store.commit(me, [Write("a", row=row(position), consumed=[last])]))


@case()
async def odd_texts_travel(subject: Subject) -> None:
    """Events and keys are any text."""
    store = await subject.open()
    await store.create(header("a"))
    texts = ["", "'; DROP TABLE x; --", "ü€😀", "nul \x00 inside", "x" * 100_000]
    await store.send([Message("a", text, f"k{text}") for text in texts])
    found = await store.read("a")
    messages = found[2] if found else []
    same([(m.event, m.key) for m in messages], [(text, f"k{text}") for text in texts], "messages")
