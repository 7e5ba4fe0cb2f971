"""From a diagram to text, by the name of a format."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import UnknownName, did_you_mean
from .diagram import Diagram
from .dot import to_dot
from .mermaid import to_mermaid
from .svg import to_svg

FORMATS: dict[str, Callable[[Diagram], str]] = {"mermaid": to_mermaid, "dot": to_dot, "svg": to_svg}
"""How to write a diagram, by the name of the format."""


def render(diagram: Diagram, format: str = "mermaid") -> str:
    """The diagram as text in one of `FORMATS`. Raises `UnknownName`."""
    if format not in FORMATS:
        raise UnknownName(f"there is no format {format!r}", hint=did_you_mean(format, FORMATS))
    return FORMATS[format](diagram)
