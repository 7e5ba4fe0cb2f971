"""Change the kernel and the committer in small ways, one at a time, and see whether a test notices.

mutmut makes the changes, finds out which tests come through which function, and keeps the results in
mutants/, so that an interrupted run goes on where it was. Running the tests is done here, since mutmut's
own way takes days: it begins pytest anew for each change, and runs hundreds of tests for each that
survives.

**Theory of operation.** pytest collects the tests once. In the place where it would run them, a process
is forked off for each mutant (mutmut's `ForkRunner`), which runs that mutant's tests among those
collected and ends at the first that fails: a tenth of a second for most.

Three passes. Most mutants are noticed by some test that takes milliseconds, so first each meets a quick
selection; those that lived through it (mutmut's status "suspicious") meet more, and what is left then all
the rest. Only what lives through all of them survives.

A mutant that hangs would keep its process for mutmut's own limit: minutes, where many tests come through
its function. So each test has a limit of its own, far above what it takes; a thread then ends the
process, which no code can catch.

What runs when a module is imported has run before the fork. Mutants of such functions (`AT_IMPORT`) get
a new Python.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from _pytest.assertion import util as _assertions
from mutmut import __main__ as mutmut
from mutmut.configuration import config
from mutmut.mutation.data import SourceFileMutationData
from mutmut.mutation.trampoline import set_mutant_under_test
from mutmut.runners.harness import TestRunner
from mutmut.state import state
from mutmut.stats import print_stats
from mutmut.utils.file_utils import change_cwd, copy_also_copy_files, copy_src_dir, setup_source_paths
from mutmut.utils.format_utils import mangled_name_from_mutant_name
from mutmut.workers.isolation import ForkRunner, get_mutant_runner

PASSES = ((30, 0.5), (600, 6.0))
"""The first passes: so many tests at most, that together take no longer (seconds). All others come last."""

BESIDE = 3
"""So many of each test file come before the next ones of any: files look at different things."""

SURVIVED, KILLED, QUICK = 0, 1, 35
"""Exit codes, as mutmut reads them. 35: lived through a pass, has not met the rest."""

LEAST_SECONDS, TIMES = 6.0, 20.0
"""A test may take that many times what it took unchanged, and at least so many seconds."""

AT_IMPORT = {
    "amends.kernel.compat.x_install": ["tests/unit/kernel"],
    "amends.kernel.compat.x__reroute": ["tests/unit/kernel"],
    "amends.kernel.compat.x__replace": ["tests/unit/kernel"],
    "amends.kernel.foreign.x_forbid": ["tests/unit/kernel/test_loop_foreign.py"],
    "amends.kernel.foreign.x__refusal": [
        "tests/unit/kernel/test_loop_foreign.py",
        "tests/unit/kernel/test_foreign.py",
    ],
}
"""Functions that run when their module is imported, and the tests that look at what they made."""


def main() -> None:
    """Make the mutants, collect the tests, try the mutants on them."""
    parser = argparse.ArgumentParser(prog="python -m scripts.mutate", description="Mutate; run the tests.")
    parser.add_argument(
        "names", nargs="*", help="mutants, or patterns of them; all are tried anew (default: the rest)"
    )
    parser.add_argument("--children", type=int, default=2, help="processes (2)")
    given = parser.parse_args()
    os.environ["CI"] = "1"  # random tests try the same with and without a change
    _prepare(given.children)
    selection = config().pytest_add_cli_args_test_selection
    options = ["--rootdir=.", "-q", "-s", "-p", "no:cacheprovider", "-p", "no:xdist"]
    trying = Trying(tuple(given.names), given.children)
    with change_cwd("mutants"):
        pytest.main([*options, *selection], plugins=[trying])


def _prepare(children: int) -> None:
    """As mutmut does: the mutants, and which tests come through which function."""
    set_mutant_under_test("mutant_generation")
    Path("mutants").mkdir(exist_ok=True)
    copy_src_dir()
    copy_also_copy_files()
    setup_source_paths()
    mutmut.create_mutants(children)
    mutmut.collect_or_load_stats(get_mutant_runner(children), apply_config_invalidation=True)
    set_mutant_under_test("")


Mutant = tuple[SourceFileMutationData, str, int | None]


class Trying:
    """A pytest plugin: tries mutants in the place where the tests would be run."""

    def __init__(self, names: tuple[str, ...], children: int) -> None:
        self.names = names
        self.children = children
        self.root = Path.cwd()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        session.config.pluginmanager.register(Ends())
        _assertions.assertrepr_compare = lambda *_, **__: iter(())  # nobody reads why
        items = {item.nodeid: item for item in session.items}
        with change_cwd(self.root):
            self._try(items, lambda code: bool(self.names) or code is None, 0)
            for number in range(1, len(PASSES) + 1):
                self._try(items, lambda code: code == QUICK, number)
        return True

    def _try(self, items: dict[str, pytest.Item], wanted: Callable[[int | None], bool], number: int) -> None:
        """Those whose last exit code is wanted, on their tests of one pass."""
        mutants, files = mutmut.collect_source_file_mutation_data(mutant_names=self.names)
        by_name = {name: data for data, name, code in mutants if wanted(code)}
        runner = ForkRunner(self.children, Tests(items, number))
        said = 0.0
        for name in by_name:
            while not runner.has_capacity():
                mutmut._register_mutant_result(runner.wait_for_result(), by_name)
            tests = _tests(name) & items.keys()
            seconds = sum(state().duration_by_test[test] for test in tests)
            runner.submit(name, sorted(tests), int(100 + TIMES * seconds), 100 + seconds)
            if time.monotonic() > said + 10:
                print_stats(files, force_output=True)
                said = time.monotonic()
        while runner.pending_count():
            mutmut._register_mutant_result(runner.wait_for_result(), by_name)


def _tests(mutant: str) -> set[str]:
    return state().tests_by_mangled_function_name.get(mangled_name_from_mutant_name(mutant), set())


class Ends:
    """A pytest plugin: the process ends at the first test that fails, without a report."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        failed = call.excinfo is not None and not call.excinfo.errisinstance(pytest.skip.Exception)
        if failed and not item.get_closest_marker("xfail"):
            os._exit(KILLED)


class Tests(TestRunner):
    """Runs collected tests in a process of its own, which a test may end at any time."""

    def __init__(self, items: dict[str, pytest.Item], number: int) -> None:
        self.items = items
        self.number = number

    def run_tests(self, *, mutant_name: str | None, tests: Iterable[str]) -> int:
        assert mutant_name
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(1, 2)
        os.chdir("mutants")
        if files := AT_IMPORT.get(mangled_name_from_mutant_name(mutant_name)):
            return _in_a_new_python(mutant_name, files)
        passes = portions(list(tests))
        items = [self.items[test] for test in passes[self.number]]
        for item, following in zip(items, [*items[1:], None], strict=True):
            limit = max(LEAST_SECONDS, TIMES * state().duration_by_test[item.nodeid])
            item.add_marker(pytest.mark.timeout(limit, method="thread"), append=False)
            try:
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            except BaseException:  # noqa: BLE001 - the mutant broke pytest; and this process must not go on as its parent
                os._exit(KILLED)
        return QUICK if any(passes[self.number + 1 :]) else SURVIVED


def _in_a_new_python(mutant: str, tests: list[str]) -> int:
    environment = {**os.environ, "MUTANT_UNDER_TEST": mutant, "PYTHONPATH": str(Path("src").resolve())}
    options = ["--rootdir=.", "-x", "-q", "-p", "no:cacheprovider", "--timeout=60"]
    command = [sys.executable, "-m", "pytest", *options, *tests]
    done = subprocess.run(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
    )
    return KILLED if done.returncode else SURVIVED


def portions(tests: list[str]) -> list[list[str]]:
    """The tests of each pass: a few of each file and the fastest first; within a pass the fastest first."""
    took = state().duration_by_test
    seen = Counter[str]()
    ranked: list[tuple[int, float, str]] = []
    for test in sorted(tests, key=lambda test: (took[test], test)):
        file = test.partition("::")[0]
        ranked.append((seen[file] // BESIDE, took[test], test))
        seen[file] += 1
    left = [test for _, _, test in sorted(ranked)]
    made = []
    for most, limit in PASSES:
        chosen, seconds = [], 0.0
        for test in left:
            if len(chosen) < most and seconds + took[test] <= limit:
                chosen.append(test)
                seconds += took[test]
        made.append(chosen)
        done = set(chosen)
        left = [test for test in left if test not in done]
    return [sorted(each, key=lambda test: (took[test], test)) for each in [*made, left]]


if __name__ == "__main__":
    main()
