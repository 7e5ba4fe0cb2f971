"""Settings of the whole suite: how hard Hypothesis looks, and how it reports what it found.

Profiles: `dev` (default) looks elsewhere each time and remembers failures; `ci` (when CI is set) is the same
on every run; `soak` looks long.  Choose one with `--hypothesis-profile`.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.pooler import pooler
from tests.postgres import database, postgres

__all__ = ["database", "pooler", "postgres"]

# A suite in the background of a script inherits that SIGINT is ignored, and so would the programs that it starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Shared machines stall: a slow example says nothing about the code. pytest-timeout limits each test.
settings.register_profile("dev", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("dev"), derandomize=True, database=None)
settings.register_profile("soak", settings.get_profile("dev"), max_examples=10_000)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """Commands run within tests set up logging: the next test finds it untouched."""
    loggers = (logging.getLogger(), logging.getLogger("amends"))
    before = [(each, each.level, list(each.handlers)) for each in loggers]
    yield
    for each, level, handlers in before:
        each.setLevel(level)
        each.handlers[:] = handlers


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes minutes begins first, in each test process's share of the whole, and not at the very end."""
    long = [item for item in items if item.get_closest_marker("long")]
    rest = [item for item in items if not item.get_closest_marker("long")]
    for place in range(len(long), 0, -1):
        rest.insert((place - 1) * len(rest) // len(long), long[place - 1])
    items[:] = rest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What tests have to say (``record_property("said", …)``): from test processes nothing else gets here."""
    passed = terminalreporter.stats.get("passed", [])
    said = [value for report in passed for name, value in report.user_properties if name == "said"]
    if said:
        terminalreporter.section("what was measured")
    for text in sorted(map(str, said)):
        terminalreporter.write_line(text)


def pytest_collection_finish() -> None:
    """What is loaded by now stays: full collections (some tests ask for many) need not look at it again and again."""
    gc.collect()
    gc.freeze()
