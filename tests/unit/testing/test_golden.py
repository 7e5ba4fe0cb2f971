"""Recorded journals replay, and say readably when they no longer do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import amends
from amends import Engine, saga, step
from amends.definition.registry import REGISTRY
from amends.testing import golden


@step(name="golden.a")
async def a(x: str) -> str:
    return f"a {x}"


@a.compensation
async def undo_a(done: str | None, x: str) -> None: ...


@step(name="golden.b")
async def b(x: str) -> str:
    return f"b {x}"


@saga(name="golden.saga")
async def first(x: str) -> str:
    await a(x)
    return await b(x)


@saga(name="golden.looping")
async def looping(x: str, left: int = 1) -> str:
    await a(x)
    if left:
        await amends.continue_as_new(x, left - 1)
    return await b(x)


PATHS = ["", "b:2#1=rejected", "a:1#1=lost", "a:1#1=crash", "b:2#1=cancel"]


@pytest.fixture(autouse=True)
def _as_it_was() -> Any:
    """A later version of the saga takes the name only within a test."""
    yield
    REGISTRY.add_saga(first)
    REGISTRY.add_saga(looping)


def later() -> None:
    """Deploy another version, whose first step is another one."""

    @saga(name="golden.saga")
    async def second(x: str) -> str:
        await b(x)
        return await a(x)


@pytest.mark.parametrize("path", PATHS)
def test_a_path_of_the_explorer(path: str, tmp_path: Path) -> None:
    file = tmp_path / "deep" / "journal.json"
    recorded = golden.record(file, first("x"), path)
    assert golden.check(file) == recorded
    later()
    with pytest.raises(golden.Diverged) as caught:
        golden.check(file)
    said = str(caught.value)
    assert str(file) in said
    assert '"golden.a"' in said
    assert '"golden.b"' in said
    assert "golden.saga" in said


def test_the_last_row_of_what_has_ended_counts(tmp_path: Path) -> None:
    """Recovery runs no code of what has ended; a golden journal does."""
    golden.record(tmp_path / "x.json", first("x"))

    @saga(name="golden.saga")
    async def longer(x: str) -> str:
        await a(x)
        await b(x)
        return await b("once more")

    with pytest.raises(golden.Diverged, match="once more"):
        golden.check(tmp_path / "x.json")


def test_each_run_counts(tmp_path: Path) -> None:
    golden.record(tmp_path / "x.json", looping("x"))
    golden.check(tmp_path / "x.json")

    @saga(name="golden.looping")
    async def other(x: str, left: int = 1) -> str:
        if not left:
            await b(x)
        await a(x)
        if left:
            await amends.continue_as_new(x, left - 1)
        return ""

    with pytest.raises(golden.Diverged):
        golden.check(tmp_path / "x.json")


async def captured(file: Path) -> golden.Golden:
    async with Engine(sagas=[first]) as engine:
        await engine.run(first("x"), id="order-1")
        with pytest.raises(golden.NoJournal, match="order-2"):
            await golden.capture(engine, "order-2", file)
        return await golden.capture(engine, "order-1", file)


def test_a_real_execution(tmp_path: Path) -> None:
    import asyncio

    recorded = asyncio.run(captured(tmp_path / "real.json"))
    assert recorded.status == "completed"
    assert golden.files(tmp_path) == [tmp_path / "real.json"]
    golden.check(tmp_path / "real.json")
    later()
    with pytest.raises(golden.Diverged, match="order-1"):
        golden.check(tmp_path / "real.json")


def test_the_explorer_does_what_an_engine_does(tmp_path: Path) -> None:
    import asyncio

    real = asyncio.run(captured(tmp_path / "real.json"))
    explored = golden.record(tmp_path / "explored.json", first("x"), values={"a": "a x", "b": "b x"})
    assert [(r.events, r.commands) for r in real.rows] == [(r.events, r.commands) for r in explored.rows]


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(golden.NoJournal, match="no golden journals"):
        golden.files(tmp_path)
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(golden.NoJournal, match="cannot be read"):
        golden.check(tmp_path / "x.json")
