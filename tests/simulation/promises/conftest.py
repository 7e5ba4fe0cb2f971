"""Each promise is tested on memory and SQLite, and in the soak on PostgreSQL as well."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from amends.definition.registry import REGISTRY
from tests.stores import new_schema

from .world import World


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.soak)])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """A world on virtual time."""
    made = World(request.param, tmp_path)
    if request.param != "postgres":
        yield made
        return
    made.url = request.getfixturevalue("postgres")
    with new_schema(made.url) as made.schema:
        yield made


@pytest.fixture(params=["memory", "sqlite"])
def real_world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    """A world on real time, for what happens in threads."""
    return World(request.param, tmp_path, real=True)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty SQLite store: copying it is quicker than making one."""
    world = World("sqlite", tmp_path_factory.mktemp("template"))

    async def make() -> None:
        store = world.store()
        await store.open()
        await store.close()

    world.run(make)
    return world.path


@pytest.fixture(params=["memory", "sqlite"])
def worlds(request: pytest.FixtureRequest, tmp_path: Path, template: Path) -> Callable[[], World]:
    """Fresh worlds of one kind, as many as a test asks for."""
    made: list[World] = []

    def another() -> World:
        folder = tmp_path / f"world-{len(made)}"
        folder.mkdir()
        made.append(World(request.param, folder))
        if request.param == "sqlite":
            shutil.copy(template, made[-1].path)
        return made[-1]

    return another


@pytest.fixture(autouse=True)
def _definitions() -> Iterator[None]:
    """What a test defines goes with it."""
    steps, sagas = dict(REGISTRY.steps), dict(REGISTRY.sagas)
    yield
    REGISTRY.steps.clear()
    REGISTRY.steps.update(steps)
    REGISTRY.sagas.clear()
    REGISTRY.sagas.update(sagas)
