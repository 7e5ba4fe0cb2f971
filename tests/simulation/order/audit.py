"""One example from beginning to end: play it, then hold everything against the reference.

`audit` raises `Broken` (a promise of DESIGN §3), `Unplayable` (the driver could not go on) or lets an error of the
kernel through; `show` says what happened, for people.
"""

from __future__ import annotations

import json
from collections import Counter

from amends.errors import Parked

from .driver import Case, Seat, Unplayable, World, refolded
from .facts import NEVER, read
from .reference import Account, Broken

FINAL = {"completed", "compensated", "partially_compensated"}


def audit(case: Case, seen: Counter[str]) -> None:
    """Play a case and check all promises; `seen` counts what occurred."""
    world = World(case)
    try:
        world.play()
        check(world, seen)
    except Exception as error:
        error.add_note(show(world))
        raise
    finally:
        world.close()
    for fault in world.fired:
        seen[fault] += 1


def check(world: World, seen: Counter[str]) -> dict[str, Account]:
    """Hold all journals, the saga's view and the books against the reference."""
    accounts: dict[str, Account] = {}
    for seat in world.seats.values():
        account = accounts[seat.uid] = Account(seat.uid, world.nodes, seat.story, seen)
        for row in read(seat.rows):
            account.row(row)
        refolded(world, seat)
    for seat in world.seats.values():
        account = accounts[seat.uid]
        _attempts(world, seat, account)
        _status(world, seat, account, accounts)
        _children(world, account, accounts)
        if account.status:
            _effects(world, account)
            seen[account.status] += 1
    return accounts


# ---------------------------------------------------------------- promise 16


def _status(world: World, seat: Seat, account: Account, accounts: dict[str, Account]) -> None:
    """The shown status, cause and residue are what the facts say; and nothing waits in silence."""
    header = seat.live.header
    waits = any(a.parked or a.held for a in account.acts.values())
    expected = account.status or ("attention" if waits else header.status)
    if header.status != expected:
        raise Broken(16, f"{seat.uid} is shown as {header.status}, but it is {expected}")
    if account.status in FINAL:
        _verdict(seat, account)
    elif not _excused(world, seat, accounts, set()):
        raise Broken(16, f"{seat.uid} ({header.status}) waits for something that can never happen")


def _verdict(seat: Seat, account: Account) -> None:
    header = seat.live.header
    detail = json.loads(header.detail or "{}")
    residue = Counter((r["action"], r["reason"]) for r in detail.get("residue", ()))
    if residue != Counter(account.residue):
        raise Broken(11, f"{seat.uid} shows residue {dict(residue)}, but it left {account.residue}")
    cause = "" if account.status == "completed" else account.cause
    if header.cause != cause:
        raise Broken(16, f"{seat.uid} is shown as undone because of {header.cause!r}, but it was {cause!r}")


def _excused(world: World, seat: Seat, accounts: dict[str, Account], asking: set[str]) -> bool:
    """Does a person have to do something first, here or in a relative it waits for?"""
    account = accounts[seat.uid]
    if seat.stuck is not None:
        return _after_pivot(seat, account)
    if any(a.parked or a.held for a in account.acts.values()):
        return True
    waits = {a.uid for a in account.acts.values() if a.uid and (not a.outcome or _undoing(a))}
    if account.asking != NEVER:
        waits.add(seat.live.header.parent)
    return any(
        _excused(world, world.seats[uid], accounts, asking | {seat.uid})
        for uid in waits - asking
        if not accounts[uid].status
    )


def _undoing(act: object) -> bool:
    return act.undoing != NEVER and act.settled == NEVER  # type: ignore[attr-defined,no-any-return]


def _after_pivot(seat: Seat, account: Account) -> bool:
    """The one way a body may come to a standstill: it failed after the pivot (perhaps in one activation with it)."""
    last = len(seat.rows) - 1
    just_now = any(
        row == last and label.startswith("pivot") and what == "ok" for row, label, what in seat.story
    )
    just_now = just_now or ["pivot_answered", ""] in json.loads(seat.rows[last].events)
    if type(seat.stuck) is Parked and (account.pivoted != NEVER or just_now):
        return True
    raise Broken(16, f"{seat.uid} came to a standstill: {seat.stuck!r}")


# ---------------------------------------------------------------- promises 3, 6, 8, 12, and the books


def _attempts(world: World, seat: Seat, account: Account) -> None:
    """Each attempt was commanded before, and got the arguments and the result that the journal holds."""
    for entry in world.books.entries:
        if entry.uid != seat.uid:
            continue
        act = account.acts.get(entry.action)
        if act is None:
            raise Broken(3, f"{entry.name} ({entry.action}) was dispatched and is not in the journal")
        intent = act.commanded if entry.direction == "do" else act.undoing[0]
        if intent >= entry.rows:
            raise Broken(3, f"{act.label} was dispatched ({entry.direction}) before its command was durable")
        if entry.args != act.args or entry.name != act.name:
            raise Broken(7, f"{act.label} was called with {entry.args}, its intent says {act.args}")
        result = act.value if act.outcome == "succeeded" and entry.direction == "undo" else None
        if entry.result != result:
            raise Broken(
                7, f"{act.label} was undone with result {entry.result!r}, the journal says {result!r}"
            )
    for act in account.acts.values():
        _taint(world, seat, act)


def _taint(world: World, seat: Seat, act: object) -> None:
    """Promise 1: rejected only if every attempt was rejected or not sent (or its participant remembers)."""
    if act.outcome != "rejected" or act.kind != "step":  # type: ignore[attr-defined]
        return
    ends = [
        entry.how
        for entry in world.books.entries
        if (entry.uid, entry.action, entry.direction) == (seat.uid, act.id, "do")  # type: ignore[attr-defined]
    ]
    if act.name == "order.barrier" and "reject" in ends:  # type: ignore[attr-defined]
        return
    if set(ends) - {"reject", "refused"}:
        raise Broken(1, f"{act.label} is rejected, its attempts ended {ends}")  # type: ignore[attr-defined]


def _children(world: World, account: Account, accounts: dict[str, Account]) -> None:
    """A child that completed is undone when its parent is, and only then."""
    for act in account.acts.values():
        if act.kind != "child":
            continue
        status = accounts[act.uid].status if act.uid in accounts else "not even started"
        if act.outcome == "succeeded" and act.undoing == NEVER and status != "completed":
            raise Broken(
                12, f"{act.label} completed, its parent has not undone it, but it is {status or 'running'}"
            )
        if act.how == "done" and status not in FINAL - {"completed"}:
            raise Broken(12, f"{act.label} is settled for its parent, but it is {status or 'running'}")
        if account.status in FINAL - {"completed"} and status not in FINAL - {"completed"}:
            raise Broken(
                12, f"the parent of {act.label} is {account.status}, but it is {status or 'running'}"
            )


def _effects(world: World, account: Account) -> None:
    """What stands in the participants' books at the end is what the journal says."""
    for act in account.acts.values():
        if act.kind != "step" or act.how == "residue":
            continue
        effect = (
            world.books.accounts[account.uid, act.id, "do"].effect
            if _dispatched(world, account, act.id)
            else False
        )
        if act.how == "done" or act.outcome == "rejected":
            expected = False
        elif act.outcome == "succeeded":
            expected = True
        else:
            continue  # unknown, and the step has no compensation
        if effect is not expected:
            raise Broken(
                2, f"{account.status}: {act.label} is {act.outcome} {act.how}, its effect stands: {effect}"
            )


def _dispatched(world: World, account: Account, action: str) -> bool:
    return (account.uid, action, "do") in world.books.accounts


# ---------------------------------------------------------------- for people


def show(world: World) -> str:
    """The case, and what happened in it."""
    lines = [repr(world.case), *world.log]
    lines += [f"{seat.uid} saw {seat.story}" for seat in world.seats.values()]
    lines += [
        f"{entry.uid} {entry.direction} {entry.action} {entry.args} {entry.how}"
        for entry in world.books.entries
    ]
    return "\n".join(lines)


__all__ = ["Case", "Unplayable", "audit", "check", "show"]
