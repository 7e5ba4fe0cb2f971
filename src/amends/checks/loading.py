"""The real definitions of a module that can be imported.

The source tells how the code flows, the objects tell what holds: options computed at run time, annotations as
types.  An object belongs to the function whose code it runs.  Importing executes the module, as a worker
does; what it prints goes to standard error.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import sys
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from ..definition.registry import REGISTRY
from ..definition.saga import Saga
from ..definition.step import Step
from ..errors import DefinitionError
from .definitions import Definition, Definitions, SagaDef, StepDef
from .finding import Problem
from .source import Function, Module


class Loaded:
    """An imported module, or why it could not be imported."""

    def __init__(self, module: Module, value: ModuleType | None, error: BaseException | None) -> None:
        self.module = module
        self.value = value
        self.error = error

    @property
    def refused(self) -> DefinitionError | None:
        """What amends itself says against a definition (in a class body, Python 3.11 wraps it)."""
        for error in (self.error, None if self.error is None else self.error.__cause__):
            if isinstance(error, DefinitionError):
                return error
        return None

    @property
    def problem(self) -> Problem | None:
        """Why it could not be imported, other than by a refused definition."""
        if self.error is None or self.refused is not None:
            return None
        said = traceback.format_exception_only(self.error)[-1].strip()
        return Problem(
            self.module.path.as_posix(),
            f"cannot be imported: {said}",
            "install what it needs, or check the source alone with --no-import",
            line=self.line,
        )

    @property
    def line(self) -> int:
        """The line of the module at which its import failed."""
        file = str(self.module.path.resolve())
        frames = traceback.extract_tb(None if self.error is None else self.error.__traceback__)
        lines = [frame.lineno or 0 for frame in frames if str(Path(frame.filename).resolve()) == file]
        return lines[-1] if lines else 0


@contextlib.contextmanager
def importing(roots: list[Path]) -> Iterator[None]:
    """Make the modules under these folders importable for a while, and forget them afterwards.

    While it lasts, the modules stay known by their names, for annotations are looked up there. Modules of a
    package that was there before stay for good: made twice, their classes would be two.  What this process
    had defined under a durable name is what that name means afterwards, too.
    """
    before, path = dict(sys.modules), list(sys.path)
    steps, sagas = dict(REGISTRY.steps), dict(REGISTRY.sagas)
    sys.path[:0] = [str(root) for root in roots]
    try:
        with warnings.catch_warnings():
            # Independent programs are loaded into one process; AM602 tells of names within one.
            warnings.filterwarnings("ignore", r"the (step|saga) name .* is that of", RuntimeWarning)
            yield
    finally:
        sys.path[:] = path
        for name, module in list(sys.modules.items()):
            file = None if name.partition(".")[0] in before else _file_of(module)
            if file is not None and "site-packages" not in file.parts and _is_under(file, roots):
                del sys.modules[name]
        sys.modules.update(before)
        REGISTRY.steps.update(steps)
        REGISTRY.sagas.update(sagas)


def _is_under(file: Path, roots: list[Path]) -> bool:
    return any(file.is_relative_to(root) for root in roots)


def load(module: Module) -> Loaded:
    """Import a module by its own name, whatever it is called elsewhere."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return Loaded(module, _import(module), None)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a module may raise anything (SystemExit, too); it is reported
        return Loaded(module, None, error)


def _import(module: Module) -> ModuleType:
    path = module.path.resolve()
    known = sys.modules.get(module.name)
    if known is not None and _file_of(known) == path:
        return known
    if known is None and all(part.isidentifier() for part in module.name.split(".")):
        found = importlib.import_module(module.name)
        if _file_of(found) == path:
            return found
    spec = importlib.util.spec_from_file_location(module.name, path)
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[module.name] = made  # another module had that name; `importing` gives it back
    spec.loader.exec_module(made)
    return made


def _file_of(module: ModuleType) -> Path | None:
    file = getattr(module, "__file__", None)
    return None if file is None else Path(file).resolve()


# ---------------------------------------------------------------- joining objects and source


def attach(loaded: Loaded, definitions: Definitions) -> None:
    """Give the definitions of a module their real objects; add those that only the objects tell of."""
    for name, value in _members(loaded.value):
        function = _function_of(value.fn, loaded.module)
        if function is None:
            continue
        known = definitions.of_function(function.node)
        if known is None:
            kind = "amends.step" if isinstance(value, Step) else "amends.saga"
            dotted = function.dotted if name == function.qualname else f"{loaded.module.name}.{name}"
            definitions.define(kind, dotted, function, None)
            known = definitions.of_function(function.node)
        if known is not None:
            _take_over(known, value)


def _members(module: ModuleType | None) -> Iterator[tuple[str, Step[..., Any] | Saga[..., Any]]]:
    """Steps and sagas at the top of a module and in its classes."""
    for name, value in vars(module).items() if module is not None else ():
        if isinstance(value, Step | Saga):
            yield name, value
        elif inspect.isclass(value) and module is not None and value.__module__ == module.__name__:
            for inner, each in vars(value).items():
                if isinstance(each, Step | Saga):
                    yield f"{name}.{inner}", each


def _function_of(fn: Any, module: Module) -> Function | None:
    code = getattr(inspect.unwrap(fn), "__code__", None)
    if code is None or Path(code.co_filename).resolve() != module.path.resolve():
        return None
    return module.by_line.get(code.co_firstlineno)


def _take_over(known: Definition, value: Step[..., Any] | Saga[..., Any]) -> None:
    options = msgspec.structs.asdict(value.options)
    options["name"] = value.name if value.explicit_name else None
    if isinstance(value, Saga):
        options["version"] = value.version
    known.options = options
    known.open_ended = False
    if (isinstance(known, StepDef) and isinstance(value, Step)) or (
        isinstance(known, SagaDef) and isinstance(value, Saga)
    ):
        known.live = value
