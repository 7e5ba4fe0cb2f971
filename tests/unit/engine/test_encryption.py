"""Payloads in envelopes: nobody reads them in the store, everybody reads them as if they were not there."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from amends import (
    Client,
    Engine,
    IdInUse,
    Refused,
    Resource,
    Retry,
    Signal,
    StoreError,
    Transaction,
    UnknownName,
    injected,
    saga,
    step,
)
from amends.clock import SystemClock
from amends.encryption import Codec, KeyRing, Kms, MasterKey
from amends.encryption.codec import DataKey
from amends.engine.journals import verified
from amends.errors import KeyUnavailable, Unopened
from amends.kernel import entries as e
from amends.kernel.entries import Row
from amends.store import MemoryStore, Store, open_store
from amends.store.enclosed import Enclosed, enclosed
from amends.store.enclosed.keeping import Keeping
from amends.store.port import Claim, Header, History, KeyQuery, Query
from amends.testing import world
from tests.stores import all_of, bytes_of, execute, new_schema, url_of

NAME = "Marigold Featherstone"  # stands nowhere in a store
LONG = f"{NAME} lives at 12 Lavender Mews. " * 20

word = Signal[dict[str, str]]("encryption.word")


@step(name="encryption.charge", retry=Retry(attempts=1))
async def charge(customer: str, text: str) -> dict[str, str]:
    return {"of": customer, "text": text}


@charge.compensation(retry=Retry(attempts=1))
async def refund(payment: dict[str, str] | None, customer: str, text: str) -> None:
    if text.startswith("stuck"):
        raise OSError(f"no account of {text}")


class Odd(Exception):
    pass


@step(name="encryption.break", retry=Retry(attempts=1))
async def breaks(text: str) -> None:
    raise Odd(f"nobody called {text}", text)


@step(name="encryption.note", transaction=True)
def note(text: str, tx: Resource[Transaction] = injected) -> str:
    tx.execute("CREATE TABLE IF NOT EXISTS notes (length integer)")
    tx.execute(f"INSERT INTO notes VALUES ({len(text)})")
    return text


@saga(name="encryption.noted", subject=lambda text: "c-1")
async def noted(text: str) -> str:
    first = await note(text)
    await charge("c-1", first)
    return await note(first)


@saga(name="encryption.child")
async def child(customer: str, text: str) -> str:
    return (await charge(customer, text))["text"]


@saga(name="encryption.order", subject=lambda customer, text, ends="well": customer)
async def order(customer: str, text: str, ends: str = "well") -> str:
    await charge(customer, text)
    said = await child(customer, text)
    if ends == "later":
        said = (await word.receive())["text"]
    if ends == "badly":
        await breaks(text)
    return said


SAGAS = [order, child]
SPOKEN = itertools.count()


def codec(*before: MasterKey, master: MasterKey | None = None, lifetime: float = 30.0) -> Codec:
    key = master or MasterKey(MasterKey.generate())
    return Codec(keys=KeyRing(key, previous=before, lifetime=lifetime))


async def wait_for(check: Callable[[], Any]) -> None:
    while not await check():
        await asyncio.sleep(0.01)


async def waiting(engine: Engine, id: str) -> None:
    """Until it waits for the signal, and sleeps or not."""
    handle = engine.handle(order, id)

    async def asked() -> bool:
        return any(c["type"] == "await" for row in await handle.history() for c in row["commands"])

    await wait_for(asked)


async def every_ending(engine: Engine) -> None:
    """Executions that end, or stand, in each way, with the name everywhere."""
    assert await engine.run(order("c-1", LONG), id="well") == LONG
    await engine.start(order("c-1", NAME, "badly"), id="badly")
    assert (await engine.handle(order, "badly").outcome()).status == "compensated"
    await engine.start(order("c-1", f"stuck {NAME}", "badly"), id="stuck")
    assert (await engine.handle(order, "stuck").outcome()).status == "attention"
    signalled = await engine.start(order("c-1", NAME, "later"), id="signalled")
    await signalled.send(word, {"text": LONG})
    assert await signalled.result() == LONG
    await engine.start(order("c-1", NAME, "later"), id="waits")
    await waiting(engine, "waits")


async def kept(store: Store) -> list[History]:
    """All that a store has, as it has it."""
    found = []
    for header in await store.headers(Query(limit=1000)):
        history = await store.read(header.uid)
        assert history is not None
        found.append(History(*history, await store.audited(header.uid)))
    return found


def opened(store: MemoryStore | str) -> Store:
    return open_store(store) if isinstance(store, str) else store


async def look(store: MemoryStore | str) -> list[History]:
    there = opened(store)
    await there.open()
    try:
        return await kept(there)
    finally:
        await there.close()


def files_in(folder: Path) -> bytes:
    return b"".join(each.read_bytes() for each in folder.iterdir() if each.is_file())


# ---------------------------------------------------------------- nothing in the clear


def test_nothing_is_stored_in_the_clear(store: MemoryStore | str) -> None:
    async def main() -> None:
        async with Engine(store, sagas=SAGAS, codec=codec()) as engine:
            await every_ending(engine)
            assert NAME in str(await engine.handle(order, "badly").status())
            assert NAME in str((await engine.handle(order, "stuck").status()).items)
            assert NAME in str(await engine.handle(order, "signalled").history())
            assert b"Marigold" not in bytes_of(store)  # also while the log is full
            assert "Marigold" not in str(await kept(engine.store))

    asyncio.run(main())
    stored = bytes_of(store)
    assert b"Marigold" not in stored
    assert b"Lavender" not in stored
    assert b"encryption.charge" in stored  # the scan sees what is there


def test_what_scans_finds_what_is_in_the_clear(store: MemoryStore | str) -> None:
    """The safeguard of the test above, taken out."""

    async def main() -> None:
        async with Engine(store, sagas=SAGAS) as engine:
            await every_ending(engine)

    asyncio.run(main())
    assert b"Marigold" in bytes_of(store)


def test_other_workers_go_on(store: MemoryStore | str) -> None:
    keys = codec()

    async def main() -> None:
        async with Engine(store, sagas=SAGAS, codec=keys) as engine:
            await engine.start(order("c-1", NAME, "later"), id="a")
            await waiting(engine, "a")
        async with Client(store, codec=codec(master=keys.keys.master)) as client:  # type: ignore[union-attr, arg-type]
            handle = client.handle(order, "a")
            assert NAME in str(await handle.history())
            await handle.send(word, {"text": "at last"})
            await client.start(order("c-2", NAME), id="b")
        async with Engine(store, sagas=SAGAS, codec=codec(master=keys.keys.master)) as engine:  # type: ignore[union-attr, arg-type]
            assert await engine.handle(order, "a").result() == "at last"
            assert await engine.handle(order, "b").result() == NAME
            names = {key.subject for key in await engine.keys.list()}
            assert names == {"c-1", "c-2"}

    asyncio.run(main())


def test_nested_sagas_have_the_key_of_their_root(store: MemoryStore | str) -> None:
    async def main() -> None:
        async with Engine(store, sagas=SAGAS, codec=codec()) as engine:
            await engine.run(order("c-1", NAME), id="a")
            await engine.run(child("c-1", NAME), id="b")
            (key,) = await engine.keys.list(subject="c-1")
            (nobody,) = [each for each in await engine.keys.list() if not each.subject]
            heads = {h.id: h.input for h in await engine.store.headers(Query())}
            using = {id: _key_of(text) for id, text in heads.items()}
            assert using == {"a": key.id, next(id for id in heads if id.startswith("a") and id != "a"): key.id,
                             "b": nobody.id}  # fmt: skip

    asyncio.run(main())


def _key_of(input: str) -> str:
    from amends.encryption.envelope import of_raw, taken_apart

    return taken_apart(of_raw(input.encode()) or b"").key


def test_only_compressed(store: MemoryStore | str) -> None:
    async def main() -> None:
        async with Engine(store, sagas=SAGAS, codec=Codec()) as engine:
            assert await engine.run(order("c-1", LONG), id="well") == LONG
            assert (await engine.handle(order, "well").history())[0]["events"][0]["args"]["text"] == LONG
            assert await engine.keys.list() == []
            with pytest.raises(Refused, match="codec with keys"):
                await engine.keys.prepare("c-1")

    asyncio.run(main())
    assert bytes_of(store).count(b"Lavender Mews") < 40  # of some hundred


def test_a_dump_of_the_server_has_nothing_in_the_clear(postgres: str) -> None:
    """As `pg_dump` writes it, before and after forgetting."""
    ((folder,),) = execute(postgres, "SELECT setting FROM pg_config() WHERE name = 'BINDIR'")
    dump = Path(folder) / "pg_dump"
    if not dump.exists():
        pytest.skip("the server is elsewhere, or brings no pg_dump")
    with new_schema(postgres) as schema:

        async def main() -> None:
            async with Engine(url_of(postgres, schema), sagas=SAGAS, codec=codec()) as engine:
                await every_ending(engine)
                dumped = await asyncio.to_thread(dumped_by, dump, postgres, schema)
                assert b"encryption.charge" in dumped
                assert b"Marigold" not in dumped
                await engine.keys.forget("c-1", "asked for")
                dumped = await asyncio.to_thread(dumped_by, dump, postgres, schema)
                assert b"Marigold" not in dumped

        asyncio.run(main())


def dumped_by(dump: Path, server: str, schema: str) -> bytes:
    done = subprocess.run([dump, "-n", schema, server], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


# ---------------------------------------------------------------- the same request


def test_same_id_again(store: MemoryStore | str) -> None:
    async def main() -> None:
        async with Engine(store, sagas=SAGAS, codec=codec()) as engine:
            await engine.run(order("c-1", NAME), id="a")
            assert await engine.run(order("c-1", NAME), id="a") == NAME
            with pytest.raises(IdInUse, match="other arguments"):
                await engine.start(order("c-1", "other"), id="a")
            await engine.keys.forget("c-1", "asked for")
            with pytest.raises(Unopened, match="forgotten"):
                await engine.start(order("c-1", NAME), id="a")

    asyncio.run(main())


def test_subject_of_a_start(store: MemoryStore | str) -> None:
    async def main() -> None:
        async with Engine(store, sagas=SAGAS) as plain:
            with pytest.raises(Refused, match="codec with keys"):
                await plain.start(child("c-1", NAME), subject="c-1")
        async with Engine(store, sagas=SAGAS, codec=codec()) as engine:
            assert await engine.run(child("c-1", NAME), id="a", subject="c-7") == NAME
            for wrong in ("", "x" * 501, 7):
                with pytest.raises(Refused):
                    await engine.start(child("c-1", NAME), subject=wrong)  # type: ignore[arg-type]
            with pytest.raises(Refused, match="subject= of its arguments"):
                await engine.start(order("", NAME))
            assert [key.subject for key in await engine.keys.list()] == ["c-7"]

    asyncio.run(main())


def test_on_a_connection_of_ones_own(tmp_path: Path) -> None:
    async def main() -> None:
        file = tmp_path / "x.db"
        async with Engine(f"sqlite:///{file}", sagas=SAGAS, codec=codec()) as engine:
            await engine.keys.prepare("c-1")
            connection = apsw.Connection(str(file))
            connection.execute("BEGIN IMMEDIATE")
            handle = await engine.start(order("c-1", NAME), id="a", connection=connection)
            again = await engine.start(order("c-1", NAME), id="a", connection=connection)
            connection.execute("COMMIT")
            connection.close()
            assert handle.id == again.id
            assert await handle.result() == NAME
        assert b"Marigold" not in file.read_bytes()

    asyncio.run(main())


# ---------------------------------------------------------------- forgetting


def _shape(histories: list[History]) -> list[Any]:
    """What is kept of executions without what was said in them."""
    return [
        (
            h.header.id, h.header.status, h.header.cause,
            [(row.position, row.now, row.checksum) for row in h.rows],
            [[type(entry) for entry in e.decode_events(row.events)] for row in h.rows],
            [[(type(entry), getattr(entry, "id", ""), getattr(entry, "step", "")) for entry in e.decode_commands(row.commands)] for row in h.rows],
        )
        for h in histories
    ]  # fmt: skip


def test_forgetting_keeps_the_shape(store: MemoryStore | str) -> None:
    async def main() -> None:
        keys = codec()
        async with Engine(store, sagas=SAGAS, codec=keys) as engine:
            await every_ending(engine)
            before = _shape(await kept(engine.store))
            id = await engine.keys.forget("c-1", "request of May", by="ann")
            assert [(r.by, r.action, r.reason) for r in await engine.store.audited(f"key {id}")] == [
                ("ann", "forget", "request of May")
            ]
            for status in await engine.list():
                assert "Marigold" not in str(status)
            for name in ("well", "badly", "stuck", "signalled"):
                handle = engine.handle(order, name)
                told = str(await handle.history()) + str(await handle.status())
                assert "Marigold" not in told
                assert "forgotten" in told
                assert "encryption.charge" in told
            with pytest.raises(Unopened, match="forgotten"):
                await engine.handle(order, "well").result()
            ended = [h for h in await kept(engine.store) if h.header.status in ("completed", "compensated")]
            for history in ended:
                assert (
                    verified(history).status == history.header.status
                )  # the journal folds, its checksums hold
            assert len(ended) >= 3
            assert _shape(await kept(engine.store)) == before
            with pytest.raises(UnknownName, match="has no key"):
                await engine.keys.forget("c-1", "again")
            again = await engine.run(order("c-1", "back again"), id="new")
            assert again == "back again"
        async with Engine(store, sagas=SAGAS, codec=codec(master=keys.keys.master)) as engine:  # type: ignore[union-attr, arg-type]
            assert "Marigold" not in str(await engine.handle(order, "signalled").history())
            assert (await engine.handle(order, "new").status()).status == "completed"

    asyncio.run(main())
    assert b"Marigold" not in bytes_of(store)


def test_what_needs_the_forgotten_is_parked_and_can_be_terminated(store: MemoryStore | str) -> None:
    async def main() -> None:
        async with Engine(store, sagas=SAGAS, codec=(keys := codec())) as engine:
            await engine.start(order("c-1", NAME, "later"), id="a")
            await waiting(engine, "a")
            await engine.keys.forget("c-1", "asked for")
        async with Engine(store, sagas=SAGAS, codec=keys) as engine:
            handle = engine.handle(order, "a")
            with pytest.raises(Unopened, match="nothing can be sent"):
                await handle.send(word, {"text": "late"})
            await handle.cancel("wake up")
            outcome = await handle.outcome()
            assert (outcome.status, outcome.cause) == ("attention", "unopened")
            assert "forgotten" in outcome.items[0]["message"]
            assert "terminated" in outcome.items[0]["do"]
            await handle.retry()
            assert (await handle.outcome()).cause == "unopened"
            await handle.terminate("it is over")
            assert (await handle.outcome()).status == "terminated"
            assert [r.reason for r in await handle.audit()][-1:] != []
            assert "it is over" in str(await handle.audit())
        history = next(h for h in await look(store) if h.header.id == "a")
        assert verified(history).status == "terminated"

    asyncio.run(main())


def test_a_worker_hears_of_it_in_time() -> None:
    """Within the ring's lifetime: what another process forgot is used until then, and not after it."""

    async def main() -> None:
        async with world() as w, w.engine(sagas=SAGAS, codec=codec(lifetime=30)) as engine:
            await engine.start(order("c-1", NAME, "later"), id="a")
            await engine.start(order("c-1", NAME, "later"), id="b")
            await w.advance(1)
            from amends.store.port import AuditRecord

            assert await engine.store.forget("default", "c-1", AuditRecord(0.0, "", "ann", "forget", "asked"))
            await w.advance(20)
            await engine.handle(order, "a").send(word, {"text": "in time"})
            engine._stir()  # in a world nobody looks often
            assert await engine.handle(order, "a").result() == "in time"
            await w.advance(11)
            with pytest.raises(Unopened):
                await engine.handle(order, "b").send(word, {"text": "too late"})
            with pytest.raises(Unopened):
                await engine.handle(order, "a").result()
            await engine.handle(order, "b").cancel("what becomes of it?")
            engine._stir()
            outcome = await engine.handle(order, "b").outcome()
            assert (outcome.status, outcome.cause) == ("attention", "unopened")

    asyncio.run(main())


def test_a_worker_that_never_asks_again_would_not_hear_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The safeguard of the test above, taken out."""
    monkeypatch.setattr(Keeping, "fresh", lambda self, key: True)
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        test_a_worker_hears_of_it_in_time()


def test_a_key_that_is_forgotten_is_in_no_file(tmp_path: Path) -> None:
    file = tmp_path / "x.db"

    async def main() -> None:
        async with Engine(f"sqlite:///{file}", sagas=SAGAS, codec=codec()) as engine:
            await engine.run(order("c-1", NAME), id="a")
            await engine.run(order("c-2", NAME), id="b")
            kept = {key.subject: key.wrapped for key in await engine.store.keys(KeyQuery())}
            assert all(wrapped in files_in(tmp_path) for wrapped in kept.values() if wrapped)
            await engine.keys.forget("c-1", "asked for")
            assert kept["c-1"] not in files_in(tmp_path)  # type: ignore[operator]
            assert kept["c-2"] in files_in(tmp_path)  # type: ignore[operator]
            for n in range(10, 200):  # pages fill up and are split
                await engine.keys.prepare(f"c-{n}")
            await engine.store.tidy()
            kept = {key.subject: key.wrapped for key in await engine.store.keys(KeyQuery(limit=1000))}
            for n in range(10, 200, 19):
                await engine.keys.forget(f"c-{n}", "asked for")
            there = files_in(tmp_path)
            gone = {subject for subject, wrapped in kept.items() if wrapped and wrapped not in there}
            assert gone == {f"c-{n}" for n in range(10, 200, 19)}

    asyncio.run(main())


# ---------------------------------------------------------------- without the key


def test_without_a_codec_it_parks_and_says_what_to_do(store: MemoryStore | str) -> None:
    async def main() -> None:
        async with Engine(store, sagas=SAGAS, codec=(keys := codec())) as engine:
            await engine.start(order("c-1", NAME, "later"), id="a")
            await waiting(engine, "a")
            await engine.handle(order, "a").send(word, {"text": "said"})
            await engine.handle(order, "a").result()
            await engine.start(order("c-1", NAME, "later"), id="b")
            await waiting(engine, "b")
        async with Engine(store, sagas=SAGAS) as plain:
            handle = plain.handle(order, "b")
            await handle.cancel("wake up")
            outcome = await handle.outcome()
            assert (outcome.status, outcome.cause) == ("attention", "unopened")
            assert "codec=Codec(keys=KeyRing" in outcome.items[0]["do"]
            with pytest.raises(Unopened, match="no codec"):
                await plain.handle(order, "a").result()
            with pytest.raises(Unopened, match="no codec"):
                await plain.start(order("c-1", NAME, "later"), id="a")
        async with Engine(store, sagas=SAGAS, codec=codec()) as other:  # another master key
            handle = other.handle(order, "b")
            await handle.retry()
            outcome = await handle.outcome()
            assert "master key that this process does not have" in outcome.items[0]["message"]
            with pytest.raises(Unopened):
                await other.start(order("c-1", "x"), id="c")
        async with Engine(store, sagas=SAGAS, codec=keys) as engine:
            handle = engine.handle(order, "b")
            await handle.retry()
            assert (await handle.outcome()).status == "compensated"  # the cancel was kept

    asyncio.run(main())


def test_what_began_in_the_clear_goes_on_in_envelopes(store: MemoryStore | str) -> None:
    async def main() -> None:
        async with Engine(store, sagas=SAGAS) as plain:
            await plain.start(order("c-1", "clear", "later"), id="a")
            await plain.start(order("c-1", "clear", "later"), id="b")
            await waiting(plain, "a")
            await waiting(plain, "b")
        async with Engine(store, sagas=SAGAS, codec=(keys := codec())) as engine:
            await engine.handle(order, "a").send(word, {"text": NAME})
            assert await engine.handle(order, "a").result() == NAME
            await engine.handle(order, "b").send(word, {"text": NAME})
            assert await engine.handle(order, "b").result() == NAME
            await engine.start(order("c-1", "clear", "later"), id="c")
        assert "Marigold" not in str(await look(store))
        async with Engine(store, sagas=SAGAS, codec=keys) as engine:
            assert NAME in str(await engine.handle(order, "a").history())
            assert await engine.handle(order, "b").result() == NAME

    asyncio.run(main())


def test_a_message_in_an_envelope_is_not_taken_for_its_content() -> None:
    async def main() -> None:
        async with Engine(store := MemoryStore(), sagas=SAGAS) as plain:
            await plain.start(order("c-1", "clear", "later"), id="a")
            await waiting(plain, "a")
            async with Client(store, codec=codec()) as client:
                await client.handle(order, "a").send(word, {"text": NAME})
            outcome = await plain.handle(order, "a").outcome()
            assert (outcome.status, outcome.cause) == ("attention", "unopened")

    asyncio.run(main())


def test_a_master_key_out_of_reach_holds_and_loses_nothing() -> None:
    master = MasterKey(MasterKey.generate())
    down = True

    async def unwrap(wrapped: bytes, bound: bytes) -> bytes:
        if down:
            raise ConnectionError("no route to the service")
        return await master.unwrap(wrapped, bound)

    def ring() -> Codec:
        return Codec(keys=KeyRing(Kms("kms", wrap=master.wrap, unwrap=unwrap)))

    async def main() -> None:
        nonlocal down
        down = False
        async with world() as w:
            async with w.engine(sagas=SAGAS, codec=ring()) as engine:
                await engine.start(order("c-1", NAME, "later"), id="a")
                await w.advance(1)
                await engine.handle(order, "a").send(word, {"text": "said"})
                await w.crash(engine)
            down = True
            async with w.engine(sagas=SAGAS, codec=ring()) as engine:
                with pytest.raises(KeyUnavailable, match="no route"):
                    await engine.handle(order, "a").status()
                with pytest.raises(StoreError):
                    await engine.start(order("c-1", "x"), id="b")
                await w.advance(60)
                down = False
                assert await engine.handle(order, "a").result() == "said"

    asyncio.run(main())


# ---------------------------------------------------------------- moved, altered


def rewritten(file: Path, change: Callable[[list[str]], list[str]]) -> None:
    """Change the events of the first rows of all root executions, so that all checksums hold."""
    connection = apsw.Connection(str(file))
    ask = connection.execute
    nums = [n for (n,) in ask("SELECT num FROM amends_executions WHERE parent = '' ORDER BY num")]
    first = "SELECT events FROM amends_journal WHERE execution = ? AND position = 0"
    changed = change([ask(first, (num,)).fetchall()[0][0] for num in nums])
    for num, events in zip(nums, changed, strict=True):
        checksum = 0
        rows = (
            "SELECT position, now, events, commands FROM amends_journal WHERE execution = ? ORDER BY position"
        )
        for position, now, came, went in ask(rows, (num,)).fetchall():
            text = came if position else events
            checksum = e.checksum(position, now, text.encode(), went.encode(), checksum)
            where = "WHERE execution = ? AND position = ?"
            ask(
                f"UPDATE amends_journal SET events = ?, checksum = ? {where}", (text, checksum, num, position)
            )
    connection.close()


async def _moved(tmp_path: Path) -> tuple[str, str]:
    """What becomes of one whose arguments are those of another."""
    file = tmp_path / f"moved{next(SPOKEN)}.db"
    keys = codec()
    async with Engine(f"sqlite:///{file}", sagas=[wait_and_tell], codec=keys) as engine:
        for id in ("a", "b"):
            await engine.start(wait_and_tell(id), id=id, subject="c-1")
        await asyncio.sleep(0.05)
    rewritten(file, lambda events: events[::-1])
    async with Engine(f"sqlite:///{file}", sagas=[wait_and_tell], codec=keys) as engine:
        await engine.handle(wait_and_tell, "a").send(word, {"text": "go"})
        outcome = await engine.handle(wait_and_tell, "a").outcome()
        return outcome.status, str(outcome.value or outcome.cause)


@saga(name="encryption.tell")
async def wait_and_tell(text: str) -> str:
    await word.receive()
    return text


def test_what_was_moved_from_another_execution_parks(tmp_path: Path) -> None:
    assert asyncio.run(_moved(tmp_path)) == ("attention", "unopened")


@pytest.fixture
def unbound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Envelopes that are bound to nothing: no associated data, and one key for all executions of a subject."""
    cipher = DataKey.cipher
    monkeypatch.setattr("amends.encryption.codec._bound", lambda uid, place: b"")
    monkeypatch.setattr(DataKey, "cipher", lambda self, uid: cipher(self, "all"))


def test_unbound_it_would_act_on_the_data_of_another(tmp_path: Path, unbound: None) -> None:
    """The safeguard of the test above, taken out."""
    assert asyncio.run(_moved(tmp_path)) == ("completed", "b")


def test_an_altered_envelope_parks(tmp_path: Path) -> None:
    file = tmp_path / "x.db"

    async def main() -> None:
        keys = codec()
        async with Engine(f"sqlite:///{file}", sagas=[wait_and_tell], codec=keys) as engine:
            await engine.start(wait_and_tell(NAME), id="a")
            await asyncio.sleep(0.05)
        rewritten(file, lambda events: [_altered(text) for text in events])
        async with Engine(f"sqlite:///{file}", sagas=[wait_and_tell], codec=keys) as engine:
            await engine.handle(wait_and_tell, "a").send(word, {"text": "go"})
            outcome = await engine.handle(wait_and_tell, "a").outcome()
            assert (outcome.status, outcome.cause) == ("attention", "unopened")
            assert "altered" in outcome.items[0]["message"]

    asyncio.run(main())


def _altered(text: str) -> str:
    at = text.index('"$envelope":"') + 60
    return text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]


# ---------------------------------------------------------------- rotation, archives


def test_rotation_goes_on_where_it_was(store: MemoryStore | str) -> None:
    async def main() -> None:
        old, new = MasterKey(MasterKey.generate()), MasterKey(MasterKey.generate())
        async with Engine(store, sagas=SAGAS, codec=codec(master=old)) as engine:
            for n in range(7):
                await engine.run(child("c", NAME), id=f"x{n}", subject=f"c-{n}")
            await engine.keys.forget("c-3", "asked for")
        async with Client(store, codec=codec(old, master=new)) as client:
            assert await client.keys.count() == 6
            async with contextlib.aclosing(client.keys.rotate(batch=2)) as batches:  # type: ignore[type-var]
                assert len((await anext(batches)).ids) == 2  # and then it was interrupted
            assert await client.keys.count() == 4
            rest = await all_of(client.keys.rotate(batch=3))
            assert [len(batch.ids) for batch in rest] == [3, 1]
            assert await all_of(client.keys.rotate()) == []
        async with Client(store, codec=codec(master=new)) as client:  # without the old one
            for n in range(7):
                if n != 3:
                    assert await client.handle(child, f"x{n}").result() == NAME
        async with Client(store, codec=codec()) as client:
            (batch,) = await all_of(client.keys.rotate())
            assert (batch.ids, len(batch.missing)) == ([], 6)

    asyncio.run(main())


def test_copies_stay_in_their_envelopes(store: MemoryStore | str, tmp_path: Path) -> None:
    async def main() -> None:
        async with Engine(store, sagas=SAGAS, codec=codec()) as engine:
            await engine.run(order("c-1", NAME), id="a")
            lines = await all_of(engine.operations.export())
            assert "Marigold" not in str(lines)
            gone = await all_of(engine.operations.retain(0, archive=tmp_path))
            assert gone[0].ids == ["a"]
            assert b"Marigold" not in files_in(tmp_path)
            (item,) = await all_of(engine.operations.import_(lines))
            assert item.outcome == "imported"
            assert await engine.handle(order, "a").result() == NAME
            await engine.operations.retain(0).__anext__()
            await engine.keys.forget("c-1", "asked for")
            (item,) = await all_of(engine.operations.import_(lines))
            assert item.outcome == "imported"  # its checksums hold
            with pytest.raises(Unopened):
                await engine.handle(order, "a").result()

    asyncio.run(main())


def test_rows_are_chained_as_they_are_stored(store: MemoryStore | str) -> None:
    async def main() -> None:
        async with Engine(store, sagas=SAGAS, codec=codec()) as engine:
            await every_ending(engine)
            for history in await kept(engine.store):
                _chained(history.rows)
                seen = await engine._backend.store.read(history.header.uid)
                assert seen is not None
                _chained(seen[1])

    asyncio.run(main())


def _chained(rows: list[Row]) -> None:
    checksum = 0
    for place, row in enumerate(rows):
        e.opened(row, place, checksum)
        checksum = row.checksum


class Claiming(MemoryStore):
    """Its one claim says all that a claim can say."""

    async def claim(self, incarnation: int, now: float, limit: int) -> list[Claim]:
        header = Header(uid="u", id="one", saga="encryption.order", input="{}", created_at=0.0)
        return [Claim(header, [], [], lost=True, deaths=3, slept=True)]


def test_what_a_claim_says_reaches_the_worker() -> None:
    async def main() -> None:
        kept = Claiming()
        await kept.open()
        (bare,) = await kept.claim(1, 0.0, 1)
        (claim,) = await enclosed(kept, codec(), SystemClock()).claim(1, 0.0, 1)
        assert claim == bare
        await kept.close()

    asyncio.run(main())


def test_transactional_steps(tmp_path: Path) -> None:
    """Their rows are written inside of their transaction."""

    async def main() -> None:
        async with Engine(f"sqlite:///{tmp_path}/x.db", sagas=[noted], codec=codec()) as engine:
            assert await engine.run(noted(NAME), id="a") == NAME
            assert NAME in str(await engine.handle(noted, "a").history())
            (history,) = await kept(engine.store)
            _chained(history.rows)
            assert "Marigold" not in str(history)

    asyncio.run(main())
    assert b"Marigold" not in files_in(tmp_path)


def test_an_engine_without_a_codec_has_its_store_bare() -> None:
    bare = Engine("memory://", sagas=SAGAS)
    assert bare._backend.store is bare.store
    assert isinstance(Engine("memory://", codec=codec())._backend.store, Enclosed)
