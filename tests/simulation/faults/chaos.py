"""Faults that strike at the points of the store and of the network. All is drawn from the seed."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from amends.errors import CommitUnknown, StoreBusy, StoreError, StoreFull
from amends.store.port import Code, Verdict, Write
from amends.testing.services import Fate, Request
from amends.testing.simulation import Process

from .kinds import CUTS
from .saga import TIMEOUT

if TYPE_CHECKING:
    from .run import Run

COMMITS = frozenset({"commit", "commit_now"})
READS = frozenset({"claim", "news", "next_wake", "pauses", "read"})
RECOVERY = frozenset({"claim", "register", "read"})
TELLING = frozenset({"create", "send", "unpark", "add_pause", "end_pause"})


class Chaos:
    """Decides at each point. `active` ends with the time of faults; `fired` counts them."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.chance = random.Random(f"chaos {run.plan.seed}")
        self.rates = run.plan.kinds
        self.left = run.plan.budget
        self.fired: Counter[str] = Counter()
        self.active = True
        self.full_until = 0.0
        self.down_until = 0.0

    def strikes(self, kind: str) -> bool:
        """Does this kind of fault strike now?"""
        rate = self.rates.get(kind)
        if rate is None or not self.active or self.left <= 0 or self.chance.random() >= rate:
            return False
        self.left -= 1
        self.count(kind)
        return True

    def count(self, kind: str) -> None:
        """One more fault."""
        self.fired[kind] += 1
        self.run.simulation.note(f"fault {kind}")

    # ------------------------------------------------------------ the store

    def is_slow(self, process: Process, writes: Sequence[Write]) -> bool:
        """Some commits are made in the background."""
        return "commit_slow" in self.rates and self.active and self.chance.random() < 0.3

    def refuses(self, process: Process, writes: Sequence[Write]) -> dict[int, Verdict]:
        """A row that the database does not take, or a journal that has moved."""
        if process is self.run.client:
            return {}
        for kind, code in (("row_refused", Code.POISON), ("row_taken", Code.CONFLICT)):
            if kind in self.rates:
                places = [
                    place
                    for place, write in enumerate(writes)
                    if write.start is None and write.row is not None
                ]
                if places and self.strikes(kind):
                    return {self.chance.choice(places): Verdict(code, reason="injected")}
        return {}

    def before(self, process: Process, call: str, arguments: Sequence[Any]) -> float:
        """Before a call of the store."""
        if process is self.run.client:
            return self.chance.choice((0.0, 0.0, 0.01, 0.3))
        if call in COMMITS:
            self.run.disk.commits()
            return self._before_commit(process)
        if call == "park":
            self.run.parked.add(arguments[1])  # its code cannot go on, whether the store hears of it or not
            if self.strikes("crash_while_parking"):
                process.kill()
        if call in RECOVERY and self.strikes("crash_in_recovery"):
            process.kill()
        if call in READS and self.strikes("read_fails"):
            raise StoreError(f"injected: {call} failed")
        if call in READS and self.strikes("read_busy"):
            raise StoreBusy(f"injected: no {call} just now")
        if call in ("register", "retire") and self.strikes("recovery_fails"):
            raise StoreError(f"injected: {call} failed")
        return 0.0

    def _before_commit(self, process: Process) -> float:
        now = self.run.simulation.now
        if now < self.full_until:
            raise StoreFull("injected: still no room")
        if self.strikes("commit_crash_before"):
            process.kill()
            return 0.0
        if self.strikes("commit_fails"):
            raise StoreError("injected: the store failed before it wrote")
        if self.strikes("commit_nack_lost"):
            raise CommitUnknown("injected: not written, but who knows")
        if self.strikes("commit_busy"):
            raise StoreBusy("injected: somebody else writes")
        if self.strikes("disk_full"):
            self.full_until = now + self.chance.choice((0.1, 1.0, 7.0))
            raise StoreFull("injected: no room")
        return self.chance.choice((0.05, 0.5, 3.0)) if self.strikes("commit_slow") else 0.0

    def after(self, process: Process, call: str, arguments: Sequence[Any], result: Any) -> None:
        """After a call of the store."""
        if call == "commit":
            writes = arguments[1]
            for kind in CUTS:
                if kind in self.rates and self.strikes(kind):
                    self.run.cut_power(kind)
                    return
            self.run.durable(arguments[0], writes, result)
            if any(write.messages for write in writes):
                self.tell(process)
            if self.strikes("commit_crash_after"):
                process.kill()
            elif self.strikes("commit_ack_lost"):
                raise CommitUnknown("injected: written, but the answer is lost")
        elif call in TELLING:
            self.tell(process)
        elif call == "pauses":
            self.run.knows[process.number] = {(pause.namespace, pause.saga) for pause in result}

    def tell(self, process: Process) -> None:
        """A hint to all workers that there is news; hints may be lost."""
        for other in self.run.simulation.processes:
            if other is not process and not self.strikes("wake_up_lost"):
                self.run.stir(other)

    # ------------------------------------------------------------ the network

    def send(self, process: Process, request: Request) -> Fate:
        """What becomes of a request."""
        chance = self.chance
        latency = self.run.plan.latency
        there, back = chance.random() * latency, chance.random() * latency
        if not self.active:
            return Fate([there], back)
        if self.run.simulation.now < self.down_until:
            return Fate([], None)
        if self.strikes("crash_at_send"):
            process.kill()
        for kind, fate in _FATES.items():
            if self.strikes(kind):
                return fate(there, back, chance)
        return Fate([there], back)

    def script(self, request: Request) -> str:
        """Errors of the service that come by chance; empty: it does what its node says."""
        if request.direction == "undo":
            return ""
        if self.strikes("fails_without_effect"):
            return "fail-"
        return "fail+" if self.strikes("fails_with_effect") else ""


_FATES: dict[str, Any] = {
    "refused": lambda there, back, chance: Fate([], None, refused=True),
    "request_lost": lambda there, back, chance: Fate([], None),
    "reply_lost": lambda there, back, chance: Fate([there], None),
    "late_success": lambda there, back, chance: Fate([there], TIMEOUT + back),
    "late_arrival": lambda there, back, chance: Fate([TIMEOUT + chance.random() * 30], back),
    "duplicated": lambda there, back, chance: Fate([there, there + chance.choice((0.0, 0.5, 20.0))], back),
    "slow": lambda there, back, chance: Fate([there], max(0.0, TIMEOUT * 0.9 - there)),
    "timer_race": lambda there, back, chance: Fate([there], TIMEOUT - there),
}
