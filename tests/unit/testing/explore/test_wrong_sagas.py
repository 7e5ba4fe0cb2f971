"""Each saga that is wrong on purpose is found out, with its cause and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from amends import SagaCall
from amends.testing.explore import CAUSES, explore, replay
from tests.unit.testing.explore import wrong
from tests.unit.testing.explore.services import Bank, Service, Stock
from tests.unit.testing.explore.wrong import Accounts, Forgetful, Netting

ITEMS = ["lamp", "desk"]


def services(*kinds: type) -> Callable[[], list[Any]]:
    return lambda: [kind() for kind in (Service, *kinds)]


CASES: dict[str, tuple[SagaCall[Any], Callable[[], list[Any]], set[str]]] = {
    "forgotten compensation": (
        wrong.saga_forgotten("1"),
        services(Bank),
        {"no-compensation wrong.forgotten"},
    ),
    "id minted inside the step": (wrong.saga_minted("1"), services(Bank), {"minted-inside wrong.minted"}),
    "partial reserve": (wrong.saga_partial(ITEMS), services(Stock), {"partial wrong.partial"}),
    "rejected halfway": (
        wrong.saga_half(["lamp", "unicorn"]),
        services(Stock),
        {"rejected-with-effect wrong.half"},
    ),
    "wrong order": (wrong.saga_order("kim"), services(Accounts), {"order wrong.freeze"}),
    "step swallows": (wrong.saga_step_swallows("1"), services(Bank), {"swallowed wrong.swallows"}),
    "body swallows": (wrong.saga_body_swallows("1"), services(Bank), {"failure-ignored wrong.pay"}),
    "compensation swallows": (
        wrong.saga_undo_swallows("1"),
        services(Bank),
        {"undo-swallowed wrong.pay_quietly"},
    ),
    "chance in the body": (wrong.saga_random("1"), services(), {"non-deterministic wrong.saga_random"}),
    "uuid in the body": (wrong.saga_uuid("1"), services(), {"non-deterministic wrong.saga_uuid"}),
    "state in the body": (wrong.saga_counter("1"), services(), {"non-deterministic wrong.saga_counter"}),
    "needs the result": (wrong.saga_needs("1"), services(Bank), {"needs-result wrong.needs"}),
    "ignores the unknown": (wrong.saga_ignores("1"), services(Bank), {"ignores-unknown wrong.ignores"}),
    "undo is not idempotent": (wrong.saga_once("1"), services(Netting), {"undo-not-idempotent wrong.once"}),
    "fallible after the pivot": (wrong.saga_pivot("1"), services(Bank), {"fallible-after-pivot right.ship"}),
    "body fails after the pivot": (
        wrong.saga_body_after_pivot("1"),
        services(Bank),
        {"fails-after-pivot wrong.saga_body_after_pivot"},
    ),
    "retries outlive the deadline": (
        wrong.saga_deadline("1"),
        services(Bank),
        {"retry-outlives-deadline wrong.patient"},
    ),
    "nothing to undo": (wrong.saga_generous("1"), services(Netting), {"nothing-to-undo wrong.generous"}),
    "late request": (wrong.saga_late("1"), services(Forgetful), {"late wrong.pay"}),
    "incomplete": (wrong.saga_incomplete("1"), services(Bank, Stock), {"incomplete wrong.two_effects"}),
    "undo fails": (wrong.saga_unlucky("1"), services(Bank), {"undo-fails wrong.unlucky"}),
    "stuck": (wrong.saga_stuck("1"), services(Bank), {"stuck wrong.saga_stuck"}),
    "order of overlapping": (wrong.saga_overlap("kim"), services(Accounts), {"order wrong.freeze"}),
}


NOT_REPLAYED = {"chance in the body", "retries outlive the deadline"}  # their findings are of no one path


@pytest.mark.parametrize("case", CASES)
def test_found_with_its_cause_and_nothing_else_and_again_by_its_replay(case: str) -> None:
    call, participants, expected = CASES[case]
    report = explore(call, participants=participants)
    assert {found.name for found in report.findings} == expected, str(report)
    for found in report.findings:
        assert found.text in str(report).replace("\n   ", " ")
    if case not in NOT_REPLAYED:
        (found,) = report.findings
        again = replay(call, found.replay, participants=participants)
        assert found.name in {each.name for each in again.findings}, str(again)


def test_together_they_show_most_causes() -> None:
    shown = {name.partition(" ")[0] for *_, expected in CASES.values() for name in expected}
    assert set(CAUSES) - shown == {"leftover", "parked", "attention", "not-idempotent"}
