"""Golden journals: executions recorded once, which must still replay after each change of the code.

    await golden.capture(engine, "order-1001", "tests/golden/order-1001.json")      # a real execution
    golden.record("tests/golden/lost.json", place_order(order), "charge:1#1=lost")   # a path of the explorer

    @pytest.mark.parametrize("file", golden.files("tests/golden"), ids=str)
    def test_still_replays(file): golden.check(file)

A file holds the journal as it stands in the database, so what is checked is what a worker would do with the
executions that run when the new code is deployed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from ..definition.registry import REGISTRY, Registry
from ..definition.saga import Saga, SagaCall
from ..errors import AmendsError, Parked
from ..kernel.entries import Row
from ..kernel.instance import Instance
from ..kernel.limits import Limits
from ..store.port import Header, Store
from . import replaying

__all__ = ["Diverged", "Golden", "NoJournal", "capture", "check", "files", "read", "record"]

FORMAT = 1


class Diverged(AssertionError):
    """A recorded journal no longer replays."""


class NoJournal(AmendsError):
    """A golden file, or the execution to be recorded, is not there or cannot be read."""

    code = "no_journal"


class Golden(msgspec.Struct, kw_only=True):
    """A recorded execution. `rows` are (position, now, events, commands, checksum), as in the database."""

    format: int = FORMAT
    saga: str
    version: str = ""
    uid: str
    id: str
    parent: str = ""
    depth: int = 0
    status: str = ""
    rows: list[Row]


class HasStore(Protocol):
    """An engine (or whatever has a store and a namespace)."""

    @property
    def store(self) -> Store:
        """Where the executions are."""
        ...

    @property
    def namespace(self) -> str:
        """The namespace of their ids."""
        ...


async def capture(engine: HasStore, id: str, file: str | Path) -> Golden:
    """Record an execution of an open engine. Raises `NoJournal` when there is none of that id."""
    header = await engine.store.find(engine.namespace, id)
    found = None if header is None else await engine.store.read(header.uid)
    if found is None:
        raise NoJournal(f"no execution has the id {id!r}", hint="run it first, in this engine")
    return _write(file, found[0], found[1])


def record(
    file: str | Path,
    call: SagaCall[Any],
    path: str = "",
    *,
    participants: Any = None,
    values: Mapping[str, Any] | None = None,
    signals: Mapping[str, Sequence[Any]] | None = None,
    steps: Sequence[Any] = (),
) -> Golden:
    """Record what the explorer does on a path (empty: without faults); see `amends.testing.explore`."""
    from .explore import replay  # noqa: PLC0415 - checking needs no explorer

    report = replay(call, path, participants=participants, values=values, signals=signals, steps=steps)
    header, rows = report.journal
    header.status = report.status
    return _write(file, header, rows)


def _write(file: str | Path, header: Header, rows: Sequence[Row]) -> Golden:
    golden = Golden(
        saga=header.saga,
        version=header.version,
        uid=header.uid,
        id=header.id,
        parent=header.parent,
        depth=header.depth,
        status=header.status,
        rows=list(rows),
    )
    path = Path(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(golden), indent=1) + b"\n")
    return golden


def files(folder: str | Path) -> list[Path]:
    """The golden files of a folder, in order. Raises `NoJournal` when there is none."""
    found = sorted(Path(folder).glob("*.json"))
    if not found:
        raise NoJournal(
            f"there are no golden journals in {folder}", hint="record some: golden.record, golden.capture"
        )
    return found


def read(file: str | Path) -> Golden:
    """A recorded execution. Raises `NoJournal`."""
    try:
        return msgspec.json.decode(Path(file).read_bytes(), type=Golden)
    except (OSError, msgspec.MsgspecError) as error:
        raise NoJournal(f"{file} cannot be read: {error}", hint="record it again") from error


def check(file: str | Path, *, sagas: Sequence[Saga[..., Any]] = (), steps: Sequence[Any] = ()) -> Golden:
    """Replay a recorded execution with the code as it is now.

    sagas, steps: definitions that are not at hand by being imported, as for an engine.  Raises `Diverged`
    (an AssertionError) with the journal's and the code's side; `NoJournal`.
    """
    __tracebackhide__ = True
    golden = read(file)
    registry = Registry(REGISTRY)
    for saga in sagas:
        registry.add_saga(saga)
    for each in steps:
        registry.add_instance(each)

    def make() -> Instance:
        about = (golden.uid, golden.id, golden.saga, golden.version)
        return Instance(*about, registry, Limits(), parent=golden.parent, depth=golden.depth)

    try:
        replaying.replay(make, golden.rows)
    except Parked as error:
        raise Diverged(_told(file, golden, error)) from None
    return golden


def _told(file: str | Path, golden: Golden, error: Parked) -> str:
    return (
        f"\n{file}: the journal of {golden.id} ({golden.saga}, {len(golden.rows)} rows, "
        f"{golden.status or 'running'}) no longer replays\n\n{error}\n\n"
        "An execution like this one, running when the code is deployed, would be parked. If none can be: "
        "record the file again."
    )
