"""The conformance kit: every sentence of the port as a case that a store passes or fails.

It needs no test framework.  A case is an async function of a `Subject` (one empty database, and the means
to open further handles on it and to crash them); its docstring is the sentence it checks.  With pytest::

    @pytest.mark.parametrize("name", kit.names(sql=True, fill=True))
    def test_store(name, subject):
        asyncio.run(kit.run(name, subject))

The cases run on any clock: they wait for nothing but the store.
"""

from __future__ import annotations

from . import (
    archiving,
    inbox,
    journal,
    keys,
    ownership,
    parking,
    pauses,
    queues,
    reading,
    serving,
    several,
    starting,
    transactions,
    wheres,
)
from .support import CASES, Subject

__all__ = ["CASES", "Subject", "names", "run"]

_MODULES = (
    starting,
    journal,
    ownership,
    serving,
    several,
    inbox,
    parking,
    transactions,
    reading,
    wheres,
    archiving,
    keys,
    pauses,
    queues,
)  # importing them registers cases


def names(*, sql: bool, fill: bool, many: bool = False) -> list[str]:
    """The names of all cases that a subject with these abilities can run."""
    abilities = {name for name, has in (("sql", sql), ("fill", fill), ("many", many)) if has}
    abilities |= set() if many else {"single"}
    return [name for name, (_, needs) in CASES.items() if needs <= abilities]


async def run(name: str, subject: Subject) -> None:
    """Run one case. Raises `AssertionError` with the sentence that does not hold."""
    function, _ = CASES[name]
    try:
        await function(subject)
    except AssertionError as error:
        raise AssertionError(f"{name}: {function.__doc__}\n{error}") from error
    finally:
        await subject.close()
