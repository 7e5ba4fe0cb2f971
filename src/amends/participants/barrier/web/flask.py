"""Flask: `install(app)` once, then `key()` in a view."""

from __future__ import annotations

from typing import Any

from flask import Flask, Response, request

from ..keys import Direction, Key
from . import ERRORS, key_of, refusal

__all__ = ["install", "key"]


def install(app: Flask) -> None:
    """Answer `Rejected`, `Hanging` and `InvalidKey`, wherever in the application they are raised."""
    for error in ERRORS:
        app.register_error_handler(error, _answer)


def key(direction: Direction | None = None) -> Key:
    """The current request's key. Raises `InvalidKey`."""
    return key_of(request.headers, direction)


def _answer(error: Any) -> Response:
    said = refusal(error)
    return Response(said.body, said.status, said.headers)
