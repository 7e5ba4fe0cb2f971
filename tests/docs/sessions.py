"""Shell sessions of the documentation: run in order, in one folder, and compared with what they are said to print.

A block ``console`` is a session. The comment above it may say which exit code is the worst of its commands (``exit 4``),
and what has to wait for a signal or a timer before it (``exit 0, once order-1 waits``). A Python block under
``<!-- file: shop.py -->`` is written to that file. In what is printed `…` stands for anything, a line of `…` alone for
any lines.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from amends.cli import main
from tests.docs.pages import Block, blocks

PATIENCE = 60.0
COMMENT = re.compile(r"exit (\d+)(?:, once (\S+) waits)?")


def commands(block: Block) -> Iterator[tuple[str, str]]:
    """Each command of a block, and what it is said to print."""
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        line, _, printed = part.partition("\n")
        yield line, printed


def matches(said: str, printed: str) -> bool:
    """Line by line; `…` stands for anything, a line of `…` alone for any lines. Runs of spaces count as one."""
    pattern = ""
    for line in said.splitlines():
        if line.strip() == "…":
            pattern += r"(?:.*\n)*?"
        else:
            words = [r"\s+".join(map(re.escape, part.split())) for part in line.split("…")]
            pattern += r"\s*" + r".*".join(words) + r".*\n" if "…" in line else r"\s*" + words[0] + r"\s*\n"
    return (
        re.fullmatch(pattern, printed if printed.endswith("\n") or not printed else printed + "\n")
        is not None
    )


class Session:
    """A shell: `amends` in a process of its own, and workers that go on behind it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.workers: list[subprocess.Popen[bytes]] = []
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith("AMENDS_")}
        self.environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment["PYTHONDONTWRITEBYTECODE"] = "1"  # a module may be written twice within a second

    def run(self, line: str) -> tuple[int, str]:
        """Exit code, and what was printed (if nothing was, what was told on stderr)."""
        if line.startswith("cd "):
            self.folder /= line.removeprefix("cd ")
        elif line.endswith(" &"):
            self._begin(shlex.split(line)[1:-1])
        elif line.startswith("kill "):
            return self._end(signal.SIGKILL if "-9" in line else signal.SIGTERM), ""
        elif line.startswith("amends "):
            return (
                self.amends(shlex.split(line)[1:])
                if "|" not in line and ">" not in line
                else self._bash(line)
            )
        elif not line.startswith("pip "):
            return self._bash(line)
        return 0, ""

    def amends(self, words: list[str]) -> tuple[int, str]:
        """One command of the command line."""
        return self._bash(shlex.join(["amends", *words]))

    def _bash(self, line: str) -> tuple[int, str]:
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return done.returncode, done.stdout or (done.stderr if done.returncode else "")

    def _begin(self, words: list[str]) -> None:
        log = self.folder / f"worker-{len(self.workers)}.log"
        with log.open("wb") as file:
            command = [sys.executable, "-m", "amends", *words]
            self.workers.append(subprocess.Popen(command, cwd=self.folder, env=self.environment, stderr=file))
        deadline = time.monotonic() + PATIENCE
        while " serves " not in log.read_text():
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.01)

    def _end(self, by: signal.Signals) -> int:
        self.workers[-1].send_signal(by)
        return max(0, self.workers[-1].wait(PATIENCE))  # a shell does not say how a job ended either

    def until_it_waits(self, id: str) -> None:
        """Until an execution waits for a signal or a timer."""
        deadline = time.monotonic() + PATIENCE
        while not json.loads(self.amends(["show", id, "--json"])[1]).get("waits"):
            assert time.monotonic() < deadline, id
            time.sleep(0.05)

    def close(self) -> None:
        """End what still runs."""
        for worker in self.workers:
            worker.kill()
            worker.wait(PATIENCE)


class InProcess(Session):
    """A shell whose `amends` runs in this process, which is quicker; for modules that do not change."""

    def run(self, line: str) -> tuple[int, str]:
        """As in a shell, and this process goes where it goes."""
        done = super().run(line)
        os.chdir(self.folder)
        return done

    def amends(self, words: list[str]) -> tuple[int, str]:
        """One command of the command line."""
        printed, told = io.StringIO(), io.StringIO()
        sys.modules.pop("app", None)
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(told):
            code = main(words)
        return code, printed.getvalue() or (told.getvalue() if code else "")


def play(text: str, session: Session) -> None:
    """Run the sessions of a page, in order. Raises AssertionError where page and program differ."""
    for block in blocks(text):
        if block.file:
            (session.folder / block.file).write_text(block.text, encoding="utf-8")
        elif block.language == "console" and block.reason is None:
            _play(block, session)


def _play(block: Block, session: Session) -> None:
    comment = COMMENT.fullmatch(block.comment)
    if comment and comment[2]:
        session.until_it_waits(comment[2])
    codes = []
    for line, said in commands(block):
        code, printed = session.run(line)
        codes.append(code)
        assert matches(said, printed), f"{block.line}: {line}\nsaid:\n{said}\nprinted:\n{printed}"
    assert max(codes) == int(comment[1] if comment else 0), f"{block.line}: {codes}"
