"""Keys of envelopes: one for each subject, replaced only as they were, forgotten for good."""

from __future__ import annotations

import asyncio

from ..port import AuditRecord, Key, KeyQuery, Rewrap
from .support import Subject, case, same


def _key(id: str, subject: str = "ann", **fields: object) -> Key:
    return Key(
        **{  # type: ignore[arg-type]
            "id": id, "namespace": "default", "subject": subject, "wrapped": b"\x00\xff" + id.encode(),
            "master": "m1", "created_at": 1.5, **fields,
        }
    )  # fmt: skip


def _audit(at: float = 7.0) -> AuditRecord:
    return AuditRecord(at, "", "bob", "forget", "asked for")


@case()
async def subject_has_one_key(subject: Subject) -> None:
    """The first key of a subject is that of all who add one; subjects of other namespaces are others."""
    store = await subject.open()
    first = _key("01", subject="ünï \x00 'x\"")
    same(await store.add_key(first), first, "the first")
    same(await store.add_key(_key("02", subject=first.subject)), first, "the second gets the first")
    other = _key("03", subject=first.subject, namespace="other")
    same(await store.add_key(other), other, "in another namespace")
    nobody = _key("04", subject="")
    same(await store.add_key(nobody), nobody, "the subject without a name")
    found = await (await subject.open()).keys(KeyQuery())
    same(found, [first, other, nobody], "all that there are, by another handle")


@case()
async def two_make_a_key_at_once(subject: Subject) -> None:
    """Of two that add a subject's key at the same time both get the same one."""
    one, two = await subject.open(), await subject.open()
    got = await asyncio.gather(one.add_key(_key("01")), two.add_key(_key("02")))
    same(got[0], got[1], "the keys")
    same(len(await one.keys(KeyQuery())), 1, "how many there are")


@case()
async def keys_are_found(subject: Subject) -> None:
    """Keys by ids, by subjects of a namespace, by what wraps them, and page by page."""
    store = await subject.open()
    kept = [await store.add_key(_key(f"0{n}", subject=f"s{n}", master=f"m{n % 2}")) for n in range(5)]
    same(await store.keys(KeyQuery(ids=["03", "01", "99"])), [kept[1], kept[3]], "by ids")
    query = KeyQuery(namespace="default", subjects=["s4", "s0", "none"])
    same(await store.keys(query), [kept[0], kept[4]], "by subjects")
    same(await store.keys(KeyQuery(namespace="other", subjects=["s0"])), [], "of another namespace")
    same(await store.keys(KeyQuery(namespace="other")), [], "all of another namespace")
    same(await store.keys(KeyQuery(master_not="m0")), [kept[1], kept[3]], "by master key")
    same(await store.keys(KeyQuery(limit=2)), kept[:2], "a page")
    same(await store.keys(KeyQuery(limit=2, after="01")), kept[2:4], "the next page")


@case()
async def rewrap_replaces_what_is_as_it_was(subject: Subject) -> None:
    """A key is wrapped otherwise only if nobody did so meanwhile, and if it was not forgotten."""
    store = await subject.open()
    for n in (1, 2, 3):
        await store.add_key(_key(f"0{n}", subject=f"s{n}"))
    await store.forget("default", "s3", _audit())
    changes = [
        Rewrap("01", b"\x00\xff01", b"new", "m2"),
        Rewrap("02", b"another", b"new", "m2"),
        Rewrap("03", b"\x00\xff03", b"new", "m2"),
        Rewrap("99", b"", b"new", "m2"),
    ]
    same(await store.rewrap(changes), ["01"], "what was replaced")
    same(await store.rewrap(changes), [], "again")
    one, two, three = await store.keys(KeyQuery())
    same((one.wrapped, one.master), (b"new", "m2"), "the one that was as it was")
    same((two.wrapped, two.master), (b"\x00\xff02", "m1"), "the one that was not")
    same(three.wrapped, None, "the one that was forgotten")
    same(await store.keys(KeyQuery(master_not="m2")), [two], "what is left to do")


@case()
async def forgotten_is_gone(subject: Subject) -> None:
    """Forgetting leaves the key's id and the time, tells the audit, and lets the subject have a new key."""
    store = await subject.open()
    await store.add_key(_key("01"))
    await store.add_key(_key("02", subject="other"))
    same(await store.forget("elsewhere", "ann", _audit()), None, "in another namespace")
    same(await store.forget("default", "ann", _audit(7.5)), "01", "the id")
    same(await store.forget("default", "ann", _audit(8.5)), None, "again")
    gone = Key(
        id="01", namespace="default", subject="", wrapped=None, master="", created_at=1.5, forgotten_at=7.5
    )
    same(await store.keys(KeyQuery(ids=["01"])), [gone], "what is left of it")
    same(await store.keys(KeyQuery(namespace="default", subjects=["ann", ""])), [], "by the subject")
    same([key.id for key in await store.keys(KeyQuery(living=True))], ["02"], "the living")
    told = [(r.at, r.by, r.action, r.reason) for r in await store.audited("key 01")]
    same(told, [(7.5, "bob", "forget", "asked for")], "the audit")
    again = _key("03")
    same(await store.add_key(again), again, "a new key of that subject")
