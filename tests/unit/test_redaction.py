"""Passwords in URLs are not shown: nowhere, and not in errors about them either."""

from __future__ import annotations

import pytest

from amends.errors import StoreError
from amends.redaction import redacted, redacted_in
from amends.store import open_store


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ann:s3cret@host:5432/db?lease=3", "postgresql://ann:***@host:5432/db?lease=3"),
        ("postgresql://ann:s3cret@a:1,b:2/db", "postgresql://ann:***@a:1,b:2/db"),
        ("postgresql://host/db?user=ann&password=s3cret&lease=3", "postgresql://host/db?user=ann&password=***&lease=3"),
        ("postgresql:///db?sslpassword=s3cret", "postgresql:///db?sslpassword=***"),
        ("postgresql://ann:s3@cret@host/db", "postgresql://ann:***@host/db"),
        ("postgresql://ann:s3/cret@host/db", "postgresql://ann:***@host/db"),
        ("postgresql://ann:s3#cret@host/db", "postgresql://ann:***@host/db"),
        ("postgresql://ann:s3?cret@host/db", "postgresql://ann:***@host/db"),
        ("postgresql://ann:s3 cret@host/db", "postgresql://ann:***@host/db"),
        ("ann:s3cret@host/db", "ann:***@host/db"),
        ("postgresql://a:s3cret@one/db  postgresql://b:s3cret@two/db", "postgresql://a:***@one/db postgresql://b:***@two/db"),
        ("postgresql://ann:***@host/db?password=***", "postgresql://ann:***@host/db?password=***"),
        ("postgresql://ann@host:5432/db", "postgresql://ann@host:5432/db"),
        ("postgresql:///db?host=/run/pg", "postgresql:///db?host=/run/pg"),
        ("sqlite:///a@b:c.db?synchronous=FULL", "sqlite:///a@b:c.db?synchronous=FULL"),
    ],
)  # fmt: skip
def test_what_is_shown_of_a_url(url: str, shown: str) -> None:
    assert redacted(url) == shown


def test_in_a_text() -> None:
    said = "got 'postgresql://ann:s3cret@host/db' (from a@b:c), and http://host:80/x?password=s3cret too"
    hidden = "got 'postgresql://ann:***@host/db' (from a@b:c), and http://host:80/x?password=*** too"
    assert redacted_in(said) == redacted_in(hidden) == hidden


@pytest.mark.parametrize("character", ["@", "/", "#", "?", "%", "%zz", " ", "[", ":", "\N{ACCOUNT OF}"])
@pytest.mark.parametrize("scheme", ["postgresql", "sqlite", "memory", "mysql"])
def test_no_error_about_a_url_quotes_its_password(scheme: str, character: str) -> None:
    """Not even of one that cannot be read since nobody quoted what is special in it."""
    try:
        store = open_store(f"{scheme}://ann:s3{character}cret@host:80/db?a")
    except StoreError as error:
        assert error.__cause__ is None
        said = f"{error} {error.hint}"
    else:
        said = store.where  # type: ignore[attr-defined]
    assert "s3" not in said
    assert "cret" not in said
