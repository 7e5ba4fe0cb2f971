"""What workers log: lines for people on stderr, or JSON lines on stdout."""

from __future__ import annotations

import logging
import sys

import msgspec

from .render.text import moment, utc

LEVELS = ("debug", "info", "warning", "error")
_COLOURS = {"WARNING": "\x1b[33m", "ERROR": "\x1b[31m", "CRITICAL": "\x1b[31m"}


class People(logging.Formatter):
    """``2026-11-25 03:12:09 WARNING amends.worker: …``"""

    def __init__(self, *, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        level = f"{record.levelname:<7}"
        if self._colour and record.levelname in _COLOURS:
            level = f"{_COLOURS[record.levelname]}{level}\x1b[0m"
        return f"{moment(record.created)} {level} {record.name}: {text}"


class Programs(logging.Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": utc(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


def begin(*, json: bool, level: str, colour: bool) -> None:
    """Log from now on, for a worker; for people only if the module has not set up logging by itself."""
    handler = logging.StreamHandler(sys.stdout if json else sys.stderr)
    handler.setFormatter(Programs() if json else People(colour=colour))
    root = logging.getLogger()
    if root.handlers and not json:
        return
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


def quiet() -> None:
    """Only what is wrong, for commands that show progress themselves."""
    logging.getLogger("amends").setLevel(logging.ERROR)
