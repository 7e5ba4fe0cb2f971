"""Payloads in envelopes, and every kind of fault: no promise breaks."""

from __future__ import annotations

import pytest

from amends.store.enclosed import hands, rows

from . import campaign
from .with_codec import CodecRun

SEEDS = 300


@pytest.fixture(autouse=True)
def _with_a_codec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign, "Run", CodecRun)


def test_no_seed_breaks_a_promise() -> None:
    report = campaign.campaign(range(SEEDS))
    assert not report.failures, report.text()
    assert report.faults.total() > SEEDS


def test_rows_must_be_chained_to_what_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = rows.enclosed_row
    monkeypatch.setattr(rows, "enclosed_row", lambda row, hand, previous: whole(row, hand, 0))
    assert campaign.campaign(range(5)).failures


def test_what_is_stored_in_the_clear_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hands.Closing, "raw", lambda self, place, data: data)
    assert campaign.campaign(range(5)).failures


def test_a_run_without_one_has_none_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    campaign.campaign(range(5))
    monkeypatch.undo()
    assert not campaign.play(10_000)[1]
