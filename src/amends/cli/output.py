"""Where output goes: results to stdout, notes and errors to stderr; text for people, JSON for programs.

People's text follows the terminal: its width, its colours (none with NO_COLOR, or when piped).  Piped text is
never cut to a width.
"""

from __future__ import annotations

import sys
from typing import Any, TextIO

import msgspec
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment
from rich.text import Text
from rich.theme import Theme

_WIDE = 10_000  # nothing is cut or wrapped when nobody watches
_CONTROLS = {code: "\ufffd" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}
_encode = msgspec.json.Encoder().encode

THEME = Theme(
    {
        "completed": "green",
        "running": "cyan",
        "compensating": "yellow",
        "compensated": "yellow",
        "partially_compensated": "magenta",
        "attention": "bold red",
        "terminated": "red",
        "good": "green",
        "bad": "bold red",
        "careful": "yellow",
        "quiet": "dim",
        "type": "cyan",
    }
)


class Output:
    """Both consoles, and whether a program reads."""

    def __init__(self, *, json: bool) -> None:
        self.json = json
        self.out = _console(sys.stdout)
        self.err = _console(sys.stderr)

    @property
    def live(self) -> bool:
        """Is there a terminal on which text may be redrawn?"""
        return not self.json and self.out.is_terminal and not self.out.is_dumb_terminal

    def show(self, *renderables: RenderableType) -> None:
        """Print for people."""
        if self.out.is_terminal:
            for renderable in renderables:
                self.out.print(Harmless(renderable))
            return
        with self.out.capture() as captured:
            for renderable in renderables:
                self.out.print(Harmless(renderable))
        for line in captured.get().splitlines():
            self.out.file.write(line.rstrip() + "\n")

    def data(self, value: Any) -> None:
        """Print one JSON object on a line of its own, at once."""
        self.out.file.write(_encode(value).decode() + "\n")
        self.out.file.flush()

    def note(self, text: str, style: str = "") -> None:
        """Tell something beside the result. Programs are spared."""
        if not self.json:
            self.err.print(Harmless(Text(text, style=style)))


class Harmless:
    """What is shown, without control characters: ids and errors of others must not steer a terminal."""

    def __init__(self, shown: RenderableType) -> None:
        self._shown = shown

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self._shown, options):
            yield Segment(segment.text.translate(_CONTROLS), segment.style, segment.control)


def _console(file: TextIO) -> Console:
    terminal = file.isatty()
    return Console(
        file=file,
        theme=THEME,
        highlight=False,
        markup=False,
        emoji=False,
        width=None if terminal else _WIDE,
    )


def tell_error(told: dict[str, Any], *, json: bool) -> None:
    """An error on stderr: one JSON object, or message and hint."""
    if json:
        sys.stderr.write(_encode({"error": told}).decode() + "\n")
        return
    console = _console(sys.stderr)
    text = Text.assemble(("error: ", "bad"), str(told["message"]))
    if told["hint"]:
        text.append(f"\n  → {told['hint']}")
    console.print(Harmless(text))
