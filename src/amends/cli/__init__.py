"""The command line: ``amends`` and ``python -m amends``.

Commands stand in `commands`, one module per group, loaded when they are typed.  What people read is made in
`render`, what programs read in `forms`.  `resolve` finds store and app, `desk` is the store as an operator
sees it, `story` tells a journal as actions with times.  Exit codes are in `exits`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]

_OF_THE_EXTRA = {"click", "rich", "rich_click"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line (default: the process's own) and return its exit code. See docs/cli.md."""
    try:
        from .app import run  # noqa: PLC0415 - the extra may be missing, and says so here
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _OF_THE_EXTRA:
            raise
        print(
            f"the command line of amends needs the package {error.name}\n  → pip install 'amends[cli]'",
            file=sys.stderr,
        )
        return 2
    return run(sys.argv[1:] if arguments is None else list(arguments))
