"""What a step says about its queue."""

from __future__ import annotations

from ..errors import DefinitionError

MOST_PRIORITY = 1_000_000


def check_queue(
    queue: str | None, priority: int, delay: object, key: object, pool: str | None, *, here: bool
) -> None:
    """Raises `DefinitionError`. here: does the step also say what holds only where its saga is?"""
    if queue is None:
        if priority or not (delay is key is pool is None):
            raise DefinitionError(
                "priority, delay, key and pool are of steps with a queue", hint='@step(queue="…")'
            )
        return
    for what, name in (("queue", queue), ("pool", pool)):
        if name is not None and not is_name(name):
            raise DefinitionError(
                f"the name of a {what} is visible text without a colon, got {name!r}", hint=f'{what}="emails"'
            )
    if here:
        raise DefinitionError(
            f"a step in the queue {queue!r} runs elsewhere: it has no transaction and no limit of its own",
            hint="limits of a queue hold for all who serve it: amends queue limit NAME --concurrency 10",
        )
    if isinstance(priority, bool) or not isinstance(priority, int) or abs(priority) > MOST_PRIORITY:
        raise DefinitionError(
            f"priority is a whole number from {-MOST_PRIORITY} to {MOST_PRIORITY}, got {priority!r}"
        )
    if key is not None and not callable(key):
        raise DefinitionError(
            f"key is a function of the step's arguments, got {key!r}", hint="key=lambda order: order.customer"
        )


def is_name(name: object) -> bool:
    """Can a queue, or a pool, be called that?"""
    return (
        isinstance(name, str)
        and bool(name.strip())
        and name == name.strip()
        and name.isprintable()
        and ":" not in name
    )
