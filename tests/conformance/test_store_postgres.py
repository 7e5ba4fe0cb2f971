"""PostgreSQL passes the conformance kit; taken out, each of its safeguards is missed."""

from __future__ import annotations

import asyncio

import pytest

from amends.store import kit
from tests.stores import new_schema, subject


@pytest.mark.parametrize("name", kit.names(sql=True, fill=True, many=True))
def test_postgres(name: str, postgres: str) -> None:
    with new_schema(postgres) as schema:
        asyncio.run(kit.run(name, subject(postgres, schema)))
