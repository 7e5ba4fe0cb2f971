"""Schedules: which ticks follow (across changes of the clocks), and that each starts one execution, whatever happens."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amends import Client, Engine, Refused, Signal, UnknownName, saga, step
from amends.engine.schedules.running import Starter
from amends.engine.schedules.spec import Spec, last_tick, next_tick, ticks
from amends.store.memory import MemoryStore
from amends.store.port import Header, Query
from amends.testing import World, world
from tests.stores import new_schema, url_of

go = Signal[str]("go")
BERLIN = ZoneInfo("Europe/Berlin")


@step(name="schedules.work")
async def work(word: str) -> str:
    return word


@saga(name="schedules.report")
async def report(word: str) -> str:
    return await work(word)


@saga(name="schedules.long")
async def long() -> None:
    await go.receive()


def spec(**given: Any) -> Spec:
    return Spec(**{"namespace": "default", "name": "x", "saga": "s", "version": "", "input": "{}", **given})


# ---------------------------------------------------------------- ticks


def local(cron: str, zone: ZoneInfo, begin: datetime, count: int) -> list[str]:
    found = islice(ticks(spec(cron=cron, zone=zone.key), begin.timestamp()), count)
    return [datetime.fromtimestamp(tick, zone).strftime("%m-%d %H:%M%z") for tick in found]


def test_a_time_that_is_left_out_comes_when_the_clocks_have_changed() -> None:
    assert local("30 2 * * *", BERLIN, datetime(2026, 3, 27, 12, tzinfo=BERLIN), 3) == [
        "03-28 02:30+0100", "03-29 03:00+0200", "03-30 02:30+0200",
    ]  # fmt: skip


def test_a_time_that_comes_twice_is_one_tick() -> None:
    assert local("30 2 * * *", BERLIN, datetime(2026, 10, 24, 12, tzinfo=BERLIN), 2) == [
        "10-25 02:30+0200", "10-26 02:30+0100",
    ]  # fmt: skip


def test_hours_go_by_evenly_when_the_clocks_change() -> None:
    for day in (datetime(2026, 3, 29, tzinfo=BERLIN), datetime(2026, 10, 25, tzinfo=BERLIN)):
        found = list(islice(ticks(spec(cron="0 * * * *", zone="Europe/Berlin"), day.timestamp()), 6))
        assert {after - before for before, after in pairwise(found)} == {3600.0}


CRONS = ("0 2 * * *", "30 2 * * *", "*/7 * * * *", "0 9 * * mon-fri", "15 0 1 * *", "59 23 31 12 *")
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu")
MOMENTS = st.floats(1.6e9, 1.9e9)


@given(
    st.one_of(
        st.builds(spec, cron=st.sampled_from(CRONS), zone=st.sampled_from(ZONES)),
        st.builds(spec, every=st.floats(1.0, 1e6), anchor=MOMENTS),
    ),
    MOMENTS,
)
def test_ticks_come_in_order_and_none_is_passed_over(given_spec: Spec, after: float) -> None:
    found = list(islice(ticks(given_spec, after), 4))
    assert found == sorted(set(found))
    assert found[0] > after
    for before, then in pairwise(found):
        middle = before + (then - before) / 2
        assert next_tick(given_spec, middle) == pytest.approx(then, abs=1e-3)
        assert last_tick(given_spec, before, middle) == pytest.approx(before, abs=1e-3)
        assert last_tick(given_spec, found[0], then + 1e-3) == pytest.approx(then, abs=1e-3)


# ---------------------------------------------------------------- what is started


async def ids(engine: Engine, name: str) -> list[str]:
    found = await engine.list(where=f'attributes.schedule = "{name}"', limit=1000)
    return sorted(status.id for status in found)


async def begin(w: World) -> None:
    """It is 1 March 2027, 12:00 UTC."""
    await w.advance(datetime(2027, 3, 1, 12, tzinfo=UTC) - w.now)


SAGAS = [report, long]
DAYS = [f"nightly@2027-03-{day:02}T01:00:00Z" for day in range(2, 31)]


def test_each_tick_starts_one_execution_over_a_month_and_a_change_of_clocks() -> None:
    async def main() -> None:
        async with world() as w, w.engine(sagas=SAGAS) as engine:
            await begin(w)
            await engine.schedules.add("nightly", report("x"), cron="0 2 * * *", zone="Europe/Berlin")
            await w.advance(days=29)
            # Germany goes to summer time on 28 March: 02:00 is left out, and then is at 00:00 UTC.
            expected = [id.replace("T01", "T00") if id > "nightly@2027-03-29" else id for id in DAYS]
            assert await ids(engine, "nightly") == expected
            assert await engine.handle(report, expected[0]).result() == "x"
            (status,) = await engine.schedules.list()
            assert (status.name, status.last, status.paused) == ("nightly", expected[-1], False)
            assert status.next == datetime(2027, 3, 31, 0, tzinfo=UTC)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("policy", "days"), [("last", [2, 6, 7]), ("all", [2, 3, 4, 5, 6, 7]), ("skip", [2, 7])]
)
def test_ticks_that_were_missed(policy: Any, days: list[int], tmp_path: Any) -> None:
    async def main() -> None:
        async with world(f"sqlite:///{tmp_path}/x.db") as w:
            async with w.engine(sagas=SAGAS) as engine:
                await begin(w)
                await engine.schedules.add(
                    "daily", report("x"), cron="0 6 * * *", catch_up=policy, overlap="allow"
                )
                await w.advance(days=1)
                await w.crash(engine)
            await w.advance(days=4, hours=1)
            async with w.engine(sagas=SAGAS) as engine:
                await w.advance(days=1)
                assert await ids(engine, "daily") == [f"daily@2027-03-{day:02}T06:00:00Z" for day in days]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("policy", "started"), [("skip", [1, 5]), ("allow", [1, 2, 3, 4, 5]), ("wait", [1, 4, 5])]
)
def test_runs_that_overlap(policy: Any, started: list[int]) -> None:
    """The first run ends between the fourth tick and the fifth."""

    async def main() -> None:
        async with world() as w, w.engine(sagas=SAGAS) as engine:
            await begin(w)
            await engine.schedules.add("hourly", long(), every=timedelta(hours=1), overlap=policy)
            await w.advance(hours=4, minutes=30)
            (first, *_) = await ids(engine, "hourly")
            await engine.handle(long, first).send(go, "on")
            engine._stir()  # a world looks for messages once a day
            await w.advance(minutes=2)
            assert await engine.handle(long, first).outcome()
            for other in (await ids(engine, "hourly"))[1:]:
                await engine.handle(long, other).send(go, "on")
            engine._stir()
            await w.advance(minutes=58)
            begun = [int(id.partition("T")[2][:2]) - 12 for id in await ids(engine, "hourly")]
            assert begun == started

    asyncio.run(main())


def test_runs_have_the_deadline_of_their_saga() -> None:
    @saga(name="schedules.hurried", deadline=600)
    async def hurried() -> None:
        await go.receive()

    async def main() -> None:
        async with world() as w, w.engine(sagas=[hurried]) as engine:
            await begin(w)
            await engine.schedules.add("hourly", hurried(), every=3600)
            await w.advance(minutes=65)
            (run,) = await ids(engine, "hourly")
            assert (await engine.handle(hurried, run).status()).status == "running"
            await w.advance(minutes=10)
            assert (await engine.handle(hurried, run).outcome()).cause == "deadline"

    asyncio.run(main())


def test_pause_resume_replace_and_remove() -> None:
    async def main() -> None:
        async with world() as w, w.engine(sagas=SAGAS) as engine:
            await begin(w)
            schedules = engine.schedules
            await schedules.add("tick", report("x"), every=3600)
            await schedules.add("tick", report("x"), every=3600)  # the same again
            await w.advance(hours=1, minutes=1)
            assert len(await ids(engine, "tick")) == 1
            await schedules.pause("tick")
            await w.advance(hours=5)
            (status,) = await schedules.list()
            assert (status.paused, status.next) == (True, None)
            assert len(await ids(engine, "tick")) == 1
            await schedules.resume("tick")
            await w.advance(hours=1)
            assert len(await ids(engine, "tick")) == 2  # what was missed in the pause is not caught up with
            with pytest.raises(Refused, match="another schedule"):
                await schedules.add("tick", report("y"), every=60)
            await schedules.add("tick", report("y"), every=60, replace=True)
            await w.advance(minutes=10, seconds=1)
            found = await ids(engine, "tick")
            assert len(found) == 12
            assert await engine.handle(report, found[-1]).result() == "y"
            await schedules.remove("tick")
            await w.advance(hours=5)
            assert len(await ids(engine, "tick")) == 12
            assert await schedules.list() == []
            with pytest.raises(UnknownName):
                await schedules.pause("tick")
            await schedules.add("tick", report("z"), every=60)
            await w.advance(minutes=2, seconds=1)
            assert len(await ids(engine, "tick")) == 14

    asyncio.run(main())


def test_a_crash_between_start_and_journal_starts_nothing_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    starts: list[str] = []
    original = Starter.start

    async def main() -> None:
        async with world() as w:
            engines = []

            async def start(self: Starter, given_spec: Spec, tick: float) -> str:
                id = await original(self, given_spec, tick)
                starts.append(id)
                if len(starts) == 1:
                    asyncio.get_running_loop().create_task(w.crash(engines[-1]))
                    await asyncio.sleep(3600)
                return id

            monkeypatch.setattr(Starter, "start", start)
            for _ in range(2):
                async with w.engine(sagas=SAGAS) as engine:
                    engines.append(engine)
                    if len(engines) == 1:
                        await begin(w)
                        await engine.schedules.add("tick", report("x"), every=3600, catch_up="all")
                    await w.advance(hours=1, minutes=30)
                    if len(engines) == 2:
                        assert starts[0] == starts[1]
                        assert await ids(engine, "tick") == sorted(set(starts))
                        assert len(set(starts)) >= 2

    asyncio.run(main())


def test_its_journal_stays_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amends.engine.schedules.running.PER_RUN", 5)

    async def main() -> None:
        async with world() as w, w.engine(sagas=SAGAS) as engine:
            await begin(w)
            await engine.schedules.add("tick", report("x"), every=60)
            await w.advance(minutes=12, seconds=1)
            assert len(await ids(engine, "tick")) == 12
            (status,) = await engine.schedules.list()
            rows = await engine.handle(report, status.execution).history()
            begun = [event for row in rows for event in row["events"] if event["type"] == "started"]
            assert len(begun) == 3

    asyncio.run(main())


@pytest.mark.parametrize("kind", ["memory", "sqlite", "postgres"])
def test_on_every_store(kind: str, tmp_path: Any, request: pytest.FixtureRequest) -> None:
    """In real time; two workers where a store takes two; the namespace is that of the schedule."""

    async def main(url: str) -> None:
        async with Engine(url, sagas=SAGAS, namespace="eu") as engine, Engine(url, sagas=SAGAS):
            await engine.schedules.add("tick", report("x"), every=1.0, attributes={"kind": "test"})
            async with asyncio.timeout(30):
                while len(found := await ids(engine, "tick")) < 2:
                    await asyncio.sleep(0.05)
            assert await engine.handle(report, found[0]).result() == "x"
            assert len(set(found)) == len(found)
            assert await engine.list(where='attributes.kind = "test"')
            await engine.schedules.remove("tick")
            async with asyncio.timeout(30):
                while await engine.schedules.list():
                    await asyncio.sleep(0.05)

    if kind == "postgres":
        server = request.getfixturevalue("postgres")
        with new_schema(server) as schema:
            asyncio.run(main(url_of(server, schema)))
    else:
        asyncio.run(main("memory://" if kind == "memory" else f"sqlite:///{tmp_path}/x.db"))


def test_two_who_add_a_name_at_the_same_moment() -> None:
    class Slow(MemoryStore):
        async def headers(self, query: Query) -> list[Header]:
            found = await super().headers(query)
            await asyncio.sleep(0.01)
            return found

    async def main() -> None:
        async with Client(Slow()) as client:
            schedules = client.schedules
            both = [
                schedules.add("tick", report("x"), every=3600),
                schedules.add("tick", report("y"), every=60),
            ]
            said = await asyncio.gather(*both, return_exceptions=True)
            assert [type(each) for each in said] == [type(None), Refused]
            assert "another schedule" in str(said[1])
            again = [
                schedules.add("tock", report("x"), every=3600),
                schedules.add("tock", report("x"), every=60, replace=True),
            ]
            assert await asyncio.gather(*again) == [None, None]

    asyncio.run(main())


# ---------------------------------------------------------------- what cannot be


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "neither": ({}, "either cron or every"),
    "both": ({"cron": "* * * * *", "every": 60}, "either cron or every"),
    "too short": ({"every": 0.1}, "at least 1 s"),
    "too long": ({"every": 1e18}, "at most 1,000,000,000 s"),
    "no number": ({"every": float("nan")}, "at least 1 s"),
    "no cron": ({"cron": "61 * * * *"}, "no cron expression"),
    "no zone": ({"cron": "* * * * *", "zone": "Europe/Berlim"}, "Europe/Berlin"),
    "no policy": ({"every": 60, "catch_up": "lst"}, "did you mean 'last'"),
    "no overlap": ({"every": 60, "overlap": "al"}, "there is no policy"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_has_no_ticks_is_refused(case: str) -> None:
    given, said = WRONG[case]

    async def main() -> None:
        async with Client("memory://") as client:
            with pytest.raises(Refused, match=said):
                await client.schedules.add("x", report("x"), **given)
            with pytest.raises(Refused, match="name"):
                await client.schedules.add("a b", report("x"), every=60)
            assert await client.schedules.list() == []

    asyncio.run(main())


def test_preview() -> None:
    async def main() -> None:
        async with Client("memory://") as client:
            found = client.schedules.preview(cron="0 2 * * *", zone="Europe/Berlin", count=3)
            assert [moment.hour for moment in found] == [2, 2, 2] or 3 in [moment.hour for moment in found]
            assert [str(moment.tzinfo) for moment in found] == ["Europe/Berlin"] * 3

    asyncio.run(main())
