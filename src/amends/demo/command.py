"""The demo as a command: checks what was given, runs, reports. What ``amends demo`` calls.

Exit codes: 0: the audit found nothing wrong; 1: it did, or the run failed; 2: the options cannot be;
130: interrupted.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from shlex import quote

from .audit import audit
from .logfile import LogError
from .options import ORDERS, ROOM, ROOM_PER_ORDER, Options
from .report import account_book, verdict
from .services import SERVICES
from .services.books import book_path, store_url

NEEDED = ("httpx2", "cachetools", "starlette", "uvicorn")
LEDGER = "SELECT * FROM ledger LIMIT 20"
FAULTS = "SELECT * FROM requests WHERE fault IS NOT NULL LIMIT 20"
WRONG_OPTIONS, INTERRUPTED = 2, 130


class WrongOptions(Exception):
    """The demo cannot run with these options, or here."""


def demo(options: Options, prog: str) -> int:
    """Run the demo, or audit the books of an earlier run; prints, and returns the exit code."""
    try:
        if options.audit is not None:
            return _audit_only(options.audit)
        _check_installed()
        histories = options.histories()
        with _folder(options.keep) as folder:
            _check_room(folder, len(histories) or options.orders or ORDERS)
            from .perform import perform  # noqa: PLC0415 - needs what the check above has looked for

            return perform(folder, options, histories)
    except (WrongOptions, LogError) as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return WRONG_OPTIONS
    except KeyboardInterrupt:
        print("interrupted; all processes of the demo have been stopped", file=sys.stderr)
        return INTERRUPTED
    finally:
        if options.keep is not None and any(book_path(options.keep, name).exists() for name in SERVICES):
            print("\n".join(_how_to_look(options.keep, prog)))


def _audit_only(folder: Path) -> int:
    if not folder.is_dir():
        raise WrongOptions(f"--audit {folder}: no such folder; name one that an earlier --keep made")
    if not any(book_path(folder, name).exists() for name in SERVICES):
        names = ", ".join(book_path(folder, name).name for name in SERVICES)
        raise WrongOptions(f"--audit {folder}: no books in it; expected {names}, as --keep leaves them")
    report = audit(folder)
    print("\n".join([*account_book(report, None), "", *verdict(report.findings)]))
    return 1 if report.findings else 0


def _check_installed() -> None:
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise WrongOptions(f"the services need {', '.join(missing)}; install: pip install 'amends[demo]'")


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """Where the run keeps its files: the folder that was named, or one that is gone afterwards."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="amends-demo-") as folder:
            yield Path(folder)
        return
    if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise WrongOptions(f"--keep {keep}: it must be a new or an empty folder")
    try:
        keep.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WrongOptions(f"--keep {keep}: {error.strerror}") from error
    yield keep


def _check_room(folder: Path, orders: int) -> None:
    needed = ROOM + orders * ROOM_PER_ORDER
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise WrongOptions(
            f"{folder} has room for {free / 1e6:.0f} MB, {orders} orders need about {needed / 1e6:.0f} MB;"
            " name another place with --keep or TMPDIR, or ask for fewer --orders"
        )


def _how_to_look(folder: Path, prog: str) -> Sequence[str]:
    return [
        "",
        f"Kept in {folder}. To look at it:",
        f"  amends list --store {quote(store_url(folder))}",
        f"  sqlite3 {quote(str(book_path(folder, 'payment')))} '{LEDGER}'",
        f"  sqlite3 {quote(str(book_path(folder, 'inventory')))} '{FAULTS}'",
        f"  {prog} --audit {quote(str(folder))}",
    ]
