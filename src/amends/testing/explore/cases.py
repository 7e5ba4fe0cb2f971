"""Findings as pytest cases: each replays its path, and passes once the cause is mended."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from typing import Any

from ... import codec
from ...definition.saga import Saga, SagaCall
from .findings import Finding
from .report import Report
from .subject import CannotExplore

_HEAD = '''\
"""Paths that went wrong once: {saga}."""

from amends.testing.explore import called, replay

{imports}
'''
_CASE = '''

def test_{name}() -> None:
    """{text}."""
    call = called({saga}, {arguments!r})
    replay(call, {path!r}{options}).check()
'''


def called(saga: Saga[..., Any], arguments: str) -> SagaCall[Any]:
    """A call of a saga with arguments as JSON, as a journal has them. Raises `PayloadError`."""
    return SagaCall(saga, saga.signature.decode_args(arguments.encode()))


def cases(report: Report) -> str:
    """A test module with a case for each finding that has a path.

    Raises `CannotExplore` when the saga or the participants have no name in a module.
    """
    call, options = report.subject
    saga = _named(call.saga, call.saga.fn, "the saga")
    imports = [saga]
    words = []
    for name, value in options.items():
        if name == "participants":
            factory = _named(value, value, "the factory of the participants")
            imports.append(factory)
            words.append(f", participants={factory[1]}")
        else:
            words.append(f", {name}={value!r}")
    head = _HEAD.format(saga=call.saga.name, imports="\n".join(_imports(imports)))
    arguments = codec.encode(call.args).decode()
    made = [
        _CASE.format(
            name=_name(found),
            text=found.text.replace('"', "'"),
            saga=saga[1],
            arguments=arguments,
            path=found.replay,
            options="".join(words),
        )
        for found in report.findings
        if found.story
    ]
    return head + "".join(made)


def _name(found: Finding) -> str:
    return re.sub(r"\W+", "_", f"{found.code} {found.step}").strip("_").lower()


def _named(wanted: Any, function: Any, what: str) -> tuple[str, str]:
    """Module and name under which something can be imported."""
    module = sys.modules.get(function.__module__)
    for name, value in vars(module).items() if module is not None else ():
        if value is wanted:
            return function.__module__, name
    raise CannotExplore(
        f"{what} cannot be imported by a test ({function!r:.80})",
        hint="give it a name at the top of a module, and use that instead of a lambda",
    )


def _imports(names: Iterable[tuple[str, str]]) -> list[str]:
    modules: dict[str, list[str]] = {}
    for module, name in names:
        modules.setdefault(module, []).append(name)
    return [
        f"from {module} import {', '.join(sorted(set(found)))}" for module, found in sorted(modules.items())
    ]
