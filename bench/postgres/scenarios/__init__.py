"""One module per scenario; each says what it measures, why that is fair, and which bars it must meet."""

from collections.abc import Callable

from ...measure import Report
from ..sizes import Sizes
from . import claims, growth, idle, latency, takeover, throughput, workers

SCENARIOS: dict[str, Callable[[str, Sizes], Report]] = {
    "throughput": throughput.run,
    "latency": latency.run,
    "workers": workers.run,
    "claims": claims.run,
    "takeover": takeover.run,
    "idle": idle.run,
    "growth": growth.run,
}
