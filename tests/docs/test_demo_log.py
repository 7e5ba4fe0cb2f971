"""Process logs as the demo reads them: formats, mistakes, and a small company played again."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from amends.demo.__main__ import main
from amends.demo.audit import Report
from amends.demo.history import histories
from amends.demo.logfile import LogError, read_log
from amends.demo.report import differences
from tests.docs.pages import ROOT

PLACED = [("place order", 0.0), ("send invoice", 0.1)]
DELIVERY = ("prepare delivery", "make delivery", "confirm payment")


def paid(after: float, *reminders: float) -> list[tuple[str, float]]:
    """The events of an order that is paid after so many days, and reminded after so many."""
    later = [(activity, after + n / 10) for n, activity in enumerate(("pay", *DELIVERY))]
    return [*PLACED, *(("send reminder", day) for day in reminders), *later]


def cancelled(after: float, *reminders: float) -> list[tuple[str, float]]:
    return [*PLACED, *(("send reminder", day) for day in reminders), ("cancel order", after)]


EARLY = sorted([("pay", 0.05), *PLACED, *((activity, 1.0) for activity in DELIVERY)], key=lambda e: e[1])
LOG = {"A": paid(2), "B": paid(9, 7), "C": cancelled(20, 7, 14), "D": EARLY, "E": paid(16, 7, 14)}


def day(offset: float) -> str:
    return (datetime(2015, 1, 5, tzinfo=UTC) + timedelta(days=offset)).isoformat(" ")


def csv_of(log: dict[str, list[tuple[str, float]]], delimiter: str = ",") -> str:
    lines = [("case:concept:name", "concept:name", "time:timestamp")]
    lines += [(case, activity, day(at)) for case, events in log.items() for activity, at in events]
    return "".join(delimiter.join(line) + "\n" for line in lines)


def xes_of(log: dict[str, list[tuple[str, float]]]) -> str:
    def event(activity: str, at: float) -> str:
        return (
            f'<event><string key="concept:name" value="{activity}"/>'
            f'<date key="time:timestamp" value="{day(at)}"/></event>'
        )

    traces = "".join(
        f'<trace><string key="concept:name" value="{case}"/>{"".join(event(*e) for e in events)}</trace>'
        for case, events in log.items()
    )
    return f'<?xml version="1.0"?><log xmlns="http://www.xes-standard.org/">{traces}</log>'


def written(folder: Path, text: str, name: str = "log.csv") -> Path:
    path = folder / name
    data = text.encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("log.csv", csv_of(LOG)),
        ("log.CSV", csv_of(LOG, ";")),
        ("log.csv.gz", "\ufeff" + csv_of(LOG)),
        ("log.xes", xes_of(LOG)),
        ("log.xes.gz", xes_of(LOG)),
    ],
)
def test_formats_say_the_same(tmp_path: Path, name: str, text: str) -> None:
    found = {h.order: h for h in histories(read_log(written(tmp_path, text, name)))}
    assert {order: (h.answer, h.letters) for order, h in found.items()} == {
        "A": ("paid", 1),
        "B": ("paid", 2),
        "C": ("cancelled", 3),
        "D": ("paid", 0),
        "E": ("paid", 3),
    }
    assert found["B"].activities == Counter(activity for activity, _ in LOG["B"])
    assert found["B"].days == pytest.approx(2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no column for the case: expected"),
        ("case,activity,time\n", "there are no events in it"),
        ("case,task\n1,pay\n", "no column for the time: expected"),
        ("case,task,time\n1,pay\n", "line 2 has 2 fields, expected 3"),
        ("case,task,time\n1,pay,soon\n", "line 2: 'soon' is no time such as"),
        ("case,task,time\n1,fly,2015-01-05\n", "it has:   fly\n  expected: place order"),
        (csv_of({"A": PLACED}), "case A: 'pay' or 'cancel order' 0 times, expected once"),
        (csv_of({"A": [*paid(1), ("place order", 5)]}), "case A: 'place order' 2 times, expected once"),
        (csv_of({"A": [*cancelled(1), ("make delivery", 5)]}), "case A: 'make delivery' 1 times with"),
        (csv_of({"A": [*cancelled(1), ("send reminder", 5)]}), "case A: a reminder after 'cancel order'"),
    ],
)
def test_other_logs_are_explained(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(LogError) as caught:
        histories(read_log(written(tmp_path, text)))
    assert said in str(caught.value)


OTHERS = sorted((ROOT.parent / "shared" / "conformance" / "logs").glob("*.xes*"))


@pytest.mark.skipif(not OTHERS, reason="other logs are not beside this checkout")
@pytest.mark.parametrize("path", OTHERS, ids=lambda path: path.name)
def test_logs_of_other_processes_are_read_and_refused(path: Path) -> None:
    cases = read_log(path)
    assert len(cases) > 5
    with pytest.raises(LogError, match="no log of orders as the demo can play them"):
        histories(cases)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("log.xes", "<log><trace>", "cannot be read: "),
        ("log.xes", "<html/>", "expected an XES document with the root <log>, found <html>"),
        ("log.xes", "<log><trace><event/></trace></log>", "has no concept:name"),
        ("log.txt", "", "expected a process log, .csv or .xes"),
    ],
)
def test_broken_files_are_explained(tmp_path: Path, name: str, text: str, said: str) -> None:
    with pytest.raises(LogError) as caught:
        read_log(written(tmp_path, text, name))
    assert said in str(caught.value)


def test_a_truncated_archive_is_explained(tmp_path: Path) -> None:
    path = written(tmp_path, csv_of(LOG), "log.csv.gz")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(LogError, match="cannot be read: "):
        read_log(path)


def test_differences_from_the_log_are_found(tmp_path: Path) -> None:
    wanted = histories(read_log(written(tmp_path, csv_of({"A": paid(2)}))))
    right = Report(delivered={"A"})
    right.activities["A"] = Counter(wanted[0].activities)
    assert differences(right, wanted) == []
    right.activities["A"]["send reminder"] += 1
    right.activities["A"]["make delivery"] -= 1
    right.delivered.clear()
    assert differences(right, wanted) == [
        "A: not the activities of the log: +1 send reminder, -1 make delivery",
        "A: paid in the log, cancelled in the books",
    ]


@pytest.mark.slow
def test_a_small_company_is_played_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    company = {"A": LOG["A"], "B": LOG["B"], "C": cancelled(9, 7), "D": LOG["D"], "E": cancelled(3)}
    log = {f"{case}{n}": events for n in range(5) for case, events in company.items()}
    code = main(["--log", str(written(tmp_path, xes_of(log), "log.xes")), "--kills", "2"])
    said = capsys.readouterr().out
    assert code == 0, said
    assert "paid and delivered: 15 in the log, 15 in the books" in said
    assert "cancelled, all undone: 10 in the log, 10 in the books" in said
    assert "the same activities, order by order: 25 of 25" in said
    assert _row(said, "send reminder") == ["10", "10"]


def _row(text: str, name: str) -> Sequence[str]:
    return next(line.split()[-2:] for line in text.splitlines() if line.strip().startswith(name))
