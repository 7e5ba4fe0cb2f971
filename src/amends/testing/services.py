"""The services that steps call, and the network between: outside of every process, with their own books.

A *service* keeps an account for each action (an idempotency key without its direction).  With its barrier it
survives duplicates, compensations whose action never came (*null*), and actions that come after their
compensation (*hanging*). Without it, it does what it is told as often as it is told.  Its `log` is what
really happened, whatever the engine believes.

A *network* carries a request to its service and the reply back, and loses, delays and repeats them as its
`Fates` say. Death of the sender changes nothing about what it has sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..errors import Rejected
from .marks import sometimes
from .simulation import Process, Simulation

NEW, DONE, UNDONE, REJECTED = "new", "done", "undone", "rejected"


class Hanging(Exception):
    """An action came after its compensation: it is refused, and nothing is done."""


class Broken(Exception):
    """The service answers with an error that says nothing."""


@dataclass(slots=True)
class Request:
    """What a step or compensation asks of a service: `key` is its idempotency key."""

    key: str
    label: str
    at: float = 0.0

    @property
    def action(self) -> str:
        """The key without its direction."""
        return self.key.rpartition("/")[0]

    @property
    def direction(self) -> str:
        """``do`` or ``undo`` (or ``do+…`` after an operator's retry with other arguments)."""
        return self.key.rpartition("/")[2]


@dataclass(slots=True)
class Account:
    """One action, as its service knows it. `effect` is how often it stands now."""

    state: str = NEW
    effect: int = 0
    done: int = 0
    undone: int = 0
    arrivals: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Entry:
    """One line of a service's log."""

    at: float
    key: str
    label: str
    verdict: str


Script = Callable[[Request, int], str]
"""What a service does by itself with the n-th arrival of a request: ``ok``, ``reject``, ``fail+`` (it acts,
then fails),
``fail-`` (it fails and does not act)."""


class Service:
    """Keeps accounts, and a log of all that arrived."""

    def __init__(self, simulation: Simulation, script: Script, *, barrier: bool = True) -> None:
        self.simulation = simulation
        self.barrier = barrier
        self.accounts: dict[str, Account] = {}
        self.log: list[Entry] = []
        self._script = script

    def account(self, action: str) -> Account:
        """The account of an action."""
        return self.accounts.setdefault(action, Account())

    def handle(self, request: Request) -> str:
        """A request arrives. Raises what a client would see as an error of the service."""
        account = self.account(request.action)
        direction = request.direction
        number = account.arrivals[direction] = account.arrivals.get(direction, 0) + 1
        verdict = "execute"
        try:
            if direction == "undo":
                verdict = self._undo(request, account, number)
            else:
                verdict = self._do(request, account, number)
        except Exception as error:
            verdict = type(error).__name__
            raise
        finally:
            sometimes(f"a service said {verdict} to {'undo' if direction == 'undo' else 'do'}")
            self.log.append(Entry(self.simulation.now, request.key, request.label, verdict))
            self.simulation.note(f"service {request.key} {request.label} {verdict}")
        return f"r:{request.label}"

    def _do(self, request: Request, account: Account, number: int) -> str:
        if self.barrier:
            if account.state == DONE:
                return "duplicate"
            if account.state == UNDONE:
                raise Hanging(request.key)
            if account.state == REJECTED:
                raise Rejected("no, as before")
        word = self._script(request, number)
        if word == "reject":
            account.state = REJECTED
            raise Rejected("no")
        if word != "fail-":
            account.state = DONE
            account.effect += 1
            account.done += 1
        if word != "ok":
            raise Broken(word)
        return "execute"

    def _undo(self, request: Request, account: Account, number: int) -> str:
        word = self._script(request, number)
        if word == "fail-":
            raise Broken(word)
        verdict = "execute"
        if account.state == DONE or not self.barrier:
            account.effect = account.effect - 1 if not self.barrier or account.effect else 0
            account.undone += 1
        else:
            verdict = "duplicate" if account.state == UNDONE else "null"
        account.state = UNDONE
        if word != "ok":
            raise Broken(word)
        return verdict


@dataclass(slots=True)
class Fate:
    """What becomes of a request: seconds until each copy arrives, and until the reply of the first is back.

    No copies: it is lost. No `back`: the reply is lost. `refused`: it was certainly never sent.
    """

    there: list[float]
    back: float | None
    refused: bool = False


class Fates(Protocol):
    """Decides what becomes of each request."""

    def send(self, process: Process, request: Request) -> Fate:
        """A process sends. It may be killed by that."""
        ...


class Network:
    """Carries requests of all processes to the service and replies back."""

    def __init__(self, simulation: Simulation, service: Service, fates: Fates) -> None:
        self._simulation = simulation
        self._service = service
        self._fates = fates

    async def call(self, process: Process, request: Request) -> str:
        """Send a request and wait for its reply (for ever: it is the caller who has a timeout)."""
        request.at = self._simulation.now
        fate = self._fates.send(process, request)
        if fate.refused:
            raise ConnectionRefusedError(f"nobody listens for {request.label}")
        outside = self._simulation.outside.loop
        reply: asyncio.Future[tuple[str, Exception | None]] = process.loop.create_future()
        for place, delay in enumerate(fate.there):
            back = fate.back if place == 0 else None
            outside.call_later(delay, self._arrive, process, request, reply, back)
        value, error = await reply
        if error is not None:
            raise error
        return value

    def _arrive(
        self,
        process: Process,
        request: Request,
        reply: asyncio.Future[tuple[str, Exception | None]],
        back: float | None,
    ) -> None:
        answer: tuple[str, Exception | None]
        try:
            answer = (self._service.handle(request), None)
        except Exception as error:  # noqa: BLE001 - carried to the caller
            answer = ("", error)
        if back is not None:
            self._simulation.outside.loop.call_later(back, _answer, process, reply, answer)


def _answer(process: Process, reply: asyncio.Future[Any], answer: tuple[str, Exception | None]) -> None:
    if process.alive and not reply.done():
        reply.set_result(answer)
