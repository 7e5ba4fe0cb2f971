"""Resources: what steps need and journals must not hold (pools, clients).

``async def charge(order: Order, db: Resource[Pool] = injected)`` gets the engine's Pool; it is
never part of the payload.
"""

from __future__ import annotations

import typing
from typing import Annotated, Any, TypeVar

from ..errors import NotInSaga

T = TypeVar("T")


class _Marker:
    def __repr__(self) -> str:
        return "Resource"


_MARK = _Marker()
Resource = Annotated[T, _MARK]
"""Marks a parameter that the engine fills with its resource of type T: ``db: Resource[Pool] = injected``."""


class _Injected:
    """Stands for a resource that only an engine can give."""

    def __getattr__(self, name: str) -> Any:
        raise NotInSaga(
            f"a resource was used (.{name}) that nobody gave",
            hint="outside of an engine pass it yourself: await charge(order, db=pool)",
        )

    def __repr__(self) -> str:
        return "injected"


injected: Any = _Injected()
"""Default for resource parameters, so that type checkers let callers leave them out."""


def resource_type(hint: Any) -> Any:
    """The type T of ``Resource[T]``; None for any other annotation."""
    if typing.get_origin(hint) is Annotated and _MARK in hint.__metadata__:
        return typing.get_args(hint)[0]
    return None
