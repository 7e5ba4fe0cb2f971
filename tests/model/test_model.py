"""The formal models hold whole, and fail without each safeguard, for the reason that docs/model.md gives."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.figures import record
from tests.tools import must_have

from .spin import HERE, check

ROOT = HERE.parents[1]
NEEDED = ("spin", "gcc")
PAGE = ROOT / "docs" / "model.md"
MODELS = ("saga.pml", "wakeup.pml")


class Ablation(NamedTuple):
    """Safeguards taken away, the assertion that must break, and words of the story in their order."""

    model: str
    macros: str
    violated: str
    story: tuple[str, ...]


ONE_OWNER = "incarnation==owner"
FROM_THE_JOURNAL = "phase==my_phase"
LATER_STANDS = "row[later]!=1"
ONCE = "effects[i]<=1"
NOTHING_LEFT = "(phase!=3)||(effects[i]==undos[i])"
AFTER_PIVOT = "!(pivoted)"
LOST_WAKEUP = "inbox==0"

EVERY_RULE = "LOSSES=2 CRASHES=0"
WHOLE = {
    "two steps": "",
    "two losses": EVERY_RULE,
    "three steps": "N=3 CRASHES=0",
    "a pivot": "PIVOT=1",
    "participants that remember rejections": "REMEMBERS_REJECTIONS",
    "no position": "NO_POSITION",
}

# Larger ones, for `make soak`.
LARGE = {"two of everything": "LOSSES=2 PAUSES=2", "three steps, two losses": "N=3 LOSSES=2"}

ABLATIONS = [
    Ablation("saga.pml", "NO_FENCE", ONE_OWNER, ("lease of worker 1 runs out", "worker 2 takes over")),
    Ablation("saga.pml", "NO_RETIRE", ONE_OWNER, ("lease of worker 1 runs out", "worker 2 takes over")),
    Ablation(
        "saga.pml",
        "NO_FENCE NOBODY_LOOKS",
        LATER_STANDS,
        ("worker 2 takes over", "worker 1: row 3", "worker 2 dispatches step 1", "step 0 is undone"),
    ),
    Ablation(
        "saga.pml",
        "NO_FENCE NO_POSITION NOBODY_LOOKS",
        LATER_STANDS,
        ("worker 2 takes over", "worker 1: row 2", "worker 2: row 3", "step 0 is undone"),
    ),
    Ablation("saga.pml", "BLIND_APPEND", FROM_THE_JOURNAL, ("worker 1: row 2", "acknowledgement is lost")),
    Ablation(
        "saga.pml",
        "EARLY_EFFECT",
        LATER_STANDS,
        ("worker 1 dispatches step 1", "step 1 takes effect", "worker 2: row 2, phase 1", "step 0 is undone"),
    ),
    Ablation(
        "saga.pml",
        "EARLY_UNDO",
        LATER_STANDS,
        ("step 1 is rejected", "step 1 takes effect", "step 0 is undone"),
    ),
    Ablation("saga.pml", "NO_KEY", ONCE, ("step 0 takes effect", "its reply is lost", "step 0 takes effect")),
    Ablation("saga.pml", "NO_UNDO_KEY", ONCE, ("step 0 is undone", "step 0 is undone again")),
    Ablation(
        "saga.pml", "NO_BARRIER", LATER_STANDS, ("nothing to undo", "delayed request", "step 1 takes effect")
    ),
    Ablation(
        "saga.pml", "UNKNOWN_IS_REJECTED", LATER_STANDS, ("its reply is lost", "owed 1", "step 0 is undone")
    ),
    Ablation(
        "saga.pml", "NO_TAINT", LATER_STANDS, ("it is delayed", "step 1 is rejected", "step 1 takes effect")
    ),
    Ablation(
        "saga.pml", "NO_LOST_TAINT", LATER_STANDS, ("worker 2 takes over", "rejected", "step 1 takes effect")
    ),
    Ablation(
        "saga.pml", "FORWARD_ORDER", LATER_STANDS, ("owed 2", "compensation of step 0", "step 0 is undone")
    ),
    Ablation("saga.pml", "UNSHIELDED", NOTHING_LEFT, ("cancel", "phase 1, step 0, owed 1", "phase 3")),
    Ablation(
        "saga.pml", "CANCEL_AFTER_PIVOT PIVOT=1", AFTER_PIVOT, ("row 2, phase 0, step 1", "step 1 is undone")
    ),
    Ablation("saga.pml", "NO_BURY", "cycle", ("worker 1 crashes",)),
    Ablation("wakeup.pml", "NO_INBOX_SEQ", LOST_WAKEUP, ("claims it", "message 1", "gives it back")),
    Ablation("wakeup.pml", "NO_WAKE", LOST_WAKEUP, ("gives it back", "message 1")),
    Ablation("wakeup.pml", "NO_BURY", LOST_WAKEUP, ("message 1", "claims it", "dies")),
]


@pytest.fixture(autouse=True)
def _spin(request: pytest.FixtureRequest) -> None:
    if "folder" in request.fixturenames:
        must_have("the formal model", *NEEDED)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


# ---------------------------------------------------------------- what holds


@pytest.mark.parametrize("macros", WHOLE.values(), ids=WHOLE.keys())
def test_the_whole_model_holds(folder: Path, macros: str) -> None:
    result = check(folder, "saga.pml", macros.split())
    assert (result.violated, result.story) == ("", [])
    record("model", states=result.states, violations=0)
    assert result.states > 10_000
    if macros == EVERY_RULE:
        assert len(result.unreached) <= 1, "every rule of the model was used, but for the crash"


@pytest.mark.soak
@pytest.mark.parametrize("macros", LARGE.values(), ids=LARGE.keys())
def test_the_whole_model_holds_in_large(folder: Path, macros: str) -> None:
    result = check(folder, "saga.pml", macros.split())
    assert result.violated == ""
    print(f"{macros}: {result.states:,} states")


def test_the_whole_model_loses_no_wakeup(folder: Path) -> None:
    result = check(folder, "wakeup.pml", [])
    assert (result.violated, result.unreached) == ("", [])
    assert result.states > 1_000


@pytest.mark.parametrize(("model", "macros"), [("saga.pml", "PAUSES=0"), ("wakeup.pml", "CRASHES=1")])
def test_the_whole_model_comes_to_its_end(folder: Path, model: str, macros: str) -> None:
    assert check(folder, model, [macros], ends=True).violated == ""


# ---------------------------------------------------------------- what each safeguard is for


@pytest.mark.parametrize("ablation", ABLATIONS, ids=lambda a: f"{a.model[:-4]}-{a.macros.replace(' ', '-')}")
def test_without_a_safeguard_it_fails(folder: Path, ablation: Ablation) -> None:
    ends = ablation.violated == "cycle"
    # Fewer states, where no crash is needed to show it.
    smaller = [] if ends or ablation.model != "saga.pml" else ["CRASHES=0"]
    result = check(folder, ablation.model, [*ablation.macros.split(), *smaller], ends=ends, shortest=not ends)
    story = "\n".join(result.story)
    record("model without a safeguard", found=bool(result.violated), states=result.states)
    assert ablation.violated in result.violated, story
    told = iter(result.story)
    for words in ablation.story:
        assert any(words in line for line in told), f"{words!r} is not told, or not then:\n{story}"


# ---------------------------------------------------------------- the page


def rows(heading: str) -> list[list[str]]:
    """Cells of the table under a heading of docs/model.md."""
    part = PAGE.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    table = [line.strip("|").split(" | ") for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in table[2:]]


def test_each_part_of_the_model_names_the_code_it_mirrors() -> None:
    marked = {
        mark for model in MODELS for mark in re.findall(r"(?<!\w)\[([a-z]+)\]", (HERE / model).read_text())
    }
    marked.discard("brackets")
    told = rows("Model and code")
    assert {cell.strip("[]`") for cell, *_ in told} == marked
    for mark, _, code in told:
        links = re.findall(r"\[`([^`]+)`\]\(\.\./([^)]+)\)", code)
        assert links, mark
        for name, path in links:
            text = (ROOT / path).read_text(encoding="utf-8")
            assert re.search(
                rf"(def|class|name:|^) ?{re.escape(name.split('.')[-1])}\b", text, re.MULTILINE
            ), f"{mark}: {path} has no {name}"


def test_the_page_tells_each_ablation() -> None:
    told = [(row[0].strip("`"), row[1].strip("`")) for row in rows("Without a safeguard")]
    assert told == [(each.model, each.macros) for each in ABLATIONS]
    assert all(len(row[2]) > 40 for row in rows("Without a safeguard")), "in words"


def test_each_macro_of_the_models_is_tried() -> None:
    tried = {(a.model, macro.split("=")[0]) for a in ABLATIONS for macro in a.macros.split()}
    tried |= {("saga.pml", macro.split("=")[0]) for macros in WHOLE.values() for macro in macros.split()}
    for model in MODELS:
        text = (HERE / model).read_text()
        sizes = set(re.findall(r"^#ifndef (\w+)\n#define", text, re.MULTILINE))
        asked = set(re.findall(r"^#ifn?def (\w+)", text, re.MULTILINE)) | set(
            re.findall(r"defined\((\w+)\)", text)
        )
        assert asked - sizes == {macro for where, macro in tried if where == model} - sizes


def test_a_machine_without_spin_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.devnull)
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="scripts/install-tools"):
        must_have("the formal model", *NEEDED)
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="scripts/install-tools"):
        must_have("the formal model", *NEEDED)
