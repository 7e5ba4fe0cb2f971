"""Every safeguard is needed: switched off, its absence is found within a thousand seeds."""

from __future__ import annotations

import pytest

from .ablations import ABLATIONS, Ablation
from .campaign import folder, store_of
from .run import Run, Violation, plan

SEEDS = 1_000


@pytest.mark.slow
@pytest.mark.parametrize("ablation", ABLATIONS, ids=lambda a: a.patch.__name__)
def test_what_is_switched_off_is_found(ablation: Ablation, monkeypatch: pytest.MonkeyPatch) -> None:
    from .invariants import check

    ablation.patch(monkeypatch)
    others = []
    for seed in range(SEEDS):
        run = Run(plan(seed, store_of(seed), ablation.only), folder())
        try:
            run.play(check)
        except Violation as violation:
            if violation.promise in ablation.promises:
                print(f"found by seed {seed}: {violation}")
                return
            others.append(f"seed {seed}: {violation}")
        except Exception as error:  # what is switched off may break more than a promise
            others.append(f"seed {seed}: {error!r}")
    pytest.fail(f"not found in {SEEDS} seeds; but {others[:5]}")
