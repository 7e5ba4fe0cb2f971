"""docs/cli.md is true: its examples run, in order, as if the page were one session; its tables are complete."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from amends.cli.app import PANELS, cli
from amends.cli.exits import MEANING
from tests.docs.pages import ROOT
from tests.docs.sessions import InProcess, matches, play

PAGE = ROOT / "docs" / "cli.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_the_examples_run_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AMENDS_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    path, session = list(sys.path), InProcess(tmp_path)
    try:
        play(TEXT, session)
    finally:
        sys.path[:] = path
        sys.modules.pop("app", None)
        session.close()


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
