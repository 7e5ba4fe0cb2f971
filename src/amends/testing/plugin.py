"""The pytest plugin: `@pytest.mark.explore`, the `saga` fixture, and saga coverage in the summary.

    @pytest.mark.explore(participants=World, faults=2)
    def test_place_order():
        return place_order(Order("1"))

It is loaded in every session of whoever has amends installed, so it imports nothing before it is needed.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..definition.saga import SagaCall
    from .explore import Report

MARK = (
    "explore(participants=None, faults=2, …): the test returns a call of a saga; every failure path is run."
)
_COVERAGE = f"{__package__}.explore.coverage"
_XDIST = "amends_saga_coverage"


class Explorer:
    """What the `saga` fixture gives: sagas run in a test, without an engine."""

    def explore(self, call: SagaCall[Any], **options: Any) -> Report:
        """Run every failure path and fail the test if something is found; see `amends.testing.explore`."""
        __tracebackhide__ = True
        from .explore import explore  # noqa: PLC0415 - see the module's head

        return explore(call, **options).check()

    def replay(self, call: SagaCall[Any], path: str, **options: Any) -> Report:
        """Run one path, as a finding names it, and fail the test if something is found."""
        __tracebackhide__ = True
        return self.run(call, path, **options).check()

    def run(self, call: SagaCall[Any], path: str = "", **options: Any) -> Report:
        """Run one path (empty: without faults); the report has its `status`, `story` and `participants`."""
        from .explore import replay  # noqa: PLC0415 - see the module's head

        return replay(call, path, **options)


@pytest.fixture(name="saga")
def saga_fixture() -> Explorer:
    """Runs sagas against participants in memory: `explore`, `replay`, `run`."""
    return Explorer()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the command line."""
    group = parser.getgroup("amends")
    group.addoption("--explore-faults", type=int, help="explore with so many faults, whatever the marks say")


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known."""
    config.addinivalue_line("markers", MARK)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Explore what a marked test returns."""
    __tracebackhide__ = True
    marker = pyfuncitem.get_closest_marker("explore")
    if marker is None:
        return None
    from .explore import explore  # noqa: PLC0415 - see the module's head

    options = dict(marker.kwargs)
    faults = pyfuncitem.config.getoption("--explore-faults")
    if faults is not None:
        options["faults"] = faults
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    explore(pyfuncitem.obj(**arguments), **options).check()
    return True


# ---------------------------------------------------------------- saga coverage


def pytest_sessionfinish(session: pytest.Session) -> None:
    """With xdist: a worker hands in what it has covered."""
    handed_in = getattr(session.config, "workeroutput", None)
    coverage = sys.modules.get(_COVERAGE)
    if handed_in is not None and coverage is not None:
        handed_in[_XDIST] = coverage.plain()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """With xdist: what a worker has covered."""
    given: Mapping[str, Any] | None = getattr(node, "workeroutput", {}).get(_XDIST)
    if given:
        from .explore import coverage  # noqa: PLC0415 - see the module's head

        coverage.add_plain(given)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Steps, and which of their outcomes were exercised."""
    coverage = sys.modules.get(_COVERAGE)
    lines = coverage.summary() if coverage is not None else []
    if lines:
        terminalreporter.section("saga coverage")
        for line in lines:
            terminalreporter.line(line)
