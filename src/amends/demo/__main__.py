"""``python -m amends.demo``; see `command` for the exit codes."""

from __future__ import annotations

import argparse
import sys

from .command import demo
from .options import add_options, options_of


def main(arguments: list[str] | None = None, prog: str = "python -m amends.demo") -> int:
    """Run the demo with these arguments (those of the process, if None); returns the exit code.

    prog: how it was called, for messages.
    """
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Three services, orders, every kind of fault, and an audit of the services' own books.",
        epilog=f"Example: {prog} --seed 7 --keep run-7",
    )
    add_options(parser)
    given = parser.parse_args(arguments)
    if given.audit is not None and any((given.orders, given.kills, given.keep, given.log)):
        parser.error("--audit only reads what an earlier run kept; give it alone")
    return demo(options_of(given), prog)


if __name__ == "__main__":
    sys.exit(main())
