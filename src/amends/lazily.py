"""Names of a package that are loaded when they are first used, with what they need."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping


def loader(package: str, home_of: Mapping[str, str]) -> Callable[[str], object]:
    """A package's ``__getattr__``: each name by the (relative) module that has it. Raises AttributeError."""

    def load(name: str) -> object:
        module = sys.modules[package]
        home = home_of.get(name)
        if home is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name, obj=module)
        value = getattr(importlib.import_module(home, package), name)
        setattr(module, name, value)
        return value

    return load
