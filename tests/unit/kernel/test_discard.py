"""Throwing code out, as such: what it is told, how often it is asked, and what is said of it."""

from __future__ import annotations

import logging
import types
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from amends.kernel import discard
from amends.kernel.discard import Discarded, throw_out


@types.coroutine
def pause() -> Iterator[None]:
    yield


async def refuses(times: int, told: list[BaseException], error: BaseException | None = None) -> None:
    for _ in range(times):
        try:
            await pause()
        except Discarded as reason:
            told.append(reason)
    if error is not None:
        raise error


def begun(times: int, error: BaseException | None = None) -> tuple[Any, list[BaseException]]:
    told: list[BaseException] = []
    code = refuses(times, told, error)
    code.send(None)
    return code, told


@pytest.mark.parametrize("error", [None, LookupError("its own")])
@pytest.mark.parametrize("times", [1, 2, 3])
def test_it_is_told_whether_code_awaited_on_its_way_and_what_it_ended_with(
    times: int, error: BaseException | None
) -> None:
    code, told = begun(times, error)
    assert throw_out(code) == (times > 1, error)
    assert [str(reason) for reason in told] == ["this execution leaves memory"] * times


@pytest.mark.parametrize("awaits", [False, True])
def test_a_generator_is_closed_first(awaits: bool) -> None:
    seen: list[str] = []

    async def items() -> AsyncIterator[int]:
        try:
            yield 1
        except BaseException as error:
            seen.append(type(error).__name__)
            raise
        finally:
            if awaits:
                await pause()

    generator: Any = items()
    with pytest.raises(StopIteration):
        generator.__anext__().send(None)
    assert throw_out(generator.aclose(), closing=True) == (awaits, None)
    assert seen == ["GeneratorExit"]


def test_patience_has_an_end(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Any] = []
    monkeypatch.setattr(discard, "STUBBORN", kept)
    ends, _ = begun(discard.PATIENCE)
    assert throw_out(ends) == (True, None)
    assert kept == []
    stays, told = begun(discard.PATIENCE + 1)
    assert throw_out(stays) == (True, None)
    assert kept == [stays]
    assert len(told) == discard.PATIENCE
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith(f"{stays!r} awaited on and on while it was discarded; it is kept")
    stays.close()


def test_an_error_on_the_way_out_is_a_debug_line(caplog: pytest.LogCaptureFixture) -> None:
    error = LookupError("its own")
    code, _ = begun(1, error)
    quiet, _ = begun(1)
    with caplog.at_level(logging.DEBUG, "amends.saga"):
        discard.discard(quiet)
        discard.discard(code)
    (record,) = caplog.records
    assert record.getMessage() == f"{code!r} failed while it was discarded"
    assert record.exc_info is not None
    assert record.exc_info[1] is error
