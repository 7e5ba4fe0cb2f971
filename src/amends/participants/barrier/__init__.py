"""The barrier: keeps a participant's effects right, whatever the network does to its requests.

A participant is a service that performs an action for a saga. Requests come twice; a compensation comes
although its action never arrived (*null*); an action arrives after its compensation, delayed somewhere
(*hanging*). The barrier is one table in the participant's own database and one statement in its own
transaction:

    barrier = Barrier()

    with connection:
        entry = barrier.enter(connection, key, reply={"payment": payment})
        if entry.execute:
            connection.execute("INSERT INTO payments …")
    return entry.answer()

It needs no engine and works with any orchestrator: `Key` says which action, `dtm`, `temporal` and
`step_functions` make one from what those send. `amends.participants.barrier.web` turns requests into keys
and refusals into responses. `verdict` has the table of states, and why one statement is enough.
"""

from __future__ import annotations

from .barrier import Barrier
from .drivers import NoTransaction, UnknownDriver
from .keys import InvalidKey, Key, dtm, step_functions, temporal
from .verdict import Entry, Found, Hanging, State, Verdict

__all__ = [
    "Barrier",
    "Entry",
    "Found",
    "Hanging",
    "InvalidKey",
    "Key",
    "NoTransaction",
    "State",
    "UnknownDriver",
    "Verdict",
    "dtm",
    "step_functions",
    "temporal",
]
