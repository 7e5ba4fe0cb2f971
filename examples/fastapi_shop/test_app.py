from __future__ import annotations

from pathlib import Path

from fastapi.testclient import TestClient

from examples.fastapi_shop.app import make


def test_orders_over_http(tmp_path: Path) -> None:
    with TestClient(make(f"sqlite:///{tmp_path}/shop.db")) as web:
        book = {"item": "book", "cents": 1900}
        assert web.put("/orders/1", json=book).json() == {"id": "order-1"}
        assert web.put("/orders/1", json=book).status_code == 202  # the same order, not a second one
        assert web.put("/orders/1", json={**book, "cents": 1}).status_code == 409
        assert web.get("/orders/1?wait=true").json() == {"status": "completed", "result": "shipped book"}
        web.put("/orders/2", json={"item": "anvil", "cents": 1900})
        assert web.get("/orders/2?wait=true").json()["status"] == "compensated"
        assert web.get("/orders/3").status_code == 404
