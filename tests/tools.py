"""Programs that tests need and that no Python package brings."""

from __future__ import annotations

import os
import shutil

import pytest

SERVERS = "/usr/sbin"
"""Where Debian keeps servers; a user's PATH need not name it."""


def find(program: str) -> str | None:
    """The path of a program, if it is there."""
    return shutil.which(program) or shutil.which(program, path=SERVERS)


def must_have(what: str, *programs: str) -> None:
    """Where `what` lacks them its tests are skipped, and say so; where CI is set they fail."""
    missing = [name for name in programs if find(name) is None]
    if not missing:
        return
    said = f"{what} needs {' and '.join(missing)}: run scripts/install-tools"
    if os.environ.get("CI"):
        pytest.fail(said)
    pytest.skip(said)
