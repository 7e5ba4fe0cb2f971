"""The table of error codes in docs/errors.md, made from the classes.

``python -m tests.docs.errors_table`` writes it.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re

import amends
from amends.errors import AmendsError
from tests.docs.pages import ROOT

BEGIN, END = "<!-- table of errors: begin -->", "<!-- table of errors: end -->"


def errors() -> list[type[AmendsError]]:
    """Every class with a code of its own, wherever it is defined, in alphabetical order of codes."""
    for module in pkgutil.walk_packages(amends.__path__, "amends."):
        if not module.name.startswith("amends.demo") and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found: list[type[AmendsError]] = []
    waiting: list[type[AmendsError]] = [AmendsError]
    while waiting:
        error = waiting.pop()
        waiting.extend(error.__subclasses__())
        if error.__module__.startswith("amends.") and "code" in vars(error) and error not in found:
            found.append(error)
    return sorted(found, key=lambda error: error.code)


def table() -> str:
    """The table: code, class, meaning."""
    rows = ["| code | class | meaning |", "|---|---|---|"]
    for error in errors():
        public = getattr(amends, error.__name__, None) is error
        place = "amends" if public else error.__module__
        text = inspect.cleandoc(error.__doc__ or "").split("\n\n")[0].replace("\n", " ").replace("|", r"\|")
        rows.append(f"| `{error.code}` | `{place}.{error.__name__}` | {text} |")
    return "\n".join(rows)


def fill(text: str) -> str:
    """The page with the table in its place."""
    pattern = re.compile(f"({re.escape(BEGIN)}\n).*?({re.escape(END)})", re.DOTALL)
    assert pattern.search(text), f"the page lacks {BEGIN} … {END}"
    return pattern.sub(lambda match: match[1] + table() + "\n" + match[2], text)


if __name__ == "__main__":
    page = ROOT / "docs" / "errors.md"
    page.write_text(fill(page.read_text(encoding="utf-8")), encoding="utf-8")
