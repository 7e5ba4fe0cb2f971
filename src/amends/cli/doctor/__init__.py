"""What `amends doctor` looks at: each examination gives findings, none changes anything."""

from __future__ import annotations

from .finding import Finding, Level
from .keys import examine_keys
from .machine import examine_machine
from .placement import examine_placement
from .server import examine_server
from .store import examine_store

__all__ = [
    "Finding",
    "Level",
    "examine_keys",
    "examine_machine",
    "examine_placement",
    "examine_server",
    "examine_store",
]
