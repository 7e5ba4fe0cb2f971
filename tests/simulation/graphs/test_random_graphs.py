"""Random graphs, outcomes and kills: each ends completed with all effects, or compensated with none, in the order declared."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from amends.definition.registry import REGISTRY
from amends.dialects.graph import Graph, program
from amends.kernel import backward
from tests.simulation.promises.world import World

from .random_graphs import Case, Item, audit, build, cases, play

EXAMPLES = 150
MUST_OCCUR = {
    "completed",
    "compensated",
    "killed",
    "out of memory",
    "undone in reverse",
    "savepoint undone",
    "pivot",
    "skipped",
    "each",
}


def played(case: Case, seen: Counter[str], folder: Path) -> list[str]:
    """Play a case; what does not hold."""
    steps, sagas = dict(REGISTRY.steps), dict(REGISTRY.sagas)
    try:
        world = World("memory", folder)
        made = build(case, world.book)
        assert Graph.from_json(made.graph.to_json()) == made.graph
        result = world.run(lambda: play(world, made, case, seen))
    finally:
        REGISTRY.steps.clear()
        REGISTRY.steps.update(steps)
        REGISTRY.sagas.clear()
        REGISTRY.sagas.update(sagas)
    book = world.book
    seen[result.status] += 1
    seen["undone in reverse"] += len(book.undone) > 1 and result.status == "compensated"
    seen["savepoint undone"] += any("_" in label for label in book.undone) and result.status == "completed"
    for item in case.items:
        seen["pivot"] += item.kind == "pivot"
        seen["skipped"] += item.when is False
        seen["each"] += item.kind == "each"
    book.audit(crashes=len(case.kills), retried=True)
    return audit(made, case, result, book)


def test_every_graph_ends_whole_or_undone_in_the_order_declared(
    record_property: pytest.RecordProperty,
) -> None:
    seen: Counter[str] = Counter()
    ran = 0

    # The same each time: what must occur at least once would now and then be missed by chance.
    @settings(max_examples=EXAMPLES, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(cases)
    def every_promise_holds(case: Case) -> None:
        nonlocal ran
        ran += 1
        with tempfile.TemporaryDirectory() as folder:
            assert played(case, seen, Path(folder)) == []

    every_promise_holds()
    record_property("examples", ran)
    assert ran >= EXAMPLES
    never = {what for what in MUST_OCCUR if not seen[what]}
    assert not never, f"{never} did not occur: {seen}"


# ---------------------------------------------------------------- the audit can fail

LINE = Case((Item("step", ()), Item("step", (0,)), Item("step", (1,), "rejected")))


def test_nodes_that_do_not_wait_are_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    case = Case((Item("step", (), "slow"), Item("step", (0,)), Item("step", (1,), "rejected")))
    assert played(case, Counter(), tmp_path) == []
    node = program._node

    async def hasty(task: Any, values: Any, ended: Any) -> None:
        for event in ended.values():
            event.set()
        await node(task, values, ended)

    monkeypatch.setattr(program, "_node", hasty)
    found = played(case, Counter(), tmp_path)
    assert any("began before" in line for line in found), found


def test_an_order_of_undoing_that_is_wrong_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert played(LINE, Counter(), tmp_path) == []

    def all_at_once(self: backward.Plan) -> list[Any]:
        unbegun, self._unbegun = self._unbegun, []
        return [action for _, _, action in unbegun if action.owed and not action.undo_state]

    monkeypatch.setattr(backward.Plan, "turn", all_at_once)
    found = played(LINE, Counter(), tmp_path)
    assert any("which depends on it" in line for line in found), found


def test_effects_that_remain_are_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert played(LINE, Counter(), tmp_path) == []
    monkeypatch.setattr("tests.simulation.graphs.random_graphs.Graph.step", _without_undo(Graph.step))
    found = played(LINE, Counter(), tmp_path)
    assert any("effects remain" in line for line in found), found


def _without_undo(step: Any) -> Any:
    def declared(self: Graph, name: str, *args: Any, **options: Any) -> Graph:
        return step(self, name, *args, **options, undo=False)  # type: ignore[no-any-return]

    return declared
