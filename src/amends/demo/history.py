"""What a process log says of its orders: when each was placed, what the customer did, and how it ended."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Literal, NamedTuple

from .audit import ACTIVITIES
from .logfile import Cases, Event, LogError

KNOWN = frozenset(ACTIVITIES.values())
ONCE = ("place order", "send invoice")
DELIVERY = ("pay", "prepare delivery", "make delivery", "confirm payment")
ANSWERS: dict[str, Literal["paid", "cancelled"]] = {"pay": "paid", "cancel order": "cancelled"}


class History(NamedTuple):
    """An order of the log.

    placed: seconds after the first order of the log.  letters: how many the customer had got (the
    invoice is the first) when they answered, and how many days after the last of these.
    """

    order: str
    placed: float
    answer: Literal["paid", "cancelled"]
    letters: int
    days: float
    activities: Counter[str]


def histories(cases: Cases) -> list[History]:
    """The orders of a log by the time they were placed. Raises `LogError` for any other process."""
    named = {case: [Event(e.at, _plain(e.activity)) for e in events] for case, events in cases.items()}
    _check_activities({event.activity for events in named.values() for event in events})
    first = min(events[0].at for events in named.values())
    return sorted((_history(case, events, first) for case, events in named.items()), key=lambda h: h.placed)


def _plain(activity: str) -> str:
    return re.sub(r"[\s_]+", " ", activity.strip().lower())


def _check_activities(found: Iterable[str]) -> None:
    strange = sorted(set(found) - KNOWN)
    if strange:
        more = f" and {len(strange) - 6} more" if len(strange) > 6 else ""
        raise LogError(
            "no log of orders as the demo can play them\n"
            f"  it has:   {', '.join(strange[:6])}{more}\n"
            f"  expected: {', '.join(dict.fromkeys(ACTIVITIES.values()))}"
        )


def _history(case: str, events: list[Event], first: datetime) -> History:
    count = Counter(event.activity for event in events)
    answers = [event for event in events if event.activity in ANSWERS]
    for activity in ONCE:
        if count[activity] != 1:
            raise LogError(f"case {case}: {activity!r} {count[activity]} times, expected once")
    if len(answers) != 1:
        raise LogError(f"case {case}: 'pay' or 'cancel order' {len(answers)} times, expected once")
    answer = answers[0]
    for activity in DELIVERY:
        if count[activity] != (answer.activity == "pay"):
            raise LogError(f"case {case}: {activity!r} {count[activity]} times with {answer.activity!r}")
    letters = [e for e in events if e.activity in ("send invoice", "send reminder") and e.at <= answer.at]
    if sum(e.activity == "send reminder" for e in letters) != count["send reminder"]:
        raise LogError(f"case {case}: a reminder after {answer.activity!r}")
    days = (answer.at - letters[-1].at).total_seconds() / 86400 if letters else 0.0
    placed = next(event.at for event in events if event.activity == "place order")
    seconds = (placed - first).total_seconds()
    return History(case, seconds, ANSWERS[answer.activity], len(letters), days, count)
