"""A small cloud: networks, disks and machines over HTTP, with books of its own in `cloud.db`.

It behaves as large ones do. What is asked for takes a while: the answer is 202 and an address to ask. A
client token makes asking again harmless, and a token that was given up is never used again. What others
need cannot be deleted. There are quotas.

``python cloud.py`` serves it, ``python cloud.py --books`` prints what there is. ``--help`` tells what can go
wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

# A part is building until `due`, then ready; or deleting until `due`, then deleted. `void`: its token was
# given up before it came. The log is only ever added to.
SCHEMA = """
CREATE TABLE IF NOT EXISTS parts (
    token TEXT PRIMARY KEY, id TEXT, kind TEXT, name TEXT, needs TEXT, doing TEXT NOT NULL, due REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS log (number INTEGER PRIMARY KEY, at REAL, what TEXT, token TEXT, name TEXT);
"""
DONE = {"building": "ready", "deleting": "deleted"}
GONE = ("deleted", "void")


class Refused(Exception):
    """Certainly nothing was done."""


class Books:
    """What there is, and what happened."""

    def __init__(self, file: str = "cloud.db") -> None:
        self._db = sqlite3.connect(file, isolation_level=None)
        self._db.executescript(SCHEMA)

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        with self._db:  # commits, or rolls back
            yield

    def find(self, token: str) -> dict[str, Any] | None:
        return next((part for part in self.all() if part["token"] == token), None)

    def all(self) -> list[dict[str, Any]]:
        rows = self._db.execute("SELECT token, id, kind, name, needs, doing, due FROM parts ORDER BY rowid")
        return [_part(*row) for row in rows]

    def there(self) -> list[dict[str, Any]]:
        """All but what is deleted."""
        return [part for part in self.all() if part["state"] not in GONE]

    def log(self) -> list[tuple[str, str, str]]:
        """What happened, to which token and name."""
        return self._db.execute("SELECT what, token, name FROM log ORDER BY number").fetchall()

    def write(self, part: dict[str, Any], doing: str, due: float) -> None:
        row = [part[key] for key in ("token", "id", "kind", "name")]
        needs = json.dumps(part["needs"])
        self._db.execute(
            "INSERT OR REPLACE INTO parts VALUES (?, ?, ?, ?, ?, ?, ?)", (*row, needs, doing, due)
        )
        self.note(doing, part)

    def note(self, what: str, part: dict[str, Any]) -> None:
        line = (time.time(), what, part["token"], part["name"])
        self._db.execute("INSERT INTO log (at, what, token, name) VALUES (?, ?, ?, ?)", line)


def _part(token: str, id: str, kind: str, name: str, needs: str, doing: str, due: float) -> dict[str, Any]:
    state = DONE.get(doing, doing) if due <= time.time() else doing
    found = {"token": token, "id": id, "kind": kind, "name": name, "needs": json.loads(needs)}
    return {**found, "state": state, "left": max(0.0, due - time.time())}


class Cloud:
    """The rules, and what goes wrong on purpose (`broken_deletes`, `lost_replies`: so many times)."""

    def __init__(
        self, books: Books, *, seconds: float, quota: int, broken_deletes: int, lost_replies: int
    ) -> None:
        self.books = books
        self.seconds = seconds
        self.quota = quota
        self.broken_deletes = broken_deletes
        self.lost_replies = lost_replies

    def create(self, wanted: dict[str, Any]) -> None:
        """Begin to build, once for each token."""
        with self.books.transaction():
            known = self.books.find(wanted["token"])
            if known and known["state"] not in GONE:
                self.books.note("repeated", known)
                return
            if known:
                raise Refused("this token was given up")
            there = self.books.there()
            machines = sum(part["kind"] == "machine" for part in there)
            if wanted["kind"] == "machine" and machines >= self.quota:
                raise Refused(f"the quota is {self.quota} machines")
            ready = {part["id"] for part in there if part["state"] == "ready"}
            if missing := sorted(set(wanted["needs"]) - ready):
                raise Refused(f"not there, or not ready: {', '.join(missing)}")
            id = f"{wanted['kind']}-{wanted['token'][:8]}"
            self.books.write({**wanted, "id": id}, "building", time.time() + self.seconds)

    def delete(self, token: str) -> bool:
        """Begin to delete; False if there is nothing to wait for. An unknown token is void from now on."""
        with self.books.transaction():
            part = self.books.find(token)
            if part is None:
                nothing = {"token": token, "id": "", "kind": "", "name": "", "needs": []}
                self.books.write(nothing, "void", 0)
                return False
            users = [each["name"] for each in self.books.there() if part["id"] in each["needs"]]
            if users:
                self.books.note("in use", part)
            elif part["state"] not in (*GONE, "deleting"):
                self.books.write(part, "deleting", time.time() + self.seconds)
        if users:
            raise Refused(f"{part['name']} is in use by {', '.join(users)}")
        return part["state"] not in GONE


def application(cloud: Cloud) -> Starlette:
    """The cloud behind HTTP."""

    async def create(request: Request) -> Response:
        wanted = await request.json()
        cloud.create(wanted)
        if cloud.lost_replies > 0:
            cloud.lost_replies -= 1
            raise OSError("it is being built, and nobody will be told")  # a 500
        return _under_way(wanted["token"])

    async def delete(request: Request) -> Response:
        token = request.path_params["token"]
        if cloud.broken_deletes > 0:
            cloud.broken_deletes -= 1
            return JSONResponse({"title": "try again some other time"}, 503)
        return _under_way(token) if cloud.delete(token) else Response(status_code=204)

    async def operation(request: Request) -> Response:
        part = cloud.books.find(request.path_params["token"])
        if part is None:
            return JSONResponse({"title": "no such operation"}, 404)
        return _under_way(part["token"]) if part["left"] else JSONResponse(part)

    async def refused(request: Request, error: Exception) -> Response:
        return JSONResponse({"title": str(error)}, 409)

    def _under_way(token: str) -> Response:
        return Response(status_code=202, headers={"Location": f"/operations/{token}"})

    return Starlette(
        routes=[
            Route("/parts", create, methods=["POST"]),
            Route("/parts/{token}", delete, methods=["DELETE"]),
            Route("/operations/{token}", operation),
        ],
        exception_handlers={Refused: refused},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="a small cloud")
    parser.add_argument("--books", action="store_true", help="print what there is, and end")
    parser.add_argument("--seconds", type=float, default=0.3, help="to build or to delete a part")
    parser.add_argument("--quota", type=int, default=4, help="of machines")
    parser.add_argument("--broken-deletes", type=int, default=0, help="so many fail, for a while")
    parser.add_argument(
        "--lost-replies", type=int, default=0, help="so many parts are built and nobody is told"
    )
    given = vars(parser.parse_args())
    books = Books()
    if given.pop("books"):
        for line in sorted(f"{part['name']} {part['state']}" for part in books.there()):
            print(line)
        return
    port = int(os.environ.get("CLOUD_PORT", "8700"))
    uvicorn.run(application(Cloud(books, **given)), port=port, access_log=False)


if __name__ == "__main__":
    main()
