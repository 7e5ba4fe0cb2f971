"""The notebook runs from top to bottom, as its README says; what it did stands in the companies' book."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import pytest

from amends.checks import examine
from tests.docs.pages import LINK
from tests.docs.projects import copied, run_readme

HERE = Path(__file__).parent
NOTEBOOK = nbformat.read(HERE / "saga.ipynb", as_version=4)
SVG = "image/svg+xml"


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copied("notebook", tmp_path_factory.mktemp("notebook"))
    apart = {name: str(folder / name) for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR")}
    run_readme(folder, **apart)
    return folder


@pytest.fixture(scope="module")
def said(done: Path) -> dict[str, str]:
    """What each cell shows: its text, or its picture."""
    cells = nbformat.read(done / "done.ipynb", as_version=4).cells
    return {cell.id: "".join(map(shown, cell.get("outputs", []))) for cell in cells}


def shown(output: nbformat.NotebookNode) -> str:
    data = output.get("data", {})
    return output.get("text") or data.get(SVG) or data.get("text/plain") or ""


def test_it_is_kept_without_outputs() -> None:
    nbformat.validate(NOTEBOOK)
    cells = [cell for cell in NOTEBOOK.cells if cell.cell_type == "code"]
    assert [cell.id for cell in cells if cell.outputs or cell.execution_count] == []


def test_its_links_lead_somewhere() -> None:
    prose = "\n".join(cell.source for cell in NOTEBOOK.cells if cell.cell_type == "markdown")
    links = LINK.findall(prose)
    assert links
    assert [link for link in links if not (HERE / link).exists()] == []


@pytest.mark.slow
def test_the_book_holds_each_trip_once_or_not_at_all(done: Path) -> None:
    with closing(sqlite3.connect(done / "companies.db")) as companies:
        booked = [what for (what,) in companies.execute("SELECT what FROM bookings ORDER BY rowid")]
    assert booked == [
        "flight to Lisbon for Ada",
        "room in Lisbon for Ada",
        "flight to Porto for Cleo",
        "room in Porto for Cleo",
    ]


@pytest.mark.slow
def test_it_tells_the_story(said: dict[str, str]) -> None:
    assert "no room in Venice" in said["run-ben"]
    assert said["run-ben"].startswith("compensated")
    assert "undo" in said["journal-ben"]
    assert said["kill-cleo"].startswith("running")
    assert "room in Porto" not in said["kill-cleo"]
    assert "room in Porto" in said["recover-cleo"]
    assert said["list"].count("completed") == 2


@pytest.mark.slow
def test_the_pictures_show_it(said: dict[str, str]) -> None:
    for cell, words in {
        "draw-definition": ("book_trip", "cancel_flight", "trip.confirmed"),
        "draw-ben": ("compensated", "undo 1", "no room in Venice"),
        "draw-cleo": ("completed", "trip.book_hotel"),
    }.items():
        picture = " ".join(ElementTree.fromstring(said[cell]).itertext())
        assert [word for word in words if word not in picture] == [], cell


@pytest.mark.slow
def test_nothing_is_found_in_its_module(done: Path, said: dict[str, str]) -> None:
    assert said["check"] == "[]"
    assert examine([str(done / "trip.py")]).findings == []
