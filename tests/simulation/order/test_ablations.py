"""Each rule switched off in the kernel: the same property must find it (a check that cannot fail is a defect).

`ABLATIONS` says what is patched, in which programs to look, and which promises the violation may be told as: what
is broken first depends on the example.  `EXAMPLES` is how long we look; most are found within a few dozen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from amends.kernel import (
    actions,
    advance,
    backward,
    instance,
    ledger,
    phases,
    program,
    reactions,
    rollback,
    run,
)
from amends.kernel import entries as e
from amends.worker import conclusions, writes
from tests.simulation.ablated import forgetful, residue_is_swallowed

from . import driver
from .audit import audit
from .driver import Case, Unplayable
from .reference import Broken
from .shapes import SHAPES
from .strategies import cases, happenings

EXAMPLES = 1_500

Patch = Callable[[pytest.MonkeyPatch], None]


def without_order(patch: pytest.MonkeyPatch) -> None:
    """All compensations start at once."""

    def turn(self: backward.Plan) -> list[actions.Action]:
        found = [action for _, _, action in self._unbegun if action.owed and not action.undo_state]
        self._unbegun.clear()
        return found

    patch.setattr(backward.Plan, "turn", turn)


def one_after_the_other(patch: pytest.MonkeyPatch) -> None:
    """Compensations never overlap."""
    turn = backward.Plan.turn

    def alone(self: backward.Plan) -> list[actions.Action]:
        if any(action.undo_state == actions.UNDO_RUNNING for _, _, action in self._waiting):
            return []
        first, *others = turn(self) or [None]
        for other in others:
            self.enter(other)
        return [] if first is None else [first]

    patch.setattr(backward.Plan, "turn", alone)


def parked_holds_back(patch: pytest.MonkeyPatch) -> None:
    """A parked compensation stops those before it."""
    patch.setattr(backward, "_holds_back", lambda action: action.outcome == "" or action.owed)


def retried_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    """A parked compensation that is tried again does not hold back what precedes it."""
    patch.setattr(reactions, "_enter_again", lambda self, action: None)


def without_settling(patch: pytest.MonkeyPatch) -> None:
    """The saga sees a failure or a cancellation while its effect stands."""
    patch.setattr(reactions, "_must_settle", lambda self, action: False)


def irreversible_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    """An irreversible effect that the saga gave up on is no residue."""
    patch.setattr(
        reactions,
        "_must_settle",
        lambda self, action: action.undo == e.UNDO_STEP and not self.ledger.pivoted and not action.undo_state,
    )


def seen_while_settling(patch: pytest.MonkeyPatch) -> None:
    """While all is being undone, a settlement that runs holds nobody up either."""

    def settle_parked(self: program.Program, action: actions.Action) -> None:
        if self.ledger.doomed and action.outcome:
            self.release(action.id)

    patch.setattr(run.Run, "settle_parked", settle_parked)


def unknown_is_not_undone(patch: pytest.MonkeyPatch) -> None:
    """Only what succeeded is owed."""
    owed = actions.Action.owed.fget  # type: ignore[attr-defined]
    patch.setattr(
        actions.Action, "owed", property(lambda self: owed(self) and self.outcome == actions.SUCCEEDED)
    )


def everything_is_a_member(patch: pytest.MonkeyPatch) -> None:
    """A rollback undoes the whole saga."""
    patch.setattr(ledger, "within", lambda scope, of: True)


def tasks_are_no_members(patch: pytest.MonkeyPatch) -> None:
    """What tasks do that were created inside a savepoint does not belong to it."""
    create_task = run.SagaLoop.create_task

    def outside(self: Any, *args: Any, **options: Any) -> Any:
        task = create_task(self, *args, **options)
        task.scope = ""
        return task

    patch.setattr(run.SagaLoop, "create_task", outside)


def late_tasks_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    """A rollback waits only for the tasks that were there when it began."""
    running = rollback.Rollback.running
    known: dict[int, list[Any]] = {}

    def snapshot(self: rollback.Rollback, of: Any) -> list[Any]:
        if id(self) not in known:
            known[id(self)] = [self, *running(self, of)]
        return [task for task in known[id(self)][1:] if not task.done()]

    patch.setattr(rollback.Rollback, "running", snapshot)


def cancel_is_not_sticky(patch: pytest.MonkeyPatch) -> None:
    """After a cancel the saga may begin new things."""
    patch.setattr(ledger.Ledger, "closing", property(lambda self: self.phase != phases.FORWARD))


def cancel_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    """A body that swallows its cancellation completes."""
    body_ended = advance._body_ended

    def forgetful(self: instance.Instance) -> bool:
        cancel, self.ledger.cancel = self.ledger.cancel, None
        try:
            return body_ended(self)
        finally:
            self.ledger.cancel = cancel

    patch.setattr(advance, "_body_ended", forgetful)


def pivot_without_looking(patch: pytest.MonkeyPatch) -> None:
    """The pivot is passed while other things are in flight."""
    patch.setattr(instance.Instance, "busy_with", lambda self, but="": [])


def nothing_is_held_back(patch: pytest.MonkeyPatch) -> None:
    """While the ancestors are asked about the pivot, other tasks begin new things."""
    patch.setattr(program.Program, "_hold_back", lambda self, future, begin, **options: begin())


def settled_after_the_pivot(patch: pytest.MonkeyPatch) -> None:
    """Compensations go on after the pivot."""
    patch.setattr(
        reactions, "_must_settle", lambda self, action: action.undo != e.UNDO_NONE and not action.undo_state
    )
    conclude = conclusions.conclude

    def careless(*args: Any, pivoted: bool, **options: Any) -> Any:
        return conclude(*args, pivoted=False, **options)

    patch.setattr(driver, "conclude", careless)


def undone_without_code_after_the_pivot(patch: pytest.MonkeyPatch) -> None:
    """Somebody cancels an execution whose code is gone, and whose pivot is passed."""
    abandon = advance.abandon

    def reckless(self: instance.Instance, requests: Any, why: str, now: float) -> Any:
        self.ledger.pivoted = False
        return abandon(self, requests, why, now)

    patch.setattr(advance, "abandon", reckless)


def children_pivot_alone(patch: pytest.MonkeyPatch) -> None:
    """A child's pivot is not its ancestors'."""
    create = driver.World._instance

    def orphan(self: driver.World, header: Any) -> instance.Instance:
        child = create(self, header)
        child.parent = ""
        return child

    patch.setattr(driver.World, "_instance", orphan)


def children_are_not_undone(patch: pytest.MonkeyPatch) -> None:
    """A completed child is not told that its parent compensates."""
    patch.setitem(writes._OUTWARD, e.Undo, lambda *args: None)


def taint_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    """A last attempt that is rejected makes the action rejected, whatever came before."""
    patch.setattr(driver, "conclude", forgetful(conclusions.conclude))


def a_failing_compensation_is_interrupted(patch: pytest.MonkeyPatch) -> None:
    """Who no longer waits for a settlement stops it."""
    interrupt = instance.Instance.interrupt

    def reckless(self: instance.Instance, action: actions.Action, future: Any) -> None:
        if action.undo_state == actions.UNDO_RUNNING:
            self.issue(e.Interrupt(action.id))
        interrupt(self, action, future)

    patch.setattr(instance.Instance, "interrupt", reckless)


def undone_beside_its_attempt(patch: pytest.MonkeyPatch) -> None:
    """An interrupted action is undone before its attempt has ended."""
    interrupt = instance.Instance.interrupt

    def hasty(self: instance.Instance, action: actions.Action, future: Any) -> None:
        interrupt(self, action, future)
        if (
            action.outcome == ""
            and action.kind == "step"
            and action.undo == e.UNDO_STEP
            and action.interrupted
        ):
            action.outcome, action.end = actions.UNKNOWN, self.position
            self.undo(action)

    patch.setattr(instance.Instance, "interrupt", hasty)


def the_fold_forgets(patch: pytest.MonkeyPatch) -> None:
    """Something happens to the live ledger that no row tells the fold."""
    undone = reactions.REACTIONS[e.Undone]

    def more_than_undone(self: instance.Instance, event: e.Undone) -> None:
        undone(self, event)
        self.ledger.actions[event.id].key_suffix = "+"

    patch.setitem(reactions.REACTIONS, e.Undone, more_than_undone)


class Ablation(NamedTuple):
    patch: Patch
    where: str  # a profile or a shape
    promises: frozenset[int]  # as which the reference may see it


def found(patch: Patch, where: str, *promises: int) -> Ablation:
    return Ablation(patch, where, frozenset(promises))


ABLATIONS = [
    found(without_order, "mixed", 6),
    found(without_order, "savepoints", 6),
    found(one_after_the_other, "parallel", 6),
    found(parked_holds_back, "parallel", 6, 16),
    found(retried_is_forgotten, "parallel", 6, 7),
    found(without_settling, "mixed", 2, 6, 9),
    found(irreversible_is_forgotten, "irreversible and cut off", 2, 6),
    found(seen_while_settling, "parallel", 2),
    found(unknown_is_not_undone, "mixed", 6, 9),
    found(everything_is_a_member, "savepoints", 6),
    found(tasks_are_no_members, "savepoints", 6),
    found(late_tasks_are_forgotten, "late tasks in a savepoint", 6),
    found(cancel_is_not_sticky, "deaf to a cancel", 9),
    found(cancel_is_forgotten, "deaf to a cancel", 9, 16),
    found(pivot_without_looking, "pivots", 10),
    found(nothing_is_held_back, "spawned beside the pivot", 10),
    found(settled_after_the_pivot, "pivots", 10),
    found(undone_without_code_after_the_pivot, "asleep after the pivot", 10, 13),
    found(children_pivot_alone, "a grandchild pivots", 10),
    found(children_are_not_undone, "nested", 12, 16),
    found(taint_is_forgotten, "mixed", 1, 2),
    found(residue_is_swallowed, "mixed", 11, 16),
    found(a_failing_compensation_is_interrupted, "cuts", 7),
    found(undone_beside_its_attempt, "cuts", 7),
    found(the_fold_forgets, "mixed", 8, 13),
]


@pytest.mark.slow
@pytest.mark.parametrize("ablation", ABLATIONS, ids=lambda a: f"{a.patch.__name__}, {a.where}")
def test_what_is_switched_off_is_found(ablation: Ablation, monkeypatch: pytest.MonkeyPatch) -> None:
    ablation.patch(monkeypatch)
    ran = 0
    strategy = happenings(SHAPES[ablation.where]) if ablation.where in SHAPES else cases(ablation.where)

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def every_promise_holds(case: Case) -> None:
        nonlocal ran
        ran += 1
        audit(case, Counter())

    with pytest.raises((Broken, Unplayable)) as caught:
        every_promise_holds()
    print(f"found after {ran} examples: {caught.value}")
    assert caught.value.promise in ablation.promises, caught.value
