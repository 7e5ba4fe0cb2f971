"""The command: what it prints, its exit codes, what it says to wrong input."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from amends.checks import RULES, main

CLEAN = """
from amends import saga

@saga(name="f.a")
async def a(order: str) -> str:
    return order
"""
WRONG = """
import time
from amends import saga

@saga(name="f.a")
async def a(order: str) -> float:
    return time.time()  # ¿qué hora es?
"""
ADVICE = CLEAN.replace('(name="f.a")', "")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, source in (("clean", CLEAN), ("wrong", WRONG), ("advice", ADVICE), ("broken", "def (")):
        Path(f"{name}.py").write_text(source, encoding="utf-8")
    Path("unable.py").write_text("import amends, nothing_like_it\n")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["clean.py"], 0),
        (["clean"], 0),
        (["advice.py"], 0),
        (["advice.py", "--strict"], 1),
        (["wrong.py"], 1),
        (["wrong.py", "--ignore", "AM301"], 0),
        (["wrong.py", "--select", "AM1,AM2"], 0),
        (["wrong.py", "--select", "AM1", "--select", "AM3"], 1),
        (["clean.py", "wrong.py"], 1),
        (["broken.py"], 2),
        (["wrong.py", "broken.py"], 2),
        (["unable.py"], 2),
        (["unable.py", "--no-import"], 0),
        (["nowhere.py"], 2),
        (["nowhere"], 2),
        (["wrong.py", "--select", "AM7"], 2),
        (["wrong.py", "--config", "nowhere.toml"], 2),
        (["--explain", "AM101"], 0),
        (["--explain", "missing-compensation"], 0),
        (["--explain", "AM777"], 2),
        (["--rules"], 0),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_exit_codes(arguments: list[str], code: int) -> None:
    assert main(arguments) == code


def test_without_targets_it_says_what_to_give(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([], prog="amends check")
    assert stop.value.code == 2
    assert "amends check: error: name a module" in capsys.readouterr().err


def test_a_finding_shows_the_line_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    main(["wrong.py"])
    assert capsys.readouterr().out == (
        "wrong.py:7:12: error AM301 (clock): time.time reads the clock\n"
        "  7 |     return time.time()  # ¿qué hora es?\n"
        "    |            ^^^^^^^^^\n"
        "  Replay runs the code again at another time, so it may decide otherwise, and the execution parks as"
        " diverged.\n"
        "  → use amends.now(), `await asyncio.sleep(…)`, or do it in a step\n"
        "\n"
        "1 file: 1 error\n"
    )


def test_the_caret_counts_characters(capsys: pytest.CaptureFixture[str]) -> None:
    Path("wide.py").write_text(WRONG.replace("return time", 'return len("çà…") + time'), encoding="utf-8")
    main(["wide.py"])
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("wide.py:7:25: ")
    assert out[1].index("time.time") == out[2].index("^")


def test_what_could_not_be_checked_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    main(["broken.py", "unable.py", "nowhere.py"])
    out = capsys.readouterr().out
    assert "broken.py:1: cannot be read as Python: invalid syntax" in out
    assert "unable.py:1: cannot be imported: ModuleNotFoundError: No module named 'nothing_like_it'" in out
    assert "no file or folder nowhere.py" in out
    assert out.endswith("1 file: 3 could not be checked\n")


def test_wrong_codes_get_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--explain", "AM1001"])
    main(["--explain", "missing-compensations"])
    main(["clean.py", "--ignore", "AM60x"])
    err = capsys.readouterr().err
    assert "there is no rule AM1001" in err
    assert "did you mean 'missing-compensation'" in err
    assert "no rule begins with 'AM60x'" in err


def test_wrong_settings_are_told_in_the_form_that_was_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["clean.py", "--select", "AM7", "--json"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    error = json.loads(said.err)["error"]
    assert (error["code"], error["message"]) == ("check_config", "no rule begins with 'AM7'")
    assert error.keys() == {"code", "message", "hint", "exit"}


def test_every_rule_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--rules"])
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(RULES)


def test_output_goes_to_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["wrong.py", "--json", "--output", "out.json"]) == 1
    assert capsys.readouterr().out == ""
    assert json.loads(Path("out.json").read_text())["findings"][0]["code"] == "AM301"


def test_what_a_module_prints_is_kept_out_of_the_report(capfd: pytest.CaptureFixture[str]) -> None:
    Path("loud.py").write_text(f"print('loud')\n{CLEAN}")
    assert main(["loud.py", "--json"]) == 0
    said = capfd.readouterr()
    assert json.loads(said.out)["findings"] == []
    assert said.err == "loud\n"


@pytest.mark.parametrize("command", [["amends", "check"], ["amends.checks"]], ids=["cli", "module"])
def test_it_is_mounted(command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command, "wrong"], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert "AM301" in done.stdout


def test_a_reader_that_goes_away_is_no_error() -> None:
    code = "import sys, amends.checks; sys.exit(amends.checks.main(['--rules']))"
    with subprocess.Popen(
        [sys.executable, "-c", f"import sys; sys.stdin.read(); {code}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.stdin.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0
