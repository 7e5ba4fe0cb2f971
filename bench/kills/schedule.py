"""Lives and deaths of workers, by a seed; the same for each system."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import TypedDict

from ..probe import ROOT, ProbeFailed, folder
from .book import KILLED, Verdict, judge, note, read

PLACES = {"straight": 3, "refused": 0, "unanswered": 0, "sleeping": 2, "cancelled": 0}
"""Each kind of saga, and how many effects one that completes has."""

EACH = 3  # sagas of each kind at the beginning of a life
LIVES = 10  # before one worker finishes what is left
QUIET = 20.0  # seconds without a line after which a worker is killed all the same
PATIENCE = 600.0  # seconds for the last worker


class Orders(TypedDict):
    """What a worker is told: ids to start, ids to cancel, to report once all have ended, and the patience for
    that (tenths of a second without any that ends)."""

    start: list[str]
    cancel: list[str]
    finish: bool
    patience: int


def run(module: str, python: str, kills: int) -> Verdict:
    """So many kills, in folders of `LIVES` each. Raises `ProbeFailed` when a worker ends by itself."""
    total = Verdict()
    for seed in range(-(-kills // LIVES)):
        with folder() as place:
            _add(total, _folder(module, python, place, random.Random(seed)))
    return total


def _folder(module: str, python: str, place: Path, chance: random.Random) -> Verdict:
    book = place / "book"
    started: list[str] = []
    unsure: list[str] = []  # the caller had no answer: it asks again in the end
    for life in range(LIVES):
        batch = [f"{kind}-{life}.{number}" for kind in PLACES for number in range(EACH)]
        before = [id for id in started if id.startswith(f"cancelled-{life - 1}.")]
        started += batch
        worker = _worker(module, python, place, Orders(start=batch, cancel=before, finish=False, patience=0))
        try:
            goal = len(read(book)) + chance.randint(1, 60)
            _until_grown(book, goal, worker)
            time.sleep(chance.uniform(0.0, 0.3) ** 2)
        finally:
            worker.send_signal(signal.SIGKILL)
            answered = "started" in worker.communicate()[0]
        unsure += [] if answered else batch
        note(str(book), "-", 0, "-", KILLED)
    rest = [id for id in started if id.startswith("cancelled-")]
    last = _worker(module, python, place, Orders(start=unsure, cancel=rest, finish=True, patience=100))
    out, said = last.communicate(timeout=PATIENCE)
    if last.returncode != 0:
        raise ProbeFailed(f"{module}: the last worker failed\n{said[-4000:]}")
    statuses: dict[str, str] = json.loads(out.strip().splitlines()[-1])
    return judge(read(book), started, statuses, PLACES)


def _worker(module: str, python: str, place: Path, orders: Orders) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [python, "-m", module, str(place), json.dumps(orders)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _until_grown(book: Path, goal: int, worker: subprocess.Popen[str]) -> None:
    """Until the book has so many lines, or nothing comes any more."""
    size, since = -1, time.monotonic()
    while size < goal and time.monotonic() < since + QUIET:
        if worker.poll() is not None:
            raise ProbeFailed(f"a worker ended by itself\n{worker.communicate()[1][-4000:]}")
        if (grown := len(read(book))) != size:
            size, since = grown, time.monotonic()
        time.sleep(0.002)


def _add(total: Verdict, one: Verdict) -> None:
    for name, value in vars(one).items():
        if isinstance(value, int):
            setattr(total, name, getattr(total, name) + value)
    total.findings.update(one.findings)
