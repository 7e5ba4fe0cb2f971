"""Which branches were taken at all: a check that never had anything to check is a defect.

`sometimes("a commit was fenced")` counts; whoever runs many seeds asks at the end for each name it expects.
(The idea is that of the *sometimes assertions* of deterministic simulation: one that never holds fails the
run.)
"""

from __future__ import annotations

from collections import Counter

SEEN: Counter[str] = Counter()
"""How often each mark was passed, in this process, since it was last cleared."""


def sometimes(name: str, condition: object = True) -> None:
    """Count a mark, if the condition holds."""
    if condition:
        SEEN[name] += 1
