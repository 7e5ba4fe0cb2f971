"""What a reply means, whatever the protocol."""

from __future__ import annotations

import enum
from typing import Literal


class Verdict(enum.StrEnum):
    """What a reply means. ``later``: certainly nothing was done, and it may be asked again."""

    SUCCEEDED = "succeeded"
    REJECTED = "rejected"
    LATER = "later"
    UNKNOWN = "unknown"


Word = Verdict | Literal["succeeded", "rejected", "later", "unknown"]
