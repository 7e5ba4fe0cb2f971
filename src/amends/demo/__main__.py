"""``python -m amends.demo``; see `command` for the exit codes."""

from __future__ import annotations

import argparse
import sys

from .command import demo
from .options import add_options, options_of


def main(arguments: list[str] | None = None) -> int:
    """Run the demo with these arguments (those of the process, if None); returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m amends.demo",
        description="Three services, orders, every kind of fault, and an audit of the services' own books.",
    )
    add_options(parser)
    return demo(options_of(parser.parse_args(arguments)))


if __name__ == "__main__":
    sys.exit(main())
