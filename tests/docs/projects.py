"""Example projects as a reader meets them: copied out of the repository, run from their folder, killed for real."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.docs.pages import ROOT, blocks
from tests.docs.sessions import commands, matches

PATIENCE = 60.0  # seconds without which a test counts as hung
MARK = "\x1e"
# What uvicorn, workers and Django's server say when they are ready.
SERVES = " running on | serves |Starting (WSGI )?development server"


def copied(name: str, to: Path) -> Path:
    """The example in a folder of its own, as after `cp -r`."""
    folder = to / name
    shutil.copytree(ROOT / "examples" / name, folder, ignore=shutil.ignore_patterns("__pycache__", "*.db*"))
    return folder


def surroundings(**more: str) -> dict[str, str]:
    """The environment of a reader's shell: `amends` and `python` are those of this environment."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("AMENDS_")}
    paths = [str(Path(sys.executable).parent), env.get("PATH", "")]
    return {**env, "PATH": os.pathsep.join(paths), "NO_PROXY": "127.0.0.1", "PYTHONUNBUFFERED": "1", **more}


def run_readme(folder: Path, **env: str) -> None:
    """Run the console commands of the folder's README in one shell, and compare exit codes and what is printed."""
    page = folder / "README.md"
    found = blocks(page.read_text(encoding="utf-8"))
    told = [block for block in found if block.language == "console" and block.reason is None]
    assert told, "a README without commands"
    given = [(block, list(commands(block))) for block in told]
    script = "\n".join(
        _scripted(line, number) for number, line in enumerate(line for _, lines in given for line, _ in lines)
    )
    shell = subprocess.Popen(
        ["bash", "-c", script],
        cwd=folder,
        env=surroundings(**env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        printed, errors = shell.communicate(timeout=2 * PATIENCE)
    finally:
        _kill_group(shell.pid)  # what a README starts in the background and leaves there
    assert printed.count(MARK) == 2 * sum(len(lines) for _, lines in given), (
        f"it broke off:\n{printed}\n{errors}"
    )
    parts = iter(printed.split(MARK))
    for block, lines in given:
        wanted = re.fullmatch(r"exit (\d+)", block.comment)
        codes = []
        for line, said in lines:
            out = next(parts)
            codes.append(int(next(parts)))
            assert matches(said, out), f"{line}\nsaid:\n{said}\nprinted:\n{out}\n{errors}"
        assert max(codes) == (int(wanted[1]) if wanted else 0), f"{page}:{block.line}: {codes}\n{errors}"


def _scripted(line: str, number: int) -> str:
    """A line, and its exit code after what it prints. What is put into the background serves before the next."""
    if line.startswith("pip "):
        line = "true"
    elif line.endswith(" &"):
        log = f"background-{number}.log"
        line = f"{line[:-2]} > {log} 2>&1 & until grep -sqE '{SERVES}' {log}; do kill -0 $! && sleep 0.05 || exit; done"
    return f"{line}\nprintf '{MARK}%s{MARK}' $?"


def _kill_group(leader: int) -> None:
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return  # nothing is left of it


class Process:
    """A process of an example, in its folder."""

    def __init__(self, folder: Path, *command: str, **env: str) -> None:
        self.log = folder / f"{Path(command[-1]).stem}-{time.monotonic_ns()}.log"
        with self.log.open("wb") as log:
            self._popen = subprocess.Popen(
                [sys.executable, *command],
                cwd=folder,
                env=surroundings(**env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """SIGKILL; fails if it has ended by itself."""
        self.check()
        self._popen.kill()
        self._popen.wait(PATIENCE)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self._popen.terminate()
        return self._popen.wait(PATIENCE)

    def check(self) -> None:
        """Fails if it has ended by itself."""
        assert self._popen.poll() is None, f"ended by itself:\n{self.log.read_text()[-3000:]}"

    def serves(self) -> None:
        """Wait until it says so."""
        until(lambda: re.search(SERVES, self.log.read_text()), f"{self.log.stem} to serve", self)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It is there and does not answer: what is sent to it waits, and arrives afterwards."""
        self._popen.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._popen.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """Whatever has become of it: it is gone."""
        self._popen.kill()
        self._popen.wait(PATIENCE)


@contextmanager
def running(folder: Path, *command: str, **env: str) -> Iterator[Process]:
    """``python COMMAND`` in the folder, and gone afterwards."""
    process = Process(folder, *command, **env)
    try:
        yield process
    finally:
        process.close()


def until(condition: Callable[[], Any], what: str, *processes: Process) -> None:
    """Wait for it; the processes must be alive meanwhile."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        for process in processes:
            process.check()
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.01)


def free_port() -> str:
    """A port on which nobody listens at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def listening(port: str) -> bool:
    """Does anybody answer there?"""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(port))) == 0
