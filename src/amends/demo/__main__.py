"""The command line of the demo. Exit code 0: the audit found nothing wrong; 1: it did; 2: wrong arguments."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from .audit import audit, told
from .run import Run, WorkerFailed, compare, summary


def main(arguments: list[str] | None = None) -> int:
    """Run the demo, or audit the books of an earlier run."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.audit is not None:
        if not given.audit.is_dir():
            parser.error(f"--audit {given.audit}: no such folder; name one that an earlier --keep made")
        report = audit(given.audit)
        print(told(report))
        return 1 if report.findings else 0
    if given.keep is None:
        with tempfile.TemporaryDirectory(prefix="amends-demo-") as folder:
            return run(Path(folder), given.orders, given.seed, given.kills)
    if given.keep.exists() and (not given.keep.is_dir() or any(given.keep.iterdir())):
        parser.error(f"--keep {given.keep}: it must be a new or an empty folder")
    given.keep.mkdir(parents=True, exist_ok=True)
    code = run(given.keep, given.orders, given.seed, given.kills)
    print(f"Kept in {given.keep}; look at the books again with: python -m amends.demo --audit {given.keep}")
    return code


def run(folder: Path, count: int, seed: int, kills: int) -> int:
    """One run in a folder: orders and kills, then the audit. Returns the exit code."""
    print(f"{count} orders, seed {seed}: charge, then reserve and label in parallel, then ship.")
    print(f"The worker process gets SIGKILL {kills} times; the next one goes on from one SQLite file.\n")
    demo = Run(folder, count, seed, kills)
    try:
        asyncio.run(demo.main())
    except (WorkerFailed, KeyboardInterrupt) as error:
        print(str(error) or "interrupted")
        return 1
    except TimeoutError:
        left = demo.unfinished()
        print(f"hung: {len(left)} orders have not ended: {', '.join(left[:5])} …\n{demo.worker.last_words()}")
        return 1
    print("\nWhat amends says:\n")
    print(summary(demo.statuses, demo.wanted) + "\n")
    report = audit(folder)
    report.findings += compare(demo.statuses, demo.wanted, report.delivered)
    print(told(report, count))
    return 1 if report.findings else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m amends.demo",
        description="Orders, workers that are killed, and an audit of what the outside world saw.",
    )
    option = parser.add_argument
    option("--orders", type=_at_least(1), default=60, metavar="N", help="how many orders (default: 60)")
    option("--seed", type=int, default=1, metavar="N", help="what happens to them (default: 1)")
    option("--kills", type=_at_least(0), default=3, metavar="N", help="SIGKILLs for the worker (default: 3)")
    option("--keep", type=Path, metavar="DIR", help="keep database, books and the worker's log there")
    option("--audit", type=Path, metavar="DIR", help="only audit the books of an earlier run")
    return parser


def _at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}")
        return int(text)

    return number


if __name__ == "__main__":
    sys.exit(main())
