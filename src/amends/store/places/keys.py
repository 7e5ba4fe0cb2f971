"""Data keys on several servers: each is on the server that its subject falls to, and nowhere else."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from ...errors import StoreError
from ..partition import holder_of, partition_of_key
from ..port import AuditRecord, Key, KeyQuery, Rewrap
from .clients import ClientPart


class KeyPart(ClientPart):
    """Keys of envelopes."""

    def _holder(self, namespace: str, subject: str) -> int:
        return holder_of(partition_of_key(namespace, subject), len(self.members))

    async def add_key(self, key: Key) -> Key:
        """See the port."""
        return await self.members[self._holder(key.namespace, key.subject)].at_hand().add_key(key)

    async def keys(self, query: KeyQuery) -> list[Key]:
        """See the port. Raises `StoreBusy` when a server is not there that may have some."""
        numbers = sorted({self._holder(query.namespace, subject) for subject in query.subjects}) or None
        answers = await self._each(lambda store: store.keys(query), numbers)
        found = [answer for answer in answers if not isinstance(answer, StoreError)]
        merged = sorted(itertools.chain.from_iterable(found), key=lambda key: key.id)[: query.limit]
        failed = next((answer for answer in answers if isinstance(answer, StoreError)), None)
        if failed is not None and not (query.ids and {key.id for key in merged} >= set(query.ids)):
            raise failed
        return merged

    async def rewrap(self, changes: Sequence[Rewrap]) -> list[str]:
        """See the port; in one transaction for each server."""
        return sorted(itertools.chain.from_iterable(await self._all(lambda store: store.rewrap(changes))))

    async def forget(self, namespace: str, subject: str, audit: AuditRecord) -> str | None:
        """See the port."""
        return (
            await self.members[self._holder(namespace, subject)].at_hand().forget(namespace, subject, audit)
        )
