"""Process logs: cases and their events, from CSV or XES (IEEE 1849), plain or gzipped.

XES is read with the standard library's streaming parser: of its many features only the trace's and
the events' ``concept:name`` and ``time:timestamp`` matter here, and a library for all of them would
weigh a hundred times more than this page.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, NamedTuple, cast
from xml.etree import ElementTree


class LogError(Exception):
    """The file is no process log that can be read, or none of an order process."""


class Event(NamedTuple):
    """Something that happened in a case: an activity, and when it began."""

    at: datetime
    activity: str


Cases = dict[str, list[Event]]

COLUMNS = {
    "case": ("case:concept:name", "case_id", "case id", "caseid", "case"),
    "activity": ("concept:name", "activity", "event", "task"),
    "time": ("start_timestamp", "time:timestamp", "timestamp", "time"),
}
"""What columns of a CSV file may be called, the best first."""


def read_log(path: Path) -> Cases:
    """The cases of a log, each in the order of its events. Raises `LogError`."""
    name = path.name.lower().removesuffix(".gz")
    if not name.endswith((".csv", ".xes")):
        raise LogError("expected a process log, .csv or .xes (or either with .gz)")
    if not path.is_file():
        raise LogError("no such file")
    try:
        with _opened(path) as file:
            cases: Cases = {}
            for case, event in _from_xes(file) if name.endswith(".xes") else _from_csv(file):
                cases.setdefault(case, []).append(event)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error, ElementTree.ParseError) as error:
        raise LogError(f"cannot be read: {error}") from error
    if not cases:
        raise LogError("there are no events in it")
    for events in cases.values():
        events.sort(key=lambda event: event.at)
    return cases


def _opened(path: Path) -> IO[bytes]:
    if path.suffix.lower() == ".gz":
        return cast(IO[bytes], gzip.open(path))
    return path.open("rb")


def _from_csv(file: IO[bytes]) -> Iterator[tuple[str, Event]]:
    with io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
        header = text.readline()
        names = next(csv.reader([header], delimiter=_delimiter(header)), [])
        place = {what: _column(what, names) for what in COLUMNS}
        for number, row in enumerate(csv.reader(text, delimiter=_delimiter(header)), 2):
            if not row:
                continue
            try:
                case, activity, time = (row[place[what]] for what in ("case", "activity", "time"))
            except IndexError:
                raise LogError(f"line {number} has {len(row)} fields, expected {len(names)}") from None
            yield case, Event(_time(time, f"line {number}"), activity)


def _delimiter(header: str) -> str:
    return max(",;\t", key=header.count)


def _column(what: str, names: list[str]) -> int:
    lower = [name.strip().lower() for name in names]
    for wanted in COLUMNS[what]:
        if wanted in lower:
            return lower.index(wanted)
    raise LogError(
        f"no column for the {what}: expected {' or '.join(COLUMNS[what])},"
        f" found {', '.join(names) or 'nothing'}"
    )


def _from_xes(file: IO[bytes]) -> Iterator[tuple[str, Event]]:
    root = None
    # expat limits what entities may expand to, which is all that an XML file could harm here.
    for position, (when, element) in enumerate(ElementTree.iterparse(file, ("start", "end"))):  # noqa: S314
        if root is None:
            root = element
            if _tag(root) != "log":
                raise LogError(f"expected an XES document with the root <log>, found <{_tag(root)}>")
        if when == "end" and _tag(element) == "trace":
            yield from _trace(element, position)
            root.clear()  # one trace in memory at a time


def _trace(trace: ElementTree.Element, position: int) -> Iterator[tuple[str, Event]]:
    case = _attributes(trace).get("concept:name", f"trace {position}")
    for element in trace:
        if _tag(element) != "event":
            continue
        said = _attributes(element)
        if said.get("lifecycle:transition", "complete").lower() != "complete":
            continue  # of an activity with several events one counts
        for key in ("concept:name", "time:timestamp"):
            if key not in said:
                raise LogError(f"an event of case {case!r} has no {key}")
        yield case, Event(_time(said["time:timestamp"], f"case {case!r}"), said["concept:name"])


def _attributes(element: ElementTree.Element) -> dict[str, str]:
    return {child.get("key", ""): child.get("value", "") for child in element if child.get("key")}


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _time(text: str, where: str) -> datetime:
    try:
        found = datetime.fromisoformat(re.sub(r"^(\d{4})/(\d\d)/(\d\d)", r"\1-\2-\3", text.strip()))
    except ValueError:
        raise LogError(f"{where}: {text!r} is no time such as 2015-01-05 09:00:07+00:00") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
