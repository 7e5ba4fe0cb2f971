from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from amends import Compensated
from shop.sagas import Order, engine, place_order


class Command(BaseCommand):
    help = "Place an order and wait for it. Does the work itself where no `work` is running."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("number")
        parser.add_argument("item")
        parser.add_argument("pieces", type=int)
        parser.add_argument("cents", type=int)

    def handle(self, *args: Any, **options: Any) -> None:
        order = Order(options["number"], options["item"], options["pieces"], options["cents"])
        with engine().sync as sagas:
            try:
                done = sagas.run(place_order(order), id=f"order-{order.number}")
            except Compensated as undone:
                raise CommandError(f"undone: {undone.error and undone.error['message']}") from undone
        self.stdout.write(f"placed: {done}")
