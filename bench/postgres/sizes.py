"""How much each scenario does: `FULL` for figures worth quoting, `QUICK` to see that nothing broke."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """Counts per round; seconds where it says so. pools: the settings of DBOS's pool that are tried."""

    rounds: int = 3
    width: int = 100
    sagas: int = 8000
    hop_sagas: int = 1000
    dbos_sagas: int = 400
    absurd_sagas: int = 600
    restate_sagas: int = 1500
    pools: tuple[int, ...] = (5, 50)
    one_by_one: int = 300
    workers: tuple[int, ...] = (1, 2, 4)
    claims: int = 50_000
    in_flight: int = 100_000
    step_seconds: float = 40.0
    steady_seconds: float = 60.0
    idle_seconds: float = 60.0
    growth_minutes: float = 60.0


FULL = Sizes()
QUICK = Sizes(
    rounds=1,
    sagas=1500,
    hop_sagas=200,
    dbos_sagas=80,
    absurd_sagas=150,
    restate_sagas=200,
    pools=(50,),
    one_by_one=60,
    workers=(1, 2),
    claims=4000,
    in_flight=4000,
    step_seconds=4.0,
    steady_seconds=6.0,
    idle_seconds=10.0,
    growth_minutes=0.5,
)
