"""Stores: where executions and their journals are kept. `open_store` makes one from a URL.

`port` says what a store promises; `memory` and `sqlite` are stores; `kit` is the test that each of them
passes, and that yours should.
"""

from __future__ import annotations

from .memory import MemoryStore
from .port import Store
from .sqlite import SqliteStore
from .url import open_store

__all__ = ["MemoryStore", "SqliteStore", "Store", "open_store"]
