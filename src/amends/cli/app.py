"""The command itself: the table of commands, loaded when typed, and errors told in one place."""

from __future__ import annotations

import errno
import importlib
import inspect
import io
import os
import sys
import traceback
from importlib.util import find_spec
from typing import Any

import click as plain
import rich_click as click

from ..errors import AmendsError, did_you_mean
from ..redaction import redacted_in
from . import exits
from .exits import Exit, Problem
from .help import SETTINGS, shown
from .output import tell_error

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


class Entry:
    """A row of the table below: where a command is, and the line that the list of commands shows."""

    def __init__(self, where: str, summary: str) -> None:
        self.module, _, self.attribute = where.partition(":")
        self.summary = summary


PANELS: dict[str, dict[str, Entry]] = {
    "Work": {
        "init": Entry("init:init", "Make a project to start from."),
        "run": Entry("run:run", "Run a saga and wait for its outcome."),
        "start": Entry("run:start", "Start a saga; a worker takes it from there."),
        "worker": Entry("worker:worker", "Serve a store: run its sagas until stopped."),
        "schedule": Entry(
            "schedule:schedule", "Start sagas by the clock: add, list, pause, resume, remove, preview."
        ),
        "queue": Entry("queue:queue", "Look at queues and steer them: list, pause, resume, limit."),
        "send": Entry("send:send", "Send a signal to an execution."),
    },
    "Look": {
        "list": Entry("list:list_", "List executions, newest first."),
        "show": Entry("show:show", "Show one execution: steps, compensations, timing, what to do."),
        "history": Entry("history:history", "Show the journal of an execution, row by row."),
        "graph": Entry("graph:graph", "Draw a saga or an execution as Mermaid, DOT or SVG."),
        "explore": Entry("explore:explore", "Try every failure path of a saga."),
        "pauses": Entry("pauses:pauses", "Show which sagas stand still, or all of the namespace."),
        "doctor": Entry("doctor:doctor", "Look for what is wrong with a store and its surroundings."),
    },
    "Act": {
        "cancel": Entry("operate:cancel", "Undo executions: compensate all that they did."),
        "retry": Entry("operate:retry", "Run again what is parked."),
        "pause": Entry("operate:pause", "Let executions stand still, or a saga, or all of the namespace."),
        "resume": Entry(
            "operate:resume", "Let go on what is paused: executions, a saga, or all of the namespace."
        ),
        "resolve": Entry("operate:resolve", "Say that parked work was settled by hand."),
        "skip": Entry("operate:skip", "Give up on parked work; its effect stays."),
        "terminate": Entry("operate:terminate", "End executions at once; nothing is undone."),
        "fork": Entry("fork:fork", "Go on from a step of an execution that has ended, in a new one."),
        "bulk": Entry("bulk:bulk", "Do something to all executions that a query finds."),
    },
    "Keep": {
        "retain": Entry("retain:retain", "Delete executions that ended long ago."),
        "export": Entry("transfer:export", "Write executions with their journals to a file."),
        "keys": Entry("keys:keys", "Keys of subjects: list, forget, wrap anew."),
        "import": Entry("transfer:import_", "Bring in executions that `export` or `retain` wrote."),
    },
    "More": {
        "completion": Entry("about:completion", "Print the completion script of a shell."),
        "version": Entry("about:version", "Print versions."),
    },
}

# Commands of other packages: there if the package is. Each has `main(arguments)`, which returns the exit code
# and is told how it was called if it takes `prog`.
FOREIGN: dict[str, tuple[str, Entry]] = {
    "check": ("Look", Entry("amends.checks", "Find mistakes in sagas without running them.")),
    "demo": ("More", Entry("amends.demo.__main__", "See orders survive kills, with an audit.")),
}


class Lazy(click.RichCommand):
    """Stands for a command until it is typed. Importing only that one keeps `amends --help` quick."""

    def __init__(self, name: str, entry: Entry, panel: str) -> None:
        super().__init__(name=name, short_help=entry.summary, help=entry.summary, panel=panel)
        self._entry = entry

    def real(self) -> plain.Command:
        """The command itself."""
        module = importlib.import_module(f"{__package__}.commands.{self._entry.module}")
        found: plain.Command = getattr(module, self._entry.attribute)
        return found

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        return self.real().make_context(*args, **kwargs)


class Foreign(click.RichCommand):
    """A command that another package brings, with its own parser: all arguments are handed on."""

    def __init__(self, name: str, entry: Entry, panel: str) -> None:
        super().__init__(
            name=name,
            short_help=entry.summary,
            help=entry.summary,
            panel=panel,
            add_help_option=False,
            params=[plain.Argument(["arguments"], nargs=-1, type=plain.UNPROCESSED)],
            context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
        )
        self._module = entry.module

    def invoke(self, ctx: plain.Context) -> int:
        main = importlib.import_module(self._module).main
        named = {"prog": ctx.command_path} if "prog" in inspect.signature(main).parameters else {}
        try:
            return int(main(list(ctx.params["arguments"]), **named) or 0)
        except SystemExit as stop:  # its own parser has spoken
            return stop.code if isinstance(stop.code, int) else int(stop.code is not None)


class Amends(click.RichGroup):
    """The group: knows its commands by the table, and near names."""

    def list_commands(self, ctx: plain.Context) -> list[str]:
        return list(self.commands)

    def resolve_command(
        self, ctx: plain.Context, args: list[str]
    ) -> tuple[str | None, plain.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            hint = did_you_mean(args[0], self.commands) or "amends --help lists them"
            raise Problem(f"there is no command {args[0]!r}", hint=hint)
        return super().resolve_command(ctx, args)


def _made() -> Amends:
    made: dict[str, plain.Command] = {
        name: Lazy(name, entry, panel) for panel, entries in PANELS.items() for name, entry in entries.items()
    }
    for name, (panel, entry) in FOREIGN.items():
        if _there(entry.module):
            made[name] = Foreign(name, entry, panel)
    group = Amends(
        name="amends",
        help="Durable sagas: run them, watch them, mend them.",
        epilog=shown("amends list --status attention\namends show order-1001"),
        commands=made,
        context_settings=SETTINGS,
    )
    return plain.version_option(package_name="amends", message="%(prog)s %(version)s")(group)


def _there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the package above it is not there
        return False


cli = _made()


def run(arguments: list[str]) -> int:
    """Run a command line, tell its error if it has one, and return the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # what a terminal cannot show must not end us
    json = "--json" in arguments
    try:
        done = cli.main(arguments or ["--help"], prog_name="amends", standalone_mode=False)
        sys.stdout.flush()
        return int(done or 0) if arguments else Exit.USAGE
    except (AmendsError, plain.UsageError, plain.Abort, KeyboardInterrupt, TimeoutError) as error:
        if json or not isinstance(error, (plain.Abort, KeyboardInterrupt)):
            tell_error(exits.told(error), json=json)
        return exits.of_error(error)
    except BrokenPipeError:  # the reader went away (`| head`); the interpreter must not complain at exit
        sys.stderr.close()
        return Exit.OK
    except Exception as error:  # noqa: BLE001 - told whole, with a code of its own
        if isinstance(error, OSError) and error.errno in NO_ROOM and error.filename is None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nor at the interpreter's end
            tell_error(exits.unwritten(error), json=json)
            return Exit.FAILED
        sys.stderr.write(redacted_in("".join(traceback.format_exception(error))))
        tell_error(exits.unexpected(error), json=json)
        return Exit.INTERNAL
