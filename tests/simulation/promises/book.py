"""The participants' book: what really reached them, in the order in which it did.

The engine's own journal says what the engine believes.  The book is written by the steps and compensations
themselves, so it knows of every dispatch: also of those that the engine forgot, lost or repeated.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import amends
from amends import Rejected, Retry, Step

OK = object()
"""In a script: do it, and return the usual value."""

ONCE = Retry(attempts=1)


class Call:
    """One dispatch: which action, under which key, what was given, how it ended and when (in ticks)."""

    def __init__(self, book: Book, name: str, direction: str, tag: str, result: Any) -> None:
        now = amends.current()
        self.book = book
        self.name = name
        self.direction = direction
        self.tag = tag
        self.result = result  # what a compensation was given
        self.key = now.idempotency_key
        self.uid = now.uid
        self.run = now.run
        self.action = now.action
        self.attempt = now.attempt
        self.outcome = now.outcome  # in a compensation: of its action
        self.at = book.now()  # the engine's clock at its begin, seconds
        self.began = book.tick()
        self.ended: int | None = None
        self.how = "running"

    def end(self, how: str) -> None:
        self.ended = self.book.tick()
        self.how = how
        self.book.stir()

    @property
    def where(self) -> tuple[str, int, str]:
        """The action: its execution, run and id."""
        return self.uid, self.run, self.action

    def __repr__(self) -> str:
        tag = f"[{self.tag}]" if self.tag else ""
        return f"<{self.direction} {self.name}{tag} {self.key.partition('/')[2]} {self.how} {self.began}-{self.ended}>"


async def hang(call: Call) -> None:
    """In a script: answer never (until cancelled)."""
    await asyncio.get_running_loop().create_future()


class Book:
    """All calls of all participants, and the makers of steps that write them down."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.calls: list[Call] = []
        self.traps: dict[tuple[int, str], Callable[[], None]] = {}
        self._ticks = itertools.count(1)
        self._waiters: list[asyncio.Future[None]] = []
        self._lock = threading.Lock()

    # ------------------------------------------------------------ making steps

    def step(
        self,
        name: str,
        *script: Any,
        undo: Any = (OK,),
        plain: bool = False,
        undo_options: dict[str, Any] | None = None,
        **options: Any,
    ) -> Step[[str], str]:
        """A step `name(tag)` whose n-th dispatch does what the script's n-th item says (the last repeats).

        An exception is raised, a function is called with the `Call` (and awaited), `OK` returns `name:tag`,
        anything else is returned.  `undo` is the compensation's script (None: it has none).  `plain`: a `def` step.
        Without other word there is one attempt only.
        """
        options.setdefault("retry", ONCE)
        todo = script or (OK,)
        declare = amends.step(name=name, **options)
        if plain:

            def act(tag: str = "") -> str:
                return self._play(self._begin(name, "do", tag), todo)  # type: ignore[no-any-return]
        else:

            async def act(tag: str = "") -> str:  # type: ignore[misc]
                return await self._perform(self._begin(name, "do", tag), todo)  # type: ignore[no-any-return]

        made: Step[[str], str] = declare(act)
        if undo is not None:
            self._compensation(made, name, tuple(undo), plain, undo_options or {})
        return made

    def _compensation(self, step: Any, name: str, script: Any, plain: bool, options: dict[str, Any]) -> None:
        if plain:

            def take_back(result: str | None, tag: str = "") -> None:
                self._play(self._begin(name, "undo", tag, result), script)
        else:

            async def take_back(result: str | None, tag: str = "") -> None:  # type: ignore[misc]
                await self._perform(self._begin(name, "undo", tag, result), script)

        step.compensation(**options)(take_back)

    def alternate(self, name: str, *script: Any) -> Callable[..., Any]:
        """Another way to undo the step `name`, written down under `name/alternate`."""

        async def other(result: str | None, tag: str = "") -> None:
            await self._perform(self._begin(f"{name}/alternate", "undo", tag, result), script or (OK,))

        return other

    def _begin(self, name: str, direction: str, tag: str, result: Any = None) -> Call:
        with self._lock:
            call = Call(self, name, direction, tag, result)
            self.calls.append(call)
        self.stir()
        return call

    def _item(self, call: Call, script: tuple[Any, ...]) -> Any:
        """What this dispatch does: by how many there were before it (of that name, tag and execution)."""
        like = [
            c for c in self.calls if (c.name, c.direction, c.tag) == (call.name, call.direction, call.tag)
        ]
        return script[min(len([c for c in like if c.uid == call.uid]), len(script)) - 1]

    async def _perform(self, call: Call, script: tuple[Any, ...]) -> Any:
        number = len(self.calls)
        try:
            await self._spring(number, "begun")
            value = self._decide(call, self._item(call, script))
            if asyncio.iscoroutine(value):
                value = await value
        except BaseException as error:
            call.end(_how(error))
            raise
        call.end("ok")
        await self._spring(number, "done")
        return f"{call.name}:{call.tag}" if value is None else value

    async def _spring(self, number: int, moment: str) -> None:
        """Whoever set a trap at this moment of the n-th call wants nothing to come of it."""
        trap = self.traps.pop((number, moment), None)
        if trap is not None:
            trap()
            await asyncio.get_running_loop().create_future()

    def _play(self, call: Call, script: tuple[Any, ...]) -> Any:
        try:
            value = self._decide(call, self._item(call, script))
        except BaseException as error:
            call.end(_how(error))
            raise
        call.end("ok")
        return f"{call.name}:{call.tag}" if value is None else value

    def _decide(self, call: Call, item: Any) -> Any:
        if item is OK:
            return None
        if isinstance(item, BaseException) or (isinstance(item, type) and issubclass(item, BaseException)):
            raise item
        return item(call) if callable(item) else item

    # ------------------------------------------------------------ reading

    def tick(self) -> int:
        return next(self._ticks)

    def of(self, name: str, direction: str = "do", tag: str | None = None) -> list[Call]:
        """The calls of a step (of one tag)."""
        return [
            c
            for c in self.calls
            if c.name == name and c.direction == direction and (tag is None or c.tag == tag)
        ]

    def done(self, direction: str = "do") -> list[str]:
        """Names (with tags) of the calls that ended well, in order of their ends."""
        ended = sorted((c for c in self.calls if c.how == "ok" and c.direction == direction), key=_end)
        return [_label(c) for c in ended]

    @property
    def undone(self) -> list[str]:
        """Names (with tags) of the compensations that ended well, in order."""
        return self.done("undo")

    @property
    def remaining(self) -> list[str]:
        """Actions whose effect is there and was not undone: names (with tags), sorted."""
        undone = {c.where for c in self.calls if c.direction == "undo" and c.how == "ok"}
        done = {c.where: c for c in self.calls if c.direction == "do" and c.how == "ok"}
        return sorted(_label(c) for where, c in done.items() if where not in undone)

    # ------------------------------------------------------------ waiting

    def stir(self) -> None:
        """Wake whoever waits in `until` (from any thread)."""
        waiters, self._waiters = self._waiters, []
        for future in waiters:
            loop = future.get_loop()
            if not loop.is_closed():
                loop.call_soon_threadsafe(_wake, future)

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait for an entry that makes the condition true."""
        while not condition():
            future = asyncio.get_running_loop().create_future()
            self._waiters.append(future)
            await future

    async def begun(self, name: str, direction: str = "do", count: int = 1) -> Call:
        """Wait for the begin of the `count`-th call of that kind."""
        await self.until(lambda: len(self.of(name, direction)) >= count)
        return self.of(name, direction)[count - 1]

    # ------------------------------------------------------------ what must hold for every book

    def audit(self, *, crashes: int = 0, retried: bool = False, overlapping: bool = False) -> None:
        """Promises 5 and 7 (and 1 to 3 as far as a book can tell), for every action in it."""
        actions: dict[tuple[str, int, str], dict[str, list[Call]]] = defaultdict(
            lambda: {"do": [], "undo": []}
        )
        for call in self.calls:
            actions[call.where][call.key.rpartition("/")[2]].append(call)
        for (uid, run, action), calls in actions.items():
            for direction, those in calls.items():
                keys = {c.key for c in those}
                assert len(keys) <= 1, f"one action, several keys: {those}"
                assert keys <= {f"{uid}/{run}/{action}/{direction}"}, f"a foreign key: {those}"
                assert overlapping or not _overlapping(those), (
                    f"two attempts of one action at a time: {those}"
                )
                assert len({c.tag for c in those}) <= 1, f"one action, several arguments: {those}"
                if not retried:
                    assert len(those) <= 1 + crashes, f"dispatched too often: {those}"
            self._audit_order(calls["do"], calls["undo"])
        owners: dict[str, tuple[str, int, str]] = {}
        for call in self.calls:
            assert owners.setdefault(call.key, call.where) == call.where, f"two actions, one key: {call}"

    def _audit_order(self, do: list[Call], undo: list[Call]) -> None:
        if not undo:
            return
        first = min(c.began for c in undo)
        for call in do:
            assert call.began < first, f"dispatched after its compensation: {call}, {undo}"
            assert call.ended is not None, f"compensated while it ran: {call}, {undo}"
            assert call.ended < first, f"compensated while it ran: {call}, {undo}"
        for call in undo:
            assert call.name.startswith(do[0].name) if do else True, f"undone by another: {do}, {undo}"


def _overlapping(calls: list[Call]) -> bool:
    calls = sorted(calls, key=lambda c: c.began)
    return any(a.ended is None or a.ended > b.began for a, b in itertools.pairwise(calls))


def _end(call: Call) -> int:
    return call.ended or 0


def _label(call: Call) -> str:
    return f"{call.name}:{call.tag}" if call.tag else call.name


def _how(error: BaseException) -> str:
    if isinstance(error, Rejected):
        return "rejected"
    return "cancelled" if isinstance(error, asyncio.CancelledError) else "failed"


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
