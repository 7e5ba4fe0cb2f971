"""Litestar: `Litestar(exception_handlers=exception_handlers, dependencies={"key": Provide(key)})`, and in a
handler `key: NamedDependency[Key]`.
"""

from __future__ import annotations

from typing import Any

from litestar import Request, Response

from ..keys import Key
from . import ERRORS, key_of, refusal

__all__ = ["exception_handlers", "key"]


async def key(request: Request[Any, Any, Any]) -> Key:
    """The request's key, as a dependency. Raises `InvalidKey`."""
    return key_of(request.headers)


def _answer(request: Request[Any, Any, Any], error: Any) -> Response[bytes]:
    said = refusal(error)
    return Response(said.body, status_code=said.status, media_type=said.headers["content-type"])


exception_handlers: dict[type[Exception] | int, Any] = dict.fromkeys(ERRORS, _answer)
"""For ``Litestar(exception_handlers=…)``: refusals and keys that cannot be read, as responses."""
