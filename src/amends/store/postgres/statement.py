"""SQL in files of its own, by name, and the statement of a commit, put together from its parts.

A file holds statements, each under a line ``-- name: word``.  `Statements` reads them for one schema.

`Statements.write` puts a commit together: ``WITH`` the parts that a batch needs, and a ``SELECT`` of what
they return.  There are as many texts as there are sets of parts that occur, a few dozen at most, and each is
prepared once per connection.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib import resources
from typing import NamedTuple

from ...errors import StoreError

FENCED = "CROSS JOIN fence"
EPOCH = "substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)"

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,47}")
_ELSEWHERE = """(SELECT count(pg_notify(%(channel)s::text, coalesce(o.owner::text, ''))) FROM (
    SELECT DISTINCT l.owner FROM posted AS p JOIN locked AS l ON l.num = p.execution
    WHERE l.owner IS DISTINCT FROM %(me)s::bigint
) AS o)"""
_ANYBODY = "(SELECT count(pg_notify(%(channel)s::text, '')) FROM (SELECT FROM {part} LIMIT 1) AS o)"
_UNOWNED = """(SELECT count(pg_notify(%(channel)s::text, '')) FROM (
    SELECT WHERE 0 = ANY (%(c_wake_at)s::float8[])
) AS o)"""

_GATE = "(v.gate IS NULL OR v.gate IN (SELECT uid FROM started))"
_HEADS = "e.num = ANY (%(h_num)s::bigint[])"
_RECEIVERS = "e.uid = ANY (%(m_uid)s::text[])"

Parts = tuple[str, ...]
_PARAMETER = re.compile(r"%\((\w+)\)s")


class Composed(NamedTuple):
    """A commit's statement: the text for the driver, the names of the columns of the one row it returns, and
    the text for libpq with the order of its parameters."""

    text: str
    names: list[str]
    numbered: bytes
    order: list[str]


def read(file: str) -> str:
    """The text of a file of this package."""
    return resources.files(__package__).joinpath(file).read_text(encoding="utf-8")


def named(text: str) -> dict[str, str]:
    """The statements of a text, by name, without comments."""
    parts = _NAME.split(text)
    return {
        name: " ".join(re.sub(r"--.*", "", body).split()).removesuffix(";")
        for name, body in zip(parts[1::2], parts[2::2], strict=True)
    }


class Statements:
    """All statements for one schema: ``sql["name"]``, and `write` for commits."""

    def __init__(self, schema: str, header: str) -> None:
        self.schema = schema
        words = {"schema": schema, "header": header, "epoch": EPOCH}
        self.parts = {name: _fill(text, words) for name, text in named(read("commit.sql")).items()}
        words["fence"] = self.parts["fence"]
        files = read("control.sql"), read("read.sql"), read("keys.sql"), read("tasks.sql"), read("pauses.sql")
        shared = named(files[0]) | named(files[1]) | named(files[3])
        words = {name: shared[name] for name in ("groups", "mine", "history")} | words
        self._plain = {name: _fill(text, words) for file in files for name, text in named(file).items()}
        self._written: dict[tuple[Parts, bool], Composed] = {}

    def __getitem__(self, name: str) -> str:
        return self._plain[name]

    def write(self, parts: Parts, *, fenced: bool) -> Composed:
        """The statement of a commit with these parts.

        fenced: of a worker, under its fence; otherwise of a client.
        """
        known = self._written.get((parts, fenced))
        if known is None:
            known = self._written[parts, fenced] = self._compose(parts, fenced=fenced)
        return known

    def _compose(self, parts: Parts, *, fenced: bool) -> Composed:
        new = [f"SELECT uid, num FROM {part}" for part in ("started", "born") if part in parts]  # noqa: S608
        words = {
            "fenced": FENCED if fenced else "",
            "gate": _GATE if "started" in parts else "true",
            "first": " AND (SELECT count(*) FROM consumed) >= 0" if "consumed" in parts else "",
            "dropped_first": " AND (SELECT count(*) FROM dropped) >= 0" if "dropped" in parts else "",
            "newborn": " UNION ALL ".join(new),
            "which": f"({_HEADS} OR {_RECEIVERS})" if "posted" in parts else _HEADS,
        }
        texts = [_fill(self.parts[part], words) for part in (("fence", *parts) if fenced else parts)]
        columns = _columns(parts, fenced=fenced)
        wanted = ", ".join(f"{text} AS {name}" for name, text in columns.items())
        text = f"WITH {', '.join(texts)} SELECT {wanted}"
        return Composed(text, list(columns), *_numbered(text))


def _columns(parts: Parts, *, fenced: bool) -> dict[str, str]:
    """What a commit returns."""
    found = {"alive": "(SELECT count(*) FROM fence)" if fenced else "1"}
    if "started" in parts:
        found["started"] = "ARRAY(SELECT uid FROM started)"
        found["started_as"] = "ARRAY(SELECT id FROM started)"
        found["started_nums"] = "ARRAY(SELECT num FROM started)"
        if not fenced:
            found["told"] = _ANYBODY.format(part="started")
    if "born" in parts:
        found["born"] = "ARRAY(SELECT uid FROM born)"
        found["born_nums"] = "ARRAY(SELECT num FROM born)"
        found["told_of_born"] = _UNOWNED
    if "heads" in parts:
        found["unowned"] = "ARRAY(SELECT num FROM heads WHERE owner IS NULL)"
    if "posted" in parts:
        found["told_of_posted"] = _ELSEWHERE
    if "queued" in parts:
        found["told_of_queued"] = _ANYBODY.format(part="queued")
    return found


def _numbered(text: str) -> tuple[bytes, list[str]]:
    """The text as the server knows it, with $1 for the first parameter, and the parameters in that order."""
    order = list(dict.fromkeys(_PARAMETER.findall(text)))
    numbers = {name: f"${place}" for place, name in enumerate(order, 1)}
    return _PARAMETER.sub(lambda found: numbers[found[1]], text).replace("%%", "%").encode(), order


def _fill(text: str, words: dict[str, str]) -> str:
    for word, meaning in words.items():
        text = text.replace("{" + word + "}", meaning)
    return text


@lru_cache(maxsize=64)
def statements(schema: str, header: str) -> Statements:
    """The statements for a schema (shared: they are the same for all)."""
    return Statements(schema, header)


def check_schema(name: str) -> str:
    """The name of a schema as it may stand in SQL. Raises `StoreError`."""
    if not _SCHEMA.fullmatch(name) or name.startswith("pg_"):
        raise StoreError(
            f"{name!r} cannot be the schema of a store",
            hint="lower-case letters, digits and _, not beginning with pg_: schema=amends",
        )
    return name
