"""A server that cannot be used says why each time it is asked, for as long as that lasts."""

from __future__ import annotations

import traceback
from types import SimpleNamespace
from typing import Any

from amends.errors import Misplaced
from amends.store.partition import shares
from amends.store.places.members import Member


def test_a_refusal_does_not_grow() -> None:
    store: Any = SimpleNamespace(alone=True)
    member = Member(store, shares(2)[0])
    member.refusal = Misplaced("it is another one")
    lengths = set()
    for _ in range(3):
        try:
            member.at_hand()
        except Misplaced as error:
            lengths.add(len(traceback.extract_tb(error.__traceback__)))
    assert lengths == {2}, "its traceback is that of the last question"
