"""``amends send``: a signal to an execution."""

from __future__ import annotations

import rich_click as click

from ... import codec
from ...definition.signal import Signal
from ...errors import did_you_mean
from .. import apps, values
from ..exits import Exit, Problem
from ..options import Where, app_option, command, one_id
from ..story import tell


@command("""amends send order-1001 approved --value '{"by": "ada"}' --key click-17""")
@one_id
@click.argument("signal")
@click.option("--value", default="null", metavar="JSON", help="What it carries (default: null); @file or -.")
@click.option("--key", default="", help="A second signal with the same key counts once.")
@click.option("--force", is_flag=True, help="Send even if the execution waits for another of a like name.")
@app_option
async def send(
    where: Where, *, id: str, signal: str, value: str, key: str, force: bool, app: str | None
) -> Exit:
    """Send a signal to an execution.

    Durable when this returns. A signal that comes early is kept until the saga asks for it. With --app, name
    and value are checked against the module's Signal of that name.
    """
    given = values.read(value, "--value")
    declared = _declared(signal, app)
    if declared is not None:
        codec.decoder(declared.type).decode(codec.encode(given), f"--value of {signal}")
    async with where.desk() as desk:
        _, rows, _ = await desk.read(await desk.find(id))
        awaited = tell(rows).signals
        if awaited and signal not in awaited and declared is None and not force:
            _mistaken(id, signal, awaited)
        await desk.handle(id).send(Signal(signal), given, key=key)
        worker = desk.worker()
    if where.json:
        where.output.data({"id": id, "signal": signal, "key": key, "awaited": signal in awaited})
        return Exit.OK
    where.output.show(f"{id}: {signal} sent")
    if signal not in awaited:
        where.output.note("it does not wait for that now; the signal is kept until it asks", style="careful")
    if worker is None:
        where.output.note(f"nobody serves this store: {where.worker()}", style="careful")
    return Exit.OK


def _declared(signal: str, app: str | None) -> Signal[object] | None:
    loaded = apps.load(app) if app else None
    if loaded is None:
        return None
    if signal not in loaded.signals:
        raise Problem(
            f"{loaded.name} declares no signal {signal!r}",
            hint=did_you_mean(signal, loaded.signals),
            exit=Exit.NOT_FOUND,
        )
    return loaded.signals[signal]


def _mistaken(id: str, signal: str, awaited: list[str]) -> None:
    hint = did_you_mean(signal, awaited)
    if hint.startswith("did you mean"):
        raise Problem(
            f"{id} does not wait for {signal!r}",
            hint=f"{hint} (--force sends it all the same, and it is kept)",
            exit=Exit.NOT_FOUND,
        )
