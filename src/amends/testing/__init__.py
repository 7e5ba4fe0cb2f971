"""Time-skipping tests for users, and the deterministic simulation by which amends proves itself.

**For tests of your own**: `world`.  Inside ``async with amends.testing.world() as w`` time is virtual:
nothing waits, and
``await w.advance(days=30)`` takes as long as its Python does.  See ``docs/testing.md``.

**The simulation.**  The real engine, worker, committer, kernel and stores run unchanged; what is simulated
is all that surrounds them.  Theory of operation, from the ground up:

* *Time* (`simulation.Simulation`) is a number.  It stands still while anything is ready to run, and then
  jumps to the next timer.  Nothing ever waits, and no machine is too slow.
* *A process is an event loop* (`loops.SimLoop`), driven one callback at a time from outside.  So a process
  can be killed between any two callbacks as SIGKILL would (its loop just never runs again: no ``finally``,
  no farewell), paused while the others go on (a blocked loop, a stopped machine, a zombie that has lost its
  place meanwhile), or drained.
* *Order* (`schedule`) is chosen from the seed: which process runs, and which of its ready actors; uniformly
  at random, or by random priorities that change at few points (PCT), which finds bugs of small depth with
  known probability.  An *actor* is a task or an object whose methods are called back; its own callbacks keep
  their order, since asyncio's users may rely on that much in any event loop.
* *Threads* run as jobs of the loop at a moment of its choosing (`loops.SimLoop.run_in_executor`,
  `seams.LoopExecutor`).
* *Chance and identifiers* come from the seed (`seams`).  Nothing iterates over a set ordered by address:
  tasks hash by number.
* *The store* is the real one behind a `wire.Wire`, whose calls are the points at which faults strike:
  before, after, instead.
* *The network and the services* that steps call (`services`) live outside of the processes, as they do in
  the world: what was sent arrives although the sender died, arrives twice, late, or never.

Whoever drives a simulation hands in a `wire.Faults` that decides at each point.  All it decides from is the
seed; thus one number replays a run, callback for callback: `Simulation.trace` is a hash over all of them.
`marks.sometimes` counts which branches were taken at all.
"""

import typing

from ..lazily import loader as _loader

if typing.TYPE_CHECKING:
    from .simulation import Stuck
    from .worlds import World, world

__all__ = ["Stuck", "World", "world"]

# Loaded when they are used: the pytest plugin is imported in every session, also where no saga is.
_HOME_OF = {"Stuck": ".simulation", "World": ".worlds", "world": ".worlds"}

if not typing.TYPE_CHECKING:  # or every misspelt name would pass for one of unknown type
    __getattr__ = _loader(__name__, _HOME_OF)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
