from __future__ import annotations

import asyncio
from typing import Any

from django.core.management.base import BaseCommand

from shop.sagas import engine


class Command(BaseCommand):
    help = "Run the sagas until SIGTERM; a second one stands by."

    def handle(self, *args: Any, **options: Any) -> None:
        asyncio.run(engine().serve())
