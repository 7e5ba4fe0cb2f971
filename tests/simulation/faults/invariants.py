"""What must hold at the end of every run: DESIGN §3 as code.

Four witnesses are heard against each other: the journals in the store, what the wire saw become durable, what saga code saw,
and the services' own books.  The reference of the order tests reads each journal (promises 2, 6 to 12, 16); here stand the
rest, and all that needs more than one journal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from msgspec.json import decode

from amends.definition.registry import REGISTRY
from amends.errors import Parked
from amends.kernel import entries as e
from amends.kernel.instance import Instance
from amends.kernel.limits import Limits
from amends.store.port import FINAL, Header
from amends.testing.marks import SEEN, sometimes
from amends.testing.services import Account as Book
from tests.simulation.order.driver import snapshot
from tests.simulation.order.facts import NEVER, Act, read
from tests.simulation.order.reference import Account, Broken

from .run import Run, Violation

UNFIT = {"divergence", "missing_version", "row_flipped"}
LIMITS = Limits(callbacks=20_000)


def check(run: Run) -> None:
    """Raise the first violation."""
    sometimes(f"order {run.plan.order}")
    if run.violations:
        raise run.violations[0]
    if run.simulation.defects:
        raise Violation(0, f"callbacks failed: {run.simulation.defects[:3]}")
    accounts = {
        uid: _account(run, uid, _replays(run, header, rows))
        for uid, (header, rows, _) in run.journals.items()
        if not _ended_unread(run, header)
    }
    for uid, (header, rows, inbox) in run.journals.items():
        _journal(run, header, rows)
        if not _ended_unread(run, header):
            _status(header, accounts[uid])
        if inbox or header.owner is not None:
            raise Violation(
                16, f"{header.id} has ended, but {len(inbox)} messages wait, owner {header.owner}"
            )
    if (
        run.tail_lost
    ):  # what an acknowledged commit said is gone: then only keys keep effects from being doubled
        _books(run, orphans=True)
        return
    for account in accounts.values():
        _children(run, account, accounts)
        _effects(run, account)
    _books(run)
    _history(run)
    _leaks(run)


def _account(run: Run, uid: str, story: list[tuple[int, str, str]]) -> Account:
    """Promises 2, 6 to 12 and 16, for one journal."""
    seen: Counter[str] = Counter()
    account = Account(uid, run.plan.nodes, story, seen)
    try:
        for row in read(run.journals[uid][1]):
            account.row(row)
            for event in row.events:
                sometimes(f"event {event[0]}")
            for command in row.commands:
                sometimes(f"command {command[0]}")
    except Broken as error:
        raise Violation(error.promise, str(error)) from error
    for name, count in seen.items():
        SEEN[f"reference: {name}"] += count
    return account


# ---------------------------------------------------------------- journals


def _journal(run: Run, header: Header, rows: list[e.Row]) -> None:
    """Gap-free, chained, time never back, and exactly what was seen to become durable."""
    checksum, now = 0, 0.0
    known = run.rows.get(header.uid, {})
    if [row.position for row in rows] != list(range(len(rows))):
        raise Violation(15, f"{header.id}: positions {[row.position for row in rows]}")
    for row in rows:
        e.opened(row, row.position, checksum)
        checksum = row.checksum
        if row.now < now:
            raise Violation(13, f"{header.id}: time goes back at row {row.position}")
        now = row.now
        if known.get(row.position) != row and not run.tail_lost:
            raise Violation(4, f"{header.id}: row {row.position} is not the one that was committed")
    if len(known) != len(rows) and not run.tail_lost:
        raise Violation(4, f"{header.id}: {len(known)} rows were durable, {len(rows)} are there")


def _ended_unread(run: Run, header: Header) -> bool:
    """A damaged journal was ended by an operator: without it, and without a row."""
    return header.status == "terminated" and header.uid in run.damaged


def _status(header: Header, account: Account) -> None:
    """The header says what the journal says (promises 11 and 16)."""
    if header.status != account.status or header.status not in FINAL:
        raise Violation(16, f"{header.id} is {header.status}, its journal says {account.status or 'nothing'}")
    sometimes(f"status {header.status}")
    sometimes(f"cause {header.cause}")
    if header.status in ("completed", "terminated"):
        return
    detail = decode(header.detail or "{}")
    residue = Counter((r["action"], r["reason"]) for r in detail.get("residue", ()))
    if residue != Counter(account.residue):
        raise Violation(11, f"{header.id} shows residue {dict(residue)}, it left {account.residue}")
    if header.cause != account.cause:
        raise Violation(16, f"{header.id} was undone because of {account.cause}, it says {header.cause}")


def _replays(run: Run, header: Header, rows: list[e.Row]) -> list[tuple[int, str, str]]:
    """Same code, same journal, same decisions; and the fold knows all that replay knows (promises 8 and 13).

    Returns what saga code saw.
    """
    run.story = []
    for rows_of_run, last in _runs(rows):
        replayed, folded = _instance(header), _instance(header)
        try:
            replayed.load(rows_of_run)
            folded.fold(rows_of_run)
            if snapshot(replayed.ledger) != snapshot(folded.ledger):
                raise Violation(8, f"{header.id}: replay and fold disagree before row {len(rows_of_run)}")
            if last is not None:
                _decides_again(run, header, replayed, last)
        finally:
            replayed.discard()
    whole = _instance(header)
    whole.fold(rows)
    if whole.ledger.status != header.status:
        raise Violation(8, f"{header.id} is {header.status}, its journal folds to {whole.ledger.status}")
    story, run.story = run.story, None
    return story


def _runs(rows: list[e.Row]) -> Iterator[tuple[list[e.Row], e.Row | None]]:
    """For each run of a journal: the rows up to the last one in which saga code ran, and that one.

    (None, when it was continued as new, and replaying the next run shows that row, too.)
    """
    end: int | None = None
    for place, row in enumerate(rows):
        if place and any(event[0] == "started" for event in decode(row.events)):
            yield rows[:place], None
            end = None
        if end is None and {command[0] for command in decode(row.commands)} & {"backward", "finish"}:
            end = place
    if end is not None:
        yield rows[:end], rows[end]


def _decides_again(run: Run, header: Header, instance: Instance, row: e.Row) -> None:
    """The last row in which saga code ran: activated again, it decides the same.

    (One that was parked, or whose code was missing, may have been ended from its journal alone; also one that
    was asked to end when it was about to be parked: its code cannot go on now, either, and the row says so.)
    """
    stuck = False
    try:
        commands = instance.activate(e.decode_events(row.events), row.now).commands
    except Parked as error:
        commands, stuck = [error], "(undone from the journal: " in row.commands
    if commands != e.decode_commands(row.commands):
        if not (stuck or header.uid in run.parked or run.chaos.fired.keys() & UNFIT):
            raise Violation(
                13, f"{header.id}: row {row.position} says {row.commands}, again it is {commands}"
            )
        assert run.story is not None
        run.story = [note for note in run.story if note[0] < row.position]


def _instance(header: Header) -> Instance:
    return Instance(
        header.uid, header.id, header.saga, header.version, REGISTRY, LIMITS,
        parent=header.parent, depth=header.depth,
    )  # fmt: skip


# ---------------------------------------------------------------- nested sagas, effects


def _children(run: Run, account: Account, accounts: dict[str, Account]) -> None:
    """A child that completed is undone when its parent is, and only then (promise 12)."""
    unread = {uid: header.status for uid, (header, _, _) in run.journals.items() if uid not in accounts}
    if account.status == "terminated":
        return
    for act in account.acts.values():
        if act.kind != "child":
            continue
        status = accounts[act.uid].status if act.uid in accounts else unread.get(act.uid, "not even started")
        if status == "terminated":
            continue
        if (
            act.outcome == "succeeded"
            and act.how != "done"
            and account.status == "completed"
            and status != "completed"
        ):
            raise Violation(12, f"{account.uid} completed, its child {act.label} is {status}")
        if account.status != "completed" and status not in ("compensated", "partially_compensated"):
            raise Violation(12, f"{account.uid} is {account.status}, its child {act.label} is {status}")


def _effects(run: Run, account: Account) -> None:
    """What stands in the services' books is what the journal says (promises 1, 2, 9)."""
    for act in account.acts.values():
        if act.kind != "step":
            continue
        book = _book(run, account.uid, act)
        if act.name == "sim.verified" and act.how == "done" and act.label not in run.verified | run.by_hand:
            raise Violation(11, f"{act.label} is undone, and nothing has verified it")
        expected = _expected(account, act)
        if expected is not None and book.effect != expected:
            raise Violation(
                2,
                f"{account.status}: {act.label} ({act.id}) is {act.outcome or 'open'} {act.how},"
                f" its effect stands {book.effect} times",
            )


def _expected(account: Account, act: Act) -> int | None:
    if act.how == "done" or act.outcome == "rejected":
        return 0
    if account.status == "terminated" and act.undoing != NEVER:
        return None
    if act.outcome == "succeeded" and act.how != "residue":
        return 1
    return None  # a residue, a step without compensation, or terminated: it may stand or not


def _book(run: Run, uid: str, act: Act) -> Book:
    for where in run.intents:
        if where[0] == uid and where[2] == "do" and where[1].partition("/")[2] == act.id:
            return run.service.accounts.get(f"{uid}/{where[1]}", Book())
    raise Violation(3, f"{act.label} of {uid} has no command")


def _books(run: Run, *, orphans: bool = False) -> None:
    """Effectively once, and nothing that no journal knows (promises 3 and 5)."""
    for key, book in run.service.accounts.items():
        uid, place = key.split("/", 1)
        if book.done > 1 or book.undone > 1 or book.effect not in (0, 1):
            raise Violation(5, f"{key} was done {book.done} times, undone {book.undone} times")
        if not orphans and not {(uid, place, "do"), (uid, place, "undo")} & run.intents.keys():
            raise Violation(3, f"{key} is at the service, and in no journal")


# ---------------------------------------------------------------- clients, leaks


def _history(run: Run) -> None:
    """Per execution linearizable: one uid for an id, and once ended, always ended."""
    started = {uid for what, uid in run.history if what == "started"}
    if len(started) > 1:
        raise Violation(16, f"one id, several executions: {started}")
    if not started <= run.journals.keys():
        raise Violation(16, f"accepted and lost: {started - run.journals.keys()}")
    ended: dict[str, str] = {}
    for what, uid in run.history:
        if what.startswith("saw "):
            before = ended.get(uid)
            if before is not None and before != what:
                raise Violation(16, f"a client {before}, and later {what} of {uid}")
            ended[uid] = what


def _leaks(run: Run) -> None:
    """Nothing is left in a worker's memory (promise 16)."""
    for number, engine in run.workers.items():
        worker: Any = engine._worker
        if worker is None or worker.dead or run.disk.has_given_away(worker.incarnation):
            continue
        left = [live.header.id for live in worker.lives.values()]
        attempts = [*worker.attempts.running, *worker.attempts.waiting]
        if left or attempts or worker.dispatcher._later or not worker.committer.idle:
            raise Violation(
                16, f"worker {number} still holds {left} {attempts} {list(worker.dispatcher._later)}"
            )


__all__ = ["check"]
