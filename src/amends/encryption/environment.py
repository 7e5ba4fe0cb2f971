"""A codec as environment variables say it: for programs that are configured so, and for the command line."""

from __future__ import annotations

import os

from .codec import Codec
from .keyring import KeyRing
from .masters import Master, MasterKey

KEY = "AMENDS_MASTER_KEY"
FILE = "AMENDS_MASTER_KEY_FILE"
PREVIOUS = "AMENDS_PREVIOUS_MASTER_KEYS"


def codec_from_environment() -> Codec | None:
    """A codec with the master key of AMENDS_MASTER_KEY (or of the file AMENDS_MASTER_KEY_FILE) and those
    before it of AMENDS_PREVIOUS_MASTER_KEYS, with commas between them; None when neither of the first is
    set.

    Raises `DefinitionError` for what is no key, and where the extra ``encryption`` is missing.
    """
    if os.environ.get(KEY):
        master = MasterKey.from_environment(KEY)
    elif path := os.environ.get(FILE):
        master = MasterKey.from_file(path)
    else:
        return None
    before: list[Master] = [
        MasterKey(text) for text in os.environ.get(PREVIOUS, "").split(",") if text.strip()
    ]
    return Codec(keys=KeyRing(master, previous=before))
