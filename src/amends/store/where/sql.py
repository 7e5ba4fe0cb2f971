"""A condition as SQL, for both databases: the words are ours, every value travels as a parameter.

What makes it quick is `source`: where a condition can only hold for executions that have a certain attribute,
the statement begins at the index of attributes.  For one value that index stands in the order of the list
(newest first), so a page reads no more than what it shows; for several values, or a range, the matching
entries are gathered and sorted.  All other conditions are then asked of what was found.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ..port import ATTENTION, beyond
from .terms import All, Compare, Either, Field, Missing, Not, OneOf, Term

Mark = Callable[[Any], str]
"""Takes a value, which becomes a parameter, and gives what stands for it in the text."""


class Dialect(NamedTuple):
    """How a database says it: the table of attributes, and what the columns of executions begin with."""

    attributes: str
    prefix: str
    mark: Mark


class Source(NamedTuple):
    """Where to begin: a condition on the index of attributes. `ordered`: its entries come newest first."""

    condition: str
    ordered: bool


def condition(term: Term, say: Dialect) -> str:
    """The condition of a WHERE clause (true or false, never NULL)."""
    match term:
        case All(terms):
            return f"({' AND '.join(condition(each, say) for each in terms)})" if terms else "(1 = 1)"
        case Either(terms):
            return f"({' OR '.join(condition(each, say) for each in terms)})"
        case Not(inner):
            return f"(NOT {condition(inner, say)})"
        case Missing(field):
            if field.attribute:
                return f"(NOT {_has(field, say)})"
            return f"({say.prefix}{field.column} IS NULL)"
        case Compare(field, _, _) | OneOf(field, _):
            if field.attribute:
                return _has(field, say, term)
            column = f"{say.prefix}{field.column}"
            there = f"{column} IS NOT NULL AND " if field.nullable else ""
            return f"({there}{_compared(column, term, say)})"


def source(term: Term, say: Dialect) -> Source | None:
    """Where the index of attributes bounds what can match; None: nowhere."""
    found = _bound(term)
    if found is None:
        return None
    parts = [f"({_named(part.field, say)} AND {_entry(part, say)})" for part in found]
    return Source(" OR ".join(parts), len(found) == 1 and _one_value(found[0]))


def _bound(term: Term) -> list[Compare | OneOf] | None:
    """Conditions on attributes of which one holds wherever the term does; the fewer entries the better."""
    match term:
        case Compare(field, _, _) | OneOf(field, _) if field.attribute:
            return [term]
        case All(terms):
            found = [bound for each in terms if (bound := _bound(each)) is not None]
            return min(found, key=_breadth) if found else None
        case Either(terms):
            bounds = [_bound(each) for each in terms]
            if any(bound is None for bound in bounds):
                return None
            return [part for bound in bounds if bound is not None for part in bound]
        case _:
            return None


def _breadth(bound: list[Compare | OneOf]) -> int:
    """An estimate: one value finds less than several, those less than a range."""
    return sum(1 if _one_value(part) else 10 if isinstance(part, OneOf) else 100 for part in bound)


def _one_value(part: Compare | OneOf) -> bool:
    return isinstance(part, Compare) and part.op == "="


def _named(field: Field, say: Dialect) -> str:
    return f"name = {say.mark(field.name)}"


def _has(field: Field, say: Dialect, term: Compare | OneOf | None = None) -> str:
    """Is there such an entry for this execution? (Parameters come in the order of the text.)"""
    owned = f"x.execution_uid = {say.prefix}uid AND {_named(field, say)}"
    more = "" if term is None else f" AND {_entry(term, say)}"
    return f"EXISTS (SELECT 1 FROM {say.attributes} AS x WHERE {owned}{more})"  # noqa: S608  # our own words


def _entry(term: Compare | OneOf, say: Dialect) -> str:
    """The same, of an entry of the index: texts and numbers are columns of their own."""
    if isinstance(term, Compare):
        return _compared("word" if isinstance(term.value, str) else "number", term, say)
    parts = []
    for column, kind in (("word", str), ("number", float)):
        values = tuple(value for value in term.values if isinstance(value, kind))
        if values:
            parts.append(_compared(column, OneOf(term.field, values), say))
    return parts[0] if len(parts) == 1 else f"({' OR '.join(parts)})"


def _compared(column: str, term: Compare | OneOf, say: Dialect) -> str:
    if isinstance(term, OneOf):
        return f"{column} IN ({', '.join(say.mark(value) for value in term.values)})"
    if term.op == "startswith":
        prefix = str(term.value)
        text = f"{column} >= {say.mark(prefix)}"
        past = beyond(prefix)
        return text if past is None else f"{text} AND {column} < {say.mark(past)}"
    if term.field.column == "status" and term.op == "=" and term.value == ATTENTION:
        return f"{column} = 'attention'"  # in words, so that the partial index serves
    return f"{column} {term.op} {say.mark(term.value)}"
