"""No command prints the password of its store: in results, notes, suggestions, logs or errors."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.stores import new_schema, url_of
from tests.unit.cli.conftest import Done

Amends = Callable[..., Done]
ORDER = '{"order": {"id": "1", "cents": 1}}'


@pytest.fixture(params=["://ann:s3cret@/shop?host={}", ":///shop?user=ann&password=s3cret&host={}"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A server that is not there."""
    return f"postgresql{request.param.format(tmp_path)}"


COMMANDS = [
    ("doctor",),
    ("doctor", "--json"),
    ("list",),
    ("show", "order-1"),
    ("start", "app:place_order", "--args", ORDER),
    ("send", "order-1", "paid"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_of_a_server_that_is_away(
    amends: Amends, order: Callable[[str], Path], url: str, command: tuple[str, ...]
) -> None:
    order("completed")
    done = amends(*command, "--store", url)
    assert done.code not in {0, 70}, done
    assert "postgresql://" in done.out + done.err
    assert "s3cret" not in done.out + done.err


@pytest.mark.parametrize(
    "typed",
    [
        ("list", "postgresql://ann:s3cret@host/db"),
        ("postgresql://ann:s3cret@host/db",),
        ("list", "--store", "ann:s3cret@host/db"),
        ("list", "--store", "postgresql://ann:s3cret[@host/db"),
        ("list", "--store", "sqlite://ann:s3cret@host"),
    ],
)
@pytest.mark.parametrize("json", [(), ("--json",)])
def test_in_what_was_typed_wrong(amends: Amends, typed: tuple[str, ...], json: tuple[str, ...]) -> None:
    done = amends(*typed, *json)
    assert done.code in {2, 5}, done
    assert "s3cret" not in done.out + done.err


@pytest.fixture
def served(postgres: str) -> Iterator[str]:
    """A server that is there, and does not ask for what the URL has as a password."""
    with new_schema(postgres) as schema:
        yield url_of(postgres, schema, "&sslpassword=s3cret")


def test_in_notes_and_suggestions(amends: Amends, order: Callable[[str], Path], served: str) -> None:
    order("completed")
    told = [
        amends("list", "--store", served),
        amends("start", "app:place_order", "--args", ORDER, "--store", served),
        amends("list", "--store", served),
        amends("doctor", "--store", served),
    ]
    said = "".join(done.out + done.err for done in told)
    assert [done.code for done in told[:3]] == [0, 0, 0], told
    assert "no executions in postgresql://" in said
    assert "follow it: amends show --store" in said
    assert "s3cret" not in said
    assert said.count("sslpassword=***") == 3


def test_in_the_log_of_a_worker(order: Callable[[str], Path], served: str) -> None:
    """Also of one that a supervisor starts, which is handed the URL itself."""
    order("completed")
    command = [sys.executable, "-m", "amends", "worker", "app", "--store", served, "--processes", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        lines = []
        for line in running.stderr:
            lines.append(line)
            if "sslpassword" in line:
                running.terminate()
    assert running.returncode == 0
    assert any("serves postgresql://" in line and "sslpassword=***" in line for line in lines), lines
    assert "s3cret" not in "".join(lines)
