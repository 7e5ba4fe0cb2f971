from __future__ import annotations

import asyncio
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from shop.sagas import engine


class Command(BaseCommand):
    help = "Run the sagas until SIGTERM; a second one stands by."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"this process serves {settings.AMENDS_STORE}; Ctrl-C stops it")
        asyncio.run(engine().serve())
