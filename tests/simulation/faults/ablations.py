"""Each safeguard switched off, in the simulation only: its absence must be found.

A switch patches the real code from outside; nothing of the engine knows of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from amends.definition.context import Current
from amends.kernel import actions, advance, backward, instance, reactions, replay
from amends.kernel import entries as e
from amends.store.memory import MemoryStore, batch
from amends.store.memory.state import State
from amends.store.port import COMMITTED
from amends.testing.services import Service
from amends.worker import attempts, conclusions, dispatcher, holds, intake, loading, undoing, worker, writes
from tests.simulation.ablated import forgetful, residue_is_swallowed

Patch = Callable[[pytest.MonkeyPatch], None]


def no_fencing(patch: pytest.MonkeyPatch) -> None:
    """A worker that has lost its place goes on writing."""
    patch.setattr(MemoryStore, "_check_fence", lambda self, incarnation: self._check_open())
    patch.setattr(batch._Judge, "_owned", lambda self, uid: True)
    patch.setattr(batch._Judge, "_taken", lambda self, uid, position: False)


def a_key_for_each_attempt(patch: pytest.MonkeyPatch) -> None:
    """The idempotency key changes with each attempt."""
    key: Any = Current.idempotency_key.fget  # type: ignore[attr-defined]

    def changing(self: Current) -> str:
        uid, run, action, direction = key(self).split("/")
        return f"{uid}/{run}.{self.attempt}/{action}/{direction}" if self.attempt > 1 else key(self)

    patch.setattr(Current, "idempotency_key", property(changing))


def no_barrier(patch: pytest.MonkeyPatch) -> None:
    """The services do what they are told, as often as they are told."""
    init = Service.__init__

    def trusting(self: Service, *args: Any, **options: Any) -> None:
        init(self, *args, **{**options, "barrier": False})

    patch.setattr(Service, "__init__", trusting)


def unknown_is_not_undone(patch: pytest.MonkeyPatch) -> None:
    """Only what succeeded is compensated."""
    owed: Any = actions.Action.owed.fget  # type: ignore[attr-defined]
    patch.setattr(
        actions.Action, "owed", property(lambda self: owed(self) and self.outcome == actions.SUCCEEDED)
    )


def effects_before_intents(patch: pytest.MonkeyPatch) -> None:
    """Actions are dispatched while their commands are being committed."""
    journal = worker.Worker._journal

    def hasty(self: worker.Worker, live: Any, decision: Any, now: float) -> None:
        journal(self, live, decision, now)
        for action in getattr(decision, "run", ()):
            self.dispatcher.run(live, action)

    patch.setattr(worker.Worker, "_journal", hasty)


def no_checksum(patch: pytest.MonkeyPatch) -> None:
    """Rows are believed as they are."""
    patch.setattr(replay, "opened", lambda row, position, checksum: (row.events, row.commands))


def compensations_are_interrupted(patch: pytest.MonkeyPatch) -> None:
    """A cancel stops whatever runs."""
    take = worker.Worker.take

    def reckless(self: worker.Worker, live: Any, message: Any) -> None:
        take(self, live, message)
        if "cancel" in message.event:
            for key in [k for k in self.attempts.running if k[0] == live.header.uid and k[2] == "undo"]:
                self.attempts.stop(key, conclusions.Interrupted("cancelled"))

    patch.setattr(worker.Worker, "take", reckless)


def no_order(patch: pytest.MonkeyPatch) -> None:
    """All compensations start at once."""

    def turn(self: backward.Plan) -> list[actions.Action]:
        found = [action for _, _, action in self._unbegun if action.owed and not action.undo_state]
        self._unbegun.clear()
        return found

    patch.setattr(backward.Plan, "turn", turn)


def no_taint(patch: pytest.MonkeyPatch) -> None:
    """A last attempt that was certainly rejected makes the action rejected, whatever came before."""
    patch.setattr(dispatcher, "conclude", forgetful(dispatcher.conclude))


def lost_attempts_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    """What was open when its worker died counts as never sent."""
    send_again = loading.Loader._send_again

    def trusting(self: Any, live: Any, action: Any, **how: bool) -> None:
        send_again(self, live, action, **{**how, "lost": False})

    patch.setattr(loading.Loader, "_send_again", trusting)


def lost_attempts_are_not_awaited(patch: pytest.MonkeyPatch) -> None:
    """A compensation starts while an attempt that was lost with its worker may still run."""
    patch.setattr(loading.Loader, "_lost_until", lambda self, live, action, died: 0.0)


def no_settling(patch: pytest.MonkeyPatch) -> None:
    """The saga sees a failure while its effect stands."""
    patch.setattr(reactions, "_must_settle", lambda self, action: False)


def releases_lose_news(patch: pytest.MonkeyPatch) -> None:
    """An execution goes to sleep though there is a message for it, and the message does not wake it."""

    def careless(state: Any, write: Any) -> Any:
        execution = state.executions[write.uid]
        execution.lost = write.release.lost
        state.let_sleep(execution, write.release.wake_at)
        return COMMITTED

    patch.setattr(batch, "_release", careless)


def messages_wake_nobody(patch: pytest.MonkeyPatch) -> None:
    """A message to a sleeping execution does not make it due."""
    put = State.put

    def silent(self: State, message: Any) -> None:
        header = self.executions[message.uid].header
        before = header.wake_at
        put(self, message)
        if header.owner is None:
            header.wake_at = before

    patch.setattr(State, "put", silent)


def no_poll_ceiling(patch: pytest.MonkeyPatch) -> None:
    """A worker looks for news only when it is told to."""
    sleep = intake._sleep

    async def deep(of: Any, next_wake: Any) -> None:
        patched, of.settings = of.settings, _Never(of.settings)
        try:
            await sleep(of, next_wake)
        finally:
            of.settings = patched

    patch.setattr(intake, "_sleep", deep)


def what_could_not_be_read_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    """A turn that a busy store broke off is not made up for."""
    patch.setattr(
        intake._Feeding, "_behind", property(lambda _: False, lambda _, behind: None), raising=False
    )


class _Never:
    """Settings with a poll that never comes."""

    poll = 1e9

    def __init__(self, settings: Any) -> None:
        self._settings = settings

    def __getattr__(self, name: str) -> Any:
        return getattr(self._settings, name)


def undone_after_the_pivot(patch: pytest.MonkeyPatch) -> None:
    """Settling does not ask whether the pivot is passed."""
    patch.setattr(
        reactions, "_must_settle", lambda self, action: action.undo != e.UNDO_NONE and not action.undo_state
    )
    conclude = dispatcher.conclude
    patch.setattr(
        dispatcher, "conclude", lambda *args, pivoted, **options: conclude(*args, pivoted=False, **options)
    )


def attempts_are_not_adopted(patch: pytest.MonkeyPatch) -> None:
    """What runs is not looked for when an execution is read again."""
    send_again, finish = loading.Loader._send_again, attempts.Attempts._finish

    def blind(self: Any, live: Any, action: Any, **how: bool) -> None:
        for direction in ("do", "undo"):
            self._worker.attempts.running.pop((live.header.uid, action.id, direction), None)
        send_again(self, live, action, **how)

    def finished(self: Any, attempt: Any, value: Any, error: Any) -> None:
        self.running.setdefault(attempt.key, attempt)
        finish(self, attempt, value, error)

    patch.setattr(loading.Loader, "_send_again", blind)
    patch.setattr(attempts.Attempts, "_finish", finished)


def nothing_is_verified(patch: pytest.MonkeyPatch) -> None:
    """The check after a compensation is not made."""
    patch.setattr(undoing.Undo, "judge", lambda self, sure: None)


def children_are_not_undone(patch: pytest.MonkeyPatch) -> None:
    """A completed child is not told that its parent compensates."""
    patch.setitem(writes._OUTWARD, e.Undo, lambda *args: None)


def ids_may_repeat(patch: pytest.MonkeyPatch) -> None:
    """The same id again is another execution."""
    patch.setattr(State, "has", lambda self, header: header.uid in self.executions)


def the_inbox_keeps_what_was_taken(patch: pytest.MonkeyPatch) -> None:
    """A message stays in the inbox though its row is durable."""
    patch.setattr(State, "consume", lambda self, execution, seqs: None)


def the_fold_forgets(patch: pytest.MonkeyPatch) -> None:
    """Something happens to the live ledger that no row tells the fold."""
    completed = reactions.REACTIONS[e.AttemptFailed]

    def more(self: instance.Instance, event: Any) -> None:
        completed(self, event)
        action = self.ledger.actions.get(event.id)
        if action is not None:
            action.key_suffix = "+"

    patch.setitem(reactions.REACTIONS, e.AttemptFailed, more)


def divergence_is_overlooked(patch: pytest.MonkeyPatch) -> None:
    """What the code does in replay is not compared with the journal."""
    patch.setattr(replay, "reconcile", lambda *args: None)


def the_clock_is_believed(patch: pytest.MonkeyPatch) -> None:
    """An activation takes the clock's time, even if it is earlier than that of the row before."""
    activate = instance.Instance.activate

    def trusting(self: instance.Instance, events: Any, now: float) -> Any:
        if self.expected is None:
            self.ledger.now = min(self.ledger.now, now)
        return activate(self, events, now)

    patch.setattr(instance.Instance, "activate", trusting)


def a_full_store_is_a_commit(patch: pytest.MonkeyPatch) -> None:
    """What the store had no room for counts as written."""
    from amends.errors import StoreFull
    from amends.testing.wire import Wire

    commit_now = Wire.commit_now

    def optimistic(self: Any, incarnation: int, batch_of: Any) -> Any:
        try:
            return commit_now(self, incarnation, batch_of)
        except StoreFull:
            return [COMMITTED for _ in batch_of]

    patch.setattr(Wire, "commit_now", optimistic)


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


def pauses_are_not_heeded(patch: pytest.MonkeyPatch) -> None:
    """A worker that knows of a pause goes on as if it did not."""
    patch.setattr(holds.Holds, "shut", lambda self, of: False)


def the_gate_stands_open(patch: pytest.MonkeyPatch) -> None:
    """A pause is looked at when an attempt's turn comes, and not again when its code is called."""
    patch.setattr(attempts.Attempts, "_kept_off", lambda self, attempt: False)


class Ablation(NamedTuple):
    """A switch, the promises by which its absence may show, and the faults without which it would not."""

    patch: Patch
    promises: frozenset[int]
    only: tuple[str, ...] = ()


def found(patch: Patch, *promises: int, only: tuple[str, ...] = ()) -> Ablation:
    return Ablation(patch, frozenset(promises), only)


ABLATIONS = [
    found(no_fencing, 4, 15, 7, 3),
    found(a_key_for_each_attempt, 5, 3, 2),
    found(no_barrier, 5, 2),
    found(unknown_is_not_undone, 2, 6, 9),
    found(effects_before_intents, 3),
    found(no_checksum, 13),
    found(compensations_are_interrupted, 7),
    found(no_order, 6),
    found(no_taint, 1, 2),
    found(lost_attempts_are_forgotten, 1, 2, 7),
    found(lost_attempts_are_not_awaited, 7),
    found(no_settling, 2, 6, 9),
    found(releases_lose_news, 16),
    found(messages_wake_nobody, 16),
    found(no_poll_ceiling, 16),
    found(what_could_not_be_read_is_forgotten, 16, only=("read_busy",)),
    found(undone_after_the_pivot, 10),
    found(attempts_are_not_adopted, 7),
    found(residue_is_swallowed, 11, 16),
    found(nothing_is_verified, 11),
    found(children_are_not_undone, 12, 16),
    found(ids_may_repeat, 16),
    found(the_inbox_keeps_what_was_taken, 16, 14, 12, 10),
    found(the_fold_forgets, 8, 13, 5),
    found(divergence_is_overlooked, 13, 8, 14),
    found(the_clock_is_believed, 13),
    found(a_full_store_is_a_commit, 3, 4, 15),
    found(cancel_is_forgotten, 9, 16),
    found(pauses_are_not_heeded, 0, only=("pause_type",)),
    found(the_gate_stands_open, 0, only=("pause_type",)),
]
