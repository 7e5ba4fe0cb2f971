"""The reference: what DESIGN §3 allows, read off a journal, the saga's own view and the participants' books.

It is written from the sentences, and from nothing of the kernel: it reads rows as JSON (`facts`), knows the
program as a tree (which gives the membership of savepoints), and compares every pair of actions.  `Broken` names the promise.

One `Account` follows one journal, row by row: events, commands, then what saga code saw in that row.  In short:

    2   an exception or cancellation leaves an action only once it is rejected, settled, or (all being undone) parked
    6   `undo` of A only if each B of the same plan that A precedes is settled or parked, and as soon as that is so
    6   a rollback undoes its savepoint's members, all of them and nothing else
    7   nothing interrupts a compensation
    8   after `backward` no saga code commands anything
    9   after a cancel no unshielded forward command, no pivot, no return
    10  after the pivot no `undo`, no `interrupt`, no failure without a person; nothing in flight at the pivot
    11  a failed compensation is tried again, parks or leaves residue
    16  statuses, causes and residue follow from the facts
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from .facts import NEVER, UNDOS, Act, JournalRow, Moment, precedes
from .programs import Node

SIDE_BY_SIDE = frozenset({"group", "gather", "collect", "spawn", "shield"})
FORWARD_COMMANDS = frozenset({"run", "child", "timer", "await", "savepoint", "undo_with"})


class Broken(AssertionError):
    """A promise of DESIGN §3 does not hold."""

    def __init__(self, promise: int, text: str) -> None:
        super().__init__(f"promise {promise}: {text}")
        self.promise = promise


class Account:
    """The account of one execution. See the module's head."""

    def __init__(
        self, uid: str, nodes: dict[str, Node], story: list[tuple[int, str, str]], seen: Counter[str]
    ) -> None:
        self.uid = uid
        self.nodes = nodes
        self.seen = seen
        self.acts: dict[str, Act] = {}
        self.notes: dict[int, list[tuple[str, str]]] = {}
        for row, label, what in story:
            self.notes.setdefault(row, []).append((label, what))
        self.running: set[str] = set()  # nodes that saga code has entered and not left
        self.savepoints: dict[str, Node] = {}  # by journal id
        self.begun: dict[str, Node] = {}  # rollbacks under way, by journal id
        self.over: list[Node] = []  # savepoints whose rollback is over
        self.residue: list[tuple[str, str]] = []
        self.now: Moment = (0, 0, 0)
        self.time = 0.0  # of the row
        self.cancel: Moment = NEVER
        self.cause = ""
        self.undecided = ""  # the cause of a cancel that came while the ancestors were asked about the pivot
        self.undecided_rollbacks: list[Node] = []
        self.pivoted: Moment = NEVER
        self.asking: Moment = NEVER
        self.refused: Moment = NEVER
        self.asked_by: set[str] = set()
        self.returned: Moment = NEVER
        self.unwound: Moment = NEVER
        self.terminated = False
        self.backward: Moment = NEVER
        self.status = ""
        self.must_settle: list[Act] = []

    # ------------------------------------------------------------ rows

    def row(self, row: JournalRow) -> None:
        """Take one activation."""
        self.time = max(self.time, row.time)
        tags = {command[0] for command in row.commands}
        entered = [self.nodes[label] for label, what in self.notes.get(row.number, ()) if what == "inside"]
        for self.now, (tag, *fields) in row.in_order():
            if self.now[1] % 2:
                self._issued(tag, fields, entered)
            elif not (tag == "cancel_requested" and self._came_after_pivot(tags, fields[1])):
                _EVENTS.get(tag, _nothing)(self, *fields)
        self._settled_at_once()
        for label, what in self.notes.get(row.number, ()):
            self._saw(self.nodes[label], what)
        self._nothing_waits_without_need()
        undos = sum(command[0] == "undo" for command in row.commands)
        self.seen["undone side by side"] += undos > 1 and self.backward != NEVER

    def _issued(self, tag: str, fields: list[Any], entered: list[Node]) -> None:
        if tag == "savepoint":
            self.savepoints[fields[0]] = entered.pop(0)
        self._allowed(tag, fields)
        _COMMANDS.get(tag, _nothing)(self, *fields)

    def _came_after_pivot(self, tags: set[str], cause: str) -> bool:
        """A cancel in one row with a pivot, or the question for it: after a cancel there is neither, so it came later."""
        if min(self.pivoted, self.cancel, self.asking) != NEVER:
            return False
        if "ask_pivot" in tags:
            self.undecided = self.undecided or cause
        self.seen["cancel and pivot in one row"] += not tags.isdisjoint({"pivot", "ask_pivot"})
        return not tags.isdisjoint({"pivot", "ask_pivot"})

    def broken(self, promise: int, text: str) -> Broken:
        return Broken(promise, f"{self.uid} row {self.now[0]}: {text}")

    @property
    def doomed(self) -> bool:
        """Is it certain by now that all will be undone?"""
        return min(self.cancel, self.unwound, self.backward) != NEVER

    def flying(self, but: Act | None = None) -> list[str]:
        """What is in flight: open, or being undone, or parked in its undoing."""
        return [
            a.label
            for a in self.acts.values()
            if a is not but and (not a.outcome or (a.undoing != NEVER and a.settled == NEVER))
        ]

    def open(self, id: str) -> Act | None:
        act = self.acts.get(id)
        return act if act is not None and not act.outcome else None

    # ------------------------------------------------------------ promise 6

    def plan(self, savepoint: Node | None) -> list[Act]:
        """The members of a backward plan: of the whole saga, or of one savepoint."""
        if savepoint is None:
            return list(self.acts.values())
        return [a for a in self.acts.values() if self.member(a, savepoint)]

    def member(self, act: Act, savepoint: Node) -> bool:
        """Was it created inside, by whatever task?"""
        return savepoint in self.nodes[act.label].above()

    @staticmethod
    def blockers(act: Act, plan: list[Act]) -> list[Act]:
        """What its compensation must wait for."""
        return [b for b in plan if b.unsettled and precedes(act, b)]

    def in_order(self, act: Act) -> None:
        """May it be undone at this moment, and does anything ask for it?"""
        if act in self.must_settle:
            self.must_settle.remove(act)
            self.seen["settled"] += 1
            return
        if self.backward != NEVER:
            plans: list[Node | None] = [None]
        else:
            plans = [point for point in self.begun.values() if self.member(act, point)]
        if not plans:
            raise self.broken(6, f"{act.label} is undone, though it is in no rollback and did not fail")
        for point in plans:
            if not self.blockers(act, self.plan(point)):
                return
        late = [b.label for b in self.blockers(act, self.plan(plans[0]))]
        raise self.broken(6, f"{act.label} precedes {late}, and is undone before they are settled")

    def _nothing_waits_without_need(self) -> None:
        """Each compensation was commanded as soon as nothing it must wait for was left."""
        if self.status or self.pivoted != NEVER:
            return
        plans: list[Node | None] = (
            [None]
            if self.backward != NEVER
            else [point for point in self.begun.values() if not self._busy(point)]
        )
        for point in plans:
            plan = self.plan(point)
            for act in plan:
                if act.owed and act.undoing == NEVER and act.settled == NEVER:
                    if not self.blockers(act, plan):
                        raise self.broken(6, f"{act.label} could be undone, but nothing undoes it")
                    self.seen["waited in order"] += 1

    def _busy(self, savepoint: Node) -> bool:
        """Does a task that was created inside still run?"""
        inner = (self.nodes[label] for label in self.running)
        return any(n.parent and n.parent.op in SIDE_BY_SIDE and savepoint in n.above() for n in inner)

    # ------------------------------------------------------------ promises 2, 9

    def _settled_at_once(self) -> None:
        if self.must_settle and self.pivoted == NEVER:
            raise self.broken(2, f"{[a.label for a in self.must_settle]} is left unsettled")
        self.must_settle.clear()

    def settle(self, act: Act) -> None:
        """The saga will see an exception, while there may be an effect."""
        if act.owed and self.pivoted == NEVER:
            self.must_settle.append(act)

    def _allowed(self, tag: str, fields: list[Any]) -> None:
        """Is a command of this kind still allowed?"""
        if self.status:
            raise self.broken(8, f"{tag} after the end")
        if self.backward != NEVER and tag not in ("undo", "finish", "interrupt", "answer_pivot"):
            raise self.broken(8, f"{tag} {fields[:2]} on the backward way: saga code still runs")
        closed = min(self.cancel, self.returned, self.unwound)
        if tag in ("pivot", "ask_pivot") and closed[0] < self.now[0]:
            raise self.broken(9, f"{tag} after the cancel, the return or the failure")
        if tag in FORWARD_COMMANDS and closed[0] < self.now[0] and not self._shielded(tag, fields):
            raise self.broken(9, f"{tag} {fields[:2]} after the cancel, the return or the failure")

    def _shielded(self, tag: str, fields: list[Any]) -> bool:
        if tag in ("run", "child", "undo_with"):
            args = fields[3] if tag == "child" else fields[2]
            shielded = any(node.op == "shield" for node in self.nodes[args["label"]].above())
        else:
            shielded = any(node.op == "shield" for node in self.nodes.values())
        self.seen["shielded after the cancel"] += shielded
        return shielded

    # ------------------------------------------------------------ what saga code saw

    def _saw(self, node: Node, what: str) -> None:
        if what == "enter":
            self.running.add(node.label)
            return
        if what == "inside" or what.startswith("swallowed"):
            return
        if what == "broken":
            self._left_by_exception(node)
            return
        self.running.discard(node.label)
        if node.op in ("act", "child"):
            acts = [a for a in self.acts.values() if a.label == node.label]
            if what == "ok":
                self._saw_success(node, acts)
            else:
                self._saw_failure(acts, what)
        elif node.op == "savepoint":
            self._savepoint_left(node)

    def _saw_success(self, node: Node, acts: list[Act]) -> None:
        *failed, last = acts
        if last.outcome != "succeeded" or last.undoing[0] < self.now[0]:
            raise self.broken(
                14, f"{node.label} returned, but its action is {last.outcome or 'open'} or undone"
            )
        if failed:
            self.seen["fell back"] += 1
            self._saw_failure(failed, "its fallback")

    def _saw_failure(self, acts: list[Act], what: str) -> None:
        for act in acts:
            undid_itself = act.outcome == "gone" and act.interrupted == NEVER
            if undid_itself and what not in ("Compensated", "Terminated", "CancelledError"):
                raise self.broken(12, f"{act.label} undid itself, and saga code saw {what}")
            clean = act.outcome in ("rejected", "gone") or (act.outcome and act.undo == "none")
            passed = self.pivoted != NEVER and act.outcome
            if not (clean or passed or act.settled != NEVER or (act.parked and self.doomed)):
                state = act.outcome or "open"
                raise self.broken(2, f"saga code saw {what} of {act.label}, which is {state} and not settled")

    def _left_by_exception(self, savepoint: Node) -> None:
        if min(self.cancel, self.returned, self.unwound, self.pivoted) != NEVER:
            return  # all will be undone, or nothing
        if self.asking != NEVER:
            self.undecided_rollbacks.append(savepoint)  # the answer says whether anything may still be undone
        elif savepoint not in self.begun.values():
            raise self.broken(6, f"{savepoint.label} was left by an exception and is not rolled back")

    def _savepoint_left(self, savepoint: Node) -> None:
        if savepoint in self.undecided_rollbacks and savepoint not in self.begun.values():
            self.undecided_rollbacks.remove(savepoint)
            self._left_by_exception(savepoint)
        for id, point in list(self.begun.items()):
            if point is not savepoint:
                continue
            for act in self.plan(savepoint):
                if not act.outcome or (
                    act.owed and act.settled == NEVER and not (act.parked and self.doomed)
                ):
                    raise self.broken(
                        6, f"{savepoint.label} is rolled back, but {act.label} inside is not undone"
                    )
            del self.begun[id]
            self.over.append(savepoint)
            self.seen["rolled back"] += 1

    # ------------------------------------------------------------ the end

    def finished(self, status: str) -> None:
        """The status follows from the facts."""
        self.status = status
        if status == "terminated":  # nothing is undone, and the status says so
            self.must_settle.clear()
            return
        for act in self.acts.values():
            if not act.outcome or act.held:
                raise self.broken(16, f"{status}, but {act.label} is open")
            if act.parked or (act.undoing != NEVER and act.settled == NEVER):
                raise self.broken(2, f"{status}, but {act.label} is not settled")
        if status == "completed":
            if self.returned == NEVER:
                raise self.broken(9, "completed without a return")
            for act in self.acts.values():
                if act.owed and act.outcome == "unknown" and act.settled == NEVER:
                    raise self.broken(2, f"completed, but {act.label} is unknown and unsettled")
            return
        if self.pivoted != NEVER:
            raise self.broken(10, f"{status} after the pivot")
        for act in self.acts.values():
            if act.owed and act.settled == NEVER:
                raise self.broken(9, f"{status}, but {act.label} is not undone")
        if status != ("partially_compensated" if self.residue else "compensated"):
            raise self.broken(16, f"{status} with residue {self.residue}")


# ---------------------------------------------------------------- events


def _nothing(self: Account, *fields: Any) -> None:
    """What follows from nothing."""


def _completed(self: Account, id: str, value: Any) -> None:
    act = self.open(id)
    if act is not None:
        act.outcome, act.ended, act.value, act.held = "succeeded", self.now[0], value, False
        if act.interrupted != NEVER:
            self.settle(act)


def _failed(self: Account, id: str, fault: Any, outcome: str, hold: str) -> None:
    act = self.open(id)
    if act is None:
        return
    act.tainted = outcome == "unknown"
    act.held = bool(hold) and act.interrupted == NEVER
    if act.held:
        self.seen["held"] += 1
        return
    if self.pivoted != NEVER:
        raise self.broken(10, f"{act.label} failed after the pivot, and nobody is asked")
    act.outcome, act.ended = outcome, self.now[0]
    if outcome == "unknown":
        self.settle(act)


def _child_ended(self: Account, id: str, status: str, value: Any, fault: Any, residue: list[Any]) -> None:
    act = self.acts[id]
    if not act.outcome:
        act.ended = self.now[0]
        act.outcome, act.value = ("succeeded", value) if status == "completed" else ("gone", None)
        if act.outcome == "gone":
            self.residue += [(r["action"], r["reason"]) for r in residue]
        elif act.interrupted != NEVER:
            self.settle(act)
    elif act.undoing != NEVER and act.settled == NEVER:
        self.residue += [(r["action"], r["reason"]) for r in residue]
        _settle(self, act, "done")
        self.seen["child undone"] += 1


def _settle(self: Account, act: Act, how: str) -> None:
    act.settled, act.how, act.parked = self.now, how, False


def _undone(self: Account, id: str, residue: list[Any]) -> None:
    _settle(self, self.acts[id], "done")


def _undo_failed(self: Account, id: str, fault: list[Any], critical: bool) -> None:
    act = self.acts[id]
    if critical:
        act.parked = True
        self.seen["parked"] += 1
    else:
        _settle(self, act, "residue")
        self.residue.append((id, f"compensation failed: {fault[0]}: {fault[1]}"))
        self.seen["left as residue"] += 1


def _cancel_requested(self: Account, reason: str, cause: str, by: str) -> None:
    if self.pivoted != NEVER:
        self.seen["cancel after the pivot"] += 1
    elif min(self.returned, self.unwound, self.backward) != NEVER:
        self.seen["cancel after the end of the body"] += 1
    elif self.cancel == NEVER and not self.undecided:
        if self.asking == NEVER:
            _cancel(self, cause)
        else:  # a child's pivot is its ancestors': their answer says which came first
            self.undecided = cause


def _cancel(self: Account, cause: str) -> None:
    self.cancel, self.cause = self.now, cause
    self.seen[f"cancel: {cause}"] += 1


def _undo_requested(self: Account, cause: str) -> None:
    if self.status == "completed":
        self.backward, self.status, self.cause = self.now, "", cause
        self.cancel = NEVER


def _pivot_requested(self: Account, id: str) -> None:
    self.asked_by.add(id)


def _pivot_answered(self: Account, refusal: str) -> None:
    self.asking = NEVER
    undecided, self.undecided = self.undecided, ""
    if refusal:
        self.refused = self.now
        self.seen["pivot refused"] += 1
        if undecided:
            self.seen["cancel while the pivot was asked for"] += 1
            _cancel(self, undecided)
    else:
        self.seen["cancel while the pivot was granted"] += bool(undecided)
        _pivot(self, "")


def _decided(self: Account, id: str) -> list[Act]:
    """What a person's decision is for: the action it names, else all that is parked, else all that is tried again."""
    acts = list(self.acts.values()) if not id else [self.acts[id]] if id in self.acts else []
    parked = [act for act in acts if act.held or act.parked]
    return parked or [act for act in acts if act.tried_again]


def _retried(self: Account, id: str, by: str, args: Any) -> None:
    for act in _decided(self, id):
        act.held = act.parked = False


def _skipped(self: Account, reason: str, id: str, by: str) -> None:
    for act in _decided(self, id):
        if act.outcome:
            _settle(self, act, "residue")
            self.residue.append((act.id, f"compensation skipped: {reason}"))
            continue
        under_way = not act.held and act.again <= self.time
        act.outcome, act.ended, act.held = "succeeded", self.now[0], False
        _settle(self, act, "residue")
        if act.tainted or under_way:
            self.residue.append((act.id, f"skipped by {by}: {reason}"))


def _resolved(self: Account, reason: str, value: Any, id: str, by: str) -> None:
    for act in _decided(self, id):
        if act.outcome:
            _settle(self, act, "done")
        else:
            act.outcome, act.ended, act.value, act.held = "succeeded", self.now[0], value, False


def _attempt_failed(
    self: Account, id: str, attempt: int, fault: Any, tainted: bool, again: float, *rest: Any
) -> None:
    act = self.open(id)
    if act is not None:
        act.tainted, act.again = act.tainted or tainted, again


def _undo_attempt_failed(self: Account, id: str, attempt: int, fault: Any, again: float, *rest: Any) -> None:
    self.acts[id].again = again


def _terminate_requested(self: Account, *fields: Any) -> None:
    self.terminated = True


def _started(self: Account, *fields: Any) -> None:
    self.running.clear()


_EVENTS: dict[str, Callable[..., None]] = {
    "started": _started,
    "completed": _completed,
    "failed": _failed,
    "attempt_failed": _attempt_failed,
    "child_ended": _child_ended,
    "undone": _undone,
    "undo_attempt_failed": _undo_attempt_failed,
    "undo_failed": _undo_failed,
    "cancel_requested": _cancel_requested,
    "undo_requested": _undo_requested,
    "pivot_requested": _pivot_requested,
    "pivot_answered": _pivot_answered,
    "retried": _retried,
    "skipped": _skipped,
    "resolved": _resolved,
    "terminate_requested": _terminate_requested,
}

# ---------------------------------------------------------------- commands


def _act(self: Account, id: str, kind: str, name: str, args: Any, undo: str, uid: str = "") -> None:
    act = Act(id, args["label"], kind, name, args, undo, self.now[0], len(self.acts), uid)
    self.acts[id] = act
    for point in self.over:
        if self.member(act, point):
            raise self.broken(6, f"{act.label} begins inside {point.label}, which is rolled back already")
    if kind == "adhoc":
        act.outcome, act.ended = "succeeded", self.now[0]


def _run(self: Account, id: str, step: str, args: Any, undo: int, scope: str) -> None:
    _act(self, id, "step", step, args, UNDOS[undo])


def _child(self: Account, id: str, saga: str, version: str, args: Any, uid: str, *rest: Any) -> None:
    _act(self, id, "child", saga, args, "step", uid)


def _undo_with(self: Account, id: str, step: str, args: Any, scope: str) -> None:
    _act(self, id, "adhoc", step, args, "step")


def _interrupt(self: Account, id: str) -> None:
    act = self.acts[id]
    if act.undoing != NEVER:
        raise self.broken(7, f"{act.label} is interrupted while it is undone")
    if self.pivoted < self.now:
        raise self.broken(10, f"{act.label} is interrupted after the pivot")
    act.interrupted = min(act.interrupted, self.now)
    self.seen["interrupted"] += 1
    if act.held:  # nobody waits for the person any more: what is known is its outcome
        act.held, act.outcome, act.ended = False, "unknown" if act.tainted else "rejected", self.now[0]
        self.seen["held, then given up"] += 1
    if act.owed and act.ended == self.now[0] and act not in self.must_settle:
        self.settle(act)


def _undo(self: Account, id: str) -> None:
    act = self.acts[id]
    if self.pivoted < self.now:
        raise self.broken(10, f"{act.label} is undone after the pivot")
    if not act.owed:
        raise self.broken(6, f"{act.label} is undone, but it is {act.outcome or 'open'}")
    if act.undoing != NEVER or act.settled != NEVER:
        raise self.broken(6, f"{act.label} is undone twice")
    self.in_order(act)
    act.undoing, act.again = self.now, 0.0
    if act.undo == "irreversible":
        _settle(self, act, "residue")
        self.residue.append((id, "irreversible"))
        self.seen["irreversible"] += 1


def _roll_back(self: Account, id: str) -> None:
    self.begun[id] = self.savepoints[id]


def _pivot(self: Account, id: str) -> None:
    asking = [self.acts[id] for id in self.asked_by if self.acts[id].interrupted > self.now]
    flying = self.flying(but=asking[0] if asking else None)  # the child that asks, if it is still waited for
    notes = self.notes.get(self.now[0], ())
    rolling = [p.label for p in self.begun.values() if not any(label == p.label for label, _ in notes)]
    if flying or rolling:
        raise self.broken(10, f"pivot with {flying} in flight, rollbacks of {rolling}")
    self.pivoted = self.now
    self.seen["pivoted"] += 1


def _ask_pivot(self: Account, id: str) -> None:
    self.asking = self.now


def _answer_pivot(self: Account, id: str, refusal: str) -> None:
    self.asked_by.discard(id)
    act = self.acts[id]
    if not refusal:
        self.seen["pivot of a child"] += 1
        if self.pivoted == NEVER:
            raise self.broken(10, f"{act.label} may pivot, but its parent has not")
        return
    closed = min(self.cancel, self.returned, self.unwound, self.backward, act.interrupted) != NEVER
    closed = closed or self.terminated
    refused_above = self.refused[0] == self.now[0]
    if not (closed or refused_above or self.begun or self.flying(but=act)):
        raise self.broken(10, f"{act.label} may not pivot, though nothing speaks against it")


def _return(self: Account, value: Any) -> None:
    if self.cancel != NEVER and self.pivoted == NEVER:
        raise self.broken(9, "it returns, though it was cancelled before")
    self.returned = self.now


def _unwind(self: Account, cause: str, fault: Any) -> None:
    if self.pivoted != NEVER:
        raise self.broken(10, "the way back begins after the pivot")
    if self.returned != NEVER:
        raise self.broken(16, "the way back begins after the return")
    self.unwound = self.now
    self.cause = self.cause or cause
    if cause != self.cause:
        raise self.broken(16, f"undone because of {cause}, but it was {self.cause}")


def _backward(self: Account) -> None:
    self.backward = self.now
    self.begun.clear()
    for act in self.acts.values():
        if (
            not act.outcome and act.kind == "step"
        ):  # only where the saga's code is gone: nothing will ever tell
            act.outcome, act.ended, act.held = "unknown", self.now[0], False


def _continue(self: Account, args: Any) -> None:
    self.seen["continued as new"] += 1


_COMMANDS: dict[str, Callable[..., None]] = {
    "run": _run,
    "child": _child,
    "undo_with": _undo_with,
    "interrupt": _interrupt,
    "undo": _undo,
    "roll_back": _roll_back,
    "pivot": _pivot,
    "ask_pivot": _ask_pivot,
    "answer_pivot": _answer_pivot,
    "return": _return,
    "unwind": _unwind,
    "backward": _backward,
    "continue": _continue,
    "finish": Account.finished,
}
