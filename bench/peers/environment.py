"""Each peer in an environment of its own under ``build/bench``, made on first use, so that their
dependencies never meet ours (or each other's)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from ..probe import ROOT

FOLDER = ROOT / "build" / "bench"
REQUIREMENT = "dbos==3.4.0"
"""Pinned, so that a ratio that moves is our doing; raise it on purpose, never below the newest release."""
PACKAGES = {
    "dbos": (REQUIREMENT,),
    "absurd": ("absurd-sdk==0.5.1", "absurdctl==0.5.1", "psycopg[binary]"),
    "restate": ("restate-sdk[serde]==1.2.0", "hypercorn==0.18.0", "aiohttp==3.14.5"),
}
RESTATE_SERVER = "@restatedev/restate-server@1.7.12"


def python(peer: str = "dbos") -> str:
    """The peer's interpreter (the same Python as ours), installing the peer when it is not there yet."""
    folder = FOLDER / peer
    interpreter = folder / "bin" / "python"
    wanted = " ".join((*PACKAGES[peer], f"{sys.version_info.major}.{sys.version_info.minor}"))
    if _is_there(folder, wanted):
        return str(interpreter)
    _run(sys.executable, "-m", "venv", "--clear", str(folder))
    _run(str(interpreter), "-m", "pip", "install", "-qq", *PACKAGES[peer])
    (folder / "installed.txt").write_text(wanted)
    return str(interpreter)


def restate_server() -> str:
    """The program of Restate's server, from npm."""
    folder = FOLDER / "restate-server"
    program = folder / "node_modules" / ".bin" / "restate-server"
    if not _is_there(folder, RESTATE_SERVER):
        folder.mkdir(parents=True, exist_ok=True)
        _run("npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), RESTATE_SERVER)
        (folder / "installed.txt").write_text(RESTATE_SERVER)
    return str(program)


def _is_there(folder: Path, wanted: str) -> bool:
    stamp = folder / "installed.txt"
    if stamp.exists() and stamp.read_text() == wanted:
        return True
    print(f"installing {wanted} into {folder.relative_to(ROOT)} (once)", file=sys.stderr, flush=True)
    return False


def _run(*command: str) -> None:
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL, cwd=Path("/"))
