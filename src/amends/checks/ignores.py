"""Comments that switch findings off: for a line, or for a file.

    # amends: ignore[AM101] reads only       findings that begin on this line, or in this definition's head
    # amends: ignore[AM101, AM3] …           on a line of its own: for the next line of code
    # amends: ignore-file[AM601] …           for the file
    # amends: ignore …                       every rule

What follows is the reason.  A comment that switches nothing off is itself a finding (AM901).
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator

from .catalogue import RULES, matching
from .context import say
from .finding import Finding
from .source import FunctionNode, Module, first_line

_COMMENT = re.compile(r"#\s*amends:\s*ignore(?P<file>-file)?\b\s*(?:\[(?P<codes>[^\]]*)\])?")


class Ignore:
    """One comment. `lines`: where findings begin that it switches off (None: anywhere in the file)."""

    def __init__(
        self, module: Module, line: int, column: int, text: str, lines: set[int] | None, codes: list[str]
    ) -> None:
        self.module = module
        self.node = ast.Pass(
            lineno=line, col_offset=column, end_lineno=line, end_col_offset=column + len(text.encode())
        )
        self.lines = lines
        self.codes = codes
        self.used: set[str] = set()

    def takes(self, finding: Finding) -> bool:
        """Does it switch this finding off?"""
        if self.lines is not None and finding.line not in self.lines:
            return False
        hit = [code for code in self.codes if finding.code.startswith(code)]
        self.used.update(hit)
        return bool(hit)

    def complaints(self, active: set[str]) -> Iterator[Finding]:
        """AM901, for each code that did nothing although a rule of that code was asked."""
        for code in self.codes:
            if code and not matching([code]):
                yield say("AM901", self.module, self.node, f"there is no rule {code}")
            elif code not in self.used and any(matched in active for matched in matching([code or "ALL"])):
                message = f"nothing here for {code} to ignore" if code else "nothing here to ignore"
                yield say("AM901", self.module, self.node, message)


def ignores(module: Module) -> list[Ignore]:
    """The comments of a file."""
    if "amends:" not in module.text:
        return []
    heads = _heads(module)
    return [
        Ignore(module, line, column, text, lines, codes)
        for line, column, text, lines, codes in _comments(module, heads)
    ]


def _comments(
    module: Module, heads: dict[int, set[int]]
) -> Iterator[tuple[int, int, str, set[int] | None, list[str]]]:
    for token in tokenize.generate_tokens(io.StringIO(module.text).readline):
        match = _COMMENT.match(token.string) if token.type == tokenize.COMMENT else None
        if match is None:
            continue
        line, column = token.start
        codes = [code.strip() for code in (match["codes"] or "").split(",")]
        own_line = not module.lines[line - 1][:column].strip()
        at = _next_code(module, line) if own_line else line
        lines = None if match["file"] else heads.get(at, {at})
        yield line, len(module.lines[line - 1][:column].encode()), token.string, lines, codes


def _next_code(module: Module, line: int) -> int:
    for number in range(line, len(module.lines)):
        text = module.lines[number].strip()
        if text and not text.startswith("#"):
            return number + 1
    return line


def _heads(module: Module) -> dict[int, set[int]]:
    """Lines that belong together: of a definition's head, and of a statement over several lines."""
    found: dict[int, set[int]] = {}
    for node in ast.walk(module.tree):
        if isinstance(node, FunctionNode | ast.ClassDef):
            lines = set(range(first_line(node), max(node.lineno + 1, node.body[0].lineno)))
        elif isinstance(node, ast.stmt) and not hasattr(node, "body"):
            lines = set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
        else:
            continue
        for line in lines:
            if len(lines) > 1:
                found[line] = lines
    return found


def apply(
    findings: Iterable[Finding], read: Iterable[Module], targets: Iterable[Module], active: set[str]
) -> list[Finding]:
    """The findings that are left in the modules that were read, with those about the comments of targets."""
    by_path = {module.path.as_posix(): ignores(module) for module in read}
    left = [f for f in findings if not [i for i in by_path.get(f.path, ()) if i.takes(f)]]
    if "AM901" in active:
        for module in targets:
            for comment in by_path[module.path.as_posix()]:
                left += comment.complaints(active & set(RULES))
    return left
