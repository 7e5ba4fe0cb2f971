"""Columns as array literals: how the rows of a batch travel, one parameter a column.

A list given to the driver is dumped element by element, in Python: for our statement at a hundred rows that
took five times as long as one literal that is built by `join` and read by the server's own parser.

PostgreSQL's text cannot hold a NUL.  `put` writes it as two other characters and `get` reads it back, so that
every text travels (but for lone surrogates, which are no text: the driver refuses them).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

MARK = "\uffff"  # a code point that stands for no character
_BETWEEN = "\x1f"
_json = msgspec.json.Encoder().encode


def put(text: str) -> str:
    """A text as the database can hold it."""
    if "\0" in text or MARK in text:
        return text.replace(MARK, MARK + "1").replace("\0", MARK + "0")
    return text


def get(text: str) -> str:
    """A text as it was before `put`."""
    return text.replace(MARK + "0", "\0").replace(MARK + "1", MARK) if MARK in text else text


def is_text(text: str) -> bool:
    """Can it be sent at all, or has it lone surrogates?"""
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


def texts(column: Sequence[str]) -> str:
    """Texts, none of them NULL."""
    if not column:
        return "{}"
    joined = _BETWEEN.join(column)
    if "\0" in joined or MARK in joined or joined.count(_BETWEEN) != len(column) - 1:
        return maybe_texts(column)
    joined = joined.replace("\\", "\\\\").replace('"', '\\"')
    return '{"' + joined.replace(_BETWEEN, '","') + '"}'


def maybe_texts(column: Iterable[str | None]) -> str:
    """Texts, of which some may be NULL."""
    return "{" + ",".join("NULL" if text is None else _quoted(text) for text in column) + "}"


def _quoted(text: str) -> str:
    return '"' + put(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def numbers(column: Iterable[float | None]) -> str:
    """Integers or floats, of which some may be NULL. (The shortest text of a float is read back as the same.)

    As JSON, which is written ten times faster than by `repr`, but has no infinity: what it has null for may
    be that, too.
    """
    column = tuple(column)
    written = _json(column)
    if b"null" in written:
        return "{" + ",".join(["NULL" if number is None else repr(number) for number in column]) + "}"
    return "{" + written[1:-1].decode() + "}"


def truths(column: Iterable[bool]) -> str:
    """Booleans."""
    return "{" + ",".join(["t" if truth else "f" for truth in column]) + "}"
