"""docs/checks.md says of every rule what the rule says, and its examples are wrong and right as told."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from amends.checks import RULES, examine
from tests.docs.pages import ROOT, blocks

PAGE = ROOT / "docs" / "checks.md"
TEXT = PAGE.read_text(encoding="utf-8")
SECTIONS = {
    match[1]: (match[2], match[3])
    for match in re.finditer(r"^### (AM\d+) (\S+)\n(.*?)(?=^##|\Z)", TEXT, re.DOTALL | re.MULTILINE)
}
PRELUDE = next(block.text for block in blocks(TEXT) if block.comment == "right")


def codes(program: str, folder: Path) -> set[str]:
    path = folder / "program.py"
    path.write_text(f"{PRELUDE}\n\n{program}", encoding="utf-8")
    report = examine([str(path)])
    assert report.problems == []
    return {finding.code for finding in report.findings}


def test_every_rule_has_its_section_in_order() -> None:
    assert list(SECTIONS) == list(RULES)


@pytest.mark.parametrize("code", RULES)
def test_a_rule_is_explained_and_shown(code: str, tmp_path: Path) -> None:
    rule = RULES[code]
    name, section = SECTIONS[code]
    said = " ".join(section.split())
    assert name == rule.name
    assert f"**{rule.title}** ({rule.severity}). {rule.why} To do: {rule.hint}." in said
    wrong, right = blocks(section)
    assert (wrong.comment, right.comment) == ("not run: wrong on purpose", "right")
    assert codes(wrong.text, tmp_path) == {code}
    assert codes(right.text, tmp_path) == set()
