"""Where an execution goes on from the journal of another one (see `amends.engine.forking`).

The rows before this event were written as the original.  What the saga's code was told of itself there (its
uid, its id, chance, the uids of nested sagas) is told again as the original; from this event on it is told as
the execution itself.  The event has a row to itself, so that it falls between two activations.
"""

from __future__ import annotations

import msgspec


class Forked(msgspec.Struct, array_like=True, gc=False, frozen=True, omit_defaults=True, tag="forked"):
    """What stands before is another execution's, which has ended; this one goes on from there.

    uid, id: as whom that was written (its actions keep their idempotency keys).  source: the id of the
    execution that was forked, before the step `step`, its action `action`.  idle: seconds for which nobody
    went on; timers and deadlines do not count them.
    """

    uid: str
    id: str
    source: str
    action: str
    step: str
    idle: float = 0.0
    reason: str = ""
    by: str = ""
