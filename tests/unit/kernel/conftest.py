"""What tests of the kernel make is discarded after each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.kernel.lives import MADE


@pytest.fixture(autouse=True)
def _discarded() -> Iterator[None]:
    yield
    while MADE:
        MADE.pop().discard()
