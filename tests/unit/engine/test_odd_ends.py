"""However oddly an attempt ends, its saga hears of it: what the user's own classes raise strands nobody."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from amends import Engine, Retry, StepFailed, saga, step

ONCE = Retry(attempts=2, delay=0.0)
made: list[Money] = []


@dataclass
class Money:
    """One that is made, and cannot be made again."""

    cents: int

    def __post_init__(self) -> None:
        if made:
            raise LookupError("no such currency")


def money() -> Money:
    made.clear()
    paid = Money(5)
    made.append(paid)
    return paid


class Model:
    """Like a pydantic model, but one that cannot be dumped."""

    def model_dump(self, mode: str = "python") -> Any:
        raise LookupError("no dump")


class Throttled(Exception):
    @property
    def retry_after(self) -> float:
        return float({}["Retry-After"])


class Uncounted(Exception):
    @property
    def counts(self) -> bool:
        raise LookupError("no counts")


@step(name="odd.pays", retry=ONCE)
async def pays() -> Money:
    return money()


@step(name="odd.models", retry=ONCE)
async def models() -> object:
    return Model()


@step(name="odd.throttles", retry=ONCE)
async def throttles() -> None:
    raise Throttled("later")


@step(name="odd.holds", retry=ONCE)
async def holds() -> None:
    raise Uncounted("later")


@step(name="odd.takes", retry=ONCE)
async def takes(money: Money) -> None: ...


STEPS: dict[str, Any] = {"pays": pays, "models": models, "throttles": throttles, "holds": holds}


@saga(name="odd.one")
async def one(name: str) -> str:
    try:
        await STEPS[name]()
    except StepFailed as failure:
        return str(failure)
    return "done"


@saga(name="odd.given")
async def given() -> None:
    await takes(money())


def ended(folder: Path, called: Any) -> Any:
    async def main() -> Any:
        async with asyncio.timeout(20), Engine(f"sqlite:///{folder}/odd.db", sagas=[called.saga]) as engine:
            return await (await engine.start(called, id="one")).outcome()

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("pays", "does not fit Money: LookupError: no such currency"),
        ("models", "cannot be journaled: LookupError: no dump"),
        ("throttles", "Throttled: later"),
        ("holds", "Uncounted: later"),
    ],
)
def test_an_attempt_that_ends_oddly_has_failed(tmp_path: Path, name: str, said: str) -> None:
    assert said in ended(tmp_path, one(name)).value


def test_arguments_that_cannot_be_read_back_wait_for_a_person(tmp_path: Path) -> None:
    found = ended(tmp_path, given())
    assert found.status == "attention"
    assert "does not fit" in str(found.items)
