"""The peer's own virtual environment, made on first use, so that its dependencies never meet ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from ..probe import ROOT

FOLDER = ROOT / ".venv-bench-dbos"
REQUIREMENT = "dbos==3.4.0"
"""Pinned, so that a ratio that moves is our doing; raise it on purpose, never below the newest release."""


def python() -> str:
    """The peer's interpreter (the same Python as ours), installing the peer when it is not there yet."""
    interpreter = FOLDER / "bin" / "python"
    stamp = FOLDER / "installed.txt"
    wanted = f"{REQUIREMENT} {sys.version_info.major}.{sys.version_info.minor}"
    if stamp.exists() and stamp.read_text() == wanted:
        return str(interpreter)
    print(f"installing {REQUIREMENT} into {FOLDER.name} (once)", file=sys.stderr, flush=True)
    _run(sys.executable, "-m", "venv", "--clear", str(FOLDER))
    (FOLDER / ".gitignore").write_text("*\n")
    _run(str(interpreter), "-m", "pip", "install", "-qq", REQUIREMENT)
    stamp.write_text(wanted)
    return str(interpreter)


def _run(*command: str) -> None:
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL, cwd=Path("/"))
