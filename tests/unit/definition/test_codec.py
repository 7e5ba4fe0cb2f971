"""Payloads: what is journaled comes back as it was, and what JSON cannot say is refused when written."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import math
import uuid
from dataclasses import dataclass, field
from typing import Annotated, Any, NamedTuple, NotRequired, TypedDict

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amends import PayloadError, codec


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Size(enum.IntEnum):
    SMALL = 1


@dataclass(frozen=True)
class Data:
    number: int
    names: list[str] = field(default_factory=list)


@attrs.frozen
class Attrs:
    number: float
    day: dt.date = dt.date(2024, 2, 29)


class Struct(msgspec.Struct):
    number: int
    colour: Colour = Colour.RED


class Cash(msgspec.Struct, tag=True):
    cents: int


class Card(msgspec.Struct, tag=True):
    cents: int


class Model(pydantic.BaseModel):
    price: decimal.Decimal
    at: dt.datetime
    weight: float = 1.0


class Nested(pydantic.BaseModel):
    one: Model
    many: list[Model] = []


class Camel(pydantic.BaseModel):
    order_id: str = pydantic.Field(alias="orderId")


class Outer(pydantic.BaseModel):
    within: list[Camel]


class Login(pydantic.BaseModel):
    user: str
    password: pydantic.SecretStr | None = None


class Account(pydantic.BaseModel):
    logins: dict[str, Login]
    parent: Account | None = None


class Wrapped(pydantic.BaseModel):
    number: pydantic.Secret[int]


class Revealed(pydantic.BaseModel):
    token: pydantic.SecretStr
    other: Annotated[pydantic.SecretStr, pydantic.PlainSerializer(lambda value: value.get_secret_value())]

    @pydantic.field_serializer("token")
    def reveal(self, token: pydantic.SecretStr) -> str:
        return token.get_secret_value()


class ByHand(pydantic.BaseModel):
    token: pydantic.SecretStr

    @pydantic.model_serializer
    def reveal(self) -> dict[str, str]:
        return {"token": self.token.get_secret_value()}


class Typed(TypedDict):
    number: int
    name: NotRequired[str]


class Pair(NamedTuple):
    number: int
    name: str


NOON = dt.datetime(2024, 2, 29, 12, 0, 0, 123456, tzinfo=dt.UTC)
MODEL = Model(price=decimal.Decimal("1.10"), at=NOON)


@pytest.mark.parametrize(
    ("value", "annotation"),
    [
        (Data(1, ["a"]), Data),
        (Attrs(1.5), Attrs),
        (Struct(1, Colour.BLUE), Struct),
        (Card(5), Cash | Card),
        (MODEL, Model),
        (Nested(one=MODEL, many=[MODEL, MODEL]), Nested),
        ([MODEL], list[Model]),
        (MODEL, Model | None),
        (Outer(within=[Camel(orderId="1")]), Outer),
        (Revealed(token=pydantic.SecretStr("a"), other=pydantic.SecretStr("b")), Revealed),
        (ByHand(token=pydantic.SecretStr("a")), ByHand),
        ({"number": 1}, Typed),
        ({"number": 1, "name": "a"}, Typed),
        (Pair(1, "a"), Pair),
        (Colour.BLUE, Colour),
        (Size.SMALL, Size),
        (NOON, dt.datetime),
        (dt.datetime(2024, 2, 29), dt.datetime),  # noqa: DTZ001 - a naive time stays naive
        (dt.date(2024, 2, 29), dt.date),
        (dt.time(12, 30), dt.time),
        (dt.timedelta(days=3, microseconds=5), dt.timedelta),
        (decimal.Decimal("1.10"), decimal.Decimal),
        (uuid.UUID(int=5), uuid.UUID),
        (b"\x00\xff", bytes),
        (bytearray(b"\x00"), bytearray),
        ({3, 1, 2}, set[int]),
        (frozenset({"b", "a"}), frozenset[str]),
        ((1, "a"), tuple[int, str]),
        ({"b": 1, "a": 2}, dict[str, int]),
        ({10: "a", 9: "b"}, dict[int, str]),
        ({uuid.UUID(int=5): 1}, dict[uuid.UUID, int]),
        ({"a": {2: {Colour.RED: [1, None]}}}, dict[str, dict[int, dict[Colour, list[int | None]]]]),
        (None, int | None),
        (2**200, int),
        (-0.0, float),
        ("é\u2028\U0001f600\x00", str),
    ],
)
def test_round_trip(value: Any, annotation: Any) -> None:
    data = codec.encode(value)
    back = codec.decoder(annotation).decode(data)
    assert back == value
    assert type(back) is type(value)
    assert codec.encode(back) == data


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_any_json_comes_back(value: Any) -> None:
    assert codec.ANY.decode(codec.encode(value)) == value


@given(st.dictionaries(st.text(), st.integers()), st.randoms())
def test_equal_dicts_have_equal_bytes(value: dict[str, int], chance: Any) -> None:
    items = list(value.items())
    chance.shuffle(items)
    assert codec.encode(dict(items)) == codec.encode(value)


@given(st.sets(st.integers() | st.booleans()) | st.sets(st.text()), st.randoms())
def test_equal_sets_have_equal_bytes(value: set[Any], chance: Any) -> None:
    items = list(value)
    chance.shuffle(items)
    assert codec.encode(set(items)) == codec.encode(value) == codec.encode(frozenset(items))


def test_an_order_that_can_be_read() -> None:
    assert codec.encode({"b": {3, 1, 2}, "a": None}) == b'{"a":null,"b":[1,2,3]}'
    assert codec.encode({10: 1, 9: 2}) == b'{"10":1,"9":2}'


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda bad: bad,
        lambda bad: [None, {"a": (1.0, bad)}],
        lambda bad: {"a": {bad}},
        Attrs,
        lambda bad: Model(price=decimal.Decimal(1), at=NOON, weight=bad),
        lambda bad: [Nested(one=Model(price=decimal.Decimal(1), at=NOON, weight=bad))],
        lambda bad: {1: bad},
    ],
)
def test_floats_that_json_lacks_are_refused(bad: float, wrap: Any) -> None:
    with pytest.raises(PayloadError, match=f"the price holds the float {bad!r}, which JSON cannot carry"):
        codec.encode(wrap(bad), "the price")


def test_none_is_not_mistaken_for_a_nan() -> None:
    assert codec.encode([None, 1.5, "null", {"a": None}]) == b'[null,1.5,"null",{"a":null}]'


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (object(), r"JSON has no form for <object object .* \(object\)"),
        ([1, {"a": 3 + 4j}], r"JSON has no form for \(3\+4j\) \(complex\)"),
        (Data, r"JSON has no form for <class .*Data'> \(type\)"),
        (Model, r"JSON has no form for <class .*Model'> \(ModelMetaclass\)"),
        ({(1, 2): 3}, "Only dicts with str-like or number-like keys are supported"),
        ("\ud800", "surrogates not allowed"),
        ({1, "a"}, "not supported between instances of"),
    ],
)
def test_what_json_cannot_say_is_refused(value: Any, said: str) -> None:
    with pytest.raises(PayloadError, match="the order cannot be journaled: .*" + said) as caught:
        codec.encode(value, "the order")
    assert caught.value.hint


def test_a_value_that_holds_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(PayloadError, match="recursion"):
        codec.encode(endless)


@pytest.mark.parametrize(
    ("annotation", "data"),
    [
        (Data, b'{"names":[]}'),
        (Data, b'{"number":"one"}'),
        (Model, b'{"price":"cheap","at":"2024-02-29T12:00:00Z"}'),
        (int, b'"1"'),
        (Colour, b'"green"'),
        (dt.datetime, b'"yesterday"'),
        (int, b"{"),
    ],
)
def test_what_does_not_fit_is_refused(annotation: Any, data: bytes) -> None:
    with pytest.raises(PayloadError, match=f"the order does not fit {annotation.__name__}: ") as caught:
        codec.decoder(annotation).decode(data, "the order")
    assert "give new fields a default" in caught.value.hint


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (Login(user="ann"), "Login.password"),
        (Account(logins={}), "Account.logins.password"),
        ([Wrapped(number=pydantic.Secret[int](1))], "Wrapped.number"),
    ],
)
def test_secrets_that_would_come_back_as_stars_are_refused(value: Any, path: str) -> None:
    with pytest.raises(PayloadError, match=f"writes the secret {path} as stars"):
        codec.encode(value)


@pytest.mark.parametrize("annotation", [Data | Attrs, Model | Data, list[Data | Attrs]])
def test_a_union_that_json_cannot_tell_apart_is_refused(annotation: Any) -> None:
    with pytest.raises(PayloadError, match="cannot be read back from a journal") as caught:
        codec.decoder(annotation)
    assert "tag" in caught.value.hint


def test_a_new_field_with_a_default_reads_what_was_written_before() -> None:
    assert codec.decoder(Data).decode(b'{"number":1}') == Data(1)


def test_a_field_that_is_gone_is_passed_over() -> None:
    assert codec.decoder(Data).decode(b'{"number":1,"colour":"red"}') == Data(1)


def test_decoders_are_shared() -> None:
    assert codec.decoder(list[int]) is codec.decoder(list[int])


@pytest.mark.parametrize(
    "value",
    [{1: "a", "1": "b"}, {"x": [{1.5: 0, "1.5": 1}]}, {dt.date(2026, 1, 2): 0, "2026-01-02": 1}],
    ids=["numbers", "within", "dates"],
)
def test_keys_that_are_the_same_as_text_lose_nothing(value: Any) -> None:
    with pytest.raises(PayloadError, match="two keys are the same as text"):
        codec.encode(value)


@pytest.mark.parametrize(
    "value",
    [{1: "a", 2: "b"}, {dt.date(2026, 1, 2): {1: 2, 3: [4]}}, [{uuid.UUID(int=1): 1, uuid.UUID(int=2): 2}]],
)
def test_keys_of_one_kind_travel_as_text(value: Any) -> None:
    assert codec.encode(value)
