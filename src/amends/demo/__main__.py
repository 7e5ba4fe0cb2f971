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
    )
    add_options(parser)
    return demo(options_of(parser.parse_args(arguments)), prog)


if __name__ == "__main__":
    sys.exit(main())
