"""docs/cli.md is true: its examples run, in order, as if the page were one session; its tables are complete."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from amends.cli import main
from amends.cli.app import PANELS, cli
from amends.cli.exits import MEANING
from tests.docs.pages import ROOT, Block, blocks

PAGE = ROOT / "docs" / "cli.md"
TEXT = PAGE.read_text(encoding="utf-8")
PATIENCE = 60.0
SHELL = {"cd", "touch", "rm"}


def examples() -> list[Block]:
    return [block for block in blocks(TEXT) if block.language == "console" and block.reason is None]


def commands(block: Block) -> Iterator[tuple[str, str]]:
    """Each command of a block, and what it is said to print."""
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        line, _, printed = part.partition("\n")
        yield line, printed


class Session:
    """Runs commands in this process; workers in one of their own."""

    def __init__(self) -> None:
        self.workers: list[subprocess.Popen[bytes]] = []

    def run(self, line: str) -> tuple[int, str]:
        words = shlex.split(line)
        if words[0] == "cd":
            os.chdir(words[1])
        elif words[0] == "touch":
            Path(words[1]).touch()
        elif words[0] == "rm":
            Path(words[1]).unlink()
        elif "|" in words:
            return self._pipe(line)
        elif words[-1] == "&":
            self._worker(words[1:-1])
        elif words[0] == "amends":
            return self._amends(words[1:])
        return 0, ""

    def _amends(self, words: list[str]) -> tuple[int, str]:
        printed, told = io.StringIO(), io.StringIO()
        sys.modules.pop("app", None)
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(told):
            code = main(words)
        return code, printed.getvalue() or (told.getvalue() if code else "")

    def until_it_waits(self, id: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while '"waits":[]' in self._amends(["show", id, "--json"])[1]:
            assert time.monotonic() < deadline, id
            time.sleep(0.01)

    def _pipe(self, line: str) -> tuple[int, str]:
        line = line.replace("amends ", f"{sys.executable} -m amends ")
        done = subprocess.run(
            ["bash", "-c", line], capture_output=True, text=True, check=False, timeout=PATIENCE
        )
        return done.returncode, done.stdout

    def _worker(self, words: list[str]) -> None:
        log = Path("worker.log")
        with log.open("wb") as file:
            self.workers.append(subprocess.Popen([sys.executable, "-m", "amends", *words], stderr=file))
        deadline = time.monotonic() + PATIENCE
        while " serves " not in log.read_text():
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.01)


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


def test_the_examples_run_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AMENDS_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    path, session = list(sys.path), Session()
    try:
        for block in examples():
            given = list(commands(block))
            comment = re.fullmatch(r"exit (\d+)(?:, once (\S+) waits)?", block.comment)
            expected = int(comment[1]) if comment else 0
            if comment and comment[2]:
                session.until_it_waits(comment[2])
            codes = []
            for line, said in given:
                if line.startswith("pip "):
                    codes.append(0)
                    continue
                code, printed = session.run(line)
                codes.append(code)
                assert matches(said, printed), f"{block.line}: {line}\nsaid:\n{said}\nprinted:\n{printed}"
            assert max(codes) == expected, f"{block.line}: {codes}"
    finally:
        sys.path[:] = path
        sys.modules.pop("app", None)
        for worker in session.workers:
            worker.kill()
            worker.wait(PATIENCE)


def test_each_command_has_a_section_with_an_example() -> None:
    sections = dict(re.findall(r"^### amends (\S+)\n(.*?)(?=^##)", TEXT, re.MULTILINE | re.DOTALL))
    native = [name for entries in PANELS.values() for name in entries]
    assert sorted(sections) == sorted(native)
    for name in native:
        assert re.search(rf"^\$ amends {name}\b", TEXT, re.MULTILINE), name


def test_each_option_is_explained() -> None:
    mentioned = set(re.findall(r"--[a-z][a-z-]+", TEXT))
    for entry in cli.commands.values():
        if hasattr(entry, "real"):
            for parameter in entry.real().params:
                options = [option for option in parameter.opts if option.startswith("--")]
                assert set(options) <= mentioned, f"{entry.name}: {options}"


def test_the_exit_codes_are_those_of_the_program() -> None:
    section = TEXT.partition("## Exit codes")[2].partition("\n## ")[0]
    assert re.findall(r"^\| (\d+) \| (.*) \|$", section, re.MULTILINE) == [
        (str(int(code)), meaning) for code, meaning in MEANING.items()
    ]


def test_a_difference_is_found() -> None:
    assert matches("a  …\n…\nend\n", "a b\nx\ny\nend\n")
    assert matches("", "")
    assert not matches("a\n", "b\n")
    assert not matches("a\n", "a\nb\n")
    assert not matches("a …\nend\n", "a b\nx\nend\n")
    assert not matches("", "a\n")
