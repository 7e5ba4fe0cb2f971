"""Every text and number comes back from the server as it was sent."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amends.store.postgres.literals import MARK, get, is_text, maybe_texts, numbers, put, texts, truths

odd = st.text(
    st.sampled_from(["a", "0", "1", '"', "\\", "{", "}", ",", " ", "\0", "\x1f", MARK, "ü", "😀", "\n", "N"])
)
words = st.one_of(odd, st.text(), st.just("NULL"), st.just(""))


@pytest.fixture(scope="module")
def echo(postgres: str) -> Any:
    import psycopg

    connection = psycopg.connect(postgres, autocommit=True)

    def ask(literal: str, kind: str) -> Any:
        return connection.execute(f"SELECT %s::{kind}[]", (literal,)).fetchall()[0][0]

    yield ask
    connection.close()


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(column=st.lists(words, max_size=8))
def test_texts(echo: Any, column: list[str]) -> None:
    assert [get(text) for text in echo(texts(column), "text")] == column


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(column=st.lists(st.one_of(words, st.none()), max_size=8))
def test_maybe_texts(echo: Any, column: list[str | None]) -> None:
    assert [text if text is None else get(text) for text in echo(maybe_texts(column), "text")] == column


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(column=st.lists(st.one_of(st.floats(allow_nan=False), st.none()), max_size=8))
def test_floats(echo: Any, column: list[float | None]) -> None:
    assert echo(numbers(column), "float8") == column


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(column=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=8))
def test_floats_of_which_none_is_null(echo: Any, column: list[float]) -> None:
    assert [value.hex() for value in echo(numbers(column), "float8")] == [value.hex() for value in column]


@given(column=st.lists(st.integers(-(1 << 70), 1 << 70), max_size=8))
def test_integers_are_written_as_they_are(column: list[int]) -> None:
    assert numbers(iter(column)) == "{" + ",".join(map(str, column)) + "}"


def test_truths_and_integers(echo: Any) -> None:
    assert echo(truths([True, False]), "boolean") == [True, False]
    assert echo(numbers([1, None, -(1 << 63)]), "bigint") == [1, None, -(1 << 63)]


@given(text=odd)
def test_put_and_get(text: str) -> None:
    assert get(put(text)) == text
    assert "\0" not in put(text)


def test_what_is_no_text() -> None:
    assert is_text("ü")
    assert not is_text("a\ud800")
