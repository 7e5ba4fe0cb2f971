"""Sagas and namespaces that stand still, from outside: `engine.pauses`, `client.pauses`."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from ..definition.registry import REGISTRY, Registry
from ..definition.saga import Saga
from ..errors import Refused, UnknownName, did_you_mean
from ..store.pausing import Pause, audit_key
from ..store.port import AuditRecord, Query
from .backend import must_be_text, operator

if TYPE_CHECKING:
    from .backend import Backend

_LOOKED_AT = 200  # executions, for names that are near


def _nobody() -> None:
    """No worker in this process."""


class Pauses:
    """What stands still in a namespace: sagas, or all of it. See docs/operations.md.

    One row says so, whatever the number of executions. It holds for all workers, from when each of them hears
    of it (at the latest after `Settings.poll`), and for executions that are started later.
    """

    def __init__(
        self, backend: Backend, stir: Callable[[], None] = _nobody, registry: Registry = REGISTRY
    ) -> None:
        self._backend = backend
        self._stir = stir  # a worker in this process may look at once
        self._registry = registry

    async def pause(self, saga: str | Saga[..., Any], *, reason: str, by: str | None = None) -> Pause:
        """Let all executions of a saga stand still: what runs comes to its end, nothing more is begun, also
        nothing of those that are started from now on.

        saga: a definition, or its durable name.  Returns the pause that holds: the earlier one, when it was
        paused already.  Raises `UnknownName` for a saga that is neither known here nor in the store.
        """
        return await self._pause(await self._known(saga), reason, by)

    async def pause_all(self, *, reason: str, by: str | None = None) -> Pause:
        """Let all executions of the namespace stand still. (Pauses of single sagas are apart from that.)"""
        return await self._pause("", reason, by)

    async def resume(self, saga: str | Saga[..., Any], *, reason: str = "", by: str | None = None) -> bool:
        """Let a saga go on. False: it was not paused by itself. Raises `UnknownName`."""
        return await self._resume(await self._known(saga), reason, by)

    async def resume_all(self, *, reason: str = "", by: str | None = None) -> bool:
        """Let the namespace go on, but for sagas that are paused by themselves. False: it was not paused."""
        return await self._resume("", reason, by)

    async def audit(self, saga: str | Saga[..., Any] = "") -> list[AuditRecord]:
        """Who paused and resumed a saga (none: the namespace), oldest first."""
        return await self._backend.store.audited(audit_key(self._backend.namespace, _name(saga)))

    async def list(self) -> list[Pause]:
        """What stands still, the namespace (with an empty `saga`) first."""
        return await self._backend.store.pauses(self._backend.namespace)

    async def _pause(self, saga: str, reason: str, by: str | None) -> Pause:
        record = self._record(saga, "pause", reason, by)
        backend = self._backend
        pause = Pause(namespace=backend.namespace, saga=saga, by=record.by, reason=reason, since=record.at)
        held = await backend.store.add_pause(pause, record)
        self._stir()
        return held

    async def _resume(self, saga: str, reason: str, by: str | None) -> bool:
        record = self._record(saga, "resume", reason, by)
        ended = await self._backend.store.end_pause(self._backend.namespace, saga, record)
        self._stir()
        return ended is not None

    def _record(self, saga: str, action: str, reason: str, by: str | None) -> AuditRecord:
        must_be_text("reason", reason)
        if by is not None:
            must_be_text("by", by)
        backend = self._backend
        return AuditRecord(
            backend.clock.now(), audit_key(backend.namespace, saga), by or operator(), action, reason
        )

    async def _known(self, saga: str | Saga[..., Any]) -> str:
        """The durable name. Raises `UnknownName` when nobody knows such a saga, `Refused` for no name."""
        name = _name(saga)
        if not name:
            raise Refused("a saga has a name", hint="pause_all() is for all of the namespace")
        registered = {known for known, _ in self._registry.definitions()}
        if isinstance(saga, Saga) or name in registered:
            return name
        store, namespace = self._backend.store, self._backend.namespace
        held = {pause.saga for pause in await store.pauses(namespace)}
        if name in held or await store.headers(Query(namespace=namespace, saga=name, limit=1)):
            return name
        newest = await store.headers(Query(namespace=namespace, limit=_LOOKED_AT))
        raise UnknownName(
            f"no saga {name!r} is known here, and no execution of one is in the namespace {namespace!r}",
            hint=_near(name, held.union(header.saga for header in newest), registered),
        )


def _name(saga: str | Saga[..., Any]) -> str:
    if isinstance(saga, Saga):
        return saga.name
    must_be_text("a saga's name", saga)
    return saga


def _near(name: str, stored: Collection[str], registered: Collection[str]) -> str:
    """Durable names are long: one that ends so is meant first, and what is in the store before the rest."""
    for known in (stored, registered):
        ending = sorted(each for each in known if each.endswith(f".{name}"))
        if ending:
            return f"did you mean {' or '.join(map(repr, ending[:3]))}?"
    known = {*stored, *registered} - {""}
    return did_you_mean(name, known) or "give the durable name, as `amends list` shows it"
