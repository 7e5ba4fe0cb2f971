"""What all commands share: how one is declared, the common options, and completion of ids.

A command is an ordinary function; `command` gives it --store, --namespace, --json and an example, and hands
it a `Where` first.  What it returns is the exit code.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from collections.abc import Callable, Coroutine
from functools import cached_property
from typing import Any, TypeVar

import click as plain
import rich_click as click

from ..engine.backend import operator
from ..engine.bulk import BATCH, LARGEST_BATCH
from ..engine.listing import MOST
from ..errors import AmendsError, did_you_mean
from ..redaction import redacted
from ..store import port
from ..store.port import STATUSES
from . import resolve
from .desk import Desk
from .exits import Exit, Problem
from .help import SETTINGS, shown
from .output import Output

F = TypeVar("F", bound=Callable[..., Any])


class Where:
    """The common options: which store and namespace, and how to print."""

    def __init__(self, store: str | None, namespace: str | None, json: bool) -> None:
        self._store = store
        self._namespace = namespace
        self.output = Output(json=json)

    @property
    def json(self) -> bool:
        """Does a program read?"""
        return self.output.json

    @cached_property
    def place(self) -> resolve.Place:
        """The store to use."""
        return resolve.place(self._store)

    @cached_property
    def namespace(self) -> str:
        """The namespace to use."""
        return resolve.namespace(self._namespace)

    def desk(self) -> Desk:
        """The store, for looking and acting."""
        return Desk(self.place, self.namespace)

    def worker(self) -> str:
        """The command that serves the store."""
        module = "" if resolve.settings().app or os.environ.get("AMENDS_APP") else " MODULE"
        return self.again("worker") + module

    def again(self, command: str) -> str:
        """A command to suggest, with the options that were typed to get here (and no password)."""
        words = self.words(command)
        return " ".join(shlex.quote(redacted(word) if word == self._store else word) for word in words)

    def words(self, command: str) -> list[str]:
        """The same, to be run."""
        words = ["amends", command]
        words += ["--store", self._store] if self._store else []
        return words + (["--namespace", self._namespace] if self._namespace else [])


def command(example: str, *, store: bool = True) -> Callable[[Callable[..., Any]], click.RichCommand]:
    """Declare a command: the function's docstring is its help, `example` stands below it."""

    def declare(function: Callable[..., Any]) -> click.RichCommand:
        def run(**given: Any) -> int:
            where = Where(given.pop("store", None), given.pop("namespace", None), given.pop("json"))
            done = function(where, **given)
            return int(asyncio.run(done) if isinstance(done, Coroutine) else done)

        run.__doc__ = function.__doc__
        run.__name__ = function.__name__
        common: Any = _json(lambda: None)  # the list of parameters is kept in reverse
        if store:
            common = _namespace(_store(common))
        own = getattr(function, "__click_params__", [])
        run.__click_params__ = [*common.__click_params__, *own]  # type: ignore[attr-defined]
        return click.command(
            function.__name__.rstrip("_"),
            cls=click.RichCommand,
            epilog=shown(example),
            context_settings=SETTINGS,
        )(run)

    return declare


_store = click.option(
    "--store",
    "-s",
    metavar="URL",
    help="Where executions are kept, such as sqlite:///orders.db. "
    "Default: AMENDS_STORE, [tool.amends] of pyproject.toml, sqlite:///amends.db.",
)
_namespace = click.option("--namespace", metavar="NAME", help="The namespace of the ids (default: default).")
_json = click.option("--json", is_flag=True, help="Print JSON for programs.")


def _ids(context: plain.Context, parameter: plain.Parameter, incomplete: str) -> list[str]:
    """Ids that begin so, read from the store. Completion must stay quiet: without a store there are none."""
    given = context.params

    async def look() -> list[str]:
        place = resolve.place(given.get("store"))
        async with Desk(place, resolve.namespace(given.get("namespace"))) as desk:
            query = port.Query(namespace=desk.namespace, id_prefix=incomplete, limit=50)
            return [header.id for header in await desk.store.headers(query)]

    try:
        return asyncio.run(look())
    except (AmendsError, Problem):
        return []


def _statuses(context: plain.Context, parameter: plain.Parameter, incomplete: str) -> list[str]:
    return [status for status in STATUSES if status.startswith(incomplete)]


def check_statuses(
    context: plain.Context, parameter: plain.Parameter, given: tuple[str, ...]
) -> tuple[str, ...]:
    """Several by comma or by repeating the option; each must exist."""
    chosen = tuple(word.strip().lower() for text in given for word in text.split(",") if word.strip())
    for word in chosen:
        if word not in STATUSES:
            raise Problem(f"there is no status {word!r}", hint=did_you_mean(word, STATUSES))
    return chosen


one_id = click.argument("id", shell_complete=_ids)
some_ids = click.argument("ids", metavar="ID...", nargs=-1, required=True, shell_complete=_ids)
any_ids = click.argument("ids", metavar="[ID...]", nargs=-1, shell_complete=_ids)
one_saga_option = click.option("--saga", metavar="NAME", help="All of this saga (its durable name), as one.")
all_option = click.option("--all", "everything", is_flag=True, help="All of the namespace, as one.")
app_option = click.option(
    "--app", metavar="MODULE", help="The module with the sagas. Default: AMENDS_APP, [tool.amends] app."
)
status_option = click.option(
    "--status",
    multiple=True,
    callback=check_statuses,
    shell_complete=_statuses,
    help=f"Only these: {', '.join(STATUSES)}.",
)
saga_option = click.option("--saga", default="", help="Only of this saga (its durable name).")
prefix_option = click.option("--prefix", default="", help="Only ids that begin so.")
condition_option = click.option(
    "--where", "condition", default="", help="Only where it holds: attributes.total > 100."
)
limit_option = click.option("--limit", default=MOST, type=click.IntRange(1), help="At most so many.")
after_option = click.option(
    "--after", default="", metavar="UID", help="Go on after this one (said when interrupted)."
)
batch_option = click.option(
    "--batch",
    default=BATCH,
    show_default=True,
    type=click.IntRange(1, LARGEST_BATCH),
    help="So many at a time.",
)
dry_run_option = click.option("--dry-run", is_flag=True, help="Only say what would be done.")
yes_option = click.option("--yes", "-y", is_flag=True, help="Do not ask.")
by_option = click.option(
    "--by", default=operator, show_default="your login name", help="Who acts, for the audit."
)
wait_option = click.option("--wait", is_flag=True, help="Wait for what comes of it; exit code by outcome.")
action_option = click.option("--action", default="", help="The parked action (default: all of them).")


def reason_option(*, required: bool) -> Callable[[F], F]:
    """--reason, which the audit keeps."""
    if required:
        return click.option("--reason", "-r", required=True, help="Why, for the audit.")
    return click.option("--reason", "-r", default="", help="Why, for the audit (optional).")


def ask(where: Where, question: str) -> None:
    """Ask before what cannot be taken back. Raises `Abort`, or `Problem` where nobody can answer."""
    if where.json or not sys.stdin.isatty():
        raise Problem(f"this must be confirmed, and nobody can be asked here: {question}", hint="add --yes")
    if not plain.confirm(question, err=True):
        raise Problem("nothing was done", exit=Exit.REFUSED, code="declined")
