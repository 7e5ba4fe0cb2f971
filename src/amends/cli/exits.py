"""Exit codes, and what becomes of an error: its code, and how it is told to people and to programs.

The codes are part of the interface: scripts branch on them. docs/cli.md lists them, and a test compares.
"""

from __future__ import annotations

import enum

import click

from ..errors import (
    AmendsError,
    DefinitionError,
    EngineClosed,
    IdInUse,
    MissingDefinition,
    NeedsAttention,
    PayloadError,
    QueryError,
    QueueFull,
    Refused,
    StoreError,
    UnknownName,
)
from ..redaction import redacted_in


class Exit(enum.IntEnum):
    """How a command ended."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    ATTENTION = 4
    STORE = 5
    REFUSED = 6
    INTERNAL = 70
    TIMEOUT = 124
    INTERRUPTED = 130


MEANING = {
    Exit.OK: "done; the execution completed",
    Exit.FAILED: "the execution ended otherwise (compensated, terminated), or a check found something",
    Exit.USAGE: "the command cannot be understood: options, JSON, module, configuration",
    Exit.NOT_FOUND: "no execution has that id (or no action, saga or signal that name)",
    Exit.ATTENTION: "the execution waits for a person",
    Exit.STORE: "the store is missing, locked, full, damaged, or of a newer release",
    Exit.REFUSED: "understood, and not possible now: it has ended, the id is taken, another worker serves",
    Exit.INTERNAL: "something that nobody foresaw, with its traceback",
    Exit.TIMEOUT: "the time of `--timeout` is over; the execution goes on",
    Exit.INTERRUPTED: "interrupted from the keyboard",
}


class Problem(click.UsageError):
    """What was typed cannot be done; `hint` says what to type instead."""

    def __init__(self, message: str, *, hint: str = "", exit: Exit = Exit.USAGE, code: str = "usage") -> None:
        super().__init__(message)
        self.hint = hint
        self.exit = exit
        self.code = code


_CODES: tuple[tuple[type[AmendsError], Exit], ...] = (
    (UnknownName, Exit.NOT_FOUND),
    (StoreError, Exit.STORE),
    (NeedsAttention, Exit.ATTENTION),
    (Refused, Exit.REFUSED),
    (IdInUse, Exit.REFUSED),
    (QueueFull, Exit.REFUSED),
    (EngineClosed, Exit.REFUSED),
    (PayloadError, Exit.USAGE),
    (QueryError, Exit.USAGE),
    (DefinitionError, Exit.USAGE),
    (MissingDefinition, Exit.USAGE),
)


def of_error(error: BaseException) -> Exit:
    """The exit code of an error."""
    if isinstance(error, Problem):
        return error.exit
    if isinstance(error, click.UsageError):
        return Exit.USAGE
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        return Exit.INTERRUPTED
    if isinstance(error, TimeoutError) and not isinstance(error, AmendsError):
        return Exit.TIMEOUT
    return next((code for kind, code in _CODES if isinstance(error, kind)), Exit.FAILED)


# The library's hints are for programs; here they name commands.
_SAID_IN_PYTHON = {
    "see handle.status()": "amends show ID says how it stands",
    "name it: retry(action=…, args=…)": "name it with --action",
}


def _usage(error: click.UsageError, command: str, code: str) -> str:
    if code != "usage":
        return ""
    missing = error.param if isinstance(error, click.MissingParameter) else None
    if missing is not None and missing.name in {"id", "ids"}:
        return f"amends list shows the ids; {command} --help"
    return f"{command} --help"


def told(error: BaseException) -> dict[str, str | int]:
    """An error for programs (and, by its parts, for people); what it quotes shows no password of a URL."""
    parts = _told(error)
    return {name: redacted_in(part) if isinstance(part, str) else part for name, part in parts.items()}


def _told(error: BaseException) -> dict[str, str | int]:
    exit = of_error(error)
    hint = getattr(error, "hint", "")
    if isinstance(error, click.UsageError):
        command = error.ctx.command_path if error.ctx else "amends"
        code = getattr(error, "code", "usage")
        return {
            "code": code,
            "message": error.format_message(),
            "hint": hint or _usage(error, command, code),
            "exit": exit,
        }
    if isinstance(error, AmendsError):
        hint = _SAID_IN_PYTHON.get(hint, hint)
        return {"code": error.code, "message": error.message, "hint": hint, "exit": exit}
    if isinstance(error, TimeoutError):
        return {"code": "timeout", "message": str(error) or "the time is over", "hint": "", "exit": exit}
    return {"code": "interrupted", "message": str(error) or "interrupted", "hint": "", "exit": exit}


def unwritten(error: OSError) -> dict[str, str | int]:
    """What the command says could not be written: what it was asked to do may be done."""
    return {
        "code": "output",
        "message": f"what there is to say cannot be written: {error.strerror}",
        "hint": "make room where the output goes; a command that changes something may have done so",
        "exit": Exit.FAILED,
    }


def unexpected(error: Exception) -> dict[str, str | int]:
    """An error that nobody foresaw."""
    return {
        "code": "internal",
        "message": redacted_in(f"{type(error).__name__}: {error}"),
        "hint": "if it does not come from your own code, please report it with what `amends version` says",
        "exit": Exit.INTERNAL,
    }
