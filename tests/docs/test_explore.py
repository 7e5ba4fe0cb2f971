"""docs/explore.md lists every kind of fault and every finding as the program has them."""

from __future__ import annotations

import re

from amends.testing.explore import CAUSES, KINDS
from tests.docs.pages import ROOT

PAGE = ROOT / "docs" / "explore.md"


def faults() -> str:
    return "\n".join(
        ["| fault | meaning |", "|---|---|", *(f"| `{k.name}` | {k.text} |" for k in KINDS.values())]
    )


def findings() -> str:
    rows = [
        f"| `{code}` | {c.text.format(step='*step*', other='*other*')} | "
        f"{c.advice.format(step='*step*', short='*step*', other='*other*')} |"
        for code, c in CAUSES.items()
    ]
    return "\n".join(["| finding | what is wrong | what to do |", "|---|---|---|", *rows])


def filled(text: str) -> str:
    for name, table in (("faults", faults()), ("findings", findings())):
        begin, end = f"<!-- table of {name}: begin -->", f"<!-- table of {name}: end -->"
        pattern = re.compile(f"({re.escape(begin)}\n).*?({re.escape(end)})", re.DOTALL)
        text = pattern.sub(lambda match, table=table: match[1] + table + "\n" + match[2], text)
    return text


def test_the_tables_are_those_of_the_program() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == filled(text)


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
