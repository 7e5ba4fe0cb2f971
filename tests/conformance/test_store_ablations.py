"""Every safeguard of the SQLite store's statements, taken out: the kit must find each of them missing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from amends.store import SqliteStore, Store, kit
from amends.store.sqlite import commit, keys, pausing, reading, tasks, worker_side
from amends.store.sqlite.sql import Bulk, Statements


@dataclass(frozen=True)
class Ablation:
    """A piece of a statement, what takes its place, and a case that then must fail."""

    statements: Statements
    name: str
    piece: str
    instead: str
    case: str
    holder: str = ""  # the module's own name for the statement


FENCED_NOW = "row_now_under_the_number_of_the_dead_is_fenced"
LIFE_NOW = "life_now_is_the_same_or_declines"
DEAD = "dead_task_is_reported"
PAUSED_ANEW = 'ON CONFLICT DO UPDATE SET "by" = excluded."by"'
ABLATIONS = [
    Ablation(commit.SQL, "fence", "AND retired = 0", "", "commit_by_the_retired_is_fenced", "FENCE"),
    Ablation(commit.SQL, "append_alone", "AND retired = 0", "", FENCED_NOW, "APPEND_ALONE"),
    Ablation(commit.SQL, "begin_alone", "AND retired = 0", "", FENCED_NOW, "BEGIN_ALONE"),
    Ablation(commit.SQL, "end_alone", "AND retired = 0", "", FENCED_NOW, "END_ALONE"),
    Ablation(commit.SQL, "end_alone", "AND changes()", "", FENCED_NOW, "END_ALONE"),
    Ablation(commit.SQL, "begin_alone", "WHERE changes()", "", LIFE_NOW, "BEGIN_ALONE"),
    Ablation(commit.SQL, "end_alone", "iif(inbox_seq = ?2, NULL, owner)", "NULL", LIFE_NOW, "END_ALONE"),
    Ablation(
        commit.SQL,
        "release",
        "AND e.inbox_seq = v.inbox_seq",
        "",
        "release_is_refused_when_a_message_came",
        "_RELEASE",
    ),
    Ablation(
        commit.SQL,
        "finish",
        "owner = iif(e.inbox_seq = v.inbox_seq, NULL, e.owner)",
        "owner = NULL",
        "end_is_committed_though_awake",
        "_FINISH",
    ),
    Ablation(commit.SQL, "release", "lost = v.lost", "lost = 0", "release_can_stay_lost", "_RELEASE"),
    Ablation(
        commit.SQL,
        "wake",
        "inbox_seq = e.inbox_seq + v.news",
        "inbox_seq = e.inbox_seq",
        "no_wakeup_is_lost",
        "_WAKE",
    ),
    Ablation(
        commit.SQL,
        "wake",
        "iif(e.owner IS NULL AND e.parked IS NULL, 0.0, e.wake_at)",
        "e.wake_at",
        "message_wakes_a_sleeper_at_once",
        "_WAKE",
    ),
    Ablation(commit.SQL, "wake", "AND e.parked IS NULL", "", "messages_do_not_wake_the_parked", "_WAKE"),
    Ablation(
        reading.SQL, "take", "wake_at = NULL", "wake_at = wake_at", "claim_brings_all_it_takes_to_go_on"
    ),
    Ablation(reading.SQL, "due", "ORDER BY wake_at, num", "ORDER BY num", "claim_takes_the_earliest_first"),
    Ablation(reading.SQL, "due", "AND wake_at <= ?1", "AND ?1 > 0", "claim_takes_the_earliest_first"),
    Ablation(reading.SQL, "groups", "p.saga IN ('', f.saga)", "p.saga = ''", "paused_saga_is_not_claimed"),
    Ablation(reading.SQL, "groups", "IN ('', f.saga)", "IN (f.saga)", "paused_namespace_is_not_claimed"),
    Ablation(reading.SQL, "next_wake", "IN ('', f.saga)", "IN ('x')", "paused_saga_is_not_claimed"),
    Ablation(pausing._SQL, "add", "ON CONFLICT DO NOTHING", PAUSED_ANEW, "first_pause_holds"),
    Ablation(
        worker_side.CONTROL,
        "unpark_defined",
        "cause = 'missing_definition'",
        "true",
        "parked_for_want_of_code_goes_on_when_it_comes",
    ),
    Ablation(
        worker_side.CONTROL,
        "bury",
        "iif(e.death_head = h.head, e.deaths, 0) + 1",
        "1",
        "deaths_on_one_head_are_counted",
    ),
    Ablation(
        worker_side.CONTROL,
        "bury",
        "iif(e.death_head = h.head, e.deaths, 0) + 1",
        "e.deaths + 1",
        "deaths_start_again_when_the_head_moves",
    ),
    Ablation(worker_side.CONTROL, "bury", "lost = 1,", "", "the_dead_leave_their_executions_due"),
    Ablation(worker_side.CONTROL, "hand_back", "lost = uid", "lost = 0 AND uid", "retiring_hands_back"),
    Ablation(
        worker_side.CONTROL,
        "hand_back",
        "lost = uid",
        "lost = 1 OR uid",
        "retiring_after_a_drain_hands_back_unharmed",
    ),
    Ablation(worker_side.CONTROL, "hand_back", "WHERE owner = ?1", "WHERE ?1 > 0", "retiring_twice_is_once"),
    Ablation(worker_side.CONTROL, "park", "lost = 1", "lost = 0", "parked_is_claimed_as_lost"),
    Ablation(worker_side.CONTROL, "unpark", "cause = parked ->> 1,", "", "unpark_restores"),
    Ablation(
        worker_side.CONTROL,
        "retire_all",
        "retired = 1",
        "retired = retired",
        "zombie_of_a_takeover_after_a_crash_is_fenced",
    ),
    Ablation(keys._SQL, "rewrap", "AND wrapped = ?2", "AND ?2 <> ''", "rewrap_replaces_what_is_as_it_was"),
    Ablation(keys._SQL, "forget", "wrapped = NULL,", "", "forgotten_is_gone"),
    Ablation(keys._SQL, "forget", "subject = '',", "", "forgotten_is_gone"),
    Ablation(tasks.SQL, "renew", "tries = ?2", "?2 > 0", "late_report_is_refused"),
    Ablation(tasks.SQL, "held", "tries = ?2", "?2 > 0", "late_report_is_refused"),
    Ablation(tasks.SQL, "promote", "lapses = lapses + (state = 'leased')", "lapses = lapses", DEAD),
    Ablation(tasks.SQL, "promote", "cancelled, lapses", "0, lapses", "cancelled_while_it_runs"),
    Ablation(tasks.SQL, "candidates", "d.state <> 'done'", "false", "compensation_waits_for_its_action"),
    Ablation(tasks.SQL, "candidates", "t.priority DESC,", "", "priority_goes_first_then_age"),
    Ablation(tasks.SQL, "save", "tokens = ?3", "tokens = ?3 + 9", "rate_is_limited"),
]


def subject(path: Path) -> kit.Subject:
    async def connect() -> Store:
        store = SqliteStore(path, standby_poll=0.001, inline_seconds=1e9)
        await store.open()
        return store

    async def crash(store: Store) -> None:
        assert isinstance(store, SqliteStore)
        store.abandon()

    return kit.Subject(connect, crash)


@pytest.mark.parametrize("ablation", ABLATIONS, ids=lambda each: f"{each.name}-{each.case}")
def test_missing_safeguard_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ablation: Ablation
) -> None:
    asyncio.run(kit.run(ablation.case, subject(tmp_path / "whole.db")))
    monkeypatch_statement(monkeypatch, ablation)
    with pytest.raises(AssertionError, match=ablation.case):
        asyncio.run(kit.run(ablation.case, subject(tmp_path / "maimed.db")))


def monkeypatch_statement(monkeypatch: pytest.MonkeyPatch, ablation: Ablation) -> None:
    whole: Any
    if ablation.holder.startswith("_"):  # a statement over many rows
        whole = ablation.statements.bulk(ablation.name)
        maimed = Bulk("", whole.width)
        texts = {size: text.replace(ablation.piece, ablation.instead) for size, text in whole._texts.items()}
        assert texts != whole._texts
        maimed._texts = texts
        monkeypatch.setattr(commit, ablation.holder, maimed)
    else:
        whole = ablation.statements[ablation.name]
        text = whole.replace(ablation.piece, ablation.instead)
        assert text != whole
        monkeypatch.setitem(ablation.statements._plain, ablation.name, text)
        if ablation.holder:
            monkeypatch.setattr(commit, ablation.holder, text)
