"""What a fixture expects: ``# expect: AM101`` at the end of a line, once for each finding that begins on it.

A fixture is a file, or a folder of files that belong together.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from amends.checks import RULES, Finding

FIXTURES = Path(__file__).parent / "fixtures"
_EXPECT = re.compile(r"# expect: ((?:AM\d+ ?)+)")

Expected = Counter[tuple[str, int, str]]


def fixtures(kind: str) -> list[Path]:
    """The fixtures that are `wrong`, or `right`."""
    return sorted(path for path in (FIXTURES / kind).iterdir() if path.name != "__pycache__")


def sources(fixture: Path) -> list[Path]:
    """Its files."""
    return sorted(fixture.rglob("*.py")) if fixture.is_dir() else [fixture]


def expected(fixture: Path, *, loaded: bool = True) -> Expected:
    """Files, lines and codes; without those that need the imported module, if it is not."""
    found: Expected = Counter()
    for path in sources(fixture):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            for match in _EXPECT.finditer(line):
                codes = [code for code in match[1].split() if loaded or not RULES[code].loaded]
                found.update((path.name, number, code) for code in codes)
    return found


def found(findings: Iterable[Finding]) -> Expected:
    """Findings in the same form."""
    return Counter((Path(each.path).name, each.line, each.code) for each in findings)
