"""The public names: what each module's `__all__` offers, where docs/api/ has it, and whether it says what it is."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import griffe

from tests.docs.pages import ROOT

SRC = ROOT / "src"
API = ROOT / "docs" / "api"
DIRECTIVE = re.compile(r"^::: (\S+)$", re.MULTILINE)

# Modules whose `__all__` is for the house itself.
INTERNAL = {
    "amends.cli.doctor": "what the command `doctor` prints",
    "amends.drawing.svg": "reached through `render`",
    "amends.drawing.svg.paint": "reached through `render`",
    "amends.kernel.loop": "replaces asyncio's names inside sagas",
    "amends.participants.http.library": "the HTTP library, wherever it comes from",
    "amends.store.sqlite": "reached through `amends.store`",
}

# What users hold in their hands without importing it.
REACHED = ["amends.definition.compensation.Compensation", "amends.engine.sync.Sync"]


def offers() -> dict[str, list[str]]:
    """What each module of amends offers."""
    found = {}
    for path in sorted(SRC.rglob("*.py")):
        module = ".".join(path.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__")
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                found[module] = list(ast.literal_eval(node.value))
    return found


def public() -> list[str]:
    """Each public name, dotted."""
    offered = [
        f"{module}.{name}" for module, names in offers().items() if module not in INTERNAL for name in names
    ]
    return offered + REACHED


def placed(folder: Path = API) -> list[str]:
    """Each name that the pages of the API have, as often as they have it."""
    return [
        name for page in sorted(folder.glob("*.md")) for name in DIRECTIVE.findall(page.read_text("utf-8"))
    ]


@functools.cache
def load(package: str = "amends", source: Path = SRC) -> griffe.Object | griffe.Alias:
    """The code as griffe (and so the site) reads it."""
    return griffe.load(package, search_paths=[str(source)], resolve_aliases=True)


def defined(name: str, tree: griffe.Object | griffe.Alias) -> griffe.Object:
    """What a dotted name stands for, wherever it is defined."""
    found = tree[name.partition(".")[2]]
    return found.final_target if isinstance(found, griffe.Alias) else found


def silent(name: str, target: griffe.Object) -> Iterator[str]:
    """The name, and its methods and properties, if they say nothing about themselves."""
    if not target.docstring:
        yield name
    if isinstance(target, griffe.Class):
        for inner, member in target.members.items():
            described = member.is_function or "property" in member.labels
            if inner[0] != "_" and described and not member.docstring and not _inherited(target, inner):
                yield f"{name}.{inner}"


def _inherited(cls: griffe.Class, name: str) -> bool:
    return any(name in base.members and base.members[name].docstring for base in cls.mro())


def complaints(folder: Path = API) -> list[str]:
    """What is wrong with the pages of the API, one line each."""
    tree, offered, have = load(), public(), placed(folder)
    shown = {defined(name, tree).path for name in have if name in offered}
    missing = [name for name in offered if defined(name, tree).path not in shown]
    return [
        *(f"{name} is not in docs/api: add `::: {name}` where it belongs" for name in missing),
        *(f"{name} is in docs/api, but not public" for name in have if name not in offered),
        *(f"{name} is in docs/api more than once" for name in sorted(set(have)) if have.count(name) > 1),
        *(
            f"{said} has no docstring: say what it is, units, errors"
            for name in offered
            for said in silent(name, defined(name, tree))
        ),
    ]
