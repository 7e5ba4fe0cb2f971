"""Programs that random ones rarely are: each puts two rules into each other's way.

They are played like the others, with random tapes and faults.
"""

from __future__ import annotations

from collections.abc import Callable

from .programs import (
    Node,
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
    stubborn,
    undo_with,
    within,
)


def fails(undo: int = 0) -> Node:
    """A step whose outcome is unknown."""
    return act("undoable", "fail+", undo=undo)


def tries() -> Node:
    """A pivot that may be refused."""
    return attempt(pivot(), act())


SHAPES: dict[str, Callable[[], Node]] = {
    # pivots: of two children at once, of a child that is cut off, while the parent's body fails, over three levels
    "two children pivot": lambda: group(child(pivot()), child(pivot())),
    "a child pivots as it is cut off": lambda: seq(
        act(), attempt(within(child(seq(nap(5), act(), pivot(), fails())), 5), act())
    ),
    "a child pivots as its parent fails": lambda: gather(
        child(seq(nap(1), pivot(), act())), seq(nap(1), fail())
    ),
    "a child pivots beside a step": lambda: gather(child(seq(nap(1), pivot(), act())), seq(act(), fail())),
    "a grandchild pivots beside a step": lambda: group(
        seq(act(), act()), child(seq(act(), child(seq(tries(), act())), fails()))
    ),
    "a grandchild pivots beside a parked step": lambda: group(
        act("asking", "fail+"), child(child(seq(act(), tries())))
    ),
    "a grandchild pivots": lambda: seq(act(), child(child(seq(act(), tries(), act())))),
    # and what goes on beside the question
    "spawned beside the pivot": lambda: child(seq(spawn(seq(nap(1), fails())), pivot(), act())),
    "a child fails as it pivots": lambda: seq(act(), child(seq(act(), gather(pivot(), fail())))),
    "two pivots in a child": lambda: child(group(pivot(), pivot(), seq(nap(1), act()))),
    "a rollback beside the pivot of a child": lambda: child(
        group(pivot(), seq(nap(1), savepoint(seq(act(), fail()), caught=True)), seq(nap(1), act()))
    ),
    "a shielded pivot in a child": lambda: child(seq(shield(seq(act(), pivot())), act())),
    "a shielded pivot": lambda: seq(shield(seq(nap(1), act(), pivot())), act()),
    "a shielded pivot as the last thing": lambda: seq(
        act(), ending(seq(act(), fail()), shield(seq(act(), pivot(), fails())))
    ),
    "rollbacks beside a pivot": lambda: group(
        savepoint(seq(act(), act("undoable", undo=2), fails()), caught=True),
        savepoint(seq(act(), act("soft", undo=2), act(), fail()), caught=True),
        seq(act(), act(), pivot()),
    ),
    "a rollback beside many pivots": lambda: group(
        savepoint(seq(act(), act(), fails()), caught=True),
        seq(act(), tries(), act(), tries(), act(), tries(), act(), pivot()),
    ),
    "a parked settlement beside a pivot": lambda: seq(
        act("undoable", undo=2), spawn(attempt(within(fails(undo=2), 1), act())), act(), tries(), act()
    ),
    # savepoints whose tasks clean up late, in one another
    "deaf tasks in savepoints": lambda: savepoint(
        seq(act(), stubborn(seq(spawn(stubborn(seq(act(), act(), act()))), act(), fail())), fail())
    ),
    "late tasks in a savepoint": lambda: seq(
        savepoint(
            seq(
                spawn(ending(nap(20), spawn(act()))),
                spawn(ending(act(), group(act(), act()))),
                act(),
                fails(),
            ),
            caught=True,
        ),
        nap(20),
    ),
    "a savepoint rolled back within another": lambda: seq(
        savepoint(
            seq(
                spawn(savepoint(seq(act(), spawn(ending(act(), shield(act()))), fails()))),
                act(),
                act(),
                fail(),
            ),
            caught=True,
        ),
        act(),
        act(),
    ),
    "a rollback is parked as the body fails": lambda: gather(
        seq(nap(1), fails()),
        savepoint(gather(act("undoable", "reject"), act(), act("undoable", undo=2))),
    ),
    "savepoints one in the other": lambda: seq(
        savepoint(
            seq(
                act(),
                savepoint(seq(act(), spawn(seq(act(), act())), fail()), caught=True),
                act("irreversible"),
                act(),
                fail(),
            ),
            caught=True,
        ),
        act(),
        fails(),
    ),
    # nothing to undo, irreversible, non-critical, parked, ad hoc, in children of children
    "a parked settlement": lambda: seq(act("undoable", undo=2), within(fails(undo=2), 1), act()),
    "all kinds of undoing": lambda: seq(
        child(seq(act(), act("irreversible"), act("soft", undo=2), undo_with(undo=1))),
        savepoint(seq(child(seq(act(), act())), fail())),
        act(),
    ),
    "a grandchild in attention": lambda: seq(
        child(seq(act(), child(seq(act(), act("undoable", undo=2))))), fails()
    ),
    # a cut, a cancel, or the loss of the code, where it matters most
    "irreversible and cut off": lambda: seq(act(), attempt(within(act("irreversible"), 1), act())),
    "deaf to a cancel": lambda: seq(stubborn(seq(act(), nap(5))), act(), act(), nap(5), act()),
    "asleep after the pivot": lambda: seq(act(), pivot(), nap(5), act(), nap(5), act()),
    # several runs
    "continued with a task": lambda: seq(
        act(),
        spawn(act("preferring", "fail+")),
        act(),
        again(seq(act(), savepoint(seq(act(), fail())), act())),
    ),
    "continued twice": lambda: seq(
        act(), undo_with(), again(seq(act(), undo_with(), again(seq(act(), fails()))))
    ),
    "continued after the pivot": lambda: seq(act(), pivot(), again(seq(fails(), child(fails()), fail()))),
}
