"""One module per scenario; each says what it measures, why that is fair, and which bars it must meet."""

from collections.abc import Callable

from ..measure import Report
from ..sizes import Sizes
from . import compensation, latency, recovery, replay, sleepers, throughput

SCENARIOS: dict[str, Callable[[Sizes], Report]] = {
    "throughput": throughput.run,
    "latency": latency.run,
    "compensation": compensation.run,
    "sleepers": sleepers.run,
    "replay": replay.run,
    "recovery": recovery.run,
}
