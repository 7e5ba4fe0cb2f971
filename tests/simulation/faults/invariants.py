"""What must hold at the end of every run."""

from __future__ import annotations

from .run import Run


def check(run: Run) -> None:
    """Raise the first violation."""
    if run.violations:
        raise run.violations[0]
