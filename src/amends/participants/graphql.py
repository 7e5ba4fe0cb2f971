"""GraphQL for steps, over the HTTP client: `pip install 'amends[graphql]'`.

**What is certain.**  A GraphQL server answers 200 also when things failed.  Without ``data`` in the answer
the request never began (it did not parse, or was not allowed): certainly no effect.  With ``data``, even if
it is null, a mutation ran: its error is certain only if its code says so, and only if no field of the
mutation gave a value; else part of it took effect and the outcome is unknown.  A query changes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Self, TypeVar, overload

import msgspec

from .. import codec
from ..definition.policy import Duration
from ..errors import PayloadError, Rejected
from .failures import TryLater, UnknownOutcome, UnreadableReply
from .http.client import HttpClient, Options
from .http.reply import Reply
from .verdict import FailureWord, Verdict, of_failure

__all__ = ["CODES", "GraphqlClient"]

T = TypeVar("T")
R, L, U = Verdict.REJECTED, Verdict.LATER, Verdict.UNKNOWN

CODES: Mapping[str, Verdict] = {
    "GRAPHQL_PARSE_FAILED": R, "GRAPHQL_VALIDATION_FAILED": R, "BAD_USER_INPUT": R, "BAD_REQUEST": R,
    "OPERATION_RESOLUTION_FAILURE": R, "UNAUTHENTICATED": R, "FORBIDDEN": R, "NOT_FOUND": R, "CONFLICT": R,
    "PERSISTED_QUERY_NOT_FOUND": R, "PERSISTED_QUERY_NOT_SUPPORTED": R,
    "THROTTLED": L, "RATE_LIMITED": L, "TOO_MANY_REQUESTS": L,
    "INTERNAL_SERVER_ERROR": U,
}  # fmt: skip
"""What ``extensions.code`` of an error means. A code that is not here is unknown."""

_NOT_FOUND = "PERSISTED_QUERY_NOT_FOUND"


class GraphqlClient:
    """One participant's GraphQL endpoint.

    http: the `HttpClient` (its breaker, pool, headers and timeouts hold).  path: of the endpoint.
    codes: verdicts that differ from `CODES`.  persisted: send the hash of a document first, the document only
    if the server does not know it.
    """

    def __init__(
        self,
        http: HttpClient,
        path: str = "/graphql",
        *,
        codes: Mapping[str, FailureWord] | None = None,
        persisted: bool = False,
    ) -> None:
        self.http = http
        self._path = path
        self._codes = {**CODES, **{k: of_failure(v, f"codes[{k!r}]") for k, v in (codes or {}).items()}}
        self._persisted = persisted

    async def __aenter__(self) -> Self:
        await self.http.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.http.__aexit__(*exc)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.http!r}>"

    @overload
    async def query(
        self, document: str, variables: Mapping[str, Any] | None = None, *, type: type[T],
        operation: str = "", timeout: Duration | None = None,
    ) -> T: ...  # fmt: skip
    @overload
    async def query(
        self, document: str, variables: Mapping[str, Any] | None = None, *,
        operation: str = "", timeout: Duration | None = None,
    ) -> Any: ...  # fmt: skip
    async def query(
        self, document: str, variables: Mapping[str, Any] | None = None, *, type: Any = Any,
        operation: str = "", timeout: Duration | None = None,
    ) -> Any:  # fmt: skip
        """The ``data`` of a query, as a value of `type`.

        Raises as `HttpClient.get` does, and `UnreadableReply`. Partial data with errors is an error.
        """
        return await self._run(document, variables, type, operation, timeout, reads=True)

    @overload
    async def mutate(
        self, document: str, variables: Mapping[str, Any] | None = None, *, type: type[T],
        operation: str = "", timeout: Duration | None = None, part: str = "",
    ) -> T: ...  # fmt: skip
    @overload
    async def mutate(
        self, document: str, variables: Mapping[str, Any] | None = None, *,
        operation: str = "", timeout: Duration | None = None, part: str = "",
    ) -> Any: ...  # fmt: skip
    async def mutate(
        self, document: str, variables: Mapping[str, Any] | None = None, *, type: Any = Any,
        operation: str = "", timeout: Duration | None = None, part: str = "",
    ) -> Any:  # fmt: skip
        """The ``data`` of a mutation, as a value of `type`. Raises as `HttpClient.post` does."""
        return await self._run(document, variables, type, operation, timeout, part=part)

    # ------------------------------------------------------------ one operation

    async def _run(
        self,
        document: str,
        variables: Mapping[str, Any] | None,
        type: Any,
        operation: str,
        timeout: Duration | None,
        *,
        reads: bool = False,
        part: str = "",
    ) -> Any:
        body: dict[str, Any] = {"query": document, "variables": dict(variables or {})}
        if operation:
            body["operationName"] = operation
        options: Options = {"reads": reads, "part": part, "judge": lambda reply: self._judged(reply, reads)}
        if timeout is not None:
            options["timeout"] = timeout
        return self._value(await self._send(body, options), type)

    async def _send(self, body: dict[str, Any], options: Options) -> Reply:
        if not self._persisted:
            return await self._post(body, options)
        digest = hashlib.sha256(body["query"].encode()).hexdigest()
        extensions = {"persistedQuery": {"version": 1, "sha256Hash": digest}}
        short = {**{k: v for k, v in body.items() if k != "query"}, "extensions": extensions}
        first = options.copy()
        first["statuses"] = {400: "succeeded", 404: "succeeded"}
        try:
            return await self._post(short, first)
        except _UnknownDocument:
            return await self._post({**body, "extensions": extensions}, options)

    async def _post(self, body: dict[str, Any], options: Options) -> Reply:
        options["json"] = body
        return await self.http.post(self._path, **options)

    def _value(self, reply: Reply, type: Any) -> Any:
        data = reply.read(dict[str, Any]).get("data")
        try:
            return codec.decoder(type).decode(msgspec.json.encode(data), "the data")
        except PayloadError as error:
            said = reply.secrets.hide(error.message)
        raise UnreadableReply(f"{reply.path}: {said}", hint="read it as a type that fits, or without one")

    def _judged(self, reply: Reply, reads: bool) -> Exception | None:
        """The error that the answer's errors stand for; None when there are none."""
        answer = reply.read(dict[str, Any])
        errors = answer.get("errors") or []
        codes = {_code(error) for error in errors}
        if not errors:
            return None if reply.status < 400 else Rejected(f"{reply.path}: {reply.status}")
        if _NOT_FOUND in codes:
            return _UnknownDocument(f"{reply.path}: the document is not known by its hash")
        told = reply.secrets.clean([_told(error) for error in errors[:10]])
        said = f"{reply.path}: {told[0]['message']}" + (f" ({told[0]['code']})" if told[0]["code"] else "")
        began = "data" in answer
        verdicts = {self._codes.get(code, U if began else R) for code in codes}
        partly = any(value is not None for value in (answer.get("data") or {}).values())
        if not reads and (partly or U in verdicts):
            some = "; other fields of the mutation took effect" if partly else ""
            return UnknownOutcome(said + some, retry_after=reply.retry_after)
        if verdicts == {R}:
            return Rejected(said, details={"errors": told})
        return TryLater(said, retry_after=reply.retry_after, outage=U in verdicts)


class _UnknownDocument(Exception):
    """The server has not seen the document with that hash yet: certainly nothing ran, send it whole."""


def _code(error: Any) -> str:
    extensions = error.get("extensions") if isinstance(error, dict) else None
    return str(extensions.get("code", "")) if isinstance(extensions, dict) else ""


def _told(error: Any) -> dict[str, Any]:
    """What a saga may know of an error."""
    known = error if isinstance(error, dict) else {}
    return {"message": str(known.get("message", ""))[:200], "code": _code(error), "path": known.get("path")}
