from __future__ import annotations

import pytest

from amends import Compensated, Engine
from examples.travel import travel


@pytest.fixture(autouse=True)
def _nothing_booked() -> None:
    travel.BOOKED.clear()


@pytest.fixture
def engine():
    with Engine("memory://", sagas=[travel.book_trip]).sync as engine:
        yield engine


def test_a_full_hotel_is_replaced(engine) -> None:
    booked = engine.run(travel.book_trip(travel.Trip("Ada", "Lisbon")), id="1")
    assert booked == ["flight to Lisbon for Ada", "Station in Lisbon for Ada", "car in Lisbon for Ada"]
    assert sorted(travel.BOOKED) == sorted(booked)


def test_without_a_car_there_is_no_trip_and_nothing_stays_booked(engine) -> None:
    with pytest.raises(Compensated):
        engine.run(travel.book_trip(travel.Trip("Ben", "Venice")), id="2")
    assert travel.BOOKED == []
