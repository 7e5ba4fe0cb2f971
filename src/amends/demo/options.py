"""The options of the demo: what they may be, for ``python -m amends.demo`` and for ``amends demo`` alike."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .history import History, histories
from .logfile import LogError, read_log

ORDERS, KILLS, LOG_KILLS = 300, 5, 10
ROOM = 30_000_000  # bytes that a run needs in any case
ROOM_PER_ORDER = 60_000  # and for each order


@dataclass(frozen=True)
class Options:
    """What to run. `orders` and `kills` None: as many as the log has, or the defaults.

    keep: a new or empty folder for database, books and logs.  log: a process log to play again.
    audit: only audit the books of an earlier run in this folder.
    """

    orders: int | None = None
    seed: int = 1
    kills: int | None = None
    keep: Path | None = None
    log: Path | None = None
    audit: Path | None = None

    def histories(self) -> list[History]:
        """The orders of the log, or none if there is no log. Raises `logfile.LogError`."""
        if self.log is None:
            return []
        try:
            return histories(read_log(self.log))[: self.orders]
        except LogError as error:
            raise LogError(f"--log {self.log}: {error}") from None

    @property
    def kill_count(self) -> int:
        """How often the worker is killed."""
        return self.kills if self.kills is not None else LOG_KILLS if self.log else KILLS


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    option = parser.add_argument
    option(
        "--orders",
        type=_at_least(1),
        metavar="N",
        help=f"how many orders (default: {ORDERS}; with --log: all of the log)",
    )
    option(
        "--seed",
        type=_at_least(0),
        default=1,
        metavar="N",
        help="decides orders, faults and kills (default: 1)",
    )
    option(
        "--kills",
        type=_at_least(0),
        metavar="N",
        help=f"SIGKILLs for the worker (default: {KILLS}; with --log: {LOG_KILLS})",
    )
    option(
        "--keep", type=Path, metavar="DIR", help="keep database, books and logs in this new or empty folder"
    )
    option(
        "--log",
        type=Path,
        metavar="FILE",
        help="play the orders of a process log again (.csv, .xes, or .gz of these)",
    )
    option("--audit", type=Path, metavar="DIR", help="only audit the books that an earlier run kept")


def options_of(given: argparse.Namespace) -> Options:
    """The options that were given."""
    return Options(given.orders, given.seed, given.kills, given.keep, given.log, given.audit)


def _at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not (text.isascii() and text.isdecimal()) or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}")
        return int(text)

    return number
