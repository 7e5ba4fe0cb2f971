"""Requests to stand still and to go on. They wait in inboxes and are in no journal (see `worker.pausing`)."""

from __future__ import annotations

import msgspec


class PauseRequested(
    msgspec.Struct, array_like=True, gc=False, frozen=True, omit_defaults=True, tag="pause_requested"
):
    """An operator wants the execution to stand still."""

    at: float
    reason: str = ""
    by: str = ""


class ResumeRequested(
    msgspec.Struct, array_like=True, gc=False, frozen=True, omit_defaults=True, tag="resume_requested"
):
    """An operator ends the pauses that were asked for before."""

    reason: str = ""
    by: str = ""


Hold = PauseRequested | ResumeRequested
