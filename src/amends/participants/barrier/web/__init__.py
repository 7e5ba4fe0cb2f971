"""The barrier behind HTTP: a request's key, and what to answer for a refusal. For every framework.

`key_of` reads the key from a request's headers. `refusal` makes the response for what the barrier raises:
problem details (RFC 9457) whose status tells the orchestrator what happened:

    400    no usable key: nothing was done, and repeating it will not help
    409    hanging: it came after its compensation, or after its key was sealed; nothing was done
    422    rejected: certainly nothing was done, the same answer for every copy

Each framework has a module beside this one that hangs these two into it. Anything else that goes wrong is
the framework's 500, which says nothing about the effect: the orchestrator asks again with the same key.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple, Protocol

from ....errors import AmendsError, Rejected
from ..keys import Direction, InvalidKey, Key
from ..verdict import Found, Hanging, State, rejection

__all__ = ["DIRECTION_HEADER", "ERRORS", "KEY_HEADER", "Answer", "key_of", "refusal", "status"]

KEY_HEADER = "Idempotency-Key"
"""The header that names the action."""

DIRECTION_HEADER = "Amends-Direction"
"""The header that says ``do`` or ``undo``, where the key does not."""

PROBLEM = "application/problem+json"
ERRORS = (Rejected, InvalidKey)
"""What a handler should let through to the helper, which answers it."""


class Headers(Protocol):
    """Headers of any framework."""

    def get(self, key: str, /) -> Any:
        """The value, or None."""
        ...


class Answer(NamedTuple):
    """A response."""

    status: int
    headers: dict[str, str]
    body: bytes


def key_of(headers: Headers, direction: Direction | None = None) -> Key:
    """The key of a request, from its `Idempotency-Key` header.

    amends writes the direction into the key. For other callers give `direction` where the route says it, or
    let them send `Amends-Direction: do` or `undo`. Names are looked up as they are spelt here, so `headers`
    should not care about case (no framework's do). Raises `InvalidKey`.
    """
    text = (headers.get(KEY_HEADER) or "").strip()
    if len(text) > 1 and text[0] == text[-1] == '"':  # a string of RFC 9651: the header's draft asks for it
        text = text[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    if not text:
        raise InvalidKey(
            f"the request has no {KEY_HEADER} header, so it cannot be told from its own copies",
            hint="send the orchestrator's key, the same for every attempt",
        )
    said = headers.get(DIRECTION_HEADER)
    key = Key.parse(text, direction or said)
    if said is not None and said != key.direction:
        raise InvalidKey(
            f"the request says {DIRECTION_HEADER}: {said}, but {text!r} came to a place that takes "
            f"{key.direction!r}",
            hint="the action and its compensation may have changed places in the caller's configuration",
        )
    return key


def refusal(error: AmendsError) -> Answer:
    """The response for one of `ERRORS`."""
    if isinstance(error, Hanging):
        return _problem(409, "Refused: it came too late, nothing was done", error)
    if isinstance(error, Rejected):
        return _problem(422, "Rejected: nothing was done", error)
    return _problem(400, "No usable idempotency key: nothing was done", error)


def _problem(status: int, title: str, error: AmendsError) -> Answer:
    body: dict[str, Any] = {"title": title, "status": status, "detail": error.message, "code": error.code}
    if isinstance(error, Rejected) and error.details is not None:
        body["details"] = error.details
    if error.hint:
        body["hint"] = error.hint
    return Answer(status, {"content-type": PROBLEM}, json.dumps(body, ensure_ascii=False).encode())


def status(found: Found) -> Answer:
    """The response to a status probe (GET with the action's key) that found this.

    200 and the reply when it was done, 404 when nothing is known. 410 when nothing lasts of it and nothing
    will: it was rejected, sealed or undone, so every later copy of it is refused.
    """
    if found.outcome == "succeeded":
        return Answer(200, {"content-type": "application/json"}, json.dumps(found.reply).encode())
    if found.state is State.REJECTED:
        return _problem(410, "Rejected: nothing was done", rejection(found.reply))
    code, detail = (404, "nothing is known of it") if found.state is None else (410, "it will not be done")
    body = {"title": "Status of an action", "status": code, "detail": detail, "code": found.outcome}
    return Answer(code, {"content-type": PROBLEM}, json.dumps(body).encode())
