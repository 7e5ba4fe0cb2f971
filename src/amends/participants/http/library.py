"""The HTTP library, or what to install. It logs every request's address, so its logger learns to hide."""

from __future__ import annotations

import logging

from ..failures import missing
from ..secrets import Hiding

try:
    import httpx2
except ImportError as error:
    raise missing("http", "httpx2") from error

logging.getLogger("httpx2").addFilter(Hiding())

__all__ = ["httpx2"]
