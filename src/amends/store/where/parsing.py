"""From text to a tree. Errors show the place, and what was probably meant.

condition  = all ("or" all)*
all        = one ("and" one)*
one        = "not" one | "(" condition ")" | field test
test       = ("=" | "!=" | "<" | "<=" | ">" | ">=" | "startswith") value
           | ["not"] "in" "(" value ("," value)* ")"
           | "is" ["not"] "null"
field      = name | "attributes" "." (name | string)
value      = string | number | "true" | "false" | "now" | ("-" | "+") duration
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import NamedTuple

from ...errors import QueryError, did_you_mean
from ..port import STATUSES
from .terms import (
    FIELDS,
    LARGEST,
    LONGEST_NAME,
    LONGEST_TEXT,
    All,
    Compare,
    Either,
    Field,
    Missing,
    Not,
    OneOf,
    Term,
)

MOST = 100
"""Values in one condition: more would be slow, and databases have limits of their own."""

MAX_DEPTH = 50
"""How deep a condition may be nested."""


class Token(NamedTuple):
    """A word of the text; `kind` is ``age``, ``number``, ``string``, ``name``, ``op`` or ``end``."""

    kind: str
    text: str
    at: int


_AGE = r"[0-9]+(?:\.[0-9]+)?(?:min|[smhdw])"
_TOKEN = re.compile(
    rf"""(?P<space>\s+)
    |(?P<age>[+-]\s*(?:{_AGE})+(?![A-Za-z0-9_]))
    |(?P<number>[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![A-Za-z_]))
    |(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<name>[^\W\d]\w*)
    |(?P<op>!=|<=|>=|[=<>().,])""",
    re.VERBOSE | re.DOTALL,
)
_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_ORDER = ("<", "<=", ">", ">=")
_TESTS = ("=", "!=", *_ORDER, "startswith", "in", "not in", "is null", "is not null")
_WORDS = frozenset({"and", "or", "not", "in", "is", "null", "true", "false", "now", "startswith"})
_SPELLINGS = {
    "&": "write `and`",
    "|": "write `or`",
    "!": "write `not`, or `!=`",
    "*": 'for ids that begin so, write: id startswith "order-"',
    "%": 'for ids that begin so, write: id startswith "order-"',
    ";": "a condition is a single one",
    '"': 'the text has no end: a second " is missing',
    "'": "the text has no end: a second ' is missing",
}


def parse(text: str, now: float) -> Term:
    """The tree of a condition; ``now`` and ages count from `now` (seconds since the epoch).

    A date without a zone is local. Raises `QueryError` with the column.
    """
    parser = _Parser(text, now)
    term = parser.condition(0)
    parser.end()
    return term


class _Parser:
    def __init__(self, text: str, now: float) -> None:
        self._text = text
        self._now = now
        self._values = 0
        self._tokens = _tokens(text)
        self._at = 0

    # ------------------------------------------------------------ structure

    def condition(self, depth: int) -> Term:
        terms = [self._all(depth)]
        while self._take("or"):
            terms.append(self._all(depth))
        return terms[0] if len(terms) == 1 else Either(tuple(terms))

    def _all(self, depth: int) -> Term:
        terms = [self._one(depth)]
        while self._take("and"):
            terms.append(self._one(depth))
        return terms[0] if len(terms) == 1 else All(tuple(terms))

    def _one(self, depth: int) -> Term:
        if depth >= MAX_DEPTH:
            raise self._wrong(self._next, f"nested deeper than {MAX_DEPTH}", "split the condition")
        if self._take("not"):
            return Not(self._one(depth + 1))
        if self._take("("):
            term = self.condition(depth + 1)
            self._need(")", "a `(` is still open")
            return term
        return self._test(self._field())

    def end(self) -> None:
        token = self._next
        if token.kind == "end":
            return
        near = did_you_mean(token.text, ["and", "or"]) if token.kind == "name" else ""
        raise self._wrong(
            token, f"nothing more expected, got {token.text!r}", near or "join conditions with `and` or `or`"
        )

    # ------------------------------------------------------------ one test

    def _field(self) -> Field:
        token = self._take_kind("name")
        known = [*FIELDS, "attributes"]
        if token is None or token.text in _WORDS:
            got = self._next if token is None else token
            hint = f"fields: {', '.join(known)}.NAME"
            raise self._wrong(got, f"a field is expected, got {_shown(got)}", hint)
        if token.text == "attributes":
            self._need(".", "attributes need a name", "for example attributes.customer")
            name = self._take_kind("name") or self._take_kind("string")
            if name is None:
                raise self._wrong(self._next, "an attribute needs a name", "for example attributes.customer")
            return self._attribute(name)
        if token.text not in FIELDS:
            near = did_you_mean(token.text, known)
            own = f"for an attribute of yours: attributes.{token.text}"
            hint = "; ".join([near or f"fields: {', '.join(known)}.NAME", own])
            raise self._wrong(token, f"there is no field {token.text!r}", hint)
        return FIELDS[token.text]

    def _attribute(self, token: Token) -> Field:
        name = _unquoted(token.text) if token.kind == "string" else token.text
        if len(name) > LONGEST_NAME or "\0" in name:
            raise self._wrong(token, f"names of attributes over {LONGEST_NAME} characters are not indexed")
        return Field(name, "any")

    def _test(self, field: Field) -> Term:
        token = self._next
        self._at += 1
        if token.kind == "op" and token.text in {"=", "!=", *_ORDER}:
            return self._compared(field, token)
        if token.text == "startswith" and token.kind == "name":
            return self._prefixed(field, token)
        if token.text == "is":
            return self._null(field)
        if token.text == "in":
            return self._one_of(field)
        if token.text == "not" and self._take("in"):
            return Not(self._one_of(field))
        near = did_you_mean(token.text, _TESTS) if token.text else ""
        raise self._wrong(
            token, f"a comparison is expected, got {_shown(token)}", near or f"one of {', '.join(_TESTS)}"
        )

    def _compared(self, field: Field, op: Token) -> Term:
        value = self._value(field)
        if op.text in {"=", "!="}:
            same = Compare(field, "=", value)
            return Not(same) if op.text == "!=" else same
        return Compare(field, op.text, value)

    def _prefixed(self, field: Field, op: Token) -> Term:
        token = self._next
        value = self._value(field, whole=False)
        if not isinstance(value, str):
            raise self._wrong(
                token if field.kind == "any" else op,
                "`startswith` is for texts",
                'for example id startswith "order-"',
            )
        return Compare(field, "startswith", value)

    def _null(self, field: Field) -> Term:
        negated = self._take("not")
        self._need("null", "`is` is followed by `null` or `not null`", "compare values with `=`")
        return Not(Missing(field)) if negated else Missing(field)

    def _one_of(self, field: Field) -> Term:
        self._need("(", "`in` is followed by values in parentheses", 'for example in ("a", "b")')
        values = [self._value(field)]
        while self._take(","):
            values.append(self._value(field))
        self._need(")", "a `(` is still open")
        return OneOf(field, tuple(values))

    # ------------------------------------------------------------ values

    def _value(self, field: Field, *, whole: bool = True) -> str | float:
        """`whole`: not only how the value begins."""
        token = self._next
        self._at += 1
        self._values += 1
        if self._values > MOST:
            raise self._wrong(token, f"more than {MOST} values in one condition", "ask in several queries")
        value = self._read(token)
        if field.kind == "time":
            return self._time(token, value)
        if token.kind == "age" or token.text == "now":
            raise self._wrong(
                token, f"{_called(field)} is no time", "times are: started, updated, finished, deadline"
            )
        if field.kind == "text" and not isinstance(value, str):
            raise self._wrong(token, f"{field.name} is a text", f'write {field.name} = "{token.text}"')
        if field.kind == "number" and isinstance(value, str):
            raise self._wrong(token, f"{field.name} is a number", f"for example {field.name} = 0")
        if whole and field == FIELDS["status"] and value not in STATUSES:
            hint = did_you_mean(str(value), STATUSES) or f"known: {', '.join(STATUSES)}"
            raise self._wrong(token, f"no status is called {value!r}", hint)
        return value

    def _read(self, token: Token) -> str | float:
        if token.kind == "string":
            value = _unquoted(token.text)
            if len(value) > LONGEST_TEXT or "\0" in value:
                raise self._wrong(
                    token,
                    f"texts over {LONGEST_TEXT} characters are not indexed",
                    "compare with `startswith`",
                )
            return value
        if token.kind == "number":
            number = float(token.text)
            if not -LARGEST <= number <= LARGEST:
                raise self._wrong(token, "the number is too large")
            return number
        if token.kind == "age":
            return self._now + _age(token.text)
        if token.text in {"true", "false"}:
            return float(token.text == "true")
        if token.text == "now":
            return self._now
        if token.text == "null":
            raise self._wrong(token, "nothing equals null", "write `is null` or `is not null`")
        hint = (
            f'texts stand in quotes: "{token.text}"'
            if token.kind == "name"
            else "a text, a number, true, false, now or -2h"
        )
        raise self._wrong(token, f"a value is expected, got {_shown(token)}", hint)

    def _time(self, token: Token, value: str | float) -> float:
        if token.kind == "age" or token.text == "now":
            return float(value)
        try:
            return datetime.fromisoformat(str(value)).astimezone().timestamp()
        except (ValueError, OverflowError, OSError) as error:
            raise self._wrong(
                token,
                f"{token.text} is no time",
                'write now, -2h, -30min, "2026-11-25" or "2026-11-25T03:00+01:00"',
            ) from error

    # ------------------------------------------------------------ tokens

    @property
    def _next(self) -> Token:
        return self._tokens[min(self._at, len(self._tokens) - 1)]

    def _take(self, text: str) -> bool:
        token = self._next
        if token.text == text and token.kind in {"name", "op"}:
            self._at += 1
            return True
        return False

    def _take_kind(self, kind: str) -> Token | None:
        token = self._next
        if token.kind != kind:
            return None
        self._at += 1
        return token

    def _need(self, text: str, reason: str, hint: str = "") -> None:
        if not self._take(text):
            raise self._wrong(self._next, reason, hint or f"`{text}` is expected here")

    def _wrong(self, token: Token, reason: str, hint: str = "") -> QueryError:
        return QueryError(self._text, token.at, reason, hint)


def _tokens(text: str) -> list[Token]:
    found = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise QueryError(text, at, f"{text[at]!r} is not expected here", _SPELLINGS.get(text[at], ""))
        kind = str(match.lastgroup)
        if kind != "space":
            found.append(Token(kind, match[0], at))
        at = match.end()
    return [*found, Token("end", "", len(text))]


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)


def seconds(text: str) -> float | None:
    """The length of a duration such as ``30min`` or ``1d12h``; None: it is none."""
    if not re.fullmatch(rf"(?:{_AGE})+", text):
        return None
    parts = re.findall(r"([0-9]+(?:\.[0-9]+)?)(min|[smhdw])", text)
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def _age(text: str) -> float:
    length = seconds(text[1:].strip()) or 0.0
    return -length if text.startswith("-") else length


def _called(field: Field) -> str:
    return f"attributes.{field.name}" if field.attribute else field.name


def _shown(token: Token) -> str:
    return repr(token.text) if token.text else "the end"
