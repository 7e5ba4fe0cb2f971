"""JSON from the command line: what goes, and how errors show the place."""

from __future__ import annotations

import importlib
import io
from collections.abc import Callable
from pathlib import Path

import pytest

from amends import Engine
from amends.cli import values
from amends.cli.commands import run
from amends.cli.desk import Desk
from amends.cli.exits import Problem
from amends.store.port import Header
from tests.unit.cli import shop
from tests.unit.cli.conftest import Done

Amends = Callable[..., Done]


def test_a_file_and_stdin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.json").write_text("[1]")
    assert values.read("@a.json", "--args") == [1]
    monkeypatch.setattr("sys.stdin", io.StringIO("{}"))
    assert values.read("-", "--args") == {}
    with pytest.raises(Problem, match=r"--args: cannot read b\.json: No such file"):
        values.read("@b.json", "--args")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("{'a': 1}", """JSON quotes with ": --args '{"a": 1}'"""),
        ("order-1", """text needs quotes of its own: --args '"order-1"'"""),
        ('{"a": 1', "or --args @file.json"),
        ("", "or --args @file.json"),
    ],
)
def test_advice_for_what_is_no_json(given: str, said: str) -> None:
    with pytest.raises(Problem) as caught:
        values.read(given, "--args")
    assert said in caught.value.hint


def test_the_mark_stands_below_the_wrong_byte_also_after_umlauts_and_lines() -> None:
    with pytest.raises(Problem) as caught:
        values.read('{"straße": 1,\n "ü": x}', "--args")
    assert caught.value.message.splitlines()[-2:] == ['     "ü": x}', "          ^"]


def test_a_long_line_is_cut_around_the_place() -> None:
    with pytest.raises(Problem) as caught:
        values.read(f"[{'1,' * 500} x]", "--args")
    line, mark = caught.value.message.splitlines()[-2:]
    assert len(line) <= 104
    assert line[mark.index("^")] == "x"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ('{"ordr": {}}', "did you mean 'order'?"),
        ("7", "expected an object by name or a list by position"),
        ("[1, 2]", "it takes place_order(order: app.Order)"),
        ('{"order": {"id": "1"}}', "missing required field `cents`"),
        ('{"order": {"id": 1, "cents": 1}}', "Expected `str`, got `int`"),
        ("{}", "missing required field `order`"),
        (None, "missing required field `order`"),
    ],
)
def test_arguments_that_do_not_fit(given: str | None, said: str, tmp_path: Path, amends: Amends) -> None:
    shop.write(tmp_path)
    done = amends("start", "app:place_order", *(["--args", given] if given else []))
    assert done.code == 2
    assert said in done.err
    assert not (tmp_path / "orders.db").exists()


def test_the_same_id_is_the_same_execution(tmp_path: Path, amends: Amends) -> None:
    shop.write(tmp_path)
    given = ["run", "app:place_order", "--id", "o", "--json", "--args"]
    first = amends(*given, '[{"id": "9", "cents": 1}]')
    assert amends(*given, '[{"cents": 1, "id": "9"}]').json == first.json
    other = amends(*given, '[{"id": "9", "cents": 2}]')
    assert (other.code, other.error["code"]) == (6, "id_in_use")
    assert amends("run", "app:other", "--id", "o", "--json").error["code"] == "id_in_use"


def test_a_start_tells_what_it_did_and_not_how_far_a_worker_is(
    tmp_path: Path, amends: Amends, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Later(Desk):
        """Looks when a worker has done it all."""

        async def find(self, id: str) -> Header:
            app = importlib.import_module("app")
            async with Engine(self.place.url) as engine:
                await engine.run(app.place_order(app.Order("9", 1)), id=id)
            return await super().find(id)

    shop.write(tmp_path)
    given = ["start", "app:place_order", "--id", "o", "--args", '[{"id": "9", "cents": 1}]']
    with monkeypatch.context() as patched:
        patched.setattr(run, "Desk", Later)
        first = amends(*given)
    assert first.out == "o started\n"
    assert "follow it" not in first.err
    again = amends(*given)
    assert (again.code, again.out, again.err) == (0, "o was started before: completed\n", "")
    assert amends(*given[:3], "p", *given[4:]).out == "p started\n"
    under_way = amends(*given[:3], "p", *given[4:])
    assert under_way.out == "p was started before: running\n"
    assert "nobody serves" in under_way.err


def test_by_position_and_without_arguments(tmp_path: Path, amends: Amends) -> None:
    shop.write(tmp_path)
    done = amends("run", "app:place_order", "--args", '[{"id": "9", "cents": 1}]', "--json")
    assert done.json["result"] == "parcel-9"
    assert amends("run", "app:other", "--json").json["result"] == 7
