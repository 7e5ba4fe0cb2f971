from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from pathlib import Path

import httpx2
import pytest
from cloud import Books
from provisioning import Stack, provision

from amends import Client
from tests.docs.projects import Process, copied, free_port, listening, run_readme, running, until

WORKER = ("-m", "amends", "worker", "provisioning")


class Region:
    """The example in a folder of its own: the cloud's books, its port, and the saga's store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.books = Books(str(folder / "cloud.db"))
        self.web = httpx2.Client(base_url=f"http://127.0.0.1:{self.port}", trust_env=False)
        self.client = Client(f"sqlite:///{folder}/amends.db")

    @contextmanager
    def cloud(self, **options: float) -> Iterator[Process]:
        told = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        with running(self.folder, "cloud.py", *told, CLOUD_PORT=self.port) as process:
            until(partial(listening, self.port), "the cloud", process)
            yield process

    def worker(self) -> AbstractContextManager[Process]:
        return running(self.folder, *WORKER, CLOUD_PORT=self.port)

    def start(self, stack: Stack) -> None:
        async def begin() -> None:
            async with self.client as client:
                await client.start(provision(stack), id=stack.name)

        asyncio.run(begin())

    def outcome(self, name: str) -> str:
        async def wait() -> str:
            async with self.client as client:
                return (await client.handle(provision, name).outcome()).status

        return asyncio.run(wait())

    def provisioned(self, stack: Stack) -> str:
        self.start(stack)
        with self.worker():
            return self.outcome(stack.name)

    # ------------------------------------------------------------ what the books say

    def there(self) -> list[str]:
        return sorted(f"{part['name']} {part['state']}" for part in self.books.there())

    def logged(self, what: str) -> list[str]:
        return [name for said, _, name in self.books.log() if said == what]


@pytest.fixture
def region(tmp_path: Path) -> Iterator[Region]:
    region = Region(copied("provisioning", tmp_path))
    with closing(region.books), region.web:
        yield region


def whole(name: str, machines: int) -> list[str]:
    """A stack that is complete."""
    numbers = range(1, machines + 1)
    disks, hosts = [f"{name}-disk-{n} ready" for n in numbers], [f"{name}-machine-{n} ready" for n in numbers]
    return sorted([*disks, *hosts, f"{name}-network ready"])


def test_a_stack_is_built_once_though_answers_are_lost(region: Region) -> None:
    with region.cloud(seconds=0.1, lost_replies=2):
        assert region.provisioned(Stack("blog", machines=2)) == "completed"
        assert region.there() == whole("blog", 2)
        assert sorted(region.logged("building")) == sorted(part.split()[0] for part in whole("blog", 2))
        assert len(region.logged("repeated")) >= 2


def test_over_the_quota_all_is_deleted_in_an_order_that_the_cloud_accepts(region: Region) -> None:
    with region.cloud(seconds=0.4, quota=2, broken_deletes=3):
        assert region.provisioned(Stack("shop", machines=3)) == "compensated"
        assert region.there() == []
        built, deleted = region.logged("building"), region.logged("deleting")
        assert sorted(deleted) == sorted(built)
        assert region.logged("in use") == []
        for machine in [name for name in deleted if "machine" in name]:
            assert deleted.index(machine) < deleted.index(machine.replace("machine", "disk"))
            assert deleted.index(machine) < deleted.index("shop-network")


def test_what_may_or_may_not_be_built_is_deleted_by_its_token(region: Region) -> None:
    with region.cloud(seconds=0.1, lost_replies=1000):
        assert region.provisioned(Stack("blog", machines=1)) == "compensated"
        assert region.there() == []
        assert sorted(region.logged("deleting")) == sorted(region.logged("building")) != []


def test_a_request_that_comes_after_its_deletion_is_refused(region: Region) -> None:
    part = {"kind": "disk", "name": "late", "token": "t-1", "needs": []}
    with region.cloud(seconds=0):
        assert region.web.delete("/parts/t-1").status_code == 204
        assert region.web.post("/parts", json=part).status_code == 409
        assert region.there() == []


@pytest.mark.slow
def test_workers_and_the_cloud_itself_are_killed(region: Region) -> None:
    region.start(Stack("blog", machines=2))
    region.start(Stack("shop", machines=3))
    with region.cloud(seconds=0.3, quota=4) as cloud:
        with region.worker() as first:
            until(lambda: region.logged("building"), "the first parts to be ordered", first)
            first.kill()
        with region.worker() as second:
            until(lambda: any("machine" in name for name in region.logged("building")), "a machine", second)
            cloud.kill()
            second.kill()
    with region.cloud(seconds=0.3, quota=4, broken_deletes=2), region.worker():
        ended = {name: region.outcome(name) for name in ("blog", "shop")}
    built = [stack for stack, status in ended.items() if status == "completed"]
    assert len(built) == 1, ended
    assert set(ended.values()) == {"completed", "compensated"}
    assert region.there() == whole(built[0], {"blog": 2, "shop": 3}[built[0]])
    assert region.logged("in use") == []
    tokens = [token for what, token, _ in region.books.log() if what == "building"]
    assert len(tokens) == len(set(tokens))


@pytest.mark.slow
def test_the_readme(region: Region) -> None:
    run_readme(region.folder, CLOUD_PORT=region.port)
