"""A nested saga that needs a person: its parent's page says so, and no command waits for ever."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Done

APP = """
from amends import Recovery, Rejected, saga, step

@step(name="nested.work", recovery={Rejected: Recovery.ASK})
async def work() -> str:
    raise Rejected("no")

@saga(name="nested.child")
async def child() -> str:
    return await work()

@saga(name="nested.top")
async def top() -> str:
    return await child()
"""


@pytest.mark.timeout(60)
def test_a_run_ends_with_attention_and_says_where_to_act(amends: Callable[..., Done], tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP, encoding="utf-8")
    done = amends("run", "app:top", "--id", "one", "--store", "sqlite:///x.db")
    assert done.code == 4, done
    assert "attention" in done.out
    assert "one~1" in done.out, "the command that shows the nested saga"
    page = amends("show", "one", "--store", "sqlite:///x.db", "--json").json
    assert (page["status"], page["cause"]) == ("attention", "child")
    page = amends("show", "one~1", "--store", "sqlite:///x.db", "--json").json
    assert (page["status"], page["items"][0]["why"]) == ("attention", "ask")
