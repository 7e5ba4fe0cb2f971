"""Conditions: what a store finds by `Query.where`, and in which order."""

from __future__ import annotations

from ..port import ATTENTION, Change, Query, Store, Write
from ..where.matching import matches
from ..where.parsing import parse
from .support import Subject, all_committed, case, done, header, holds, same, start

_ATTRIBUTES = {
    "1": '{"customer":"42","total":10}',
    "2": '{"customer":"42","total":2.5,"vip":true}',
    "3": '{"customer":"43","vip":false,"tags":["a"]}',
    "4": '{"customer":42,"na me":"x","total":-3}',
    "5": "{}",
    "6": '{"customer":null,"town":"G\u00f6teborg","total":1e9}',
    "7": '{"customer":"4\\"2","a\\"b":"c"}',
}
CONDITIONS = {
    'attributes.customer = "42"': "2 1",
    "attributes.customer = 42": "4",
    'attributes.customer in ("42", 42, "none")': "4 2 1",
    'attributes.customer != "42"': "7 6 5 4 3",
    "attributes.customer is null": "6 5",
    "attributes.customer is not null": "7 4 3 2 1",
    'attributes.customer startswith "4"': "7 3 2 1",
    'attributes.customer startswith ""': "7 3 2 1",
    'attributes.customer > "42"': "3",
    "attributes.total > 2": "6 2 1",
    "attributes.total <= 2.5": "4 2",
    "attributes.vip = true": "2",
    "not attributes.vip = true": "7 6 5 4 3 1",
    "attributes.\"na me\" = 'x'": "4",
    'attributes."a\\"b" = "c"': "7",
    'attributes.town = "G\u00f6teborg"': "6",
    'attributes.customer = "42" and attributes.total = 10': "1",
    'attributes.customer = "42" or attributes.total = -3': "4 2 1",
    'attributes.customer = "42" or saga = "shop.refund"': "3 2 1",
    'attributes.customer = "42" and not (id = "2")': "1",
    'status = "attention"': "3",
    'status in ("completed", "attention")': "4 3",
    "finished is null": "7 6 5 3 2 1",
    "finished > +8s": "4",
    "not finished > +8s": "7 6 5 3 2 1",
    "depth >= 1": "5",
    'id startswith "1" or uid = "7"': "7 1",
    "started >= +3s and started < +5s": "4 3",
}
"""Conditions, and the executions of `_stock` that they hold for, newest first (times are seconds)."""


async def _stock(subject: Subject) -> Store:
    store, me = await subject.worker()
    writes = [start(uid, attributes=given, created_at=float(uid)) for uid, given in _ATTRIBUTES.items()]
    writes[2].start = header("3", attributes=_ATTRIBUTES["3"], created_at=3.0, saga="shop.refund")
    writes[4].start = header("5", depth=1, created_at=5.0)
    all_committed(await store.commit(me, writes))
    all_committed(await store.commit(me, [done("4", 1), Write("3", change=Change(ATTENTION))]))
    return store


def _read(text: str, **more: object) -> Query:
    return Query(where=parse(text, 0.0), **more)  # type: ignore[arg-type]


@case()
async def conditions_hold_alike(subject: Subject) -> None:
    """A condition finds what it holds for, newest first; also where an attribute is a text here, a number
    there."""
    store = await _stock(subject)
    everything = await store.headers(Query())
    for text, wanted in CONDITIONS.items():
        query = _read(text)
        found = [each.uid for each in await store.headers(query)]
        same(found, wanted.split(), text)
        same(
            found, [each.uid for each in everything if matches(query.where, each)], f"{text}, by its meaning"
        )


@case()
async def conditions_page(subject: Subject) -> None:
    """Pages of a condition go on after a uid; other filters hold besides."""
    store = await subject.open()
    uids = [f"{number:03}" for number in range(25)]
    for uid in uids:
        await store.create(
            header(
                uid,
                attributes=f'{{"odd":{int(uid) % 2},"all":"x"}}',
                namespace="eu" if uid > "020" else "default",
            )
        )
    for text, wanted in (
        ("attributes.odd = 1", uids[19:0:-2]),
        ('attributes.all startswith "x"', uids[20::-1]),
    ):
        seen: list[str] = []
        while page := await store.headers(_read(text, limit=4, after=seen[-1] if seen else "")):
            holds(len(page) <= 4, "a page is no longer than its limit")
            seen += [each.uid for each in page]
        same(seen, wanted, text)


@case()
async def attributes_that_are_none(subject: Subject) -> None:
    """What cannot be indexed is kept and found by all else: no JSON, NUL, long texts, huge numbers."""
    store = await subject.open()
    odd = ["[1]", "no json", "7", '{"a":"x\\u0000"}', '{"a":"%s"}' % ("x" * 501), '{"a":1%s}' % ("0" * 400),
           '{"%s":1}' % ("a" * 101), '{"a":{"b":1}}', '{"a":"%s"}' % ("\U0001f600" * 500)]  # fmt: skip
    for place, given in enumerate(odd):
        holds(await store.create(header(str(place), attributes=given)), f"{given[:20]} is kept")
        found = await store.find("default", str(place))
        same(found and found.attributes, given, "as it was given")
    same([each.uid for each in await store.headers(_read("attributes.a is not null"))], ["8"], "found")
