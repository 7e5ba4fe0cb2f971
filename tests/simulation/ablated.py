"""Safeguards switched off in ways that more than one simulation tries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from amends.kernel import entries as e
from amends.kernel import taking
from amends.kernel.ledger import Ledger


def forgetful(conclude: Callable[..., Any]) -> Callable[..., Any]:
    """A last attempt that was certainly rejected makes the action rejected, whatever came before."""

    def concluded(action: Any, *args: Any, **options: Any) -> Any:
        was, action.tainted = action.tainted, False
        try:
            return conclude(action, *args, **options)
        finally:
            action.tainted = was

    return concluded


def residue_is_swallowed(patch: pytest.MonkeyPatch) -> None:
    """What a compensation could not undo is not recorded."""
    undo_failed = taking.TAKE[e.UndoFailed]

    def silently(self: Ledger, event: e.UndoFailed, position: int) -> None:
        before = list(self.residue)
        undo_failed(self, event, position)
        self.residue = before

    patch.setitem(taking.TAKE, e.UndoFailed, silently)
