"""The shape of the house as a test: sizes, docstrings, nothing unfinished, nothing swallowed.

The rules stand in `complaints`, which takes a text, so that the second half of this page can show that
each of them does complain.
"""

from __future__ import annotations

import ast
import functools
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

import amends

SRC = Path(__file__).parents[2] / "src" / "amends"
FILES = sorted(path for path in SRC.rglob("*") if path.suffix in {".py", ".sql"})

MAX_FILE = 500
MAX_FUNCTION = 60
MAX_METHODS = 15

Function = ast.FunctionDef | ast.AsyncFunctionDef


def complaints(name: str, text: str) -> list[str]:
    """What is untidy in a file's text, one line each: where, what, and what to do about it."""
    found = list(_about_text(name, text))
    if name.endswith(".py"):
        tree = ast.parse(text, name)
        if not ast.get_docstring(tree):
            found.append(f"{name}:1 has no module docstring: say in a line what the module is for")
        for node in ast.walk(tree):
            found += [f"{name}:{said}" for said in _about_node(node)]
    return found


def _about_text(name: str, text: str) -> Iterator[str]:
    lines = text.splitlines()
    if len(lines) > MAX_FILE:
        yield f"{name} has {len(lines)} lines, allowed are {MAX_FILE}: split it where it has two subjects"
    for number, line in enumerate(lines, 1):
        if mark := re.search(r"\b(TODO|FIXME)\b", line):
            yield f"{name}:{number} says {mark[0]}: do it, or open an issue and remove the line"


def _about_node(node: ast.AST) -> Iterator[str]:
    if isinstance(node, Function) and (size := _size(node)) > MAX_FUNCTION:
        yield (
            f"{node.lineno} function {node.name} has {size} lines, allowed are {MAX_FUNCTION}"
            " (without its docstring): give its parts names"
        )
    elif isinstance(node, ast.ClassDef) and (count := _public_methods(node)) > MAX_METHODS:
        yield (
            f"{node.lineno} class {node.name} has {count} public methods, allowed are {MAX_METHODS}:"
            " it has two jobs, make two classes"
        )
    elif isinstance(node, ast.Call) and _swallows(node):
        yield (
            f"{node.lineno} suppresses every exception: name the one that is expected,"
            " or catch it, record it and go on"
        )


def _size(function: Function) -> int:
    size = (function.end_lineno or 0) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function, clean=False) is not None:
        size -= (first.end_lineno or 0) - first.lineno + 1
    return size


def _public_methods(cls: ast.ClassDef) -> int:
    return len({item.name for item in cls.body if isinstance(item, Function) and item.name[0] != "_"})


def _swallows(call: ast.Call) -> bool:
    """`contextlib.suppress(Exception)`: the silent except that ruff does not see."""
    return ast.unparse(call.func).endswith("suppress") and any(
        ast.unparse(argument) in {"Exception", "BaseException"} for argument in call.args
    )


def undocumented(module: object) -> list[str]:
    """What a user can reach through the module's `__all__` and would find without an explanation."""
    found = []
    for name in getattr(module, "__all__", ["__all__"]):
        value = getattr(module, name, None)
        if value is None:
            found.append(f"amends.{name} does not exist: define it, or take it out of __all__")
        elif inspect.isclass(value) or inspect.isroutine(value):
            silent = [name] if not _docstring(value) else []
            silent += [f"{name}.{method}" for method in _silent_methods(value)]
            found += [f"amends.{what} has no docstring: say what it does, units, errors" for what in silent]
    return found


def _docstring(value: object) -> str:
    text = inspect.cleandoc(value.__doc__ or "")
    name = getattr(value, "__name__", "")
    return "" if text.startswith(f"{name}(") else text  # what @dataclass writes by itself


def _silent_methods(cls: object) -> list[str]:
    """Public methods and properties defined in the class; the docstring of a base class counts."""
    if not inspect.isclass(cls):
        return []
    return [
        name
        for name, value in vars(cls).items()
        if name[0] != "_"
        and (inspect.isroutine(value) or isinstance(value, property | functools.cached_property))
        and not any(vars(base)[name].__doc__ for base in cls.__mro__ if name in vars(base))
    ]


# ---------------------------------------------------------------- the house


def test_there_is_something_to_look_at() -> None:
    assert any(path.name == "errors.py" for path in FILES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(SRC).as_posix())
def test_file_is_tidy(path: Path) -> None:
    found = complaints(path.relative_to(SRC.parents[1]).as_posix(), path.read_text(encoding="utf-8"))
    assert not found, "\n" + "\n".join(found)


def test_public_names_are_documented() -> None:
    found = undocumented(amends)
    assert not found, "\n" + "\n".join(found)


# ---------------------------------------------------------------- the rules can fail


def function(lines: int, docstring: int = 0, prefix: str = "") -> str:
    """Source of a function with so many lines, plus those of its docstring."""
    doc = ['    """Says.' + "\n" * (docstring - 1) + '    """'] if docstring else []
    return "\n".join([f"{prefix}def long():", *doc, *["    pass"] * (lines - 1)])


def methods(count: int, name: str = "method") -> str:
    return "class Wide:\n" + "".join(f"    def {name}_{i}(self): ...\n" for i in range(count))


GOOD = '"""A module."""\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\n", "bad.py:1 has no module docstring"),
        (GOOD + "x = 1\n" * 500, "bad.py has 501 lines"),
        (GOOD + function(61), "bad.py:2 function long has 61 lines"),
        (GOOD + function(61, docstring=9), "bad.py:2 function long has 61 lines"),
        (GOOD + function(61, prefix="async "), "bad.py:2 function long has 61 lines"),
        (GOOD + methods(16), "bad.py:2 class Wide has 16 public methods"),
        (GOOD + "# TODO: later\n", "bad.py:2 says TODO"),
        (GOOD + "def f():\n    '''FIXME'''\n", "bad.py:3 says FIXME"),
        (GOOD + "with suppress(Exception): pass\n", "bad.py:2 suppresses every exception"),
        (GOOD + "with contextlib.suppress(KeyError, BaseException): pass\n", "bad.py:2 suppresses every"),
    ],
)
def test_untidy_is_found(text: str, said: str) -> None:
    found = complaints("bad.py", text)
    assert len(found) == 1
    assert found[0].startswith(said)


def test_untidy_sql_is_found() -> None:
    assert complaints("bad.sql", "-- TODO: index\n") == [
        "bad.sql:1 says TODO: do it, or open an issue and remove the line"
    ]


@pytest.mark.parametrize(
    "text",
    [
        GOOD + "x = 1\n" * 499,
        GOOD + function(60, docstring=200),
        GOOD + methods(15),
        GOOD + methods(40, name="_private"),
        GOOD + "with suppress(KeyError): pass\n",
        GOOD + "todos = [1]\n",
    ],
)
def test_tidy_is_left_alone(text: str) -> None:
    assert complaints("good.py", text) == []


def test_undocumented_names_are_found() -> None:
    def plain() -> None: ...

    def documented() -> None:
        """Said."""

    class Generated:
        __doc__ = "Generated(x: int)"

    class Quiet:
        """Said, but its methods are not."""

        def said(self) -> None:
            """Said."""

        def unsaid(self) -> None: ...

        @property
        def value(self) -> int:
            return 1

        def _own(self) -> None: ...

    class Inherits(Quiet):
        """A docstring of the base class is enough."""

        def said(self) -> None: ...

    module = SimpleNamespace(__all__=[*locals(), "gone"], **locals())
    assert [said.split()[0] for said in undocumented(module)] == [
        "amends.plain",
        "amends.Generated",
        "amends.Quiet.unsaid",
        "amends.Quiet.value",
        "amends.gone",
    ]
    assert undocumented(SimpleNamespace()) != []
