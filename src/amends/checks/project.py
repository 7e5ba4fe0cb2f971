"""The modules that can be looked into: the targets, and whatever lies beside them.

A file's *root* is the folder from which its top package is importable: the first folder upwards
without an ``__init__.py``.  Modules under the roots of the targets are read when something refers to them,
so that calls can be followed into helpers; other libraries are only known by name.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from ..errors import AmendsError
from .finding import Problem
from .source import Function, Module

SKIPPED = {"__pycache__", "node_modules", "site-packages", "build", "dist", "venv"}


class CannotCheck(AmendsError):
    """A target of the static checks does not exist, or is not Python."""

    code = "cannot_check"


class Project:
    """Modules by name, read on demand."""

    def __init__(self) -> None:
        self.roots: list[Path] = []
        self.modules: dict[str, Module | None] = {}
        self.problems: list[Problem] = []
        self._by_path: dict[Path, Module | None] = {}

    def add(self, paths: list[Path]) -> list[Module]:
        """The modules of these files, which have different names (see `groups`)."""
        for path in paths:
            root = root_of(path)
            if root not in self.roots:
                self.roots.append(root)
        return [module for path in paths if (module := self.read(path)) is not None]

    def read(self, path: Path) -> Module | None:
        """The module of a file; None (and a problem) if it cannot be parsed."""
        real = path.resolve()
        if real in self._by_path:
            return self._by_path[real]
        self._by_path[real] = None
        try:
            module = Module(module_name(path), path, path.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError, OSError, RecursionError) as error:
            said = error.msg if isinstance(error, SyntaxError) else str(error)
            line = (error.lineno or 0) if isinstance(error, SyntaxError) else 0
            self.problems.append(Problem(path.as_posix(), f"cannot be read as Python: {said}", line=line))
            return None
        self._by_path[real] = module
        self.modules.setdefault(module.name, module)
        return module

    def module(self, name: str) -> Module | None:
        """The module of that dotted name, if it lies under a root (amends itself is known by name)."""
        if name not in self.modules:
            self.modules[name] = None
            ours = name.partition(".")[0] == "amends" and not name.startswith("amends.demo")
            for root in () if ours else self.roots:
                place = root.joinpath(*name.split("."))
                for path in (place.with_suffix(".py"), place / "__init__.py"):
                    if name and path.is_file():
                        self.modules[name] = self.read(path)
                        return self.modules[name]
        return self.modules[name]

    def split(self, dotted: str) -> tuple[Module, str] | None:
        """The module that a dotted name begins with, and the rest."""
        parts = dotted.split(".")
        for cut in range(len(parts) - 1, 0, -1):
            module = self.module(".".join(parts[:cut]))
            if module is not None:
                return module, ".".join(parts[cut:])
        return None

    def function(self, dotted: str) -> Function | None:
        """The function of that dotted name (as `Resolver` gives it)."""
        place = self.split(dotted)
        return None if place is None else place[0].functions.get(place[1])


def files(target: str) -> list[Path]:
    """The Python files of a target: a file, a folder, or the dotted name of a module or package.

    Raises `CannotCheck`.
    """
    found = [path for path in _files(target) if path.suffix == ".py"]
    if not found:
        raise CannotCheck(f"{target} holds no Python file", hint="name a module, a file or a folder")
    return found


def groups(paths: list[Path]) -> list[list[Path]]:
    """Files that can be one program: no two of a group are importable by the same name.

    So a folder of small programs that each have an `app.py` is checked program by program.
    """
    made: list[dict[str, Path]] = []
    roots: dict[Path, dict[str, Path]] = {}
    names: dict[Path, set[str]] = {}
    for path in paths:
        names.setdefault(root_of(path), set()).add(module_name(path))
    for root, known in names.items():
        group = next((each for each in made if not known & set(each)), None)
        if group is None:
            made.append(group := {})
        group.update(dict.fromkeys(known, root))
        roots[root] = group
    return [[path for path in paths if roots[root_of(path)] is group] for group in made]


def _files(target: str) -> list[Path]:
    path = Path(target)
    if path.is_dir():
        return sorted(p for p in path.rglob("*.py") if not _skipped(p.relative_to(path)))
    if path.exists():
        return [path]
    if path.suffix == ".py" or "/" in target or "\\" in target:
        raise CannotCheck(f"no file or folder {target}", hint="paths count from the current folder")
    return _files_of_module(target)


def _files_of_module(name: str) -> list[Path]:
    local = Path(*name.split("."))
    for path in (local.with_suffix(".py"), local):
        if path.exists():
            return _files(str(path))
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError) as error:
        raise CannotCheck(f"no module {name}: {error}", hint=_WHERE) from error
    if spec is None:
        raise CannotCheck(f"no module {name}", hint=_WHERE)
    if spec.submodule_search_locations:
        return [p for folder in spec.submodule_search_locations for p in _files(folder)]
    if spec.origin is None or not spec.origin.endswith(".py"):
        raise CannotCheck(f"the module {name} has no source", hint="only Python source can be checked")
    return [Path(spec.origin)]


_WHERE = "name it as a worker imports it, or give its file"


def _skipped(path: Path) -> bool:
    return any(part.startswith(".") or part in SKIPPED for part in path.parts)


def root_of(path: Path) -> Path:
    """The folder from which the file's top package is importable."""
    folder = path.resolve().parent
    while (folder / "__init__.py").exists() and folder.parent != folder:
        folder = folder.parent
    return folder


def module_name(path: Path) -> str:
    """The dotted name under which a file is importable from its root."""
    inside = path.resolve().relative_to(root_of(path)).with_suffix("")
    parts = inside.parts[:-1] if inside.name == "__init__" else inside.parts
    return ".".join(parts)
