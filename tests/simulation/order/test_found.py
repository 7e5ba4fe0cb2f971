"""What the reference found in the kernel, shrunk; each failed before its repair.

A case is what Hypothesis printed, or the same with less around it.  With its repair taken out each of them fails again.
"""

from __future__ import annotations

from collections import Counter

import pytest

from .audit import audit
from .driver import Case
from .programs import (
    act,
    again,
    attempt,
    child,
    ending,
    fail,
    gather,
    group,
    nap,
    pivot,
    savepoint,
    seq,
    shield,
    spawn,
    undo_with,
    within,
)


def fails(undo: int = 0):  # type: ignore[no-untyped-def]
    return act("undoable", "fail+", undo=undo)


FOUND = {
    # promise 8: giving up an action that a person should decide about was nowhere in the journal
    "what was held and is given up": lambda: Case(within(act("asking", "fail+"), 1)),
    # promise 2: once all is being undone, the cancellation did not wait for the compensation that ran
    "a cancellation beside a settlement": lambda: Case(gather(fails(), fails())),
    # promise 2: the saga gave up an irreversible step, completed, and nobody was told of the effect
    "irreversible and given up": lambda: Case(seq(spawn(act("irreversible")), act())),
    # promise 10: a return gave up a step that was to be tried until it succeeds
    "a return after the pivot": lambda: Case(
        seq(pivot(), spawn(act("undoable", "reject")), act("undoable", "refused", "refused"))
    ),
    # promise 8: a cancel in the pivot's own row, but after it, counted in the fold
    "a cancel in the row of the pivot": lambda: Case(
        seq(undo_with(), act(), pivot()), tape=b"\0\1", deadline=3
    ),
    # promise 8: likewise while the ancestors were asked
    "a cancel while the ancestors are asked": lambda: Case(
        seq(child(child(pivot(), deadline=4)), act()), tape=b"\0\0\0\0\0\0\1"
    ),
    # promise 16: undone without its code, and a compensation that ran already was not sent again
    "a compensation under way as the code is lost": lambda: Case(
        seq(savepoint(seq(act(), fails())), act()), faults=((6, "abandon", 0),)
    ),
    # promise 10: after the question for the pivot another task went on
    "a step beside the pivot of a child": lambda: Case(child(group(pivot(), act()))),
    # promise 10: the body failed while the question was on its way, and was undone after the pivot
    "a child that fails as it pivots": lambda: Case(seq(act(), child(seq(act(), gather(pivot(), fail()))))),
    # promise 16: the second question of a child replaced the first
    "two pivots in a child": lambda: Case(child(group(pivot(), pivot()))),
    # promise 16: of two children that asked in one activation, one never heard an answer
    "two children pivot at once": lambda: Case(group(child(pivot()), child(pivot())), tape=b"\0\0\1\1"),
    # promise 16: a refusal was not handed down; the question went up again and again
    "a refusal for a grandchild": lambda: Case(group(act("asking", "fail+"), child(child(pivot())))),
    # promise 10: the pivot was granted to a child that nobody waited for any more
    "a child that is cut off pivots": lambda: Case(
        seq(act(), attempt(within(child(seq(nap(5), act(), pivot(), fails())), 5), act())),
        tape=b"\0\0\0\1\0\1",
    ),
    # promise 16: the pivot was granted though the parent's body had just failed
    "a child pivots as its parent has failed": lambda: Case(
        gather(child(seq(nap(1), pivot(), act())), seq(nap(1), fail())), tape=b"\0\0\1\1\1"
    ),
    # promise 9: a shield let the pivot pass after the cancel
    "a pivot in a shield after the cancel": lambda: Case(
        seq(act(), ending(seq(act(), fail()), shield(seq(act(), pivot(), fails())))),
        tape=b"\0\0\1",
        deadline=3,
    ),
    # promise 10: the pivot did not see a compensation that was parked
    "a pivot beside a parked compensation": lambda: Case(
        seq(
            act(undo=2),
            spawn(attempt(within(fails(undo=2), 1), act())),
            act(),
            attempt(pivot(), act()),
            act(),
        ),
        tape=b"\1\0\1 \0\1",
    ),
    # promise 10: nor a rollback between two of its compensations
    "a pivot in the middle of a rollback": lambda: Case(
        group(
            savepoint(seq(act(), act(), fails()), caught=True),
            seq(
                act(), attempt(pivot(), act()), act(), attempt(pivot(), act()), act(), attempt(pivot(), act())
            ),
        ),
        tape=b"\0\0\0\1\0\1\1\1",
    ),
    # promises 6, 16: in a rollback nothing followed what is irreversible, and the saga waited for ever
    "irreversible in a rollback": lambda: Case(
        seq(savepoint(seq(act(), act("irreversible"), act(), fail()), caught=True), act())
    ),
    # promise 6: a cleanup's own task outlived the rollback of its savepoint
    "a late task in a savepoint": lambda: Case(
        seq(savepoint(seq(spawn(ending(nap(20), spawn(act()))), act(), fails()), caught=True), nap(20))
    ),
    # promises 6, 11: the body ended, a parked compensation held nobody up any more, and nothing looked again
    "a rollback is parked as the body fails": lambda: Case(
        gather(
            seq(nap(1), fails()), savepoint(gather(act("undoable", "reject"), act(), act("undoable", undo=2)))
        ),
        tape=b"\3\2\0\0\0\0\0\0\0\0\0\0\0\1\1",
    ),
    # promise 8: undone between two runs, and the next run began all the same
    "undone between two runs": lambda: Case(
        seq(act(), undo_with(), again(seq(act(), undo_with(), again(seq(act(), fails()))))),
        faults=((7, "abandon", 0), (7, "evict", 0)),
    ),
    # promise 3: a completion that a row kept for the next activation, and its step sent again at recovery (worker)
    "a kept completion": lambda: Case(act("plain"), faults=((2, "defer", 0), (4, "evict", 0))),
    # promise 16: and a compensation not sent again, because the end of its action was kept (worker)
    "a kept end and a compensation": lambda: Case(
        group(savepoint(seq(act(), act(), fails()), caught=True), seq(act(), attempt(pivot(), act()), act())),
        tape=b"\0\0\0\0\0\10\1",
        faults=((3, "crash", 0), (9, "defer", 0), (10, "crash", 0)),
        deadline=3,
    ),
}


@pytest.mark.parametrize("what", FOUND)
def test_found_and_repaired(what: str) -> None:
    audit(FOUND[what](), Counter())
