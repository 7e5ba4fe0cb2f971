"""What stands still because somebody said so: a saga type, or a whole namespace. Part of the port.

**Theory of operation.**  A pause is one row of `pauses`, keyed by namespace and saga (none: all sagas of the
namespace).  The executions' own rows, journals and inboxes do not know of it: a million of them are paused by
one row and go on when it is gone.  Two things follow from it:

* *Nobody claims them.*  `claim` and `next_wake` leave out what a pause covers, by what the table holds in the
  very transaction of the claim.  Both go from one saga to the next by an index, so what stands still costs
  nothing, however much of it is due.
* *Whoever owns them hears of it.*  Adding or ending a pause makes `changed` true everywhere, as a message
  would; a worker then reads the pauses anew (see `worker.holds`).

A pause and its audit record, under ``pause <namespace>/<saga>``, are one transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from .port import AuditRecord


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """A saga (none: the whole namespace) that stands still. since: seconds since the epoch."""

    namespace: str
    saga: str = ""
    by: str = ""
    reason: str = ""
    since: float = 0.0


AUDITED = "pause "
"""How the names begin under which the audit keeps what was done to pauses."""


def audit_key(namespace: str, saga: str) -> str:
    """Under which name the audit keeps what was done to a pause, where executions have their uid."""
    return f"{AUDITED}{namespace}/{saga}"


class PauseSide(Protocol):
    """What pauses of sagas and namespaces need of a store."""

    async def add_pause(self, pause: Pause, audit: AuditRecord) -> Pause:
        """Let it stand still, with the audit record, in one transaction.

        What is paused already stays so: returns the pause that holds, and records nothing.
        """
        ...

    async def end_pause(self, namespace: str, saga: str, audit: AuditRecord) -> Pause | None:
        """Let it go on, with the audit record, in one transaction; returns the pause that held.

        None: it was not paused, and nothing is recorded. (Of two at once one gets it. Several servers have a
        transaction each, so there it may be both.)
        """
        ...

    async def pauses(self, namespace: str = "") -> list[Pause]:
        """All that holds, of that namespace or of all, by namespace and saga."""
        ...
