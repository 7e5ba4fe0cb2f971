"""Crash points: nothing is touched unless one is asked for, and what is asked for must exist.

That each of them is reached, and harmless, is the acceptance tests' subject.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from amends import Client, DefinitionError, Engine
from amends.engine import crashes
from amends.store.postgres import PostgresStore


def changed(thing: Any) -> set[str]:
    """Methods of an object that were replaced by wrappers of the crash points."""
    return {
        name
        for name, value in vars(thing).items()
        if getattr(value, "__module__", "") == crashes.__name__ and callable(value)
    }


async def opened(url: str) -> list[set[str]]:
    async with Engine(url) as engine:
        worker = engine._worker
        assert worker is not None
        store: Any = engine.store
        return [changed(each) for each in (store, store._writer, worker, worker.loader, worker.attempts)]


def test_nothing_is_wrapped_when_none_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(crashes.VARIABLE, raising=False)
    assert asyncio.run(opened(f"sqlite:///{tmp_path}/x.db")) == [set()] * 5


@pytest.mark.parametrize(
    ("name", "place", "method"),
    [
        ("store.commit_now.after", 0, "commit_now"),
        ("writer.commit.before", 1, "_connect"),
        ("decision.durable", 2, "committed"),
        ("recovery.replayed", 3, "_resume"),
        ("action.effect", 4, "start"),
    ],
)
def test_one_place_is_wrapped_when_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, place: int, method: str
) -> None:
    monkeypatch.setenv(crashes.VARIABLE, f"{name}:1000000")
    expected: list[set[str]] = [set()] * 5
    expected[place] = {method}
    assert asyncio.run(opened(f"sqlite:///{tmp_path}/x.db")) == expected


def test_commits_without_a_task_come_by_the_place_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(crashes.VARIABLE, "store.commit.before:1000000")
    store = PostgresStore("postgresql://nobody@localhost/nothing")
    crashes.arm_store(store)
    assert changed(store) == {"commit", "commit_soon"}
    assert not store.commit_soon(1, [], print)


def test_a_store_without_the_place_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("writer.commit.before", "writer.commit.after", "writer.checkpoint.before"):
        monkeypatch.setenv(crashes.VARIABLE, name)
        asyncio.run(_enter(Engine()))


async def _enter(engine: Engine) -> None:
    async with engine:
        pass


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("store.comit.before", r"no crash point.*\n.*store\.commit\.before"),
        ("store.commit.before:often", "no number of times"),
        ("store.commit.before:0", "no number of times"),
    ],
)
def test_what_does_not_exist_is_refused(monkeypatch: pytest.MonkeyPatch, told: str, said: str) -> None:
    monkeypatch.setenv(crashes.VARIABLE, told)
    for make in (Engine, lambda: Client("memory://")):
        with pytest.raises(DefinitionError, match=said):
            make()


def test_the_process_ends_at_the_time_asked_for() -> None:
    program = (
        "import asyncio\n"
        "from amends import Engine, saga, step\n"
        "@step(name='s')\n"
        "async def s(n: int) -> None: print(n, flush=True)\n"
        "@saga(name='g')\n"
        "async def g() -> None:\n"
        "    for n in range(5): await s(n)\n"
        "async def main() -> None:\n"
        "    async with Engine() as engine: await engine.run(g())\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={crashes.VARIABLE: "action.dispatch:3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (-9, "0\n1\n")
    assert done.stderr == "amends: crash point action.dispatch\n"
