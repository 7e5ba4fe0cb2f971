"""What must hold for every command, so that a new one cannot escape: help with an example that runs, a JSON
form that is pinned, and a clear error for whatever can be wrong with what it takes.
"""

from __future__ import annotations

import asyncio
import base64
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import click
import msgspec
import pytest

from amends import Client
from amends.cli import main
from amends.cli.app import FOREIGN, PANELS, cli
from amends.cli.exits import Exit
from amends.encryption import Codec, KeyRing, MasterKey
from tests.unit.cli import shop
from tests.unit.cli.conftest import Done

Amends = Callable[..., Done]
Order = Callable[[str], Path]

NATIVE = [name for entries in PANELS.values() for name in entries]

# The state that order-1001 is in for a command's example. (`worker` runs until stopped: see tests/acceptance/cli.)
STATES = {
    "cancel": "waiting",
    "history": "completed",
    "graph": "completed",
    "list": "stuck",
    "show": "stuck",
    "send": "waiting",
    "retry": "stuck",
    "pause": "waiting",
    "resume": "waiting",
    "resolve": "held",
    "skip": "stuck",
    "terminate": "waiting",
    "fork": "compensated",
    "bulk": "stuck",
    "schedule": "completed",
    "queue": "completed",
    "retain": "completed",
    "export": "completed",
    "import": "completed",
    "keys": "completed",
    "doctor": "completed",
    "pauses": "completed",
}


def command(name: str) -> click.Command:
    return cli.commands[name].real()  # type: ignore[attr-defined,no-any-return]


def examples(name: str) -> list[str]:
    return re.findall(r"\$ (.*)", str(command(name).epilog).replace("\\\n      ", ""))


def example(name: str) -> list[str]:
    return shlex.split(examples(name)[0])[1:]


MASTER = base64.b64encode(b"a master key for tests, no other").decode()


async def _make_a_key() -> None:
    codec = Codec(keys=KeyRing(MasterKey(MASTER)))
    async with Client("sqlite:///orders.db", codec=codec) as client:
        await client.keys.prepare("customer-42")


@pytest.fixture(autouse=True)
def _with_a_master_key(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    callspec = getattr(request.node, "callspec", None)
    if callspec is not None and callspec.params.get("name") == "keys":
        monkeypatch.setenv("AMENDS_MASTER_KEY", MASTER)


def prepare(name: str, order: Order, tmp_path: Path) -> None:
    if name in STATES:
        order(STATES[name])
        if name == "keys":
            asyncio.run(_make_a_key())
        if name == "pauses":
            assert main(["pause", "--saga", "shop.place_order", "--reason", "why", "--by", "ann"]) == Exit.OK
        if name == "import":
            assert main(["export", "journals.jsonl"]) == Exit.OK
    elif name in {"run", "start", "explore"}:
        shop.write(tmp_path)


# ---------------------------------------------------------------- help


@pytest.mark.parametrize("name", NATIVE)
def test_help_has_an_example(name: str, amends: Amends) -> None:
    done = amends(name, "--help")
    assert done.code == 0
    assert f"$ amends {name}" in done.out
    assert "--json" in done.out


@pytest.mark.parametrize("name", NATIVE)
def test_an_example_that_is_copied_from_a_terminal_is_one_command(name: str) -> None:
    before = ""
    for line in str(command(name).epilog).splitlines()[1:]:
        assert len(line) <= 80
        assert line.startswith("  $ ") or before.endswith(" \\")
        before = line


@pytest.mark.parametrize("name", NATIVE)
def test_the_list_of_commands_says_what_the_command_itself_says(name: str) -> None:
    first = (command(name).help or "").partition("\n")[0]
    assert cli.commands[name].short_help == first


@pytest.mark.parametrize("name", [name for name in FOREIGN if name in cli.commands])
def test_commands_of_other_packages_answer(name: str, amends: Amends) -> None:
    done = amends(name, "--help")
    assert done.code == 0
    assert "usage" in done.out.lower()


def test_commands_of_packages_that_are_not_there_are_not_offered(amends: Amends) -> None:
    offered = amends("--help").out
    for name in FOREIGN:
        assert (re.search(rf"^  {name} ", offered, re.MULTILINE) is not None) == (name in cli.commands)


@pytest.mark.parametrize("name", [name for name in NATIVE if name != "worker"])
def test_examples_run(name: str, amends: Amends, order: Order, tmp_path: Path) -> None:
    for line in examples(name):
        if "|" in line:
            continue  # see tests/acceptance/cli
        prepare(name, order, tmp_path)
        if "--watch" in line:
            (tmp_path / "repaired").touch()
        done = amends(*shlex.split(line)[1:])
        assert done.code == Exit.OK, done


def test_each_command_with_an_execution_has_a_state() -> None:
    assert set(STATES) | {"init", "run", "start", "worker", "explore", "completion", "version"} == set(NATIVE)


# ---------------------------------------------------------------- what can be wrong


def parameters(name: str) -> dict[str, click.Parameter]:
    return {one.name or "": one for one in command(name).params}


def with_parameter(*names: str) -> list[str]:
    return [name for name in NATIVE if set(names) & set(parameters(name))]


def arguments(name: str, order: Order, tmp_path: Path) -> list[str]:
    """A command line that would work."""
    prepare(name, order, tmp_path)
    if name == "worker":
        order("completed")
        return ["worker", "app"]
    return example(name)


def told(amends: Amends, given: list[str], code: Exit | int, *words: str) -> Done:
    """The error is the same for people and programs; it says these words, and what to do."""
    plain, json = amends(*given), amends(*given, "--json")
    assert plain.code == json.code == code, (plain, json)
    assert json.error["exit"] == code
    for word in words:
        assert word in plain.err, plain
        assert word in json.error["message"] + json.error["hint"]
    assert json.error["hint"]
    assert "→" in plain.err
    assert plain.out == ""
    return json


MAKES_A_STORE = {"run", "start", "worker", "import", "schedule"}


@pytest.mark.parametrize("name", [n for n in with_parameter("store") if n not in MAKES_A_STORE])
def test_no_store(name: str, amends: Amends, order: Order, tmp_path: Path) -> None:
    given = [*_without_store(arguments(name, order, tmp_path)), "--store", "sqlite:///order.db"]
    if name == "doctor":  # its report is its answer
        done = amends(*given)
        assert done.code == Exit.STORE
        assert "there is no store at order.db" in done.out
        return
    told(amends, given, Exit.STORE, "there is no store at order.db", "did you mean 'orders.db'?")
    assert not (tmp_path / "order.db").exists()


def _without_store(given: list[str]) -> list[str]:
    if "--store" in given:
        place = given.index("--store")
        return given[:place] + given[place + 2 :]
    return given


@pytest.mark.parametrize("name", with_parameter("store"))
def test_a_store_from_a_newer_version(name: str, amends: Amends, order: Order, tmp_path: Path) -> None:
    given = arguments(name, order, tmp_path)
    if name in {"run", "start"}:
        order("completed")
    with apsw.Connection(str(tmp_path / "orders.db")) as db:
        db.execute("INSERT INTO amends_schema VALUES (999, 'from the future')")
    db.close()
    if name == "doctor":
        done = amends(*given)
        assert done.code == Exit.STORE
        assert "version 999" in done.out
        assert "upgrade amends" in done.out
        return
    told(amends, given, Exit.STORE, "schema 999", "upgrade amends")


@pytest.mark.parametrize("name", with_parameter("store"))
def test_a_store_that_is_no_url(name: str, amends: Amends, order: Order, tmp_path: Path) -> None:
    given = [*_without_store(arguments(name, order, tmp_path)), "--store", "orders.db"]
    told(amends, given, Exit.STORE, "'orders.db'", "sqlite:///orders.db")


@pytest.mark.parametrize("name", with_parameter("id", "ids"))
def test_a_wrong_id(name: str, amends: Amends, order: Order, tmp_path: Path) -> None:
    if name in {"run", "start"}:
        pytest.skip("there the id is a new one")
    given = ["order-1010" if word == "order-1001" else word for word in arguments(name, order, tmp_path)]
    told(amends, given, Exit.NOT_FOUND, "no execution has the id 'order-1010'", "did you mean 'order-1001'?")


@pytest.mark.parametrize("name", with_parameter("app", "saga", "module"))
def test_a_wrong_module(name: str, amends: Amends, order: Order, tmp_path: Path) -> None:
    given = arguments(name, order, tmp_path)
    if name in {"list", "bulk", "retain", "export", "schedule", "pause", "resume", "pauses"}:
        pytest.skip("--saga there is a name in the store")
    if "app" in parameters(name):
        if "--app" in given:
            del given[given.index("--app") :]
        given += ["--app", "ap"]
    else:
        given = [re.sub(r"^app\b", "ap", word) for word in given]
    if name == "doctor":
        done = amends(*given)
        assert done.code == Exit.USAGE
        assert "there is no module 'ap'" in done.out
        return
    told(amends, given, Exit.USAGE, "there is no module 'ap'", "did you mean 'app'?")


@pytest.mark.parametrize(
    ("name", "option"),
    [(n, o.opts[0]) for n in NATIVE for o in command(n).params if o.metavar == "JSON"],
)
def test_wrong_json(name: str, option: str, amends: Amends, order: Order, tmp_path: Path) -> None:
    given = arguments(name, order, tmp_path)
    if option in given:
        given[given.index(option) + 1] = '{"order": }'
    else:
        given += [option, '{"order": }']
    done = told(amends, given, Exit.USAGE, f"{option} is no JSON")
    assert '    {"order": }\n              ^' in done.error["message"]


def test_two_workers_on_one_file(amends: Amends, order: Order) -> None:
    folder = order("completed")
    with shop.worker(folder):
        told(
            amends,
            ["worker", "app", "--no-standby"],
            Exit.REFUSED,
            "is the worker of",
            "one file has one worker",
        )


def test_the_tables_of_errors_reach_every_command() -> None:
    """Whatever takes a store, an id, a module or JSON is among the cases above by its declaration."""
    takes = {name: set(parameters(name)) for name in NATIVE}
    assert {name for name, has in takes.items() if "store" not in has} == {
        "init", "completion", "version", "explore",
    }  # fmt: skip
    assert with_parameter("id", "ids") == [
        "run", "start", "send", "show", "history", "graph", "cancel", "retry", "pause", "resume", "resolve", "skip", "terminate",
        "fork",
    ]  # fmt: skip


# ---------------------------------------------------------------- JSON forms

SHAPES: dict[str, Any] = {
    "uid": re.compile(r"[0-9a-f]{32}"),
    "time": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"),
}


def shape(value: Any) -> Any:
    """A value with what differs from run to run made plain."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner) for inner in value]
    if isinstance(value, str):
        for name, pattern in SHAPES.items():
            if pattern.fullmatch(value):
                return f"<{name}>"
    return value


@pytest.mark.parametrize("name", [name for name in NATIVE if name != "worker"])
def test_the_json_form(name: str, amends: Amends, order: Order, tmp_path: Path) -> None:
    """Compared with tests/unit/cli/forms.json. Fields may be added; a change breaks programs of others."""
    prepare(name, order, tmp_path)
    done = amends(*example(name), "--json")
    assert done.code == Exit.OK, done
    found = shape(done.lines)
    if name in VARIES:
        found = VARIES[name](found)
    assert found == pinned(name)


def pinned(name: str) -> Any:
    forms = msgspec.json.decode((Path(__file__).parent / "forms.json").read_bytes())
    return forms.get(name)


def _doctor(found: Any) -> Any:
    """What the machine is like does not matter, only what is looked at."""
    findings = [{**one, "level": "", "seen": "", "do": ""} for one in found[0]["findings"]]
    return [{**found[0], "ok": True, "store": "", "findings": findings}]


def _explore(found: Any) -> Any:
    """How many paths there are is not part of the form."""
    one = found[0]
    coverage = [{**each, "counts": {}, "missed": []} for each in one["coverage"]]
    counts = {"runs": 0, "histories": 0, "seconds": 0, "statuses": {}, "notes": one["notes"][:1]}
    return [{**one, **counts, "coverage": coverage}]


def _history(found: Any) -> Any:
    """The journal names the Python that wrote it."""
    started = found[0]["events"][0]
    return [{**found[0], "events": [{**started, "python": ""}]}, *found[1:]]


def _keys(found: Any) -> Any:
    return [{**each, "id": "", "master": ""} for each in found]


def _version(found: Any) -> Any:
    return [dict.fromkeys(found[0], "")]


def _completion(found: Any) -> Any:
    return [{**found[0], "script": ""}]


def _graph(found: Any) -> Any:
    """Pictures show durations; what they look like is tested with `amends.drawing`."""
    nodes = [{**node, "notes": []} for node in found[0]["diagram"]["nodes"]]
    return [{**found[0], "text": "", "diagram": {**found[0]["diagram"], "nodes": nodes}}]


VARIES: dict[str, Callable[[Any], Any]] = {
    "completion": _completion,
    "doctor": _doctor,
    "explore": _explore,
    "graph": _graph,
    "history": _history,
    "keys": _keys,
    "version": _version,
}
