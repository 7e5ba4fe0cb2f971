"""The contestants of a round: ours, the raw limit on what ours has just written, and the peer in its
configurations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .measure import Report, percentile
from .peers.environment import python
from .probe import probe
from .rounds import Contestant, Result

OURS = "bench.ours.program"
RAW = "bench.raw"
PEER = "bench.peers.dbos_program"
JOURNALS = {"DBOS": "delete", "DBOS, WAL": "wal"}
"""The peer's configurations: SQLite's journal mode as DBOS leaves it, and set to WAL beforehand."""


def ours(what: str, **parameters: Any) -> Contestant:
    """amends on a new file in the round's folder."""

    def run(shared: Path) -> Result:
        return probe(OURS, what, path=str(shared / "ours.db"), **parameters)

    return run


def peer(what: str, journal: str, api: str, **parameters: Any) -> Contestant:
    """DBOS on a new file in the round's folder."""

    def run(shared: Path) -> Result:
        path = str(shared / f"dbos-{journal}-{api}-{parameters.get('pool', '')}.db")
        return probe(PEER, what, python=python(), path=path, journal=journal, api=api, **parameters)

    return run


def peers(what: str, apis: tuple[str, ...], *, said: str = "", **parameters: Any) -> dict[str, Contestant]:
    """DBOS in each configuration and through each interface. said: what else its names say of it."""
    return {
        f"{name}{said}, {api}": peer(what, journal, api, **parameters)
        for name, journal in JOURNALS.items()
        for api in apis
    }


def rate(results: list[Result], key: str = "sagas") -> list[float]:
    """Of every round: how many per second."""
    return [result[key] / result["seconds"] for result in results]


def fastest(rates: dict[str, list[float]], who: str) -> list[float]:
    """Round by round, the better of the peer's interfaces in that configuration."""
    prefix = f"{who}, "
    apis = [values for name, values in rates.items() if name.removeprefix(prefix) in ("async", "sync")]
    return [max(values) for values in zip(*apis, strict=True)]


def p50_ms(results: list[Result]) -> list[float]:
    """Of every round: the median execution, in milliseconds."""
    return [percentile(result["each"], 0.5) * 1e3 for result in results]


def configurations(report: Report, results: dict[str, list[Result]]) -> None:
    """Note what each contestant of the last round ran with."""
    for who, rounds in results.items():
        report.configurations[who] = rounds[-1]["configuration"]
