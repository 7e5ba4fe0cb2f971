"""Same seed, same run: callback for callback, in any process, whatever strings hash to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from amends.testing.schedule import Fifo, Pct, Uniform, order_named

from .campaign import play

ROOT = Path(__file__).parents[3]
SEEDS = range(40, 80)


def traces(hash_seed: str) -> list[str]:
    """The traces of these seeds, as a fresh process sees them."""
    program = (
        "from tests.simulation.faults.campaign import play\n"
        f"for seed in range({SEEDS.start}, {SEEDS.stop}):\n"
        "    print(play(seed)[0].simulation.trace)\n"
    )
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.mark.slow
def test_the_same_seed_is_the_same_run_in_any_process() -> None:
    here = [play(seed)[0].simulation.trace for seed in SEEDS]
    assert len(set(here)) == len(here), "different seeds, the same run"
    assert traces("0") == here
    assert traces("4711") == here


def test_a_run_does_not_depend_on_those_before_it() -> None:
    first = play(7)[0].simulation.trace
    play(3)
    assert play(7)[0].simulation.trace == first


def test_all_orders_are_used() -> None:
    kinds = {type(order_named(play(seed)[0].plan.order, play(seed)[0].chaos.chance)) for seed in range(12)}
    assert kinds == {Fifo, Uniform, Pct}
