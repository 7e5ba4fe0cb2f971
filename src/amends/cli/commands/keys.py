"""``amends keys``: the keys of subjects: list, make, forget, rotate."""

from __future__ import annotations

import msgspec
import rich_click as click

from ...engine.keys import KeyStatus
from ..desk import Desk
from ..exits import Exit, Problem
from ..options import Where, after_option, ask, batch_option, by_option, command, yes_option
from ..progress import resumable
from ..render.text import many

_DOINGS = ("list", "new-master", "rotate", "forget")
_PAGE = 200


@command(
    """amends keys list
amends keys new-master
amends keys rotate
amends keys forget customer-42 --reason 'request of 26 November' --yes"""
)
@click.argument("do", type=click.Choice(_DOINGS))
@click.argument("subject", default="")
@click.option("--reason", default="", help="Why: it is audited.")
@by_option
@after_option
@batch_option
@yes_option
async def keys(
    where: Where, *, do: str, subject: str, reason: str, by: str | None, after: str, batch: int, yes: bool
) -> Exit:
    """Keys of subjects: list, forget, wrap anew.

    forget SUBJECT deletes the key: what it encrypted cannot be read any more, by anybody. rotate wraps all
    keys anew by the master key of AMENDS_MASTER_KEY (or AMENDS_MASTER_KEY_FILE); those that wrapped them so
    far stand in AMENDS_PREVIOUS_MASTER_KEYS. Interrupted, it is simply done again. new-master prints a new
    one.
    """
    if do == "new-master":
        _new_master(where)
        return Exit.OK
    async with where.desk() as desk:
        if do == "list":
            await _list(where, desk, subject)
        elif do == "rotate":
            return await _rotate(where, desk, after, batch)
        else:
            await _forget(where, desk, subject, reason, by, yes=yes)
    return Exit.OK


def _new_master(where: Where) -> None:
    from ...encryption.masters import MasterKey  # noqa: PLC0415 - only who uses it needs its libraries

    made = MasterKey.generate()
    _say(where, {"master_key": made, "name": MasterKey(made).name}, made)


async def _list(where: Where, desk: Desk, subject: str) -> None:
    after, count = "", 0
    while True:
        page = await desk.keys.list(subject=subject or None, after=after, limit=_PAGE)
        for status in page:
            _say(where, msgspec.to_builtins(status), _line(status))
        count += len(page)
        if len(page) < _PAGE:
            break
        after = page[-1].id
    if not count:
        where.output.note("no keys")


def _line(status: KeyStatus) -> str:
    if status.forgotten_at is not None:
        return f"{status.id}  forgotten {status.forgotten_at:%Y-%m-%d %H:%M:%SZ}"
    return f"{status.id}  {status.subject or '(all that name no subject)'}  {status.master}"


async def _rotate(where: Where, desk: Desk, after: str, batch: int) -> Exit:
    done = missing = 0
    with resumable(where.output, "rotate", await desk.keys.count()) as advance:
        async for page in desk.keys.rotate(batch=batch, after=after):
            done, missing = done + len(page.ids), missing + len(page.missing)
            advance(len(page.ids) + len(page.missing), page.after)
            if where.json:
                where.output.data(msgspec.structs.asdict(page))
    if not where.json:
        where.output.show(f"{many(done, 'key')} wrapped anew")
    if missing:
        where.output.note(
            f"{many(missing, 'key')} left: no master key here unwraps them; name it in"
            " AMENDS_PREVIOUS_MASTER_KEYS (amends keys list shows which)",
            style="careful",
        )
    return Exit.FAILED if missing else Exit.OK


async def _forget(where: Where, desk: Desk, subject: str, reason: str, by: str | None, *, yes: bool) -> None:
    if not subject or not reason:
        raise Problem(
            f"the {'reason' if subject else 'subject'} is missing",
            hint=f"amends keys forget {subject or 'SUBJECT'} --reason TEXT",
        )
    if not yes:
        ask(where, f"Delete the key of {subject}, so that nobody can read its payloads any more?")
    id = await desk.keys.forget(subject, reason, by=by)
    _say(where, {"subject": subject, "key": id, "action": "forget"}, f"{subject}: forgotten (key {id})")


def _say(where: Where, data: object, text: str) -> None:
    if where.json:
        where.output.data(data)
    else:
        where.output.show(text)
