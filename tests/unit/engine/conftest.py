"""What an engine is given here: each kind of store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from amends.store import MemoryStore
from tests.stores import new_schema, url_of


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MemoryStore | str]:
    """A store, or the URL of one."""
    if request.param == "memory":
        yield MemoryStore()
    elif request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/x.db"
    else:
        server = request.getfixturevalue("postgres")
        with new_schema(server) as schema:
            yield url_of(server, schema)
