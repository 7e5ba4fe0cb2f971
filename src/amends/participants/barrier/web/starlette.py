"""FastAPI and Starlette: `install(app)` once, then `key_of(request.headers)`, in FastAPI `Depends(key)`."""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from ....errors import AmendsError
from ..keys import Key
from . import ERRORS, key_of, refusal

__all__ = ["install", "key"]


def install(app: Starlette) -> None:
    """Answer `Rejected`, `Hanging` and `InvalidKey`, wherever in the application they are raised."""
    for error in ERRORS:
        app.add_exception_handler(error, _answer)


async def key(request: Request) -> Key:
    """The request's key, as a dependency of FastAPI. Raises `InvalidKey`."""
    return key_of(request.headers)


async def _answer(request: Request, error: Any) -> Response:
    assert isinstance(error, AmendsError)
    said = refusal(error)
    return Response(said.body, said.status, said.headers)
