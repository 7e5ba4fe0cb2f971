"""Graphs in a module are sagas like any other: run, listed as known, drawn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from amends.cli.exits import Exit
from tests.unit.cli.conftest import Done

MODULE = """
from amends import Graph, step


@step(name="clitest.double", irreversible=True)
async def double(number: int) -> int:
    return 2 * number


twice = Graph("clitest.twice", inputs={"number": int})
twice.step("first", double, {"number": "number"})
twice.returns("first + 1")
"""


def test_a_graph_is_run_and_drawn(amends: Callable[..., Done], tmp_path: Path) -> None:
    (tmp_path / "gift.py").write_text(MODULE, encoding="utf-8")
    store = "sqlite:///gift.db"
    done = amends("run", "gift:twice", "--args", '{"number": 20}', "--id", "g-1", "--store", store, "--json")
    assert (done.code, done.json["status"]) == (Exit.OK, "completed")
    assert "first" in amends("graph", "gift:twice").out
    assert amends("graph", "gift:twice", "--id", "g-1", "--store", store).code == Exit.OK
