"""``amends queue``, and what `amends show` says of steps that are in one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from amends import Engine, QueueFull, saga, step
from amends.cli.exits import Exit, of_error
from tests.unit.cli.conftest import Done

Amends = Callable[..., Done]


@step(name="cli.send", queue="emails")
async def send(to: str) -> str:
    return to


@saga(name="cli.mail")
async def mail(to: str) -> str:
    return await send(to)


def waiting() -> None:
    """A store in which a task waits."""

    async def main() -> None:
        async with Engine("sqlite:///orders.db", sagas=[mail]) as engine:
            await engine.start(mail("ann"), id="mail-1")
            async with asyncio.timeout(20):
                while not await engine.queues.list():
                    await asyncio.sleep(0.005)

    asyncio.run(main())


def test_a_queue_is_listed_and_steered(amends: Amends, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.amends]\nstore = "sqlite:///orders.db"\n')
    waiting()
    found = amends("queue", "list", "--json").json
    assert (found["name"], found["waiting"], found["paused"]) == ("emails", 1, False)
    assert amends("queue", "pause", "emails").out == "emails: pause recorded\n"
    assert amends("queue", "limit", "emails", "--concurrency", "5", "--rate", "0.5").code == 0
    done = amends("queue", "limit", "emails", "--rate", "0", "--depth", "100")
    assert done.out == "emails: 5 concurrency, 100 waiting\n"
    said = amends("queue", "list").out
    assert all(word in said for word in ("emails", "paused", "5 concurrency"))
    assert amends("queue", "resume", "emails").code == 0
    assert not amends("queue", "list", "--json").json["paused"]
    shown = amends("show", "mail-1")
    assert "waiting in emails" in shown.out
    (task,) = amends("show", "mail-1", "--json").json["tasks"]
    assert (task["step"], task["state"], task["queue"]) == ("cli.send", "waiting", "emails")


def test_a_queue_that_nothing_is_known_of(amends: Amends, tmp_path: Path) -> None:
    """It may be one that is to come, so it is recorded; it may be a slip, so that is told."""
    (tmp_path / "pyproject.toml").write_text('[tool.amends]\nstore = "sqlite:///orders.db"\n')
    waiting()
    done = amends("queue", "pause", "emials")
    assert (done.code, done.out) == (0, "emials: pause recorded\n")
    assert "emials: no task and no setting of such a queue was known. Did you mean 'emails'?" in done.err
    assert amends("queue", "resume", "emails").err == ""
    assert amends("queue", "pause", "emials").err == "", "now it has a setting"
    done = amends("queue", "limit", "zzz", "--rate", "1", "--json")
    assert (done.json["name"], done.err) == ("zzz", "")


def test_mistakes(amends: Amends, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.amends]\nstore = "sqlite:///orders.db"\n')
    waiting()
    assert "the queue's name is missing" in amends("queue", "pause").err
    assert "no limit is given" in amends("queue", "limit", "emails").err
    assert "a burst without a rate" in amends("queue", "limit", "emails", "--burst", "3").err


def test_a_start_without_room_is_refused() -> None:
    """It is no run that goes on after the time of `--timeout`: nothing was started."""
    assert of_error(QueueFull("no room")) is Exit.REFUSED
    assert of_error(TimeoutError()) is Exit.TIMEOUT
