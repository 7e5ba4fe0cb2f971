"""Loading the module that holds the sagas (``app``, ``app:place_order``, ``shop.sagas:engine``)."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from ..definition.saga import Saga
from ..definition.signal import Signal
from ..dialects.graph import Graph
from ..engine.engine import Engine
from ..errors import did_you_mean
from .exits import Problem
from .resolve import Settings, settings

EXAMPLE = "for example: amends worker app, where app.py holds your sagas"


class App(msgspec.Struct, frozen=True):
    """A loaded module: what was named in it, and what it offers."""

    name: str
    module: ModuleType
    target: Any
    sagas: dict[str, Saga[..., Any]]
    signals: dict[str, Signal[Any]]
    engine: Engine | None

    def saga(self, wanted: str) -> Saga[..., Any]:
        """The saga that was named. Raises `Problem` with those that are there."""
        if isinstance(self.target, Saga):
            return self.target
        if isinstance(self.target, Graph):
            return self.target.saga
        known = ", ".join(f"{self.name}:{name}" for name in self.sagas) or "none"
        if self.target is None:
            raise Problem(f"{wanted} names no saga", hint=f"sagas of {self.name}: {known}")
        kind = type(self.target).__name__
        raise Problem(f"{wanted} is a {kind}, not a saga", hint=f"sagas of {self.name}: {known}")


def load(given: str | None) -> App:
    """Import the module that the option, AMENDS_APP or pyproject.toml names. Raises `Problem`."""
    found = load_if_named(given)
    if found is None:
        raise Problem(
            "no module is named", hint=f'{EXAMPLE}; or set AMENDS_APP, or [tool.amends] app = "app"'
        )
    return found


def load_if_named(given: str | None) -> App | None:
    """The same; None when nobody names one."""
    found = settings()
    spec = given or os.environ.get("AMENDS_APP") or found.app
    return _load(spec, found) if spec else None


def _load(spec: str, found: Settings) -> App:
    name, colon, attribute = spec.partition(":")
    if name.endswith(".py") or "/" in name or not name or (colon and not attribute):
        better = name.removesuffix(".py").strip("./").replace("/", ".") or "app"
        raise Problem(
            f"{spec!r} is no module",
            hint=f"write {better}{colon}{attribute}; folders become dots, without .py",
        )
    _make_importable(found)
    module = _import(name)
    contents = vars(module)
    sagas = {key: value for key, value in contents.items() if isinstance(value, Saga)}
    sagas |= {key: value.saga for key, value in contents.items() if isinstance(value, Graph)}
    signals = {value.name: value for value in contents.values() if isinstance(value, Signal)}
    target = _attribute(module, name, attribute, sagas) if attribute else None
    engines = [value for value in contents.values() if isinstance(value, Engine)]
    if isinstance(target, Engine):
        engines = [target]
    if len(engines) > 1 and target is None:
        names = [key for key, value in contents.items() if isinstance(value, Engine)]
        raise Problem(f"{name} holds {len(engines)} engines", hint=" or ".join(f"{name}:{n}" for n in names))
    return App(name, module, target, sagas, signals, engines[0] if len(engines) == 1 else None)


def _make_importable(found: Settings) -> None:
    folders = [Path.cwd()]
    if found.folder is not None:
        folders += [found.folder, found.folder / "src"]
    for folder in reversed(folders):
        if folder.is_dir() and str(folder) not in sys.path:
            sys.path.insert(0, str(folder))


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise _broken(name, error) from error
        raise Problem(
            f"there is no module {name!r} (looked in {Path.cwd()} and where Python looks)",
            hint=did_you_mean(name, _near()) or EXAMPLE,
        ) from error
    except Exception as error:
        raise _broken(name, error) from error


def _broken(name: str, error: Exception) -> Problem:
    """The module is there and cannot be imported: say where, without our own frames."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "importlib" not in f.filename]
    where = f" (line {frames[-1].lineno} of {frames[-1].filename})" if frames else ""
    return Problem(
        f"importing {name} failed: {type(error).__name__}: {error}{where}",
        hint=f"see the whole of it with: python -c 'import {name}'",
    )


def _near() -> list[str]:
    here = Path.cwd()
    packages = [p.parent.name for p in here.glob("*/__init__.py")]
    return [p.stem for p in here.glob("*.py")] + packages


def _attribute(module: ModuleType, name: str, attribute: str, sagas: dict[str, Saga[..., Any]]) -> Any:
    target: Any = module
    for part in attribute.split("."):
        if not hasattr(target, part):
            known = list(sagas) if target is module else [n for n in dir(target) if n[0] != "_"]
            hint = did_you_mean(part, known) or f"sagas there: {', '.join(sagas) or 'none'}"
            raise Problem(f"{name} has no {attribute!r}", hint=hint)
        target = getattr(target, part)
    return target
