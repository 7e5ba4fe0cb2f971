"""``amends list``: which executions are there?"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import rich_click as click

from ...store import port
from ...store.pausing import Pause
from ...store.port import Header, Query
from ...store.where.parsing import parse, seconds
from ...store.where.terms import LONGEST_NAME, All, Field, OneOf, Term, indexed
from .. import forms
from ..desk import Desk
from ..exits import Exit, Problem
from ..options import Where, command, condition_option, prefix_option, saga_option, status_option
from ..render.table import executions
from ..render.text import quoted

_LOOKED_AT = 1000  # executions, to see which sagas there are


class _Filter(msgspec.Struct, kw_only=True):
    since: float | None
    until: float | None
    attributes: dict[str, str]
    roots: bool

    def takes(self, header: Header) -> bool:
        if self.roots and header.parent:
            return False
        if self.until is not None and header.created_at > self.until:
            return False
        return not self.attributes or _match(header, self.attributes)

    def past(self, header: Header) -> bool:
        """Are this and all later ones (older) out of range?"""
        return self.since is not None and header.created_at < self.since


@command(
    """amends list --status attention
amends list --saga shop.place_order --since 2h
amends list --where 'attributes.customer = "42" and started > -3d'"""
)
@status_option
@saga_option
@prefix_option
@click.option("--since", help="Started since: 30min, 2h, 3d, or a date such as 2026-11-25T03:00.")
@click.option("--until", help="Started until; forms as for --since.")
@condition_option
@click.option("--attribute", "-a", "attributes", multiple=True, metavar="KEY=VALUE", help="Only with it.")
@click.option("--roots", is_flag=True, help="Without nested sagas.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1), help="At most so many.")
@click.option("--after", default="", metavar="UID", help="Go on after this one (said below a full page).")
@click.option("--ids", "only_ids", is_flag=True, help="Print ids only, for xargs.")
async def list_(
    where: Where,
    *,
    status: tuple[str, ...],
    saga: str,
    prefix: str,
    since: str | None,
    until: str | None,
    condition: str,
    attributes: tuple[str, ...],
    roots: bool,
    limit: int,
    after: str,
    only_ids: bool,
) -> Exit:
    """List executions, newest first.

    With --json: one object per line. Without: a table that fits the terminal, or whole when piped.
    """
    async with where.desk() as desk:
        now = desk.clock.now()
        wanted = _Filter(
            since=_time(since, now), until=_time(until, now), attributes=pairs(attributes), roots=roots
        )
        query = Query(
            namespace=desk.namespace,
            statuses=status,
            saga=saga,
            id_prefix=prefix,
            after=after or _first(wanted),
            where=All((*([parse(condition, now)] if condition else []), *_indexed(wanted.attributes))),
        )
        found, more = await _collect(desk, query, wanted, limit)
        pauses = await desk.pauses.list()
        _show(where, found, pauses, now, only_ids=only_ids)
        if not where.json and not only_ids:
            await _notes(where, desk, found, saga, more=more)
    return Exit.OK


async def _collect(desk: Desk, query: Query, wanted: _Filter, limit: int) -> tuple[list[Header], bool]:
    found: list[Header] = []
    async for header in desk.each(query):
        if wanted.past(header):
            break
        if wanted.takes(header):
            if len(found) == limit:
                return found, True
            found.append(header)
    return found, False


def _show(where: Where, found: list[Header], pauses: list[Pause], now: float, *, only_ids: bool) -> None:
    if only_ids:
        for header in found:
            where.output.out.file.write(f"{header.id}\n")
    elif where.json:
        for header in found:
            where.output.data(forms.execution(header, pauses))
    elif found:
        where.output.show(executions(found, pauses, now, width=where.output.out.width))


async def _notes(where: Where, desk: Desk, found: list[Header], saga: str, *, more: bool) -> None:
    """What to know beside the table."""
    if not found:
        where.output.note(await _nothing(desk, saga))
    stuck = [header.id for header in found if header.status == port.ATTENTION]
    if stuck:
        said = f"{len(stuck)} need{'s' if len(stuck) == 1 else ''} a person"
        where.output.note(
            f"{said}: {where.again('show')} {quoted(stuck[0])} says what to do", style="attention"
        )
    if more:
        where.output.note(f"more: repeat with --after {found[-1].uid}", style="quiet")


async def _nothing(desk: Desk, saga: str) -> str:
    """Nothing matched: is it the filter, or is the store empty?"""
    newest = await desk.store.headers(Query(namespace=desk.namespace, limit=_LOOKED_AT))
    names = dict.fromkeys(header.saga for header in newest)
    if not names:
        return f"no executions in {desk.place.shown} (namespace {desk.namespace})"
    if saga and saga not in names:
        near = [name for name in names if name.endswith(f".{saga}")] or list(names)
        raise Problem(
            f"no execution of a saga {saga!r}", hint=f"sagas there: {', '.join(near)}", exit=Exit.NOT_FOUND
        )
    return "no execution matches"


def _first(wanted: _Filter) -> str:
    """Uids begin with the time in milliseconds, so a page can begin where `until` ends."""
    return "" if wanted.until is None else f"{int(wanted.until * 1000) + 1:012x}"


def _time(given: str | None, now: float) -> float | None:
    """Seconds since the epoch. Dates without a zone are local."""
    if not given:
        return None
    age = seconds("".join(given.split()))
    if age is not None:
        return now - age
    try:
        return datetime.fromisoformat(given).astimezone(UTC).timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise Problem(
            f"{given!r} is no time", hint="write 30min, 2h, 3d, or 2026-11-25 or 2026-11-25T03:00"
        ) from error


def pairs(given: tuple[str, ...]) -> dict[str, str]:
    """KEY=VALUE options as a mapping. Raises `Problem`."""
    pairs = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise Problem(f"{text!r} is no KEY=VALUE", hint="for example --attribute customer=42")
        pairs[key] = value
    return pairs


def _indexed(wanted: dict[str, str]) -> Iterator[Term]:
    """What the index of attributes knows of them: it may hold more than `_match` takes, never less."""
    for name, text in wanted.items():
        try:
            plain: Any = msgspec.json.decode(text)
        except msgspec.DecodeError:
            plain = text
        given = dict(indexed(msgspec.json.encode({"text": text, "plain": plain}).decode()))
        if len(given) == 2 and len(name) <= LONGEST_NAME:  # otherwise only `_match` can tell
            yield OneOf(Field(name, "any"), tuple(given.values()))


def _match(header: Header, wanted: dict[str, str]) -> bool:
    try:
        has: Any = msgspec.json.decode(header.attributes)
    except msgspec.DecodeError:  # a damaged one matches nothing
        return False
    return all(
        key in has and (has[key] == value or _plain(has[key]) == value) for key, value in wanted.items()
    )


def _plain(value: Any) -> str:
    return msgspec.json.encode(value).decode()
