"""One store on several servers: each holds a range of partitions, with all that is in them.

**Theory of operation.**

*Who is where.*  The root's id decides (`partition`): so an execution, all that is nested in it, its journal,
inbox, timers, tasks and audit are on one server, and a start of an id that exists meets it there.  Parent and
child talk through the store, and they are the only executions that do: whatever a commit writes is of one
tree.  Therefore no commit ever spans two servers, there is no transaction over several, and no message needs
to be carried from one to another.  What a server promises of a commit holds here as it does of one alone.

*Workers.*  An engine has one worker a server, each with the ordinary port of that server and an incarnation,
a fence and a lease of its own there (`stores_of`, `engine.post`).  So what happens to a server happens to its
worker alone: it waits, loses its incarnation, registers again.  The others hear nothing of it.  Whoever
serves queues likewise serves them server by server.

*Clients* speak to all of them through `Places`.  What names an id goes to its server.  What names a uid goes
where that uid was seen, or else every server is asked for it.  Lists ask all and are merged, in the order of
uids, which is the same everywhere.

*Who holds what* is said by a table on each server: the store's family, which of how many it is, its range.
The rows are written in order, first server first, and only then is each called complete; a store is usable
once one of them is.  Whoever opens it compares.  From one complete row on, a server without a row is not a
new one but one that was lost, and is refused.  (While none is complete all servers must be there, and each
must be empty; of two that make the store at once the first row on the first server decides on the family.)

*Where it may break.*

* A server is down: what is on it cannot be reached, and says so (`StoreBusy`).  All else goes on.  Whoever
  opens the store meanwhile goes on trying to open that server, and serves the others.  A list of what is on
  all servers is refused rather than given with a part left out.
* Messages of one `send` to executions on different servers are all-or-none on each.  Nobody sends such.
* Data keys are on the server that their subject falls to.  Who has a key at hand needs that server no more
  until its lifetime is over; then executions of the subject wait for it, wherever they are.
* Limits of queues are shared out (`limits`), since no transaction could look at all servers.
"""

from __future__ import annotations

from typing import Any, cast

from ...errors import Refused, StoreError
from ..enlisting import Enlistment
from ..port import Store
from .keys import KeyPart
from .pausing import PausePart

WORKERS = (
    "register", "retire", "commit_now", "commit", "serve", "claim", "next_wake", "news", "changed",
    "transact", "park", "tidy", "take_tasks", "renew_tasks", "report_tasks", "return_tasks", "cancel_tasks",
)  # fmt: skip
"""What is asked of one server at a time, by its worker."""


class Places(PausePart, KeyPart):
    """A store on several servers, as clients see it. See the module's theory of operation."""

    async def enlistment(self) -> Enlistment:
        """Raises `Refused`: the id decides on the server, and a transaction is on one already."""
        raise Refused(
            "connection= needs one database that you share with the store, and this one is on"
            f" {len(self.members)} servers",
            hint="start it after your commit, with an id of your own, and again until that has succeeded: the"
            " same id is the same execution",
        )


def _refused(call: str) -> Any:
    def refused(self: Places, *arguments: Any, **options: Any) -> Any:
        raise StoreError(
            f"{call}() is asked of one server, and this store is on {len(self.members)}",
            hint="each has a worker of its own (`stores_of`); an Engine and a QueueWorker see to that",
        )

    refused.__name__ = refused.__qualname__ = call
    return refused


for _name in WORKERS:
    setattr(Places, _name, _refused(_name))


def places(stores: list[Any]) -> Store:
    """One store on these servers, in this order. Raises `StoreError`."""
    return cast("Store", Places(stores))


def stores_of(store: Store) -> list[Store]:
    """The stores that workers serve: those of each server, or this very one."""
    return [member.store for member in store.members] if isinstance(store, Places) else [store]


def place_of(store: Store, namespace: str, id: str) -> int:
    """Which of `stores_of` an execution belongs to."""
    return store.place_of(namespace, id) if isinstance(store, Places) else 0
