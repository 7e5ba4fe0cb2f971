"""Figures for docs/reliability.md: what tests counted, written down when `AMENDS_FIGURES` names a file."""

from __future__ import annotations

import json
import os
from pathlib import Path


def record(what: str, **numbers: float) -> None:
    """Print the figures, and append them to that file as a line of JSON."""
    line = json.dumps({"what": what, **numbers})
    print(line)
    if name := os.environ.get("AMENDS_FIGURES"):
        with Path(name).open("a", encoding="utf-8") as file:
            file.write(line + "\n")
