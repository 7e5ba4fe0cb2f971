"""The HTTP library, or what to install."""

from __future__ import annotations

from ..failures import missing

try:
    import httpx2
except ImportError as error:
    raise missing("http", "httpx2") from error

__all__ = ["httpx2"]
