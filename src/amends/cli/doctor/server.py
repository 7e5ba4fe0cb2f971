"""A PostgreSQL server: does it keep what it says it keeps, is there room, who serves, and what is stuck?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..render.text import ago, duration
from .finding import Finding, careful, fine, problem
from .store import pauses

if TYPE_CHECKING:  # only who uses a server needs its driver
    from ...store.postgres.checkup import Facts, WorkerFacts

SKEW = 2.0  # seconds that the server's clock may differ from this machine's
LATE = 30.0  # seconds that due work may wait for a worker
PER_WORKER = 4  # connections of a worker, one of them for transactional steps
MANY = 1000


def examine_server(facts: Facts, now: float) -> Iterator[Finding]:
    """All that the figures of a server tell."""
    yield fine("store", f"PostgreSQL {facts.release} at {facts.where}, schema {facts.name}")
    yield release(facts)
    yield role(facts)
    yield from durability(facts)
    yield replication(facts)
    yield schema(facts)
    yield connections(facts)
    yield clock(facts, now)
    if facts.schema != facts.known_schema:
        return
    yield from workers(facts)
    yield definitions(facts)
    yield late(facts, now)
    yield pauses(facts.pauses)
    yield attention(facts)


def release(facts: Facts) -> Finding:
    """Is it new enough, and does it hold every text?"""
    if facts.number < facts.oldest:
        return problem("release", facts.release, f"upgrade to PostgreSQL {facts.oldest // 10_000} or later")
    if facts.encoding != "UTF8":
        do = "CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0, and move there"
        return problem("encoding", f"the database is encoded as {facts.encoding}", do)
    return fine("release", f"{facts.release}, {facts.encoding}")


def role(facts: Facts) -> Finding:
    """Can it be written to?"""
    if facts.standby:
        return problem("role", "a standby, which takes no writes", "name the primary, or all: host=a,b,c")
    return fine("role", "primary")


def durability(facts: Facts) -> Iterator[Finding]:
    """Does what is committed survive?"""
    lost = {
        "fsync": "a crash of the machine may lose everything",
        "full_page_writes": "a crash of the machine may damage what was written long ago",
        "synchronous_commit": "a crash of the server forgets commits that it acknowledged",
    }
    off = [name for name in lost if facts.settings.get(name) == "off"]
    for name in off:
        yield problem(name, f"off: {lost[name]}, and effects happen again", f"ALTER SYSTEM SET {name} = on")
    if not off:
        yield fine("durability", ", ".join(f"{name} {facts.settings.get(name, '?')}" for name in lost))


def replication(facts: Facts) -> Finding:
    """What does a failover forget?"""
    names, level = facts.settings.get("synchronous_standby_names", ""), facts.settings["synchronous_commit"]
    if not names:
        return fine("replication", "no synchronous standby: a failover may forget the last commits")
    if level in {"local", "off"}:
        do = "synchronous_commit = on (or remote_apply) for this role"
        return careful("replication", f"synchronous ({names}), but synchronous_commit is {level}", do)
    return fine("replication", f"synchronous: {names}")


def schema(facts: Facts) -> Finding:
    """Do this release and the database understand each other?"""
    seen = f"version {facts.schema}, this release knows {facts.known_schema}"
    if not facts.schema:
        return careful("schema", "there is none yet", "the first worker or client makes it")
    if facts.schema > facts.known_schema:
        return problem("schema", seen, "upgrade amends here to the release that made it")
    if facts.schema < facts.known_schema:
        return careful("schema", seen, "the next worker or client of this release brings it up to date")
    return fine("schema", f"version {facts.schema}")


def connections(facts: Facts) -> Finding:
    """Is there room for the workers that there are, and for one more?"""
    reserved = ("superuser_reserved_connections", "reserved_connections")
    most = int(facts.settings["max_connections"]) - sum(int(facts.settings.get(name, 0)) for name in reserved)
    free = most - facts.connections
    seen = f"{facts.connections} of {most} in use, {facts.ours} by amends"
    do = "raise max_connections, or put PgBouncer in front (docs/postgresql.md)"
    if free < PER_WORKER:
        return problem("connections", f"{seen}: no room for one more worker", do)
    if free < most / 10:
        return careful("connections", seen, do)
    return fine("connections", seen)


def clock(facts: Facts, now: float) -> Finding:
    """Do the server and this machine agree on the time?"""
    ahead = facts.now - now
    if abs(ahead) > SKEW:
        seen = f"the server is {duration(abs(ahead))} {'ahead of' if ahead > 0 else 'behind'} this machine"
        return careful("clock", seen, "set both clocks (NTP); timers and deadlines follow the workers'")
    return fine("clock", "the server and this machine agree")


def workers(facts: Facts) -> Iterator[Finding]:
    """Who serves, and are they in time?"""
    living = [worker for worker in facts.workers if worker.left > 0 and not worker.retired]
    if not living:
        yield careful("workers", "nobody serves this store", "amends worker MODULE")
    else:
        owned = sum(worker.owned for worker in living)
        yield fine("workers", f"{len(living)} alive, owning {owned} executions")
    for worker in facts.workers:
        if finding := trouble(worker, facts.lease, alone=not living):
            yield finding


def trouble(worker: WorkerFacts, lease: float, *, alone: bool) -> Finding | None:
    """What is wrong with one of them?"""
    who = f"incarnation {worker.incarnation} ({worker.place})"
    if worker.retired or worker.left <= 0:
        if worker.left < -2 * lease:
            do = "start a worker: it takes over" if alone else "the others should have; look at their logs"
            return problem("workers", f"{who} died {duration(-worker.left)} ago, nobody took over", do)
        return None  # others take over just now
    if worker.left < lease / 3:
        seen = f"{who} is late to renew its lease: {duration(worker.left)} left of {duration(lease)}"
        return careful("workers", seen, "look for steps that block its event loop, or a full machine")
    if not worker.declared and worker.age > lease:
        return careful("workers", f"{who} does not say what it serves: an earlier release", "upgrade it")
    return None


def definitions(facts: Facts) -> Finding:
    """Is anything due that no living worker can take?"""
    if not facts.unserved:
        return fine("definitions", "living workers have the code of all that is due")
    names = ", ".join(f"{saga} {version!r}" if version else saga for saga, version, _ in facts.unserved[:5])
    seen = f"no living worker has the code of {names}"
    return problem("definitions", seen, "start a worker that has it, or cancel what waits for it")


def late(facts: Facts, now: float) -> Finding:
    """Does due work wait?"""
    many = f"{facts.due}{' or more' if facts.due >= MANY else ''} due"
    if not facts.due or facts.due_since is None or now - facts.due_since < LATE:
        return fine("due work", f"{many}, none late" if facts.due else "none waits")
    return problem(
        "due work", f"{many}, the oldest {ago(facts.due_since, now)}", "start workers, or look at their logs"
    )


def attention(facts: Facts) -> Finding:
    """Is anything stuck?"""
    if facts.attention:
        many = f"{facts.attention}{' or more' if facts.attention >= MANY else ''} in attention"
        return problem("executions", many, "amends list --status attention, then amends show ID")
    return fine("executions", "none needs attention")
