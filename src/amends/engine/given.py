"""What an engine, a client or a queue worker is given: looked at before anything is opened."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from ..definition.registry import REGISTRY, Registry
from ..definition.saga import Saga
from ..dialects.graph import Graph
from ..errors import DefinitionError
from ..store import open_store
from ..store.port import Store


def store_of(given: Any, taker: str) -> Store:
    """A store, or that which a URL names. Raises `DefinitionError` for anything else."""
    if isinstance(given, str):
        return open_store(given)
    if not isinstance(given, Store):
        example = given if isinstance(given, PurePath) else "sagas.db"
        raise DefinitionError(
            f"{taker}() takes a URL or a Store, got {given!r}", hint=f'for example "sqlite:///{example}"'
        )
    return given


def registry_of(sagas: Sequence[Saga[..., Any] | Graph], steps: Sequence[Any]) -> Registry:
    """What these define, beside all that is imported. Raises `DefinitionError`."""
    registry = Registry(REGISTRY)
    if isinstance(sagas, Saga):
        raise DefinitionError(
            "Engine(sagas=…) takes a list, got one saga", hint=f"sagas=[{sagas.fn.__name__}]"
        )
    for given in sagas:
        saga = given.saga if isinstance(given, Graph) else given
        if not isinstance(saga, Saga):
            raise DefinitionError(
                f"Engine(sagas=[…]) takes sagas and graphs, got {given!r}",
                hint="decorate it with @amends.saga",
            )
        if registry.sagas.get((saga.name, saga.version), saga).fn is not saga.fn:
            raise DefinitionError(
                f"Engine(sagas=[…]) was given two sagas of the name {saga.name!r} "
                f"and the version {saga.version!r}",
                hint="give each a name of its own, or versions",
            )
        if saga.instance is not None:
            registry.add_instance(saga.instance)
        registry.add_saga(saga)
    for item in steps:
        registry.add_instance(item)
    return registry
