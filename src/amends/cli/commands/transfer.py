"""``amends export`` and ``amends import``: whole executions, as JSON lines."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec
import rich_click as click

from ...engine.client import Client
from ...engine.listing import Filters
from ..exits import Exit, Problem
from ..options import (
    Where,
    command,
    condition_option,
    limit_option,
    prefix_option,
    saga_option,
    status_option,
)
from ..progress import progress
from ..render.text import many


@command("""amends export journals.jsonl --where 'started > -30d'
amends export - --saga shop.place_order | gzip > journals.jsonl.gz""")
@click.argument("file", metavar="FILE")
@status_option
@condition_option
@saga_option
@prefix_option
@limit_option
async def export(
    where: Where,
    *,
    file: str,
    status: tuple[str, ...],
    condition: str,
    saga: str,
    prefix: str,
    limit: int,
) -> Exit:
    """Write executions with their journals to a file.

    JSON lines, each chained to the one before by a checksum. Nested executions go with their roots. `-` is
    stdout.
    """
    filters: Filters = {
        "status": status,
        "where": condition,
        "saga": saga,
        "id_prefix": prefix,
        "limit": limit,
    }
    count = -2  # the first line and the last are no executions
    async with where.desk() as desk:
        with _writing(file) as out, progress(where.output, "export", None) as advance:
            async for line in desk.operations.export(**filters):
                out.write(line)
                count += 1
                advance(1)
    if file == "-":
        where.output.note(many(count, "execution"))
    elif where.json:
        where.output.data({"file": file, "executions": count})
    else:
        where.output.show(f"{many(count, 'execution')} in {file}")
    return Exit.OK


@command("""amends import journals.jsonl
gunzip < journals.jsonl.gz | amends import - --store sqlite:///other.db""")
@click.argument("file", metavar="FILE")
@click.option("--live", is_flag=True, help="Also what has not ended, and now goes on here.")
async def import_(where: Where, *, file: str, live: bool) -> Exit:
    """Bring in executions that `export` or `retain` wrote.

    What is there already stays as it is, so it may be repeated. Refused is what does not fold, what has not
    ended (but for --live), and an id that belongs to another execution. `-` is stdin.
    """
    counts = {"imported": 0, "exists": 0, "refused": 0}
    async with Client(where.place.url, namespace=where.namespace) as client:
        with _reading(file) as lines, progress(where.output, "import", None) as advance:
            async for item in client.operations.import_(lines, live=live):
                counts[item.outcome] += 1
                advance(1)
                if where.json:
                    where.output.data(msgspec.structs.asdict(item))
                elif item.outcome == "refused":
                    where.output.note(f"{item.id}: {item.message}", style="careful")
    if not where.json:
        said = f"{many(counts['imported'], 'execution')} imported"
        more = [f"; {counts[name]} {word}" for name, word in _MORE.items() if counts[name]]
        where.output.show(said + "".join(more))
    return Exit.REFUSED if counts["refused"] else Exit.OK


_MORE = {"exists": "there already", "refused": "refused"}


@contextmanager
def _writing(file: str) -> Iterator[BinaryIO]:
    if file == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with _opened(file, "wb") as out:
        yield out


@contextmanager
def _reading(file: str) -> Iterator[BinaryIO]:
    if file == "-":
        yield sys.stdin.buffer
        return
    with _opened(file, "rb") as lines:
        yield lines


def _opened(file: str, mode: str) -> BinaryIO:
    try:
        return Path(file).open(mode)  # type: ignore[return-value]
    except OSError as error:
        raise Problem(f"cannot open {file}: {error.strerror}", hint="name another file, or -") from error
