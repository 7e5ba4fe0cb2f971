"""Stores on several servers, for tests: here each "server" is a schema of its own on the server of `tests.postgres`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from amends.definition.naming import RESERVED
from amends.store.partition import PARTITIONS, holder_of, partition_of
from amends.store.places import Places
from amends.store.postgres import PostgresStore
from tests.stores import execute, new_schema, url_of


@contextlib.contextmanager
def new_schemas(server: str, count: int) -> Iterator[list[str]]:
    """Schemas that are dropped afterwards (the stores make them)."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(new_schema(server)) for _ in range(count)]


def url_of_all(server: str, schemas: list[str], more: str = "") -> str:
    """The store on all of them, as an engine's URL."""
    return " ".join(url_of(server, schema, more) for schema in schemas)


def opened(server: str, schemas: list[str], **options: Any) -> Places:
    """The store on all of them, not yet open."""
    return Places([PostgresStore(server, schema=schema, unsafe=True, **options) for schema in schemas])


def ids_at(number: int, count: int, how_many: int, word: str = "id") -> list[str]:
    """Ids of executions (of the namespace "default") that are on that one of so many servers."""
    found: list[str] = []
    for n in range(100 * PARTITIONS):
        if holder_of(partition_of("default", f"{word}-{n}"), count) == number:
            found.append(f"{word}-{n}")
        if len(found) == how_many:
            break
    return found


def ids_in(server: str, schema: str) -> set[str]:
    """The ids of all root executions on one of them."""
    return {id for (id,) in execute(server, f"SELECT id FROM {schema}.executions") if RESERVED not in id}
