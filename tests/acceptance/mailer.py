"""The process that serves a queue and gets killed: ``python -m tests.acceptance.mailer URL FOLDER``.

The participant is a folder: a mail is a file named by its idempotency key, so the same key twice is one mail. What
each process tries is a line in its `tries`.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from amends import QueueWorker, Rejected, Settings, current, saga, step


class Post:
    """Where mails go."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)

    def note(self, what: str, key: str) -> None:
        """A line that survives the process."""
        with (self.folder / "tries").open("a") as file:
            file.write(f"{what} {key} {os.getpid()}\n")
            file.flush()
            os.fsync(file.fileno())

    def tries(self) -> list[list[str]]:
        """All lines: what, key, process."""
        file = self.folder / "tries"
        return [line.split() for line in file.read_text().splitlines()] if file.exists() else []

    def tried(self, what: str, process: int) -> bool:
        """Has that process come so far?"""
        return any(each[0] == what and each[2] == str(process) for each in self.tries())

    def mails(self) -> list[str]:
        """The keys of the mails there are."""
        return sorted(path.name.replace("~", "/") for path in self.folder.glob("*~do"))


@step(name="mailer.send", queue="emails")
async def send(post: str, number: int) -> int:
    """Deliver, then wait for a while: the moment at which the process is killed."""
    place, key = Post(Path(post)), current().idempotency_key
    place.note("begun", key)
    (place.folder / key.replace("/", "~")).touch()
    place.note("sent", key)
    await asyncio.sleep(0.05)
    return number


@send.compensation
async def unsend(sent: int | None, post: str, number: int) -> None:
    place, key = Post(Path(post)), current().idempotency_key
    place.note("undoing", key)
    (place.folder / key.replace("/", "~").replace("~undo", "~do")).unlink(missing_ok=True)
    await asyncio.sleep(0.02)
    place.note("undone", key)


@step(name="mailer.refuse")
async def refuse() -> None:
    raise Rejected("not today")


@saga(name="mailer.campaign")
async def campaign(post: str, count: int, fails: bool) -> list[int]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(send(post, number)) for number in range(count)]
    if fails:
        await refuse()
    return [task.result() for task in tasks]


async def serve(url: str) -> None:
    settings = Settings(steps=4, lease=1.0, poll=0.02, grace=0.2)
    async with QueueWorker(url, queues=["emails"], settings=settings):
        os.write(1, b"serving\n")
        await asyncio.Event().wait()


if __name__ == "__main__":
    from tests.acceptance import mailer

    asyncio.run(mailer.serve(sys.argv[1]))
