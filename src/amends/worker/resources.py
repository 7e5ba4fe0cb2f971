"""Resources opened with the worker and given to steps by type."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

from ..definition.signature import Signature
from ..errors import DefinitionError
from ..store.port import Transaction


class _NoTransactionYet:
    """Stands for the transaction when it is only asked whether all other resources are there."""

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        raise NotImplementedError


NO_TRANSACTION_YET: Transaction = _NoTransactionYet()


class Resources:
    """The entered resources of one engine. Enter with `open`, leave with `close`.

    ours: what the engine itself gives to steps of its own.
    """

    def __init__(self, given: tuple[Any, ...] = (), ours: tuple[Any, ...] = ()) -> None:
        self.given = given
        self._ours = ours
        self._stack = AsyncExitStack()
        self.values: list[Any] = []

    async def open(self) -> None:
        """Enter each (async) context manager; a plain object stands for itself."""
        for item in self.given:
            if hasattr(item, "__aenter__"):
                self.values.append(await self._stack.enter_async_context(item))
            elif hasattr(item, "__enter__"):
                self.values.append(self._stack.enter_context(item))
            else:
                self.values.append(item)

    async def close(self) -> None:
        """Leave them in reverse order."""
        await self._stack.aclose()
        self.values.clear()

    def for_function(
        self, signature: Signature, transaction: Transaction | None = None
    ) -> dict[str, Any] | None:
        """Values of a function's resource parameters; None: it has none. Raises `DefinitionError`."""
        wanted = signature.plan[2]
        if not wanted:
            return None
        return {name: self._find(name, kind, transaction, signature) for name, kind in wanted.items()}

    def _find(self, name: str, kind: Any, transaction: Transaction | None, signature: Signature) -> Any:
        if kind is Transaction:
            if transaction is None:
                raise DefinitionError(
                    f"{signature.fn.__qualname__} wants a Transaction but is no transactional step",
                    hint="declare it @step(transaction=True); a status probe cannot have one",
                )
            return transaction
        for value in (*self.values, *self._ours):
            if isinstance(kind, type) and isinstance(value, kind):
                return value
        shown = getattr(kind, "__name__", kind)
        have = ", ".join(type(v).__name__ for v in self.values) or "none"
        raise DefinitionError(
            f"{signature.fn.__qualname__} needs the resource {name}: {shown}, the engine has {have}",
            hint=f"Engine(resources=[…]) with something that enters as a {shown}",
        )
