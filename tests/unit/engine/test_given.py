"""What is no store is refused where it is given, by engine, client and queue worker alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from amends import Client, DefinitionError, Engine, QueueWorker


@pytest.mark.parametrize("given", [Path("sagas.db"), None, 7], ids=["a path", "nothing", "a number"])
@pytest.mark.parametrize("taker", [Engine, Client, QueueWorker])
def test_what_is_no_store_is_refused(taker: Any, given: Any) -> None:
    options = {"queues": ["given.emails"]} if taker is QueueWorker else {}
    with pytest.raises(DefinitionError) as raised:
        taker(given, **options)
    assert raised.value.message == f"{taker.__name__}() takes a URL or a Store, got {given!r}"
    assert raised.value.hint == 'for example "sqlite:///sagas.db"'
