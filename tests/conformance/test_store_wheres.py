"""Random conditions on random executions: the three stores find the same, in the same order."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amends.store import MemoryStore, SqliteStore, Store
from amends.store.port import STATUSES, Header, Query
from amends.store.postgres import PostgresStore
from amends.store.where.terms import FIELDS, All, Compare, Either, Field, Missing, Not, OneOf, Term
from tests.stores import new_schema

NAMES = ("customer", "total", 'q"u', "ü.x")
TEXTS = st.one_of(
    st.sampled_from(["", "a", "ab", "b", "42", "ß", "\uffff", "\ue000", "\U0001f600", "a\\u0000"]),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4),
)
NUMBERS = st.one_of(st.integers(-3, 3), st.sampled_from([0.5, -1.5, 1e299, 2**70]), st.floats(-4, 4))
VALUES = st.one_of(
    TEXTS, NUMBERS, st.booleans(), st.none(), st.just([1]), st.just({"a": "b"}), st.text("x\0", max_size=2)
)
ATTRIBUTES = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=3)
GIVEN_TIMES = st.sampled_from([1.0, 2.0, 3.0])


@st.composite
def headers(draw: Any) -> list[Header]:
    count = draw(st.integers(1, 8))
    return [
        Header(
            uid=f"{place:03}",
            id=f"{draw(st.sampled_from(['a', 'ab', 'B', 'é']))}{place}",
            saga=draw(st.sampled_from(["s", "t"])),
            input="{}",
            status=draw(st.sampled_from(STATUSES)),
            created_at=draw(GIVEN_TIMES),
            deadline=draw(st.one_of(st.none(), GIVEN_TIMES)),
            attributes=msgspec.json.encode(draw(ATTRIBUTES)).decode(),
        )
        for place in range(count)
    ]


def _values(field: Field) -> st.SearchStrategy[str | float]:
    if field.attribute:
        return st.one_of(TEXTS, NUMBERS.map(float))
    if field.kind == "text":
        return st.sampled_from([*STATUSES, "a", "ab", "s", "t", "003", "é"])
    return GIVEN_TIMES


@st.composite
def comparisons(draw: Any) -> Term:
    own = st.sampled_from(NAMES).map(lambda name: Field(name, "any"))
    field = draw(st.one_of(own, st.sampled_from(list(FIELDS.values()))))
    values = _values(field)
    kind = draw(st.sampled_from(["compare", "in", "null", "starts"]))
    if kind == "null":
        return Missing(field)
    if kind == "in":
        return OneOf(field, tuple(draw(st.lists(values, min_size=1, max_size=3))))
    if kind == "starts" and field.kind not in {"time", "number"}:
        return Compare(field, "startswith", draw(TEXTS))
    return Compare(field, draw(st.sampled_from(["=", "<", "<=", ">", ">="])), draw(values))


TERMS = st.recursive(
    comparisons(),
    lambda inner: st.one_of(
        inner.map(Not),
        st.lists(inner, min_size=2, max_size=3).map(lambda terms: All(tuple(terms))),
        st.lists(inner, min_size=2, max_size=3).map(lambda terms: Either(tuple(terms))),
    ),
    max_leaves=6,
)


async def _found(store: Store, stock: list[Header], terms: list[Term], namespace: str) -> list[list[str]]:
    for each in stock:
        assert await store.create(
            msgspec.structs.replace(each, namespace=namespace, uid=f"{namespace}-{each.uid}")
        )
    pages = []
    for term in terms:
        for after in ("", f"{namespace}-004"):
            query = Query(namespace=namespace, where=term, after=after, limit=5)
            pages.append([each.uid for each in await store.headers(query)])
    return pages


def _agree(first: Store, second: Store, examples: int) -> None:
    names = iter(range(1_000_000))

    async def main() -> None:
        await first.open()
        await second.open()
        loop = asyncio.get_running_loop()

        @settings(max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(headers(), st.lists(TERMS, min_size=1, max_size=6))
        def compare(stock: list[Header], terms: list[Term]) -> None:
            namespace = f"n{next(names)}"

            async def both() -> None:
                found = await _found(first, stock, terms, namespace)
                assert await _found(second, stock, terms, namespace) == found

            asyncio.run_coroutine_threadsafe(both(), loop).result()

        try:
            await asyncio.to_thread(compare)
        finally:
            await first.close()
            await second.close()

    asyncio.run(main())


def test_sqlite_finds_what_memory_finds(tmp_path: Path) -> None:
    _agree(MemoryStore(), SqliteStore(tmp_path / "x.db"), 60)


def test_postgres_finds_what_memory_finds(postgres: str) -> None:
    with new_schema(postgres) as schema:
        _agree(MemoryStore(), PostgresStore(postgres, schema=schema, unsafe=True), 60)
