"""Real processes that serve a queue, killed: what they had taken is done by others, once by the participant's book."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from amends import Engine, Limits, Settings
from amends.errors import Compensated
from tests.acceptance.mailer import Post, campaign
from tests.acceptance.processes import until_so
from tests.stores import new_schema, url_of

Mailer = subprocess.Popen[bytes]


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/x.db"
        return
    server = request.getfixturevalue("postgres")
    with new_schema(server) as schema:
        yield url_of(server, schema)


def mailer(url: str) -> Mailer:
    return subprocess.Popen([sys.executable, "-m", "tests.acceptance.mailer", url], stdout=subprocess.PIPE)


def killed(process: Mailer) -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


@pytest.mark.slow
@pytest.mark.parametrize("fails", [False, True])
def test_killed_servers_lose_nothing(url: str, tmp_path: Path, fails: bool) -> None:
    post = Post(tmp_path / "post")
    servers: list[Mailer] = []

    async def main() -> None:
        settings = Settings(poll=0.02, grace=0.2, limits=Limits(deaths=1000))
        async with Engine(url, sagas=[campaign], settings=settings) as engine:
            handle = await engine.start(campaign(str(post.folder), 16, fails), id="c")
            for word in ("begun", "sent", "undoing" if fails else "begun"):
                servers.append(mailer(url))
                await until_so(partial(post.tried, word, servers[-1].pid), f"{word} by {servers[-1].pid}")
                killed(servers[-1])
            servers.append(mailer(url))
            if fails:
                with pytest.raises(Compensated):
                    await handle.result()
            else:
                assert await handle.result() == list(range(16))
            assert (await engine.queues.status("emails")).running == 0

    try:
        asyncio.run(main())
    finally:
        for server in servers:
            killed(server)
    tries = post.tries()
    keys = {key for what, key, _ in tries if what == "begun"}
    assert len(keys) == 16
    assert post.mails() == ([] if fails else sorted(keys)), "one mail for each, or none"
    begun = [key for what, key, _ in tries if what in ("begun", "undoing")]
    ended = [key for what, key, _ in tries if what in ("sent", "undone")]
    assert set(begun) == set(ended)
    assert len({pid for *_, pid in tries}) > 1, "more than one of them had a part in it"
