"""How an execution ended, as a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from ..definition.saga import Saga
from ..encryption.envelope import why_of
from ..errors import Compensated, NeedsAttention, Terminated
from ..store import port
from ..store.enclosed.hands import error_of
from ..store.port import Header
from .status import detail_of, items_of, stand

R = TypeVar("R")


class Result(msgspec.Struct, Generic[R], frozen=True, kw_only=True):
    """The end of an execution (or its stop in ``attention``): `Handle.outcome()` never raises for it.

    status: one of the seven.  value: what the saga returned, if completed.  cause, error: why not. residue:
    effects that remain. items: what is parked and why.  unopened: why the value cannot be read, though there
    is one (see docs/encryption.md).
    """

    id: str
    status: str
    value: R | None = None
    cause: str = ""
    error: Mapping[str, Any] | None = None
    residue: Sequence[Mapping[str, Any]] = ()
    items: Sequence[Mapping[str, Any]] = ()
    unopened: str = ""

    def unwrap(self) -> R:
        """The value, or the exception that `status` stands for."""
        if self.unopened:
            raise error_of(self.unopened, f"the result of {self.id} (it is completed)")
        if self.status == port.COMPLETED:
            return self.value  # type: ignore[return-value]
        if self.status == port.TERMINATED:
            raise Terminated(f"{self.id} was terminated; its effects stay")
        if self.status == port.ATTENTION:
            first = self.items[0] if self.items else {}
            said = first.get("message") or _one_line(first)
            raise NeedsAttention(
                self.cause,
                said,
                items=list(self.items),
                hint=first.get("do") or _what_to_do(first),
            )
        raise Compensated(self.cause, list(self.residue), error=self.error)


def _what_to_do(item: Mapping[str, Any]) -> str:
    if "execution" in item:
        return elsewhere(item["saga"], item["execution"])
    return "retry, skip, resolve or terminate it (see handle.status())"


def elsewhere(saga: str, id: str) -> str:
    """Where an operator acts on what is parked in a nested saga."""
    return f'act on the nested saga: engine.handle(<{saga}>, "{id}").retry(), .skip(…), .resolve(…)'


def _one_line(item: Mapping[str, Any]) -> str:
    error = item.get("error") or {}
    return (
        f"{item.get('step', '')} ({item.get('direction', '')}) {item.get('why', '')}: "
        f"{error.get('type', '')}: {error.get('message', '')}"
    )


def _value_of(result: str, saga: Saga[..., Any] | None) -> Any:
    if saga is not None and result != "null":
        return saga.signature.result.decode(result.encode(), f"result of {saga.name}")
    return msgspec.json.decode(result)


def result_of(header: Header, saga: Saga[..., R] | None, below: Sequence[Header] = ()) -> Result[R]:
    """The outcome that a header tells, with what holds it from below. Without a saga the value stays plain
    JSON values.
    """
    detail = detail_of(header)
    status, cause = stand(header, below)
    value: Any = None
    closed: str | None = None
    if header.status == port.COMPLETED and header.result is not None:
        closed = why_of(header.result)
        if closed is None:
            value = _value_of(header.result, saga)
    return Result(
        id=header.id,
        status=status,
        value=value,
        cause=cause,
        error=detail.get("error"),
        residue=detail.get("residue", ()),
        items=items_of(header, below),
        unopened=closed or "",
    )
