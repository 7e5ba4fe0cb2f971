"""The language of conditions: what is read as what, and how mistakes are told."""

from __future__ import annotations

from datetime import datetime

import pytest

from amends.errors import QueryError
from amends.store.where.parsing import MAX_DEPTH, MOST, parse
from amends.store.where.terms import FIELDS, All, Compare, Either, Field, Missing, Not, OneOf, Term

NOW = 1_000_000.0
ID, SAGA, STARTED = FIELDS["id"], FIELDS["saga"], FIELDS["started"]
A, B, C = (Compare(ID, "=", letter) for letter in "abc")


def own(name: str) -> Field:
    return Field(name, "any")


READ: dict[str, Term] = {
    'id = "a"': A,
    "id='a'": A,
    'id != "a"': Not(A),
    'id = "a" or id = "b" and id = "c"': Either((A, All((B, C)))),
    '(id = "a" or id = "b") and id = "c"': All((Either((A, B)), C)),
    'not id = "a" and id = "b"': All((Not(A), B)),
    'not not id = "a"': Not(Not(A)),
    'id in ("a", "b")': OneOf(ID, ("a", "b")),
    'id not in ("a")': Not(OneOf(ID, ("a",))),
    'saga startswith "shop."': Compare(SAGA, "startswith", "shop."),
    "finished is null": Missing(FIELDS["finished"]),
    "deadline is not null": Not(Missing(FIELDS["deadline"])),
    "started > -2h": Compare(STARTED, ">", NOW - 7200),
    "started > - 1d12h": Compare(STARTED, ">", NOW - 1.5 * 86400),
    "started <= +30min": Compare(STARTED, "<=", NOW + 1800),
    "started < now": Compare(STARTED, "<", NOW),
    'started < "2026-11-25T03:00+01:00"': Compare(
        STARTED, "<", datetime.fromisoformat("2026-11-25T02:00Z").timestamp()
    ),
    'started < "2026-11-25"': Compare(STARTED, "<", datetime(2026, 11, 25).timestamp()),  # noqa: DTZ001  # local
    "depth = 0": Compare(FIELDS["depth"], "=", 0.0),
    "attributes.total > -2.5e3": Compare(own("total"), ">", -2500.0),
    "attributes.vip = true": Compare(own("vip"), "=", 1.0),
    r"""attributes.'it\'s' = "a\"b" """: Compare(own("it's"), "=", 'a"b'),
    'attributes.ü = "é"': Compare(own("ü"), "=", "é"),
    'attributes.in = "a"': Compare(own("in"), "=", "a"),
    'attributes.id in (1, "a", false)': OneOf(own("id"), (1.0, "a", 0.0)),
    'status startswith "comp"': Compare(FIELDS["status"], "startswith", "comp"),
}


@pytest.mark.parametrize("text", READ)
def test_read(text: str) -> None:
    assert parse(text, NOW) == READ[text]


WRONG = {
    # text: column, what is said, what to do
    'statsu = "x"': (1, "there is no field 'statsu'", "did you mean 'status'"),
    'customer = "x"': (1, "there is no field 'customer'", "attributes.customer"),
    'id = "a" and status = "atention"': (23, "no status is called 'atention'", "did you mean 'attention'?"),
    "id = order-1": (6, "a value is expected, got 'order'", '"order"'),
    "saga = 42": (8, "saga is a text", 'write saga = "42"'),
    'depth = "0"': (9, "depth is a number", "depth = 0"),
    'started > "yesterday"': (11, "is no time", "-2h"),
    "started > 5": (11, "is no time", "-2h"),
    "attributes.total > -2h": (20, "attributes.total is no time", "started"),
    'id = "a': (6, "is not expected here", "has no end"),
    'id == "a"': (5, "a value is expected, got '='", "a text, a number"),
    'id like "a%"': (4, "a comparison is expected, got 'like'", "startswith"),
    'id = "a" & id = "b"': (10, "'&' is not expected here", "`and`"),
    'id = "a" an id = "b"': (10, "nothing more expected, got 'an'", "did you mean 'and'?"),
    '(id = "a"': (10, "a `(` is still open", "`)` is expected"),
    "finished = null": (12, "nothing equals null", "is null"),
    "finished is now": (13, "`is` is followed by", "`=`"),
    "attributes = 1": (12, "attributes need a name", "attributes.customer"),
    "attributes. = 1": (13, "an attribute needs a name", "attributes.customer"),
    "attributes.total startswith 3": (29, "`startswith` is for texts", "startswith"),
    "": (1, "a field is expected, got the end", "id, uid"),
    "id": (3, "a comparison is expected, got the end", "one of ="),
    "id = ": (6, "a value is expected, got the end", "a text"),
    "attributes.a = 1e301": (16, "too large", ""),
    f'attributes.a = "{"x" * 501}"': (16, "not indexed", "startswith"),
    f"attributes.{'a' * 101} = 1": (12, "not indexed", ""),
    f"{'(' * (MAX_DEPTH + 1)}id": (MAX_DEPTH + 1, "nested deeper", "split"),
    f"depth in ({', '.join(['1'] * (MOST + 1))})": (11 + 3 * MOST, f"more than {MOST} values", "several"),
}


@pytest.mark.parametrize("text", WRONG, ids=lambda text: text[:40])
def test_mistakes_are_told_with_their_place(text: str) -> None:
    column, said, do = WRONG[text]
    with pytest.raises(QueryError) as error:
        parse(text, NOW)
    assert (error.value.column, error.value.text) == (column, text)
    assert said in error.value.message
    assert do in error.value.hint
    assert "^" in error.value.message
