"""The wire between a simulated process and its store."""

from __future__ import annotations

from amends.store.port import Store
from amends.testing.wire import Wire


def test_every_call_of_the_port_passes() -> None:
    assert issubclass(Wire, Store), sorted(name for name in vars(Store) if not hasattr(Wire, name))
