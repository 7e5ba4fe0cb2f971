"""How far a long command is: a bar on a terminal, nothing where nobody watches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from .output import Output

Advance = Callable[[int], None]
Reach = Callable[[int, str], None]


@contextmanager
def progress(output: Output, what: str, total: int | None) -> Iterator[Advance]:
    """A bar on stderr while it lasts; the function it gives moves it on."""
    if output.json or not output.err.is_terminal:
        yield lambda count: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=output.err, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda count: bar.advance(task, count)


@contextmanager
def resumable(output: Output, what: str, total: int) -> Iterator[Reach]:
    """The same; the function is also told how far that is, and what ends early says where to go on."""
    reached = ""

    def reach(count: int, after: str) -> None:
        nonlocal reached
        reached = after
        advance(count)

    try:
        with progress(output, what, total) as advance:
            yield reach
    except BaseException:
        if reached:
            output.note(f"not all is done: go on with --after {reached}", style="careful")
        raise
