"""Django's own tests: ``python manage.py test shop``."""

from __future__ import annotations

import shutil
import tempfile
from typing import Any

from django.test import TestCase, override_settings

from .models import Movement, Stock

BASKET = {"item": "book", "pieces": 2, "cents": 3800}


class OrdersTest(TestCase):
    """The site starts sagas and shows them; that they run is the worker's part."""

    def setUp(self) -> None:
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        store = override_settings(AMENDS_STORE=f"sqlite:///{folder}/amends.db")
        store.enable()
        self.addCleanup(store.disable)

    def put(self, number: str, body: Any) -> Any:
        return self.client.put(f"/orders/{number}", body, content_type="application/json")

    def test_the_same_order_again_is_the_same_order(self) -> None:
        for _ in range(2):
            said = self.put("1", BASKET)
            assert (said.status_code, said.json()) == (202, {"id": "order-1"})
        assert self.client.get("/orders/1").json() == {"status": "running", "error": None}

    def test_another_order_under_the_same_number_is_refused(self) -> None:
        self.put("1", BASKET)
        assert self.put("1", {**BASKET, "pieces": 3}).status_code == 409

    def test_what_is_no_order_is_refused(self) -> None:
        assert self.put("1", {"item": "book"}).status_code == 400
        assert self.client.get("/orders/1").status_code == 404


class WarehouseTest(TestCase):
    """The participant: requests repeat, come late, or not at all."""

    fixtures = ("stock",)

    def ask(self, what: str, key: str, pieces: int = 2) -> int:
        order = {"number": "1", "item": "book", "pieces": pieces, "cents": 1}
        headers = {"Idempotency-Key": key} if key else {}
        path = f"/warehouse/book/{what}"
        return self.client.post(path, order, content_type="application/json", headers=headers).status_code

    def left(self) -> int:
        return Stock.objects.get(item="book").left

    def test_the_same_request_again_takes_nothing_more(self) -> None:
        assert [self.ask("take", "o/0/1/do") for _ in range(3)] == [204] * 3
        assert self.left() == 8
        assert [self.ask("put_back", "o/0/1/undo") for _ in range(3)] == [204] * 3
        assert self.left() == 10
        assert [each.pieces for each in Movement.objects.all()] == [2, -2]

    def test_what_was_never_taken_is_not_put_back_and_cannot_be_taken_later(self) -> None:
        assert self.ask("put_back", "o/0/1/undo") == 204
        assert self.ask("take", "o/0/1/do") == 409
        assert (self.left(), Movement.objects.count()) == (10, 0)

    def test_a_no_stays_a_no(self) -> None:
        assert self.ask("take", "o/0/1/do", pieces=11) == 422
        Stock.objects.update(left=100)
        assert self.ask("take", "o/0/1/do", pieces=11) == 422
        assert (self.left(), Movement.objects.count()) == (100, 0)

    def test_a_request_that_cannot_be_told_from_its_copies_is_refused(self) -> None:
        assert self.ask("take", "") == 400
        assert self.left() == 10
