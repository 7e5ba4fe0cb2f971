"""A store's URL as it may be shown: without passwords, which must not reach logs, terminals or reports."""

from __future__ import annotations

import re

MASK = "***"

NEXT = re.compile(r"\s+(?=[A-Za-z][A-Za-z0-9+.-]*://)")
"""What stands between the URLs of a store on several servers."""

# Up to the last @, and beyond a ? if need be: who forgot to quote /, #, ? or @ in a password must not meet a
# half of it in the error. So a little more may be hidden than is secret, never less.
_AFTER_USER = re.compile(r"(?:^(?!.*://)|(?<=://))([^\s:/?#@]*):(?:[^?]*|.*)@", re.DOTALL)
_IN_QUERY = re.compile(rf"([?&][a-z_]*(?:password|secret)=)(?!{re.escape(MASK)})[^&]*", re.IGNORECASE)
_ANY = re.compile(r"\S*://\S+")


def redacted(url: str) -> str:
    """The URL (or the URLs) of a store, to be shown: ``postgresql://user:***@host/db``."""
    return " ".join(map(_one, NEXT.split(url)))


def _one(url: str) -> str:
    return _IN_QUERY.sub(rf"\1{MASK}", _AFTER_USER.sub(rf"\1:{MASK}@", url))


def redacted_in(text: str) -> str:
    """A text to be shown in which URLs may stand, such as an error that quotes what was typed."""
    return _ANY.sub(lambda found: redacted(found[0]), text)


def redacted_of(url: str, said: str) -> str:
    """What a library says of a URL, in which it quotes pieces of it: those that may be shown stay."""
    shown = redacted(url)
    return re.sub(r'"([^"]*)"', lambda found: found[0] if found[1] in shown else f'"{MASK}"', said)
