"""What a saga must not touch: each refusal shows the user's wrong line, the right one, and what to do."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import inspect
import signal
import socket
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import amends
from amends.errors import ForeignCall
from amends.kernel import compat, foreign
from tests.unit.kernel.parity.driver import Run
from tests.unit.kernel.parity.world import START, Program, say, work

Body = Callable[[], Awaitable[Any]]
CASES: list[tuple[Body, str, str]] = []


def case(right: str, hint: str = "") -> Callable[[Body], Body]:
    """A body with a line marked ``# wrong``, the right line it should be shown, and words of the hint."""

    def declare(body: Body) -> Body:
        CASES.append((body, right, hint))
        return body

    return declare


def run(body: Body) -> Run:
    """Run a body as a saga, to its end."""
    name = body.__name__
    return Run(Program(name, body, saga=amends.saga(name=f"parity.{name}")(body))).begin()


def raised_by(body: Body) -> BaseException:
    """What the body ends with."""
    caught: list[BaseException] = []

    @functools.wraps(body)
    async def observed() -> None:
        try:
            await body()
        except BaseException as error:
            caught.append(error)
            raise

    finished = run(observed)
    finished.instance.discard()
    return caught[0]


def wrong_line(body: Body) -> tuple[int, str]:
    """The line of a body marked as the wrong one, and its number."""
    lines, first = inspect.getsourcelines(body)
    (found,) = [(first + n, line) for n, line in enumerate(lines) if "# wrong" in line]
    return found[0], found[1].strip()


# ---------------------------------------------------------------- the network


@case("await my_step(…)", "open connections in a step, or hold a client as a Resource")
async def opens_a_connection() -> None:
    await asyncio.open_connection("localhost", 9)  # wrong


@case("await my_step(…)", "do it in an `async def` marked @step")
async def serves() -> None:
    await asyncio.start_server(lambda *_: None, "localhost", 0)  # wrong


@case("await my_step(…)")
async def uses_a_socket() -> None:
    with socket.socket() as some:
        some.setblocking(False)
        await asyncio.get_running_loop().sock_recv(some, 1)  # wrong


@case("await my_step(…)")
async def watches_a_socket() -> None:
    asyncio.get_running_loop().add_reader(0, print)  # wrong


@case("await my_step(…)", "look the name up in an `async def` marked @step")
async def looks_up_a_name() -> None:
    await asyncio.get_running_loop().getaddrinfo("localhost", 80)  # wrong


@case("await my_step(…)")
async def sends_datagrams() -> None:
    await asyncio.get_running_loop().create_datagram_endpoint(asyncio.DatagramProtocol)  # wrong


# ---------------------------------------------------------------- threads and processes


@case("await my_step(…)  # a plain `def` marked @step runs in a thread")
async def uses_an_executor() -> None:
    await asyncio.get_running_loop().run_in_executor(None, print)  # wrong


@case(
    "await my_step(…)  # a plain `def` marked @step runs in a thread",
    "put the blocking call into a plain `def`",
)
async def uses_a_thread() -> None:
    await asyncio.to_thread(print)  # wrong


@case("await my_step(…)", "start the process and wait for it in an `async def` marked @step")
async def starts_a_program() -> None:
    await asyncio.create_subprocess_exec(sys.executable)  # wrong


@case("await my_step(…)", "start the process and wait for it in an `async def` marked @step")
async def starts_a_shell() -> None:
    await asyncio.create_subprocess_shell("true")  # wrong


@case("await my_signal.receive()  # the other side calls handle.send(my_signal, value)", "by signals only")
async def is_called_from_a_thread() -> None:
    asyncio.get_running_loop().call_soon_threadsafe(print)  # wrong


@case("await my_signal.receive()  # the other side calls handle.send(my_signal, value)")
async def handles_process_signals() -> None:
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, print)  # wrong


@case("await my_step(…)", "await the step")
async def wraps_a_future_of_a_thread() -> None:
    elsewhere: concurrent.futures.Future[int] = concurrent.futures.Future()
    await asyncio.wrap_future(elsewhere)  # wrong


@case(
    "await my_signal.receive()  # the other side calls handle.send(my_signal, value)", "a result from outside"
)
async def awaits_a_future_of_another_loop() -> None:
    other = asyncio.new_event_loop()
    try:
        future = other.create_future()
        await future  # wrong
    finally:
        other.close()


# ---------------------------------------------------------------- the loop itself


@case("await it", "a saga's code runs in a loop already")
async def runs_until_complete() -> None:
    asyncio.get_running_loop().run_until_complete(asyncio.sleep(0))  # wrong


@case("return", "a saga ends when its function returns or raises")
async def stops_the_loop() -> None:
    asyncio.get_running_loop().stop()  # wrong


@case("return")
async def closes_the_loop() -> None:
    asyncio.get_running_loop().close()  # wrong


@case("await my_step(…)")
async def makes_tasks_eager() -> None:
    asyncio.get_running_loop().set_task_factory(None)  # wrong


@case("task = asyncio.create_task(…)", "asyncio.create_task")
async def makes_a_task_by_its_class() -> None:
    async def other() -> None:
        await work("a")  # wrong

    await asyncio.Task(other())


@case("task = asyncio.create_task(…)", "or a TaskGroup")
async def makes_tasks_in_a_task_made_by_its_class() -> None:
    async def other() -> None:
        asyncio.create_task(work("a"))  # wrong  # noqa: RUF006

    await asyncio.Task(other())


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
@pytest.mark.parametrize(("body", "right", "hint"), CASES, ids=lambda it: getattr(it, "__name__", ""))
def test_refusal_teaches(body: Body, right: str, hint: str) -> None:
    error = explained_of(body)
    assert isinstance(error, ForeignCall)
    number, line = wrong_line(body)
    shown = str(error).splitlines()
    assert shown[1].strip() == f"{__file__}:{number}"
    assert shown[2].strip() == f"wrong:  {line}"
    assert shown[3].strip() == f"right:  {right}"
    assert hint in error.hint


def explained_of(body: Body) -> BaseException:
    """What the journal is told of the body's error (asyncio's words about foreign futures are explained)."""
    return foreign.explained(raised_by(body))


def test_refusals_can_be_caught_and_end_the_saga_otherwise() -> None:
    async def catches() -> str:
        try:
            await asyncio.to_thread(print)
        except ForeignCall:
            say("caught")
        return await work("a")

    finished = run(catches)
    assert finished.ended == "completed"
    ended = run(uses_a_thread)
    assert ended.ended == "compensated"
    assert '"ForeignCall"' in ended.rows[-1].commands
    assert "await asyncio.to_thread(print)  # wrong" in ended.rows[-1].commands.replace("\\n", "\n")


def test_foreign_future_is_explained_in_the_journal_and_in_groups() -> None:
    async def in_a_group() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(awaits_a_future_of_another_loop())  # type: ignore[arg-type]

    ended = run(awaits_a_future_of_another_loop)
    assert '"unwind","failed",["ForeignCall"' in ended.rows[-1].commands
    error = raised_by(in_a_group)
    assert isinstance(error, ExceptionGroup)
    assert isinstance(error.exceptions[0], ForeignCall)
    assert isinstance(error.exceptions[0].__cause__, RuntimeError)


def test_a_thread_is_told_its_own_line() -> None:
    told: list[BaseException] = []

    async def gives_away_its_loop() -> None:
        loop = asyncio.get_running_loop()

        def elsewhere() -> None:
            try:
                loop.call_soon_threadsafe(print)  # wrong
            except ForeignCall as error:
                told.append(error)

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()

    assert run(gives_away_its_loop).ended == "completed"
    assert "loop.call_soon_threadsafe(print)  # wrong" in str(told[0])


def test_every_method_of_a_loop_is_there_or_refused() -> None:
    """Nothing of the abstract loop is left that raises a bare NotImplementedError."""
    from amends.kernel.loop import SagaLoop

    bare = {
        name
        for name in dir(asyncio.AbstractEventLoop)
        if not name.startswith("_") and getattr(SagaLoop, name) is getattr(asyncio.AbstractEventLoop, name)
    }
    assert bare == set()


def test_line_is_the_users_own_even_behind_a_library(tmp_path: Any) -> None:
    """The nearest line of the user's code is shown, not the one of the library it calls."""
    library = tmp_path / "site-packages" / "some_client.py"
    library.parent.mkdir()
    library.write_text("import asyncio\nasync def get():\n    await asyncio.open_connection('x', 1)\n")
    space: dict[str, Any] = {}
    exec(compile(library.read_text(), str(library), "exec"), space)

    async def uses_a_library() -> None:
        await space["get"]()  # wrong

    number, line = wrong_line(uses_a_library)
    text = str(raised_by(uses_a_library))
    assert f"{__file__}:{number}" in text
    assert line in text


def test_own_code_in_a_folder_called_amends_or_asyncio_is_the_users() -> None:
    assert foreign._kind("/home/me/amends/shop/sagas.py") == "own"
    assert foreign._kind("/home/me/asyncio/sagas.py") == "own"
    assert foreign._kind(foreign.__file__) == "ours"
    assert foreign._kind(asyncio.__file__) == "ours"
    assert foreign._kind(inspect.__file__) == "other"


# ---------------------------------------------------------------- what is allowed


def test_time_is_that_of_the_activation() -> None:
    async def looks_at_the_clock() -> None:
        loop = asyncio.get_running_loop()
        first = loop.time()
        assert first == amends.now().timestamp() == START
        await asyncio.sleep(0)
        assert loop.time() == first
        await work("a", 2.5)
        assert loop.time() == amends.now().timestamp() == START + 2.5
        assert asyncio.get_event_loop() is loop
        assert loop.is_running()
        assert not loop.is_closed()
        assert not loop.get_debug()

    assert run(looks_at_the_clock).ended == "completed"


def test_futures_of_the_sagas_own_loop_are_wrapped_as_they_are() -> None:
    async def wraps_its_own() -> None:
        future = asyncio.get_running_loop().create_future()
        assert asyncio.wrap_future(future) is future

    assert run(wraps_its_own).ended == "completed"


def test_outside_of_sagas_asyncio_is_what_it_was() -> None:
    """The rerouted functions do on other loops what they always did."""

    async def ordinary() -> list[Any]:
        pool = concurrent.futures.ThreadPoolExecutor(1)
        wrapped = await asyncio.wrap_future(pool.submit(lambda: "thread"))
        pool.shutdown()
        tasks = [asyncio.create_task(asyncio.sleep(0, n)) for n in range(3)]
        assert asyncio.all_tasks() >= set(tasks)
        finished = sorted([await item for item in asyncio.as_completed(tasks, timeout=5)])
        gathered = await asyncio.gather(*tasks, return_exceptions=True)
        timed = await asyncio.wait_for(asyncio.sleep(0, "in time"), timeout=5)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.sleep(9), timeout=0.001)
        gate, condition = asyncio.Semaphore(1), asyncio.Condition()
        async with gate, condition:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(condition.wait(), 0.001)
        with pytest.raises(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(_fails())
        both = {asyncio.gather(asyncio.sleep(0)), asyncio.gather(asyncio.sleep(0))}
        await asyncio.wait(both)
        return [wrapped, finished, gathered, timed, len(both)]

    expected = ["thread", [0, 1, 2], [0, 1, 2], "in time", 2]
    assert asyncio.run(ordinary()) == expected
    assert inspect.signature(asyncio.wait_for).parameters.keys() == {"fut", "timeout"}
    assert inspect.signature(asyncio.gather).parameters.keys() == {"coros_or_futures", "return_exceptions"}
    assert inspect.signature(asyncio.as_completed).parameters.keys() == {"fs", "timeout"}


async def _fails() -> None:
    raise LookupError


def test_installing_again_changes_nothing() -> None:
    before = dict(compat._originals)
    compat.install()
    assert compat._originals == before
