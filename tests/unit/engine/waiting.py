"""Waiting for what must come, with one far deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

PATIENCE = 20.0  # seconds without which a test counts as hung


async def until(condition: Callable[[], Any], what: str = "what was waited for") -> None:
    """Look again and again; the condition may be a coroutine function."""
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                found = condition()
                if await found if asyncio.iscoroutine(found) else found:
                    return
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"{what} did not come") from None
