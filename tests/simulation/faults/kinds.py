"""The fault kinds, as data: each has a name, a place where it strikes, and a sentence.

A kind that never fired in a campaign fails the campaign: it is no fault that is survived, but one that is not tested.
"""

from __future__ import annotations

from dataclasses import dataclass

POINT, TIMELINE, PROGRAM = "point", "timeline", "program"
BOTH = frozenset({"memory", "sqlite"})
SQLITE = frozenset({"sqlite"})
MEMORY = frozenset({"memory"})


@dataclass(frozen=True)
class Kind:
    """`how`: at a point of a call (at one of the rates), at moments of the run, or written into the program."""

    name: str
    area: str
    how: str
    what: str
    stores: frozenset[str] = BOTH
    weight: int = 10
    rates: tuple[float, ...] = (0.05, 0.15, 0.4)


ALL = [
    # ---- store
    Kind("commit_fails", "store", POINT, "the store raises an error of its own; nothing was written"),
    Kind("commit_crash_before", "store", POINT, "the process dies when it is about to commit"),
    Kind(
        "commit_crash_after",
        "store",
        POINT,
        "the process dies when a commit is durable, before it hears of it",
    ),
    Kind("commit_ack_lost", "store", POINT, "a commit is durable, its acknowledgement is lost"),
    Kind("commit_nack_lost", "store", POINT, "a commit is not durable, and nobody can tell"),
    Kind("commit_busy", "store", POINT, "another program holds the database's lock"),
    Kind("commit_slow", "store", POINT, "a commit takes long, others gather behind it"),
    Kind("disk_full", "store", POINT, "there is no room for a commit, for a while"),
    Kind("read_fails", "store", POINT, "a claim, or a look for news, fails"),
    Kind("read_busy", "store", POINT, "a claim, or a look for news, cannot be made just now"),
    Kind("recovery_fails", "store", POINT, "registering anew fails, for a while", rates=(0.5,)),
    Kind(
        "crash_in_recovery",
        "store",
        POINT,
        "the process dies while it registers, claims or reads",
        rates=(0.1,),
    ),
    Kind("row_refused", "store", POINT, "the database refuses one row", rates=(0.1,), weight=5),
    Kind("row_taken", "store", POINT, "the store says that the journal has moved", rates=(0.1,)),
    Kind(
        "crash_while_parking", "store", POINT, "the process dies as it sets an execution aside", rates=(0.7,)
    ),
    Kind(
        "lost_tail", "disk", POINT, "a power cut takes the last commits with it", rates=(0.05, 0.15), weight=4
    ),
    Kind("torn_between_frames", "disk", POINT, "a power cut leaves whole frames of a commit", SQLITE),
    Kind("torn_inside_frame", "disk", POINT, "a power cut leaves a part of a frame", SQLITE),
    Kind("log_flipped", "disk", POINT, "a power cut leaves a wrong byte in a commit", SQLITE),
    Kind("row_flipped", "disk", TIMELINE, "a letter of a journal has changed"),
    Kind("database_locked", "disk", TIMELINE, "another program holds SQLite's write lock", SQLITE, weight=20),
    # ---- worker
    Kind("crash", "worker", TIMELINE, "SIGKILL between any two callbacks"),
    Kind("crash_at_send", "worker", POINT, "the process dies as it sends a request; the request arrives"),
    Kind(
        "zombie",
        "worker",
        TIMELINE,
        "a process sleeps past its lease; another takes over; then it wakes",
        MEMORY,
    ),
    Kind("loop_blocked", "worker", TIMELINE, "the event loop stands still for seconds"),
    Kind("drain", "worker", TIMELINE, "SIGTERM: the worker drains, another one starts"),
    Kind("drain_killed", "worker", TIMELINE, "SIGKILL while it drains"),
    Kind("standby", "worker", TIMELINE, "a second worker stands by"),
    # ---- services and network
    Kind("rejected", "service", PROGRAM, "the service says no"),
    Kind("refused", "service", POINT, "connection refused: certainly not sent"),
    Kind("request_lost", "service", POINT, "a request never arrives"),
    Kind("reply_lost", "service", POINT, "a request is done, its reply never arrives"),
    Kind("late_success", "service", POINT, "the reply comes after the timeout"),
    Kind("late_arrival", "service", POINT, "a request arrives long after its sender gave up (and undid it)"),
    Kind("duplicated", "service", POINT, "a request arrives twice"),
    Kind("slow", "service", POINT, "the reply takes as long as it may"),
    Kind("fails_without_effect", "service", POINT, "an error that says nothing; nothing was done"),
    Kind("fails_with_effect", "service", POINT, "an error that says nothing; it was done"),
    Kind("partition", "service", TIMELINE, "the network is down for a while"),
    # ---- signals, timers, clocks
    Kind(
        "wake_up_lost", "time", POINT, "news of a message is lost; only the next look finds it", rates=(0.5,)
    ),
    Kind("signal_duplicated", "time", TIMELINE, "a signal is sent twice"),
    Kind("signal_early", "time", TIMELINE, "a signal comes before anybody waits for it"),
    Kind("timer_race", "time", POINT, "a reply comes in the very moment of its timeout"),
    Kind("clock_forward", "time", TIMELINE, "the clock jumps forward"),
    Kind("clock_back", "time", TIMELINE, "the clock jumps back"),
    # ---- compensations
    Kind("compensation_fails_for_a_while", "undo", PROGRAM, "compensations fail at first"),
    Kind(
        "compensation_fails_for_ever", "undo", PROGRAM, "compensations never succeed; an operator must help"
    ),
    Kind("verification_wrong", "undo", PROGRAM, "the check after a compensation says that it did not take"),
    # ---- code
    Kind(
        "divergence",
        "code",
        TIMELINE,
        "a deploy brings code that does not fit the journals; later it is put right",
    ),
    Kind("missing_version", "code", TIMELINE, "a deploy lacks the saga; later it is put right"),
    # ---- people
    Kind("cancel", "people", TIMELINE, "somebody cancels, perhaps as it completes"),
    Kind("deadline", "people", PROGRAM, "the deadline passes, perhaps as it completes"),
    Kind("terminate", "people", TIMELINE, "an operator ends it without compensation", weight=4),
    Kind("pause", "people", TIMELINE, "an operator lets it stand still for a while"),
    Kind(
        "pause_type",
        "people",
        TIMELINE,
        "an operator lets its saga, or the namespace, stand still for a while",
    ),
    Kind("started_twice", "people", TIMELINE, "the same id is started again"),
]

CUTS = ("lost_tail", "torn_between_frames", "torn_inside_frame", "log_flipped")
NAMES = [kind.name for kind in ALL]
BY_NAME = {kind.name: kind for kind in ALL}
