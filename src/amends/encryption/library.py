"""The libraries behind it, loaded when they are first needed; without them the error says what to install."""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

from ..errors import DefinitionError


@cache
def aead() -> Any:
    """The class of AES-GCM ciphers. Raises `DefinitionError` without the library `cryptography`."""
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415
    except ImportError as error:
        raise _missing("cryptography", error) from error
    return AESGCM


@cache
def refusal() -> type[Exception]:
    """What an AES-GCM cipher raises for what it did not make."""
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415

    return InvalidTag


@cache
def zstd() -> Any:
    """The module that compresses: the standard library's from Python 3.14 on, its backport before."""
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd as module  # noqa: PLC0415
        else:
            from backports import zstd as module  # noqa: PLC0415
    except ImportError as error:
        raise _missing("zstd", error) from error
    return module


def _missing(what: str, error: ImportError) -> DefinitionError:
    return DefinitionError(
        f"envelopes need the library {what} ({error})", hint="pip install 'amends[encryption]'"
    )
