"""From status codes to outcomes, as data.

What is certain?  A status line is certain only about what its sender knows.

- *2xx*: the participant says it did it.
- *4xx*: it looked at the request and refused it. Not so 408 (it gave up waiting, perhaps amid the request)
  and 499 (a proxy's word for "the client left"). 425 and 429 refuse this attempt only, before handling it.
- *5xx*: something broke, before, amid or after the effect; or a proxy lost the participant. 501 and 505 are
  refusals. A bare 503 is also what proxies say when the connection broke after the request went
  through; one with `Retry-After` is a participant that declines on purpose.
- 409 with `Retry-After` is what participants with idempotency keys say while the first request with that key
  is still being handled: nobody knows yet.
- *3xx*: a redirect is not followed (the key and the credentials were meant for one place). 301, 307 and 308
  did nothing; after a POST, 302 and 303 often mean that it was done.
"""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import msgspec

from ...definition.policy import word
from ...errors import DefinitionError
from ..verdict import Verdict, Word

Statuses = Mapping[int, Word]

S, R, L, U = Verdict.SUCCEEDED, Verdict.REJECTED, Verdict.LATER, Verdict.UNKNOWN


class Policy(msgspec.Struct, frozen=True):
    """Verdicts by status, by hundred for the rest, and for replies that carry `Retry-After`."""

    statuses: Mapping[int, Verdict]
    hundreds: Mapping[int, Verdict]
    with_retry_after: Mapping[int, Verdict]

    def verdict(self, status: int, *, retry_after: bool) -> Verdict:
        """What a reply with this status means."""
        if retry_after and status in self.with_retry_after:
            return self.with_retry_after[status]
        return self.statuses.get(status, self.hundreds.get(status // 100, Verdict.UNKNOWN))

    def but(self, changes: Statuses | None) -> Policy:
        """The same policy with other verdicts for some statuses. Raises `DefinitionError`."""
        if not changes:
            return self
        checked: dict[int, Verdict] = {}
        for status, said in changes.items():
            if isinstance(status, bool) or not isinstance(status, int) or not 100 <= status <= 599:
                raise DefinitionError(
                    f"statuses takes HTTP status codes, got {status!r}", hint="statuses={404: 'succeeded'}"
                )
            checked[status] = word(Verdict, said, f"the verdict of status {status}")
        kept = {status: said for status, said in self.with_retry_after.items() if status not in checked}
        return Policy({**self.statuses, **checked}, self.hundreds, kept)


POLICY = Policy(
    {301: R, 307: R, 308: R, 408: U, 425: L, 429: L, 499: U, 501: R, 505: R},
    {1: U, 2: S, 3: U, 4: R, 5: U},
    {409: U, 413: L, 503: L},
)
"""What status codes mean unless a client says otherwise. See docs/clients.md."""


def retry_after(value: str | None, now: float, longest: float) -> float | None:
    """`Retry-After` in seconds (it may be a number or a date), at most `longest`; None: it says nothing."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), longest)
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    return min(max(0.0, when.timestamp() - now), longest)
