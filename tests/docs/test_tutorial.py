"""docs/tutorial.md is true: a newcomer's ten commands, in order, with real processes and a real SIGKILL."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import apsw

from tests.docs.pages import ROOT, blocks

TEXT = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
PATIENCE = 60.0


def commands() -> list[tuple[str, str]]:
    """Each command and what it is said to print (nothing: whatever it prints)."""
    found = []
    for block in blocks(TEXT):
        if block.language == "console":
            for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
                line, _, printed = part.partition("\n")
                found.append((line, printed))
    return found


def shell(line: str, folder: Path) -> str:
    command = (
        line.replace("amends ", f"{sys.executable} -m amends ", 1) if line.startswith("amends ") else line
    )
    env = {key: value for key, value in os.environ.items() if not key.startswith("AMENDS_")}
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def wrapping(folder: Path) -> bool:
    """Has the second step begun (so that the first one's result is in the journal)?"""
    with contextlib.closing(apsw.Connection(str(folder / "orders.db"))) as store:
        found = store.execute("SELECT 1 FROM amends_journal WHERE commands LIKE '%gift.wrap%'").fetchall()
    return bool(found) and (folder / "book.txt").exists()


def work_and_kill(folder: Path) -> None:
    """`amends worker gift & sleep 3; kill -9 $!`, but by what happened instead of by the clock."""
    worker = subprocess.Popen(
        [sys.executable, "-m", "amends", "worker", "gift"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + PATIENCE
        while not wrapping(folder):
            assert time.monotonic() < until
            assert worker.poll() is None
            time.sleep(0.02)
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait()


def test_at_most_ten_commands() -> None:
    assert len(commands()) <= 10


def test_from_nothing_to_a_killed_and_recovered_saga(tmp_path: Path) -> None:
    (saga,) = [block.text for block in blocks(TEXT) if block.language == "python"]
    folder = tmp_path
    for line, printed in commands():
        if line.startswith("cd "):
            folder /= line.removeprefix("cd ")
            (folder / "gift.py").write_text(saga, encoding="utf-8")
        elif line.startswith("amends worker"):
            work_and_kill(folder)
        else:
            said = shell(line, folder)
            assert printed in ("", said), line
    assert "completed" in shell("amends show gift-1", folder)
    assert (folder / "book.txt").read_text().count("took the lamp") == 1
