"""A run from its first line to its verdict: who orders, where it is shown, what is said at the end."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from amends import AmendsError

from ..clock import SystemClock
from . import report as tell
from .audit import audit
from .board import Board
from .customers import Clients, Customers, Shoppers
from .history import History
from .options import ORDERS, Options
from .processes import ProcessFailed
from .run import Hung, Run
from .screen import Lines, Screen
from .services import ABLATION, NO_BARRIER, SERVICES

FAILED = 1


def perform(folder: Path, options: Options, histories: Sequence[History]) -> int:
    """Run, audit, report. Returns the exit code; raises KeyboardInterrupt when stopped."""
    customers: Customers
    if options.log is not None:
        customers = Clients(histories, options.seed, folder)
    else:
        customers = Shoppers(options.orders or ORDERS, options.seed)
    board = Board(SystemClock(), customers.total, options.kill_count, len(SERVICES))
    print("\n".join(_opening(options, board)), flush=True)
    with ExitStack() as stack:
        screen = _screen(board, stack)
        run = Run(folder, customers, board, screen, seed=options.seed, doomed=options.log is None)
        try:
            asyncio.run(_stoppable(run))
        except (ProcessFailed, Hung, AmendsError, OSError, sqlite3.Error) as error:
            screen.tell([f"The run failed: {error}"], "bold red")
            return FAILED
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None
    return _conclude(folder, options, histories, run, screen)


async def _stoppable(run: Run) -> None:
    """The run; SIGTERM ends it as Ctrl-C does."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await run.main()


def _screen(board: Board, stack: ExitStack) -> Screen:
    """rich in a terminal, if it is there; lines otherwise."""
    plain = not sys.stdout.isatty() or os.environ.get("TERM") == "dumb"
    if plain or importlib.util.find_spec("rich") is None:
        return Lines(board)
    from rich.console import Console  # noqa: PLC0415 - not needed where output is no terminal

    from .live import Terminal  # noqa: PLC0415

    return stack.enter_context(Terminal(board, Console(highlight=False)))


def _opening(options: Options, board: Board) -> list[str]:
    if options.log is not None:
        what = (
            f"{options.log.name}: {_orders(board.total)}, reserved, invoiced, paid, delivered; or cancelled."
        )
    else:
        what = f"{_orders(board.total)}: paid, reserved and labelled in parallel, then shipped; or undone."
    how = f"Three services with their own books; faults from seed {options.seed}; {board.kills} kills."
    lines = [what, how]
    if os.environ.get(ABLATION) == NO_BARRIER:
        lines.append(
            f"{ABLATION}={NO_BARRIER}: the services run WITHOUT their barrier. The audit should see it."
        )
    return [*lines, ""]


def _orders(count: int) -> str:
    return "1 order" if count == 1 else f"{count:,} orders"


def _conclude(folder: Path, options: Options, histories: Sequence[History], run: Run, screen: Screen) -> int:
    """Audit and report. Returns the exit code."""
    report, board = audit(folder), run.board
    findings = [*report.findings, *tell.compare(run.statuses, report), *tell.differences(report, histories)]
    screen.tell(tell.faults(board, options.seed, doomed=options.log is None))
    screen.tell(tell.barrier(board))
    screen.tell(tell.statuses_told(run.statuses, board))
    screen.tell(tell.account_book(report, board.total))
    if histories:
        screen.tell(tell.against_log(report, histories))
    screen.tell(tell.verdict(findings), "bold red" if findings else "bold green")
    return FAILED if findings else 0
