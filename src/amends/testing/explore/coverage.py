"""Saga coverage: which outcomes of which steps were exercised, by all explorations of this process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

FORWARD = ("succeeds", "is rejected", "fails", "loses the reply", "is stopped")
UNDO = ("undo after success", "undo after unknown", "undo with nothing", "undo, failing", "undo, repeated")


class Covered(msgspec.Struct, kw_only=True):
    """A step: how often each outcome was exercised, and which were not."""

    step: str
    counts: dict[str, int]
    missed: list[str]

    @property
    def share(self) -> float:
        """Exercised outcomes, as a fraction of all."""
        wanted = len(self.missed) + sum(1 for name in self.counts if name in (*FORWARD, *UNDO))
        return 1 - len(self.missed) / wanted if wanted else 1.0


_all: dict[str, Covered] = {}


def record(coverage: Iterable[Covered]) -> None:
    """Add what an exploration has covered."""
    for each in coverage:
        known = _all.setdefault(each.step, Covered(step=each.step, counts={}, missed=list(each.missed)))
        for outcome, count in each.counts.items():
            known.counts[outcome] = known.counts.get(outcome, 0) + count
        known.missed = [outcome for outcome in known.missed if outcome not in each.counts]


def plain() -> dict[str, list[dict[str, object]]]:
    """What was covered, as plain values, for another process."""
    return {"steps": [msgspec.to_builtins(each) for each in _all.values()]}


def add_plain(given: Mapping[str, list[dict[str, object]]]) -> None:
    """Add what another process has covered."""
    record(msgspec.convert(given["steps"], list[Covered]))


def summary() -> list[str]:
    """A table of all steps; empty when nothing was explored."""
    return table([_all[name] for name in sorted(_all)]) if _all else []


def table(coverage: list[Covered]) -> list[str]:
    """Coverage as lines of text: steps, and which outcomes were not exercised."""
    width = max(map(len, ("step", *(each.step for each in coverage))))
    lines = [f"{'step':<{width}}  outcomes  not exercised"]
    lines += [f"{c.step:<{width}}  {c.share:>7.0%}   {', '.join(c.missed)}".rstrip() for c in coverage]
    return lines
