"""Diagrams as SVG: one file, no script, no font, nothing loaded from elsewhere."""

from .paint import to_svg

__all__ = ["to_svg"]
