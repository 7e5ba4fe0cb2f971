"""A trip: flight, hotel and car are booked at once; if one is not to be had, the others are given back.

Run it: ``python travel.py``. A full hotel is replaced by another one; a missing car undoes the trip.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from amends import Compensated, Engine, Rejected, StepFailed, saga, step


@dataclass
class Trip:
    """What a traveller wants."""

    traveller: str
    to: str
    hotel: str = "Grand"


BOOKED: list[str] = []
"""Stands for the three companies' own systems."""

FULL = {"Grand"}
NO_CARS = {"Venice"}


def book(what: str) -> str:
    BOOKED.append(what)
    return what


def give_back(what: str) -> None:
    if what in BOOKED:
        BOOKED.remove(what)


@step(name="travel.flight")
async def book_flight(trip: Trip) -> str:
    return book(f"flight to {trip.to} for {trip.traveller}")


@book_flight.compensation
async def cancel_flight(booking: str | None, trip: Trip) -> None:
    give_back(f"flight to {trip.to} for {trip.traveller}")


@step(name="travel.hotel")
async def book_hotel(trip: Trip, hotel: str) -> str:
    if hotel in FULL:
        raise Rejected(f"the {hotel} is full")  # certainly nothing was booked
    return book(f"{hotel} in {trip.to} for {trip.traveller}")


@book_hotel.compensation
async def cancel_hotel(booking: str | None, trip: Trip, hotel: str) -> None:
    give_back(f"{hotel} in {trip.to} for {trip.traveller}")


@step(name="travel.car")
async def rent_car(trip: Trip) -> str:
    if trip.to in NO_CARS:
        raise Rejected(f"there are no cars in {trip.to}")
    return book(f"car in {trip.to} for {trip.traveller}")


@rent_car.compensation
async def return_car(booking: str | None, trip: Trip) -> None:
    give_back(f"car in {trip.to} for {trip.traveller}")


async def any_hotel(trip: Trip) -> str:
    """The wanted hotel, else another. A step that failed has left nothing behind, so a second try is safe."""
    try:
        return await book_hotel(trip, trip.hotel)
    except StepFailed:
        return await book_hotel(trip, "Station")


@saga(name="travel.book_trip")
async def book_trip(trip: Trip) -> list[str]:
    async with asyncio.TaskGroup() as group:
        flight = group.create_task(book_flight(trip))
        hotel = group.create_task(any_hotel(trip))
        car = group.create_task(rent_car(trip))
    return [flight.result(), hotel.result(), car.result()]


async def main() -> None:
    async with Engine("sqlite:///travel.db", sagas=[book_trip]) as engine:
        print(await engine.run(book_trip(Trip("Ada", "Lisbon")), id="ada-lisbon"))
        try:
            await engine.run(book_trip(Trip("Ben", "Venice")), id="ben-venice")
        except Compensated as undone:
            print("no trip:", undone.error and undone.error["message"])


if __name__ == "__main__":
    asyncio.run(main())
