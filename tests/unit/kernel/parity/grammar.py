"""Random programs: a small grammar of asyncio, its interpreter, and a Hypothesis strategy.

A program is a tree of tuples; `body` makes an ``async def`` of it.  Each node says when it begins and how it ends, so
that a difference in any order shows.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from hypothesis import strategies as st

from amends import saga

from .world import Bang, Boom, Program, observed, say, shape, work

Tree = tuple[Any, ...]


class Shared:
    """What the tasks of one run share."""

    def __init__(self) -> None:
        self.locks = [asyncio.Lock() for _ in range(2)]
        self.gates = [asyncio.Semaphore(1), asyncio.Semaphore(2)]
        self.events = [asyncio.Event() for _ in range(2)]
        self.conditions = [asyncio.Condition()]
        self.queues: list[asyncio.Queue[str]] = [asyncio.Queue(), asyncio.Queue(1)]


def body(tree: Tree) -> Callable[[], Awaitable[Any]]:
    """The program that a tree stands for."""

    async def run() -> Any:
        return await _play(tree, "0", Shared())

    return run


async def _play(tree: Tree, at: str, shared: Shared) -> Any:
    say(at, "begins", tree[0])
    try:
        value = await _NODES[tree[0]](tree, at, shared)
    except BaseException as error:
        if not isinstance(error, (Exception, asyncio.CancelledError)):
            raise
        say(at, "raises", shape(error), _cancels())
        raise
    say(at, "ends", _cancels())
    return value


def _cancels() -> int:
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


# ---------------------------------------------------------------- leaves


async def _sleep(tree: Tree, at: str, shared: Shared) -> str:
    return await asyncio.sleep(tree[1], at)


async def _step(tree: Tree, at: str, shared: Shared) -> str:
    return await work(at, tree[1], tree[2])


async def _fail(tree: Tree, at: str, shared: Shared) -> None:
    raise {"boom": Boom, "bang": Bang}[tree[1]](at)


async def _set(tree: Tree, at: str, shared: Shared) -> None:
    shared.events[tree[1]].set()


async def _wait(tree: Tree, at: str, shared: Shared) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(tree[2]):
            await shared.events[tree[1]].wait()


async def _put(tree: Tree, at: str, shared: Shared) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(shared.queues[tree[1]].put(at), tree[2])


async def _get(tree: Tree, at: str, shared: Shared) -> None:
    with contextlib.suppress(TimeoutError):
        say(at, "gets", await asyncio.wait_for(shared.queues[tree[1]].get(), tree[2]))


async def _notified(tree: Tree, at: str, shared: Shared) -> None:
    condition = shared.conditions[0]
    async with condition:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(condition.wait(), tree[1])


async def _notify(tree: Tree, at: str, shared: Shared) -> None:
    condition = shared.conditions[0]
    async with condition:
        condition.notify(tree[1])


# ---------------------------------------------------------------- branches


async def _row(tree: Tree, at: str, shared: Shared) -> list[Any]:
    return [await _play(part, f"{at}.{n}", shared) for n, part in enumerate(tree[1])]


async def _gather(tree: Tree, at: str, shared: Shared) -> int:
    parts = [_play(part, f"{at}.{n}", shared) for n, part in enumerate(tree[1])]
    return len(await asyncio.gather(*parts, return_exceptions=tree[2]))


async def _group(tree: Tree, at: str, shared: Shared) -> None:
    *tasks, last = tree[1]
    async with asyncio.TaskGroup() as group:
        for n, part in enumerate(tasks):
            group.create_task(_play(part, f"{at}.{n}", shared))
        await _play(last, f"{at}.{len(tasks)}", shared)


async def _timeout(tree: Tree, at: str, shared: Shared) -> None:
    async with asyncio.timeout(tree[1]):
        await _play(tree[2], f"{at}.t", shared)


async def _wait_for(tree: Tree, at: str, shared: Shared) -> None:
    await asyncio.wait_for(_play(tree[2], f"{at}.w", shared), tree[1])


async def _cancel_after(tree: Tree, at: str, shared: Shared) -> None:
    task = asyncio.create_task(_play(tree[2], f"{at}.c", shared))
    asyncio.get_running_loop().call_later(tree[1], task.cancel, "later")
    with contextlib.suppress(asyncio.CancelledError):
        await task
    say(at, task.done() and task.cancelled())


async def _shield(tree: Tree, at: str, shared: Shared) -> None:
    await asyncio.shield(_play(tree[1], f"{at}.s", shared))


async def _guarded(tree: Tree, at: str, shared: Shared) -> None:
    try:
        await _play(tree[1], f"{at}.g", shared)
    except Exception as error:
        say(at, "catches", shape(error))


async def _finally(tree: Tree, at: str, shared: Shared) -> None:
    try:
        await _play(tree[1], f"{at}.f", shared)
    finally:
        await _play(tree[2], f"{at}.e", shared)


async def _lock(tree: Tree, at: str, shared: Shared) -> None:
    async with shared.locks[tree[1]]:
        await _play(tree[2], f"{at}.l", shared)


async def _gate(tree: Tree, at: str, shared: Shared) -> None:
    async with shared.gates[tree[1]]:
        await _play(tree[2], f"{at}.m", shared)


async def _first(tree: Tree, at: str, shared: Shared) -> None:
    tasks = [asyncio.create_task(_play(part, f"{at}.{n}", shared)) for n, part in enumerate(tree[1])]
    for earliest in asyncio.as_completed(tasks):
        try:
            await earliest
        except Exception as error:
            say(at, "sees", shape(error))


_NODES: dict[str, Callable[[Tree, str, Shared], Awaitable[Any]]] = {
    "sleep": _sleep,
    "step": _step,
    "fail": _fail,
    "set": _set,
    "wait": _wait,
    "put": _put,
    "get": _get,
    "notified": _notified,
    "notify": _notify,
    "row": _row,
    "gather": _gather,
    "group": _group,
    "timeout": _timeout,
    "wait_for": _wait_for,
    "cancel_after": _cancel_after,
    "shield": _shield,
    "guarded": _guarded,
    "finally": _finally,
    "lock": _lock,
    "gate": _gate,
    "first": _first,
}

# ---------------------------------------------------------------- what Hypothesis draws

TICKS = st.sampled_from([0, 1, 1, 2, 3, 5, 8])
LONGER = st.sampled_from([1, 2, 3, 5, 8])
TWO = st.sampled_from([0, 1])
FAILS = st.sampled_from(["", "", "", "boom: step", "bang: step"])


def leaves(*, steps: bool, without: frozenset[str]) -> st.SearchStrategy[Tree]:
    """Nodes without parts."""
    kinds = {
        "step": st.tuples(st.just("step"), LONGER, FAILS),
        "sleep": st.tuples(st.just("sleep"), TICKS),
        "fail": st.tuples(st.just("fail"), st.sampled_from(["boom", "bang"])),
        "set": st.tuples(st.just("set"), TWO),
        "wait": st.tuples(st.just("wait"), TWO, LONGER),
        "put": st.tuples(st.just("put"), TWO, LONGER),
        "get": st.tuples(st.just("get"), TWO, LONGER),
        "notified": st.tuples(st.just("notified"), LONGER),
        "notify": st.tuples(st.just("notify"), LONGER),
    }
    if not steps:
        del kinds["step"]
    return st.one_of([kind for name, kind in kinds.items() if name not in without])


def branches(part: st.SearchStrategy[Tree], without: frozenset[str]) -> st.SearchStrategy[Tree]:
    """Nodes with parts."""
    parts = st.lists(part, min_size=1, max_size=4)
    kinds = {
        "row": st.tuples(st.just("row"), parts),
        "gather": st.tuples(st.just("gather"), parts, st.booleans()),
        "group": st.tuples(st.just("group"), parts),
        "timeout": st.tuples(st.just("timeout"), TICKS, part),
        "wait_for": st.tuples(st.just("wait_for"), TICKS, part),
        "cancel_after": st.tuples(st.just("cancel_after"), TICKS, part),
        "shield": st.tuples(st.just("shield"), part),
        "guarded": st.tuples(st.just("guarded"), part),
        "finally": st.tuples(st.just("finally"), part, part),
        "lock": st.tuples(st.just("lock"), TWO, part),
        "gate": st.tuples(st.just("gate"), TWO, part),
        "first": st.tuples(st.just("first"), parts),
    }
    return st.one_of([kind for name, kind in kinds.items() if name not in without])


def trees(*, steps: bool, without: frozenset[str] = frozenset()) -> st.SearchStrategy[Tree]:
    """Whole programs: with steps or of asyncio alone, and without some kinds of nodes."""
    leaf = leaves(steps=steps, without=without)
    return st.recursive(leaf, lambda part: branches(part, without), max_leaves=14)


_playing: list[Callable[[], Awaitable[Any]]] = []


@saga(name="parity.random")
async def _random_saga() -> Any:
    return await observed(_playing[-1])


def program_of(tree: Tree) -> Program:
    """A program of the tree. (One saga plays them all, one after the other: run it before you make the next.)"""
    _playing[:] = [body(tree)]
    return Program("random", _playing[-1], saga=_random_saga)
