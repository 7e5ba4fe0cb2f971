"""What a followed execution is told by, line by line."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

from rich.console import Console

from amends.cli.render.text import moment
from amends.cli.story import Moment, Story, Wait, tell
from amends.cli.watch import Lines
from amends.kernel import entries as e
from amends.kernel.ledger import Ledger
from tests.unit.cli.test_story import FAULT, START, rows


class Told:
    """The lines that are told of stories."""

    def __init__(self) -> None:
        self._out = io.StringIO()
        self._lines = Lines(Console(file=self._out, width=100))

    def __call__(self, story: Story) -> list[str]:
        begin = len(self._out.getvalue())
        view: Any = SimpleNamespace(story=story)
        self._lines(view)
        return self._out.getvalue()[begin:].splitlines()


def test_what_happens_again_is_told_again_and_nothing_twice() -> None:
    first = Wait(id="1", kind="signal", name="go", began=100.0, ended=101.0, state="received")
    second = Wait(id="2", kind="signal", name="go", began=101.0)
    story = Story([], [first], [Moment(100.5, "continued as new")], Ledger())
    told = Told()
    assert told(story) == [
        f"{moment(100)}  waits for the signal go",
        f"{moment(100)}  continued as new",
        f"{moment(101)}  signal go received",
    ]
    story.waits.append(second)
    story.moments.append(Moment(102.0, "continued as new"))
    assert told(story) == [f"{moment(101)}  waits for the signal go", f"{moment(102)}  continued as new"]
    assert told(story) == []


def test_what_is_parked_again_is_told_again_with_the_time_of_that() -> None:
    failed = ([e.Failed("1", FAULT, "unknown", "ask")], [])
    journal = [START, failed, ([e.Retried("1")], []), failed]
    told = Told()
    waits = "1 a waits for a person: ConnectionError: down"
    assert told(tell(rows(*journal[:2])))[-1] == f"{moment(101)}  {waits}"
    told(tell(rows(*journal[:3])))
    assert told(tell(rows(*journal))) == [f"{moment(103)}  {waits}"]
