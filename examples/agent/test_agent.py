from __future__ import annotations

import pytest

from amends import Engine
from examples.agent import agent


@pytest.mark.parametrize(("answer", "status"), [(True, "completed"), (False, "compensated")])
def test_a_person_decides_about_what_cannot_be_undone(answer: bool, status: str) -> None:
    agent.WORLD.clear()
    agent.SENT.clear()
    with Engine("memory://", sagas=[agent.pursue]).sync as engine:
        handle = engine.start(agent.pursue("the roof"), id="1")
        engine.wait(handle.send(agent.approval, answer))
        assert engine.wait(handle.outcome()).status == status
    assert len(agent.SENT) == (1 if answer else 0)
    assert len(agent.WORLD) == (2 if answer else 0)
