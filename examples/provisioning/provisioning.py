"""A stack in the cloud: a network, and machines with a disk each. All of it, or nothing.

What can be built at the same time is. A machine needs its own disk and the network, and nothing else. So if
it goes wrong, a disk is deleted once its own machine is gone, and the network once all are. Nobody writes
that order down: it is the one in which things were built, backwards.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from datetime import timedelta

import amends
from amends import Engine, Resource, Retry, injected, saga, step
from amends.participants.http import Accepted, HttpClient

SHORTLY = Retry(attempts=6, delay=0.2)
UNDO = Retry(attempts=None, delay=0.2, cap=60)  # a deletion that fails is tried until it does not


@dataclass(frozen=True)
class Stack:
    """What is wanted."""

    name: str
    machines: int = 2


@dataclass(frozen=True)
class Part:
    """A part of a stack. The token is ours, and known before the cloud is asked: what is ordered under it
    can be found and deleted, even if the answer never comes."""

    kind: str
    name: str
    token: str
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Built:
    """What the cloud says of a part that is ready."""

    id: str
    name: str


class Cloud(HttpClient):
    """The cloud's API."""


@step(name="cloud.create", timeout=5, retry=SHORTLY)
async def create(part: Part, cloud: Resource[Cloud] = injected) -> Accepted:
    """Order a part; the cloud builds it in its own time."""
    return (await cloud.post("/parts", json=part)).accepted()


@create.compensation(timeout=60, retry=UNDO)
async def delete(accepted: Accepted | None, part: Part, cloud: Resource[Cloud] = injected) -> None:
    """Delete what was ordered under the token, and wait until it is gone: only then its needs can go."""
    reply = await cloud.delete(f"/parts/{part.token}")
    if reply.status == 202:
        await cloud.poll(reply, every=0.1)


@step(name="cloud.get_built", timeout=10, retry=Retry(attempts=None, delay=0.2, cap=10, total=1800))
async def get_built(accepted: Accepted, cloud: Resource[Cloud] = injected) -> Built:
    """Look once. While it is not ready this attempt fails, and the retries do the waiting: durably."""
    return (await cloud.check(accepted, every=0.1)).read(Built)


async def build(part: Part) -> str:
    """The id of a part that is ready."""
    return (await get_built(await create(part))).id


@saga(name="cloud.provision", deadline=timedelta(hours=2))
async def provision(stack: Stack) -> list[str]:
    def part(kind: str, name: str, *needs: str) -> Part:
        return Part(kind, f"{stack.name}-{name}", str(amends.uuid()), needs)

    async def machine(number: int, network: asyncio.Task[str]) -> str:
        disk = await build(part("disk", f"disk-{number}"))
        return await build(part("machine", f"machine-{number}", disk, await network))

    async with asyncio.TaskGroup() as group:
        network = group.create_task(build(part("network", "network")))
        machines = [group.create_task(machine(n, network)) for n in range(1, stack.machines + 1)]
    return [each.result() for each in machines]


engine = Engine(
    "sqlite:///amends.db",
    sagas=[provision],
    resources=[Cloud(f"http://127.0.0.1:{os.environ.get('CLOUD_PORT', '8700')}", timeout=5)],
)
