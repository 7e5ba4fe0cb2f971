"""docs/reliability.md says what exists and what was measured: its tables are those that the command would write."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from amends.engine import crashes
from scripts.reliability import page

TEXT = page.PAGE.read_text(encoding="utf-8")


def test_its_tables_are_what_the_command_writes() -> None:
    assert page.rendered(TEXT) == TEXT, "run: python -m scripts.reliability page"


def test_every_table_is_on_the_page() -> None:
    assert sorted(re.findall(r"<!-- generated: (\w+) -->", TEXT)) == sorted(page.BLOCKS)


def test_every_promise_and_every_test_it_names_exists() -> None:
    numbers = re.findall(r"^\| (\d+) \|", TEXT, re.MULTILINE)
    assert numbers == [str(n) for n in range(1, 17)]
    links = re.findall(r"\]\(\.\./(tests/[^)]+)\)", TEXT)
    assert len(links) > 25
    assert [name for name in links if not (page.ROOT / name).exists()] == []


def test_a_crash_point_that_is_not_on_the_page_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(crashes.POINTS, "store.nap", crashes.POINTS["store.open.before"])
    assert page.rendered(TEXT) != TEXT


def test_figures_that_were_typed_in_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = json.loads(page.FIGURES.read_text(encoding="utf-8"))
    measured["soak"]["kills"] += 1
    monkeypatch.setattr(page, "FIGURES", tmp_path / "other.json")
    page.FIGURES.write_text(json.dumps(measured))
    assert page.rendered(TEXT) != TEXT


def test_what_was_measured_is_clean() -> None:
    measured = page.figures()
    bad = {name: counts for name, counts in measured["tests"].items() if counts.get("failed")}
    assert not bad
    for part in (
        measured["soak"],
        *(measured["figures"][name] for name in ("crash points", "random kills", "full disk")),
    ):
        assert [part[name] for name in ("lost", "silent", "duplicate", "disordered", "wrong")] == [0] * 5
    assert measured["soak"]["kills"] >= 200
    assert measured["figures"]["crash points"]["points"] == len(crashes.POINTS)
