"""``python -m tests.unit.kernel.parity digest``, ``… record`` and ``… corpus``: the table in its own process.

digest: a line of JSON, the digest of each program's journal and trace.  ``--shake N`` scatters memory first,
``--by-address`` lets tasks and futures hash as Python would have them (to show that this is noticed).

record: write the journals of this Python version's run as golden journals; those that exist stay as they are,
unless named.  corpus: draw random programs and keep them with the digests of their journals.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
from typing import Any

from amends.kernel import compat
from amends.kernel.loop import SagaFuture, SagaTask

from . import golden
from .driver import run_kernel
from .programs import PROGRAMS


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.unit.kernel.parity")
    commands = parser.add_subparsers(dest="command", required=True)
    digest = commands.add_parser("digest")
    digest.add_argument("--shake", type=int, default=0)
    digest.add_argument("--by-address", action="store_true")
    record = commands.add_parser("record")
    record.add_argument("again", nargs="*", help="programs to record although they are recorded already")
    draw = commands.add_parser("corpus")
    draw.add_argument("count", type=int)
    options = parser.parse_args()
    if options.command == "record":
        print(golden.record(set(options.again)))
        return
    if options.command == "corpus":
        from . import corpus

        print(corpus.record(options.count))
        return
    kept = scatter(options.shake)
    if options.by_address:
        hash_by_address()
    json.dump({program.name: digest_of(program) for program in PROGRAMS}, sys.stdout)
    del kept


def scatter(seed: int) -> list[Any]:
    """Take memory of many sizes and give a part of it back, so that what comes next lies somewhere else."""
    chance = random.Random(seed)
    taken = [bytearray(chance.randrange(1, 600)) for _ in range(chance.randrange(1, 20_000))]
    taken += [[None] * chance.randrange(1, 60) for _ in range(chance.randrange(1, 20_000))]  # type: ignore[misc]
    return chance.sample(taken, len(taken) // 2)


def hash_by_address() -> None:
    """What tasks and futures would do without the kernel's care."""
    for cls in (SagaFuture, SagaTask, compat.asyncio.tasks._GatheringFuture):  # type: ignore[attr-defined]
        cls.__hash__ = object.__hash__  # type: ignore[method-assign]


def digest_of(program: Any) -> str:
    """A digest of all that a program's run writes and says."""
    run = run_kernel(program)
    run.instance.discard()
    text = repr([run.ended, run.trace.said, run.trace.begun, run.rows])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


if __name__ == "__main__":
    main()
