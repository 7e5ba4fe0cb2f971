"""Many seeds, and what they add up to."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from . import kinds
from .invariants import check
from .run import Run, plan


def store_of(seed: int) -> str:
    """Which store a seed runs on: one in eight on SQLite."""
    return "sqlite" if seed % 8 == 7 else "memory"


@functools.cache
def folder() -> Path:
    """Where SQLite files are kept: in memory, where the machine has such a place."""
    shared = Path("/dev/shm")
    made = tempfile.mkdtemp(prefix="amends-simulation-", dir=shared if os.access(shared, os.W_OK) else None)
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return Path(made)


@dataclass
class Report:
    """What a campaign did."""

    seeds: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    shapes: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    virtual: float = 0.0
    turns: int = 0
    failures: list[str] = field(default_factory=list)

    def add(self, other: Report) -> None:
        """What another one did."""
        self.seeds += other.seeds
        self.faults += other.faults
        self.shapes += other.shapes
        self.ends += other.ends
        self.virtual += other.virtual
        self.turns += other.turns
        self.failures += other.failures

    def head(self) -> str:
        """In one line."""
        return (
            f"{self.seeds:,} seeds, {self.faults.total():,} faults of {len(self.faults)} kinds,"
            f" {self.virtual / 3600:,.1f} virtual hours, {self.turns:,} callbacks, {len(self.failures)} violations"
        )

    def text(self) -> str:
        """For people."""
        lines = [
            self.head(),
            f"faults: {dict(sorted(self.faults.items()))}",
            f"never: {sorted(set(kinds.NAMES) - set(self.faults))}",
            f"shapes: {dict(sorted(self.shapes.items()))}",
            f"ends: {dict(sorted(self.ends.items()))}",
            *self.failures[:10],
        ]
        return "\n".join(lines)


def play(seed: int, store: str = "", *, trace: bool = False) -> tuple[Run, str]:
    """Run one seed; the run, and what is wrong with it (empty: nothing)."""
    run = Run(plan(seed, store or store_of(seed)), folder())
    if trace:
        run.simulation.notes = []
    try:
        run.play(check)
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        text = f"{type(error).__name__}: {error} ({where.filename.rpartition('/')[2]}:{where.lineno})"
        if trace:
            traceback.print_exc()
        return run, text
    return run, ""


def one(seed: int, store: str = "", *, trace: bool = False) -> str:
    """Replay a seed."""
    run, failed = play(seed, store, trace=trace)
    print(f"seed {seed}: {run.plan.program}\n{run.plan}")
    if trace:
        print("\n".join(run.simulation.notes or ()))
    print(f"trace {run.simulation.trace}, faults {dict(run.chaos.fired)}")
    return failed


def campaign(seeds: Iterable[int], store: str = "", *, stop: bool = True) -> Report:
    """Run many seeds."""
    report = Report()
    for seed in seeds:
        run, failed = play(seed, store)
        report.seeds += 1
        report.faults += run.chaos.fired
        report.virtual += run.simulation.now
        report.turns += run.simulation.turns
        report.shapes[f"steps {run.plan.shape['steps']:02d}"] += 1
        for op in ("child", "savepoint", "group", "gather", "pivot", "attempt", "again"):
            report.shapes[op] += bool(run.plan.shape.get(op))
        report.ends.update(header.status for header in run.headers if not header.parent)
        if failed:
            command = f"python -m tests.simulation.faults --seed {seed} --trace"
            report.failures.append(f"seed {seed}: {failed}\n    replay: {command}")
            if stop:
                break
    return report
