"""Queues on several servers, as clients see them. Tasks are where their executions are.

A limit holds for all servers by being shared out among them: of a concurrency of 10 each of two has 5.  So it
is never passed, but it may not be reached while one server has much to do and another little.  What cannot be
shared out is refused: fewer than one for each, and a limit by key, since the tasks of one key may be on any
server.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from ...errors import Refused
from ..queueing import QueueLimits, QueueStatus, TaskStatus
from .clients import ClientPart


class QueuePart(ClientPart):
    """Queues from outside; who serves them asks each server (see the package)."""

    async def queues(self, namespace: str, now: float) -> list[QueueStatus]:
        """See the port."""
        found = await self._all(lambda store: store.queues(namespace, now))
        return together(status for statuses in found for status in statuses)

    async def set_queue(
        self, namespace: str, name: str, *, paused: bool | None = None, limits: QueueLimits | None = None
    ) -> None:
        """See the port. Raises `Refused` for limits that cannot be shared out; when a server is not there,
        what it says, once all others have heard: say it again."""
        count = len(self.members)
        parts = [None] * count if limits is None else shared_out(limits, count)
        of_store = {id(member.store): part for member, part in zip(self.members, parts, strict=True)}
        await self._all(
            lambda store: store.set_queue(namespace, name, paused=paused, limits=of_store[id(store)])
        )

    async def tasks_of(self, uid: str) -> list[TaskStatus]:
        """See the port."""
        return await (await self._store_of(uid)).tasks_of(uid)


def shared_out(limits: QueueLimits, count: int) -> list[QueueLimits]:
    """The limits of each of so many servers, which are these limits together. Raises `Refused`."""
    if limits.per_key is not None:
        raise Refused(
            f"per_key cannot be kept on {count} servers: the tasks of a key may be on any of them",
            hint="keep such a queue in a store on one server, or let the participant decide",
        )
    for word in ("concurrency", "burst"):
        value = getattr(limits, word)
        if value is not None and value < count:
            raise Refused(
                f"{word} is shared out among {count} servers, so it cannot be {value}",
                hint=f"at least {count}; keep a queue that needs less in a store on one server",
            )
    return [
        QueueLimits(
            concurrency=_part(limits.concurrency, number, count),
            rate=None if limits.rate is None else limits.rate / count,
            burst=_part(limits.burst, number, count),
            depth=_part(limits.depth, number, count),
        )
        for number in range(count)
    ]


def _part(whole: int | None, number: int, count: int) -> int | None:
    return None if whole is None else whole * (number + 1) // count - whole * number // count


def together(statuses: Iterable[QueueStatus]) -> list[QueueStatus]:
    """What each server says of its queues, as one, by name."""
    by_name: dict[str, list[QueueStatus]] = defaultdict(list)
    for status in statuses:
        by_name[status.name].append(status)
    return [_joined(name, by_name[name]) for name in sorted(by_name)]


def _joined(name: str, parts: Sequence[QueueStatus]) -> QueueStatus:
    limits = [part.limits for part in parts]
    rate = _sum(each.rate for each in limits)
    return QueueStatus(
        name=name,
        waiting=sum(part.waiting for part in parts),
        delayed=sum(part.delayed for part in parts),
        running=sum(part.running for part in parts),
        oldest=max(part.oldest for part in parts),
        paused=any(part.paused for part in parts),
        limits=QueueLimits(
            concurrency=_whole(each.concurrency for each in limits),
            rate=None if rate is None else round(rate, 9),
            burst=_whole(each.burst for each in limits),
            depth=_whole(each.depth for each in limits),
        ),
    )


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _whole(values: Iterable[int | None]) -> int | None:
    total = _sum(values)
    return None if total is None else int(total)
