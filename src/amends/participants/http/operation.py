"""Participants that accept a request now and do it later: 202 and an address to ask.

Two dialects are understood.  `Location`: the address answers 202 until it is done, then with the result,
or with 303 to where the result is.  `Operation-Location` (or `Azure-AsyncOperation`): the address answers
200 with ``{"status": …}``, which moves from a running to a final word.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

from ...clock import Clock
from ...errors import NotSent, Rejected
from .. import attempt
from ..failures import TryLater, UnknownOutcome
from ..verdict import Verdict
from .reply import Accepted, Reply

if TYPE_CHECKING:
    from .client import HttpClient

DONE = frozenset({"succeeded", "success", "completed", "complete", "done"})
FAILED = frozenset({"failed", "error", "canceled", "cancelled", "rejected", "aborted"})
GROWTH, LONGEST = 1.5, 30.0


def told(accepted: Reply | Accepted) -> Accepted:
    """Where to ask, and how."""
    return accepted if isinstance(accepted, Accepted) else accepted.accepted()


async def ask(client: HttpClient, accepted: Accepted) -> Reply:
    """One question; follows the address to the result."""
    reply = await client.get(accepted.address, statuses={202: "succeeded", 303: "succeeded"})
    return await client.get(reply.accepted().address) if reply.status == 303 else reply


def under_way(reply: Reply, accepted: Accepted, failed: Verdict) -> bool:
    """Is it not done yet? Raises what a failed operation stands for."""
    if reply.status == 202:
        return True
    if not accepted.operation:
        return False
    body = reply.read()
    word = str(body.get("status", "")).lower() if isinstance(body, dict) else ""
    if word not in FAILED:
        return word not in DONE
    said = f"{reply.path}: the operation has ended as {word!r}"
    if failed is Verdict.SUCCEEDED:
        return False
    if failed is Verdict.REJECTED:
        raise Rejected(said, details={"status": reply.status, "body": reply.passable()})
    raise UnknownOutcome(said)


async def check(client: HttpClient, accepted: Reply | Accepted, failed: Verdict, every: float) -> Reply:
    """See `HttpClient.check`."""
    where = told(accepted)
    reply = await ask(client, where)
    if not under_way(reply, where, failed):
        return reply
    later = TryLater("the operation is still under way", retry_after=reply.retry_after or every)
    raise attempt.settle(attempt.here(), later)


async def poll(
    client: HttpClient, accepted: Reply | Accepted, failed: Verdict, every: float, clock: Clock, most: float
) -> Reply:
    """See `HttpClient.poll`."""
    where, of = told(accepted), attempt.here()
    asked = where.retry_after
    until = clock.monotonic() + attempt.time_left(of, clock, most)
    for turn in itertools.count():
        pause = asked or min(every * GROWTH**turn, LONGEST)
        if clock.monotonic() + pause >= until:
            break
        await asyncio.sleep(pause)
        if of is not None:
            of.heartbeat()
        try:
            reply = await ask(client, where)
        except (NotSent, UnknownOutcome) as error:
            asked = error.retry_after  # a question that got lost is asked again
            continue
        if not under_way(reply, where, failed):
            return reply
        asked = reply.retry_after
    raise UnknownOutcome("the operation is still under way, and the attempt's time is up")
