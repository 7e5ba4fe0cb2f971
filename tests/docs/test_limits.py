"""docs/limits.md has every limit and setting, with the figure of the code."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Mapping

import msgspec
import pytest

from amends import Limits, Settings
from amends.store import SqliteStore
from amends.store.url import _SQLITE_OPTIONS
from tests.docs.pages import ROOT

TEXT = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")


def rows(heading: str, text: str = TEXT) -> list[list[str]]:
    """The cells of a section's table."""
    section = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    cells = [
        [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        for line in section.splitlines()
        if line.startswith("|")
    ]
    return cells[2:]


def said(heading: str, text: str = TEXT) -> dict[str, str]:
    return {row[0]: row[1].replace(",", "") for row in rows(heading, text)}


def defaults(struct: type[msgspec.Struct]) -> dict[str, str]:
    return {
        field.name: str(field.default) for field in msgspec.structs.fields(struct) if field.name != "limits"
    }


def options() -> dict[str, str]:
    parameters: Mapping[str, inspect.Parameter] = inspect.signature(SqliteStore).parameters
    return {name: str(parameters[name].default) for name in _SQLITE_OPTIONS}


@pytest.mark.parametrize(
    ("heading", "true"),
    [
        ("Of one execution", defaults(Limits)),
        ("Of a worker", defaults(Settings)),
        ("Of the SQLite store", options()),
    ],
)
def test_each_has_its_row_and_its_default(heading: str, true: dict[str, str]) -> None:
    assert true
    assert said(heading) == true


@pytest.mark.parametrize("row", rows("Fixed"), ids=lambda row: row[2])
def test_fixed_figures_are_those_of_the_code(row: list[str]) -> None:
    module, _, name = row[2].rpartition(".")
    value = getattr(importlib.import_module(module), name)
    assert float(row[1].replace(",", "")) == value


def test_a_wrong_figure_would_be_found() -> None:
    wrong = re.sub(r"\| `depth` \| 32 \|", "| `depth` | 33 |", TEXT)
    assert said("Of one execution", wrong) != defaults(Limits)
