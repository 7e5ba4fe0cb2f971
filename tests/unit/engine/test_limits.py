"""Bounds on what one execution may grow, and values that do not fit: refused with what to do, never half written."""

from __future__ import annotations

import asyncio
import logging

import pytest

from amends import (
    Compensated,
    Engine,
    Limits,
    NeedsAttention,
    PayloadError,
    Refused,
    Settings,
    saga,
    step,
)

LOG: list[str] = []


@pytest.fixture(autouse=True)
def _clean() -> None:
    LOG.clear()


@step(name="limits.do")
async def do(n: int) -> int:
    return n


@do.compensation
async def undo(done: int | None, n: int) -> None:
    LOG.append(f"undo {n}")


@saga(name="limits.wide")
async def wide(n: int) -> int:
    return sum(await asyncio.gather(*(do(i) for i in range(n))))


@saga(name="limits.long")
async def long(n: int) -> None:
    for i in range(n):
        await do(i)


@saga(name="limits.deep")
async def deep(left: int) -> int:
    await do(left)
    return await deep(left - 1) if left else 0


@saga(name="limits.lies")
async def lies() -> int:
    await do(1)
    return "not a number"  # type: ignore[return-value]


def run(call, **limits):
    async def main():
        async with Engine("memory://", settings=Settings(limits=Limits(**limits))) as engine:
            return await engine.run(call, id="x")

    return asyncio.run(main())


def test_fan_out_is_bounded_and_what_was_begun_is_undone():
    assert run(wide(5), fan_out=5) == 10
    with pytest.raises(Compensated, match="limit is 5"):
        run(wide(6), fan_out=5)


def test_nesting_too_deep_fails_in_the_saga_and_everything_is_undone():
    assert run(deep(3), depth=3) == 0
    with pytest.raises(Compensated, match="nested 3 deep"):
        run(deep(3), depth=2)
    assert sorted(LOG) == ["undo 1", "undo 2", "undo 3"]


def test_a_journal_at_its_limit_parks_and_can_still_be_cancelled():
    async def main():
        settings = Settings(limits=Limits(rows=10))
        async with Engine("memory://", settings=settings) as engine:
            handle = await engine.start(long(50), id="x")
            with pytest.raises(NeedsAttention, match="the limit is 10") as parked:
                await handle.result()
            assert "continue_as_new" in str(parked.value)
            await handle.cancel("too long")
            return await handle.outcome()

    assert asyncio.run(main()).status == "compensated"
    assert len(LOG) == 10


def test_a_long_journal_warns_before_its_limit(caplog):
    with caplog.at_level(logging.WARNING, logger="amends.worker"):
        run(long(8), warn_rows=5)
    assert [r for r in caplog.records if "continue_as_new" in r.getMessage()]


def test_a_result_that_its_annotation_cannot_read_is_the_sagas_failure():
    with pytest.raises(Compensated, match="does not fit int"):
        run(lies())
    assert LOG == ["undo 1"]


def test_arguments_that_do_not_fit_are_refused_before_anything_is_written():
    with pytest.raises(PayloadError, match="Expected `int`, got `str`") as caught:
        run(long("many"))
    assert "pass what the annotations" in caught.value.hint  # not: how to read an old journal


@pytest.mark.parametrize(("given", "said"), [(long, "call it"), (do(1), "@amends.saga"), (7, "@amends.saga")])
def test_what_is_no_call_of_a_saga_is_refused(given, said):
    with pytest.raises(Refused, match=said):
        run(given)
