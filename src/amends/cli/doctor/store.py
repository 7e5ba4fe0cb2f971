"""The store: can it be read, is it safe, who serves it, and what is stuck in it?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from ...store import port
from ...store.pausing import Pause
from ...store.sqlite.checkup import Facts
from ..render.text import ago, duration, pause
from .finding import Finding, careful, fine, problem, size

MIB = 1024 * 1024
_SKEW = 2.0  # seconds that the newest row may be ahead of this machine's clock
_LATE = 30.0  # seconds that due work may wait for a worker


def examine_store(url: str, file: Path, facts: Facts, worker: int | None, now: float) -> Iterator[Finding]:
    """All that the figures of a file tell."""
    yield fine("store", f"{file}, {size(facts.file_size)}")
    yield schema(facts)
    yield structure(facts, file)
    yield journal_mode(facts.journal_mode)
    yield synchronous(url)
    yield wal(facts, worker)
    yield clock(facts.latest, now)
    yield serving(worker)
    yield late(facts, worker, now)
    yield pauses(facts.pauses)
    yield attention(facts.statuses, facts.paused)


def schema(facts: Facts) -> Finding:
    """Do this release and the file understand each other?"""
    seen = f"version {facts.schema}, this release knows {facts.known_schema}"
    if facts.schema > facts.known_schema:
        return problem("schema", seen, "upgrade amends here to the release that wrote the file")
    if facts.schema < facts.known_schema:
        return careful("schema", seen, "the next worker or client brings it up to date; keep a backup")
    return fine("schema", f"version {facts.schema}")


def structure(facts: Facts, file: Path) -> Finding:
    """Is the file sound?"""
    if facts.damage:
        return problem(
            "structure",
            f"damaged: {facts.damage}",
            f"stop workers, copy {file} with its -wal, restore a backup",
        )
    return fine("structure", "sound (PRAGMA quick_check)")


def journal_mode(mode: str) -> Finding:
    """WAL is what the store relies on."""
    if mode != "wal":
        return careful("journal mode", mode, "the next worker or client switches it to WAL")
    return fine("journal mode", mode)


def synchronous(url: str) -> Finding:
    """Does a commit reach the disk?"""
    mode = (parse_qs(urlsplit(url).query).get("synchronous") or ["FULL"])[-1].upper()
    if mode == "OFF":
        return problem(
            "synchronous", mode, "a power failure may corrupt the file: drop the option from the URL"
        )
    if mode == "NORMAL":
        return careful("synchronous", mode, "a power failure may lose the last commits; FULL does not")
    return fine("synchronous", mode)


def wal(facts: Facts, worker: int | None) -> Finding:
    """Does the write-ahead log shrink?"""
    seen = size(facts.wal_size)
    if facts.wal_size > 256 * MIB:
        return careful(
            "wal", seen, "a long read keeps it from shrinking: look for a program that holds it open"
        )
    if facts.wal_size > 16 * MIB and worker is None:
        return careful("wal", seen, "no worker serves the store, and only a worker empties the log")
    return fine("wal", seen)


def clock(latest: float | None, now: float) -> Finding:
    """Is anything in the store from the future?"""
    if latest is not None and latest > now + _SKEW:
        return problem(
            "clock",
            f"the newest row is {duration(latest - now)} ahead of this machine",
            "set the clock (NTP); timers and deadlines follow it",
        )
    return fine("clock", "no row is ahead of it")


def serving(worker: int | None) -> Finding:
    """Who is the worker?"""
    if worker is None:
        return careful("worker", "nobody serves this store", "amends worker MODULE")
    return fine("worker", f"process {worker}" if worker else "one serves it")


def late(facts: Facts, worker: int | None, now: float) -> Finding:
    """Does due work wait?"""
    since = facts.due_since
    if not facts.due or since is None or now - since < _LATE:
        return fine("due work", f"{facts.due} due, none late" if facts.due else "none waits")
    seen = f"{facts.due} due, the oldest {ago(since, now)}"
    do = "start a worker" if worker is None else "the worker does not take it: look at its log, restart it"
    return problem("due work", seen, do)


def pauses(held: Sequence[Pause]) -> Finding:
    """Does a saga stand still, or a namespace?"""
    if not held:
        return fine("pauses", "no saga stands still")
    seen = "; ".join(map(pause, held))
    return careful("pauses", seen, "amends resume --saga NAME (or --all, for a namespace)")


def attention(statuses: dict[str, int], paused: int) -> Finding:
    """Is anything stuck, or told to stand still?"""
    stuck = statuses.get(port.ATTENTION, 0)
    counts = ", ".join(f"{count} {status}" for status, count in statuses.items()) or "no executions"
    counts += f" ({paused} paused)" * bool(paused)
    if stuck:
        return problem("executions", counts, "amends list --status attention, then amends show ID")
    return fine("executions", counts)
