"""Export and import: what comes in is what went out, and only if its journal bears it out."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amends import Client, Engine, Retry, Signal, saga, step
from amends.engine.journals import Writing, read
from amends.errors import CorruptJournal
from amends.kernel.entries import Row
from amends.store import MemoryStore
from amends.store.partition import partition_of
from amends.store.port import History, Message
from tests.stores import all_of

go = Signal[str]("go")
runs: list[str] = []


@step(name="transfer.charge")
async def charge(word: str) -> str:
    runs.append(word)
    return word


@charge.compensation(retry=Retry(attempts=1))
async def refund(payment: str | None, word: str) -> None:
    runs.append(f"refund {word}")


@saga(name="transfer.child")
async def child(word: str) -> str:
    return await charge(word)


@saga(name="transfer.order")
async def order(word: str, ends: str = "well") -> str:
    await child(word)
    if ends == "badly":
        raise LookupError("sold out")
    return await go.receive() if ends == "later" else word


SAGAS = [order, child]


def lines_of(**kinds: str) -> list[bytes]:
    """An export of executions that end so."""

    async def main() -> list[bytes]:
        store = MemoryStore()
        async with Engine(store, sagas=SAGAS) as engine:
            for id, ends in kinds.items():
                handle = await engine.start(order("x", ends), id=id, attributes={"ends": ends})
                if ends != "later":
                    await handle.outcome()
                    continue
                while not any(
                    c["type"] == "await" for row in await handle.history() for c in row["commands"]
                ):
                    await asyncio.sleep(0.01)
            async with Client(store) as client:
                await engine.close()
                return await all_of(client.operations.export())

    return asyncio.run(main())


def test_what_comes_in_is_what_went_out(store: Any) -> None:
    lines = lines_of(one="well", two="badly")

    async def main() -> None:
        async with Client(store, namespace="eu") as client:
            items = await all_of(client.operations.import_(lines))
            assert sorted((item.id, item.outcome, item.executions) for item in items) == [
                ("one", "imported", 2), ("two", "imported", 2),
            ]  # fmt: skip
            assert await client.handle(order, "one").result() == "x"
            assert (await client.handle(order, "two").status()).status == "compensated"
            assert [status.id for status in await client.list(where='attributes.ends = "badly"')] == ["two"]
            header = await client._store.find("eu", "one")
            assert header is not None
            assert header.partition == partition_of("eu", "one") != partition_of("default", "one")
            again = await all_of(client.operations.export())
            assert sorted(map(_entry, again[1:])) == sorted(map(_entry, lines[1:]))

    asyncio.run(main())


def _entry(line: bytes) -> str:
    """A line without its checksum, the namespace that it is in (and what follows from that), and the count of messages
    ever received."""
    text = re.sub(r'"(inbox_seq|partition)":\d+', "", line.decode()).replace('"eu"', '"default"')
    return text.partition('"entry":')[2]


def test_a_move_goes_on_and_repeats_nothing(store: Any) -> None:
    lines = lines_of(one="later")
    before = list(runs)

    async def main() -> None:
        async with Engine(store, sagas=SAGAS) as engine:
            (item,) = await all_of(engine.operations.import_(lines))
            assert item.outcome == "refused"
            assert "one has not ended (running)" in item.message
            assert await engine.list() == []
            (item,) = await all_of(engine.operations.import_(lines, live=True))
            assert (item.outcome, item.executions) == ("imported", 2)
            handle = engine.handle(order, "one")
            await handle.cancel("moved, then cancelled")  # the nested one is undone here, too
            assert (await handle.outcome()).status == "compensated"
            assert runs == [*before, "refund x"]

    asyncio.run(main())


def test_what_is_being_worked_on_is_not_moved() -> None:
    async def main() -> None:
        async with Engine(MemoryStore(), sagas=SAGAS) as engine:
            await engine.start(order("x", "later"), id="one")
            lines = await all_of(engine.operations.export())
        async with Client(MemoryStore()) as client:
            (item,) = await all_of(client.operations.import_(lines, live=True))
            assert "was being worked on" in item.message

    asyncio.run(main())


def test_another_execution_of_that_id_is_not_replaced(store: Any) -> None:
    lines = lines_of(one="well")

    async def main() -> None:
        async with Engine(store, sagas=SAGAS) as engine:
            await engine.run(order("mine"), id="one")
            (item,) = await all_of(engine.operations.import_(lines))
            assert item.outcome == "refused"
            assert "belongs to another one here" in item.message
            assert await engine.run(order("mine"), id="one") == "mine"

    asyncio.run(main())


# ---------------------------------------------------------------- what is refused


LINES = lines_of(one="well", two="badly")


def imported(lines: list[bytes]) -> list[Any]:
    async def main() -> list[Any]:
        async with Client(MemoryStore()) as client:
            return await all_of(client.operations.import_(lines))

    return asyncio.run(main())


@given(st.data())
def test_damage_to_the_file_is_found_at_its_line(data: st.DataObject) -> None:
    """A byte that is changed, a line that is lost, moved or doubled, an end that is cut off."""
    lines = list(LINES)
    place = data.draw(st.integers(0, len(lines) - 1))
    match data.draw(st.sampled_from(["change", "lose", "double", "swap", "cut"])):
        case "change":
            text = bytearray(lines[place])
            at = data.draw(st.integers(0, len(text) - 2))
            text[at] ^= 1 << data.draw(st.integers(0, 6))
            lines[place] = bytes(text)
        case "lose":
            del lines[place]
        case "double":
            lines.insert(place, lines[place])
        case "swap":
            lines[1], lines[2] = lines[2], lines[1]
        case _:
            lines[place] = lines[place][: data.draw(st.integers(0, len(lines[place]) - 2))]
            del lines[place + 1 :]
    with pytest.raises(CorruptJournal, match=r"line \d"):
        list(read(lines))


def test_an_empty_file_is_no_export_of_nothing() -> None:
    with pytest.raises(CorruptJournal, match="empty"):
        list(read([]))
    nothing = Writing("default", 0.0)
    assert list(read([nothing.begin(), nothing.end()])) == []


def changed(change: Any) -> list[Any]:
    """The import of an export whose checksums are right, but whose content was changed."""
    trees = list(read(LINES))
    writing = Writing("default", 0.0)
    for tree in trees:
        for each in tree:
            change(each)
    return imported([writing.begin(), *(writing.tree(tree) for tree in trees), writing.end()])


def _lose_the_first_row(history: History) -> None:
    del history.rows[0]


def _lose_the_last_row(history: History) -> None:
    del history.rows[-1]


def _change_a_row(history: History) -> None:
    row = history.rows[0]
    history.rows[0] = Row(row.position, row.now + 1, row.events, row.commands, row.checksum)


def _end_otherwise(history: History) -> None:
    history.header.status = "terminated"


def _misaddress(history: History) -> None:
    history.inbox = [Message("another", "[]")]


WRONG = {
    "does not fold: journal row 0 is missing": _lose_the_first_row,
    "says not ended, its header": _lose_the_last_row,
    "does not match its checksum": _change_a_row,
    "its header terminated": _end_otherwise,
    "is addressed to another execution": _misaddress,
}


@pytest.mark.parametrize("said", WRONG)
def test_what_does_not_fold_is_refused(said: str) -> None:
    items = changed(WRONG[said])
    assert [item.outcome for item in items] == ["refused", "refused"]
    assert all(said in item.message for item in items)


def test_what_is_no_tree_is_damage() -> None:
    trees = list(read(LINES))
    writing = Writing("default", 0.0)
    with pytest.raises(CorruptJournal, match="not a root"):
        imported([writing.begin(), writing.tree(trees[0] + trees[1]), writing.end()])
    assert [item.outcome for item in imported(list(LINES))] == ["imported", "imported"]


def test_sections_may_stand_in_one_file(tmp_path: Path) -> None:
    file = tmp_path / "all.jsonl"
    file.write_bytes(b"".join([*LINES, *lines_of(three="well")]))
    with file.open("rb") as lines:
        assert sorted(item.id for item in imported(lines)) == ["one", "three", "two"]  # type: ignore[arg-type]
