"""The documentation as data: its pages, their code blocks, links and headings; and a runner for the examples.

A block is run unless a comment stands directly above it:

    <!-- not run: reason -->    it cannot be run here, and why
    <!-- prints -->             below stands what was printed since the last such comment
    <!-- file: shop.py -->      it is a file, for the blocks and shell sessions (tests.docs.sessions) that follow

All Python blocks of a page share one namespace, in order, as if the page were one program. They may await
at top level.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import re
import sys
import types
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
]

FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>[^\n`]*)\n(?P<text>.*?)^(?P=indent)```$", re.DOTALL | re.MULTILINE
)
COMMENT = re.compile(r"<!-- *((?:(?!-->).)*?) *-->\s*\Z", re.DOTALL)
LINK = re.compile(r"(?<!!)\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)


@dataclass
class Block:
    """A fenced block: its language, its text, the comment above it, and the line its text begins on."""

    language: str
    text: str
    comment: str
    line: int

    @property
    def reason(self) -> str | None:
        """Why it is not run; None if it is."""
        return self.comment.removeprefix("not run:").strip() if self.comment.startswith("not run:") else None

    @property
    def file(self) -> str | None:
        """The file that it is, in the folder where the page's program or session runs."""
        return self.comment.removeprefix("file:").strip() if self.comment.startswith("file:") else None


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a page."""
    found = []
    for match in FENCE.finditer(text):
        comment = COMMENT.search(text[: match.start()])
        line = text.count("\n", 0, match.start("text")) + 1
        found.append(Block(match["language"].strip(), match["text"], comment[1] if comment else "", line))
    return found


def prose(text: str) -> str:
    """A page without its blocks and code spans, where links live."""
    return re.sub(r"`[^`\n]*`", "`…`", FENCE.sub("", text))


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as code hosts make them."""
    made = set()
    for heading in HEADING.findall(FENCE.sub("", text)):
        plain = re.sub(r"[^\w\- ]", "", heading.lower().replace("`", ""))
        made.add(plain.strip().replace(" ", "-"))
    return made


def run(page: Path) -> None:
    """Run a page's examples in this process and check what they print. Raises AssertionError."""
    module = types.ModuleType(page.stem.lower())
    sys.modules[module.__name__] = module
    printed = io.StringIO()
    with asyncio.Runner() as runner:
        for block in blocks(page.read_text(encoding="utf-8")):
            if block.file:
                Path(block.file).write_text(block.text, encoding="utf-8")
            elif block.language == "python" and block.reason is None:
                _run_block(block, page, module, printed, runner)
            elif block.comment == "prints":
                assert printed.getvalue() == block.text, (
                    f"{page.name}:{block.line} says\n{block.text}\nbut printed was\n{printed.getvalue()}"
                )
                printed.seek(0)
                printed.truncate()


def _run_block(
    block: Block, page: Path, module: types.ModuleType, printed: io.StringIO, runner: asyncio.Runner
) -> None:
    source = "\n" * (block.line - 1) + block.text  # so that a traceback names the page's own line
    code = compile(source, str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    with contextlib.redirect_stdout(printed):
        result = eval(code, vars(module))
        if inspect.iscoroutine(result):
            runner.run(result)


if __name__ == "__main__":
    run(Path(sys.argv[1]))
