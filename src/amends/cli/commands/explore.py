"""``amends explore``: every failure path of a saga."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import rich_click as click
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from ...definition.saga import Saga, SagaCall
from ...testing.explore import Report, cases, page, replay
from ...testing.explore import explore as explored
from ...testing.explore.stubs import example
from .. import apps, values
from ..exits import Exit, Problem
from ..options import Where, command


@command(
    "amends explore app:place_order --faults 1\n"
    "amends explore app:place_order --replay 'charge:1#1=rejected'",
    store=False,
)
@click.argument("saga", metavar="MODULE:SAGA")
@click.option(
    "--args", "args", metavar="JSON", help="Arguments, as for `run`; without it they are made up by type."
)
@click.option("--participants", metavar="MODULE:FACTORY", help="Makes participants in memory for each run.")
@click.option(
    "--faults", "-f", type=click.IntRange(0, 6), default=2, show_default=True, help="At most so many."
)
@click.option("--without", multiple=True, metavar="KIND", help="Leave out a kind of fault, such as late.")
@click.option(
    "--accept", multiple=True, metavar="FINDING", help="Let a finding pass, such as 'late shop.pay'."
)
@click.option(
    "--limit", type=click.IntRange(1), default=100_000, show_default=True, help="At most so many paths."
)
@click.option(
    "--jobs",
    "-j",
    type=click.IntRange(1),
    help="Among so many processes; by default as many as there are cores.",
)
@click.option("--replay", "path", metavar="PATH", help="Run one path, as a finding names it, and tell it.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write the report as a page.")
@click.option(
    "--save", type=click.Path(dir_okay=False, path_type=Path), help="Write findings as pytest cases."
)
def explore(
    where: Where,
    *,
    saga: str,
    args: str | None,
    participants: str | None,
    faults: int,
    without: tuple[str, ...],
    accept: tuple[str, ...],
    limit: int,
    jobs: int | None,
    path: str | None,
    html: Path | None,
    save: Path | None,
) -> Exit:
    """Try every failure path of a saga.

    The report says what is wrong with it. Each attempt may be refused, fail, lose its reply, be stopped or
    come late; the worker may die and the saga be cancelled, at every point. Nothing is random: the same code,
    the same report.
    """
    app = apps.load(saga)
    call = _call(app.saga(saga), args)
    factory = _factory(participants)
    if path is not None:
        report = replay(call, path, participants=factory, accept=accept)
    else:
        bar, progress = _bar(where)
        with bar:
            report = explored(
                call,
                participants=factory,
                faults=faults,
                without=without,
                accept=accept,
                limit=limit,
                jobs=jobs,
                progress=progress,
            )
    _tell(where, report, html, save)
    return Exit.OK if report.ok else Exit.FAILED


def _call(saga: Saga[..., Any], args: str | None) -> SagaCall[Any]:
    if args is not None:
        return values.call(saga, args, None)
    hints = saga.signature.hints
    return saga(
        **{
            p.name: example(hints.get(p.name, Any), f"the argument {p.name}")
            for p in saga.signature.parameters
            if p.default is p.empty
        }
    )


def _factory(named: str | None) -> Callable[[], Any] | None:
    if named is None:
        return None
    target = apps.load(named).target
    if not callable(target):
        raise Problem(f"{named} makes nothing", hint="name a class or function: --participants app:World")
    made: Callable[[], Any] = target
    return made


def _bar(where: Where) -> tuple[AbstractContextManager[Any], Callable[[int, int], None] | None]:
    """A progress bar for people, and what moves it."""
    if where.json or not where.output.live:
        return nullcontext(), None
    columns = (
        TextColumn("{task.completed:,} paths"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=where.output.err, transient=True, auto_refresh=False)  # no thread
    task = bar.add_task("paths", total=None)
    return bar, lambda done, known: bar.update(task, completed=done, total=known, refresh=True)


def _tell(where: Where, report: Report, html: Path | None, save: Path | None) -> None:
    written = [(html, page), (save, cases)]
    for file, form in written:
        if file is not None:
            try:
                file.write_text(form(report), encoding="utf-8")
            except OSError as error:
                raise Problem(f"{file} cannot be written: {error.strerror}") from error
    if where.json:
        where.output.data(report.plain())
        return
    where.output.out.file.write(f"{report}\n")
    for file, _ in written:
        if file is not None:
            where.output.note(f"written: {file}")
