"""Durable names: what journals call a saga or a step."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import DefinitionError

RESERVED = "~"
"""Separates a child's id from its parent's; not allowed in names and ids that users give."""


def check_function(fn: object, decorator: str) -> None:
    """Raise `DefinitionError` for ``@step("payments.charge")`` and the like."""
    if not callable(fn):
        raise DefinitionError(
            f"@{decorator} stands above a function, and was given {fn!r}",
            hint=f'options are given by name, for example @{decorator}(name="payments.charge")',
        )


def durable_name(fn: Callable[..., Any], given: str | None) -> str:
    """The given name, or module and qualified name (a script counts as the module it is importable as)."""
    if given is not None:
        if not given or given != given.strip() or any(ord(c) < 32 for c in given):
            raise DefinitionError(
                f"a durable name must be visible text without spaces around it, got {given!r}",
                hint='for example name="payments.charge"',
            )
        return given
    module = fn.__module__
    if module == "__main__":
        module = _main_module()
    return f"{module}.{fn.__qualname__}".replace(".<locals>", "")


def _main_module() -> str:
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        name: str = spec.name
        return name.removesuffix(".__main__")
    file = getattr(main, "__file__", None)
    return Path(file).stem if file and file[0] != "<" else "__main__"
