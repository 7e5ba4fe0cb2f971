"""The app, and `amends check` as one of Django's own system checks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.apps import AppConfig
from django.core import checks

from amends.checks import check


class ShopConfig(AppConfig):
    name = "shop"

    def ready(self) -> None:
        checks.register(check_sagas)


def check_sagas(**_: Any) -> list[checks.CheckMessage]:
    """What `amends check` finds, told by ``manage.py check`` and before each ``runserver``."""
    return [
        checks.Warning(
            f"{found.path}:{found.line} {found.message}", hint=found.hint, id=f"amends.{found.code}"
        )
        for found in check([str(Path(__file__).parent)])
    ]
