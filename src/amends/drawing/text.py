"""Text in pictures: one line from many, shortened, and wrapped by its estimated width."""

from __future__ import annotations

import unicodedata

LONGEST = 160

_NARROW = set("iljtfI.,:;'|!()[]{}/\\\" `-r")
_WIDE = set("mwMW@%—…")


def clean(text: str, longest: int = LONGEST) -> str:
    """One line without control characters, at most so many characters."""
    shown = "".join(c if c.isprintable() else " " for c in text)
    line = " ".join(shown.split())
    return line if len(line) <= longest else f"{line[: longest - 1].rstrip()}…"


def width(text: str, size: float) -> float:
    """The estimated width of a line in a sans-serif font of that size. Rather too wide than too narrow."""
    return sum(map(_em, text)) * size


def _em(character: str) -> float:
    if character in _NARROW:
        return 0.36
    if character in _WIDE:
        return 0.95
    if unicodedata.combining(character):
        return 0.0
    if unicodedata.east_asian_width(character) in {"W", "F"}:
        return 1.05
    return 0.70 if character.isupper() else 0.58


def wrap(text: str, size: float, limit: float, lines: int) -> list[str]:
    """The text in at most so many lines of at most that width, broken between words or after ``.``,
    ``_``, ``/``.
    """
    words = _words(clean(text))
    found = [""]
    while words:
        word = words.pop(0)
        if width(found[-1] + word.rstrip(), size) <= limit:
            found[-1] += word
        elif not found[-1].strip():
            head, tail = _split(word, size, limit)
            found[-1] = head
            words.insert(0, tail)
            found.append("")
        else:
            words.insert(0, word)
            found.append("")
    found = [line.strip() for line in found if line.strip()]
    if len(found) > lines:
        rest = found[lines - 1] + "…"
        while width(rest, size) > limit and len(rest) > 2:
            rest = rest[:-2] + "…"
        found = [*found[: lines - 1], rest]
    return found or [""]


def _words(text: str) -> list[str]:
    found, word = [], ""
    for character in text:
        word += character
        if character in " ._/@→":
            found.append(word)
            word = ""
    return [*found, word] if word else found


def _split(word: str, size: float, limit: float) -> tuple[str, str]:
    head = word
    while len(head) > 1 and width(head, size) > limit:
        head = head[:-1]
    return head, word[len(head) :]
