"""What a schedule says, and which ticks follow from it. Pure: time comes in as seconds since the epoch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import msgspec

from ...errors import Refused, did_you_mean

CatchUp = Literal["last", "all", "skip"]
Overlap = Literal["skip", "allow", "wait"]
SHORTEST = 1.0
"""Seconds between the ticks of an interval, at least."""

LONGEST = 1e9
"""Seconds between them at most (thirty years): what comes after the year 9999 has no date."""

LATE = 60.0
"""Seconds after which a tick counts as missed, for the policy that skips those."""


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be started, and when (see `Schedules.add`). `deadline`: of each run, in seconds from its
    start.  `anchor`: where intervals count from.  `after`: ticks up to this time are done with.  `last`: the
    id that was started last."""

    namespace: str = ""
    name: str = ""
    saga: str = ""
    version: str = ""
    input: str = ""
    attributes: dict[str, Any] = {}
    deadline: float | None = None
    cron: str = ""
    every: float = 0.0
    zone: str = "UTC"
    catch_up: CatchUp = "last"
    overlap: Overlap = "skip"
    anchor: float | None = None
    after: float | None = None
    last: str = ""
    paused: bool = False

    def same(self, other: Spec) -> bool:
        """Do both say the same, wherever they have come to?"""
        reset = {"anchor": None, "after": None, "last": "", "paused": False}
        return msgspec.structs.replace(self, **reset) == msgspec.structs.replace(other, **reset)


def check(spec: Spec) -> None:
    """Refuse what has no ticks. Raises `Refused`."""
    if bool(spec.cron) == bool(spec.every):
        raise Refused(
            "a schedule has either cron or every", hint='cron="0 2 * * *", or every=timedelta(hours=1)'
        )
    if spec.every and not (SHORTEST <= spec.every <= LONGEST):
        raise Refused(
            f"every is at least {SHORTEST:g} s, and at most {LONGEST:,.0f} s, got {spec.every!r}",
            hint="every=timedelta(hours=1), or a number of seconds",
        )
    for given, kind in ((spec.catch_up, CatchUp), (spec.overlap, Overlap)):
        known = get_args(kind)
        if given not in known:
            hint = did_you_mean(str(given), known) or f"one of {', '.join(known)}"
            raise Refused(f"there is no policy {given!r}", hint=hint)
    next_tick(spec, 0.0)


def next_tick(spec: Spec, after: float) -> float:
    """The first tick after that moment. Raises `Refused` for an expression or a zone that cannot be."""
    return next(ticks(spec, after))


def ticks(spec: Spec, after: float) -> Iterator[float]:
    """All ticks after that moment."""
    if spec.cron:
        yield from (moment.timestamp() for moment in _cron(spec, after))
        return
    anchor = spec.anchor or 0.0
    count = math.floor((after - anchor) / spec.every) + 1
    while True:
        yield anchor + count * spec.every
        count += 1


def last_tick(spec: Spec, first: float, until: float) -> float:
    """The latest tick from `first` (a tick) to `until`."""
    if spec.cron:
        found: float = next(iter(_cron(spec, math.floor(until) + 1, reverse=True))).timestamp()
        return max(first, found)
    anchor = spec.anchor or 0.0
    return max(first, anchor + math.floor((until - anchor) / spec.every) * spec.every)


def preview(spec: Spec, after: float, count: int) -> list[datetime]:
    """The next ticks, in the schedule's zone."""
    zone = zone_of(spec.zone)
    return [datetime.fromtimestamp(tick, zone) for tick in islice(ticks(spec, after), count)]


def zone_of(name: str) -> ZoneInfo:
    """The time zone of that name. Raises `Refused` with near names."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        near = did_you_mean(name, available_timezones())
        hint = near or 'for example "Europe/Berlin"; where the system has no table: pip install tzdata'
        raise Refused(f"there is no time zone {name!r}", hint=hint) from error


def run_id(spec: Spec, tick: float) -> str:
    """The id of what a tick starts."""
    moment = datetime.fromtimestamp(tick, UTC)
    text = moment.strftime("%Y-%m-%dT%H:%M:%S")
    part = f".{moment.microsecond:06d}" if moment.microsecond else ""
    return f"{spec.name}@{text}{part}Z"


def _cron(spec: Spec, moment: float, *, reverse: bool = False) -> Any:
    try:
        from cronsim import CronSim, CronSimError  # noqa: PLC0415  # an extra
    except ImportError as error:
        raise Refused("cron expressions need cronsim", hint="pip install 'amends[schedules]'") from error
    try:
        return CronSim(spec.cron, datetime.fromtimestamp(moment, zone_of(spec.zone)), reverse=reverse)
    except CronSimError as error:
        hint = 'minute hour day month weekday, for example "0 2 * * mon-fri"'
        raise Refused(f"{spec.cron!r} is no cron expression: {error}", hint=hint) from error
