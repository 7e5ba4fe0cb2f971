"""What a reply means, whatever the protocol."""

from __future__ import annotations

import enum
from typing import Literal

from ..definition.policy import word
from ..errors import DefinitionError


class Verdict(enum.StrEnum):
    """What a reply means. ``later``: certainly nothing was done, and it may be asked again."""

    SUCCEEDED = "succeeded"
    REJECTED = "rejected"
    LATER = "later"
    UNKNOWN = "unknown"


Word = Verdict | Literal["succeeded", "rejected", "later", "unknown"]
FailureWord = Verdict | Literal["rejected", "later", "unknown"]


def of_failure(value: FailureWord, what: str) -> Verdict:
    """The verdict on a call that failed. Raises `DefinitionError` when it is no such verdict."""
    found = word(Verdict, value, what)
    if found is Verdict.SUCCEEDED:
        raise DefinitionError(
            f"{what} cannot be 'succeeded': there would be no reply to return",
            hint="catch the error in the step and return what it means",
        )
    return found
