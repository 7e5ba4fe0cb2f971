"""The way in: the missing extra, quick start, completion, unknown commands, `init`, exit codes."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from amends.cli import exits, outcomes
from amends.cli.app import cli
from amends.cli.commands.about import SHELLS
from tests.unit.cli.conftest import Done

Amends = Callable[..., Done]
Order = Callable[[str], Path]


def python(code: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("package", ["click", "rich", "rich_click"])
def test_without_the_extra_it_says_what_to_install(package: str) -> None:
    hide = f"import sys; sys.modules['{package}'] = None; "
    done = python(
        hide + "import runpy; sys.argv = ['amends', 'list']; runpy.run_module('amends', run_name='__main__')"
    )
    assert done.returncode == 2
    assert "pip install 'amends[cli]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_defect_of_ours_is_not_taken_for_the_missing_extra() -> None:
    done = python("import sys; sys.modules['tomllib'] = None; import amends.cli; amends.cli.main(['list'])")
    assert "Traceback" in done.stderr
    assert "tomllib" in done.stderr


def test_help_loads_no_command_and_a_command_only_itself() -> None:
    """What keeps it quick. (The time itself: see docs/cli.md.)"""
    show = "import sys, amends.cli; amends.cli.main([{!r}]); print(sorted(m for m in sys.modules if 'cli.commands.' in m))"
    assert python(show.format("--help")).stdout.splitlines()[-1] == "[]"
    assert python(show.format("list")).stdout.splitlines()[-1] == "['amends.cli.commands.list']"


def test_a_command_that_is_not_there(amends: Amends) -> None:
    done = amends("shwo", "order-1")
    assert done.code == 2
    assert done.err == "error: there is no command 'shwo'\n  → did you mean 'show'?\n"
    assert "amends --help" in amends("xyzzy").err


def test_no_command_shows_help(amends: Amends) -> None:
    done = amends()
    assert done.code == 2
    assert "Show one execution" in done.out
    assert amends("--version").out.startswith("amends ")


def test_an_option_that_is_not_there(amends: Amends) -> None:
    done = amends("list", "--stauts", "running", "--json")
    assert done.error["code"] == "usage"
    assert "--status" in done.error["message"]
    assert done.error["hint"] == "amends list --help"


def test_a_missing_id_says_where_ids_are(amends: Amends) -> None:
    assert "amends list shows the ids; amends show --help" in amends("show").err


def test_what_nobody_foresaw_is_told_whole(
    order: Order, amends: Amends, monkeypatch: pytest.MonkeyPatch
) -> None:
    order("completed")

    def fail(*_: object) -> None:
        raise ZeroDivisionError("surprise")

    monkeypatch.setattr("amends.cli.desk.Desk.find", fail)
    done = amends("show", "order-1001", "--json")
    assert done.code == 70
    assert "Traceback" in done.err
    assert done.error["message"] == "ZeroDivisionError: surprise"


def test_exit_codes_of_errors() -> None:
    codes = dict(exits._CODES)
    for kind, code in codes.items():
        assert exits.of_error(kind.__new__(kind)) is code
    assert exits.of_error(KeyboardInterrupt()) == 130
    assert outcomes.worst([exits.Exit.OK, exits.Exit.NOT_FOUND, exits.Exit.FAILED]) == 3
    assert set(exits.MEANING) == set(exits.Exit)


# ---------------------------------------------------------------- completion


def complete(shell: str, words: str, cwd: Path) -> list[str]:
    typed = words.split(" ")
    env = {"COMP_WORDS": words, "COMP_CWORD": typed[-1] if shell == "fish" else str(len(typed) - 1)}
    done = python("import amends.cli; amends.cli.main([])", cwd, _AMENDS_COMPLETE=f"{shell}_complete", **env)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize("shell", SHELLS)
def test_ids_are_completed_from_the_store(shell: str, order: Order) -> None:
    folder = order("stuck")
    assert any("order-1001" in word for word in complete(shell, "amends show ord", folder))
    assert not any("order-1001" in word for word in complete(shell, "amends show x", folder))


def test_commands_options_and_statuses_are_completed(order: Order) -> None:
    folder = order("stuck")
    assert complete("bash", "amends sh", folder) == ["plain,show"]
    assert "plain,--status" in complete("bash", "amends list --st", folder)
    assert complete("bash", "amends list --status att", folder) == ["plain,attention"]


def test_completion_without_a_store_is_quiet(tmp_path: Path) -> None:
    assert complete("bash", "amends show ord", tmp_path) == []


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_of_a_shell(shell: str, amends: Amends) -> None:
    done = amends("completion", shell)
    assert done.code == 0
    assert "_AMENDS_COMPLETE" in done.out
    assert done.out.startswith("# ")
    assert "did you mean" not in amends("completion", "tcsh").err
    assert amends("completion", "tcsh").code == 2


def test_bash_takes_the_script(amends: Amends, tmp_path: Path) -> None:
    (tmp_path / "script").write_text(amends("completion", "bash").out)
    done = subprocess.run(
        ["bash", "--norc", "-c", "source ./script && complete -p amends"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert "_amends_completion" in done.stdout


# ---------------------------------------------------------------- init


def test_init_overwrites_nothing(tmp_path: Path, amends: Amends) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "app.py").write_text("mine")
    done = amends("init", "shop")
    assert done.code == 6
    assert "shop has app.py already; nothing was written" in done.err
    assert [path.name for path in (tmp_path / "shop").iterdir()] == ["app.py"]
    (tmp_path / "file").touch()
    assert amends("init", "file").code == 6


def test_init_makes_a_project_that_works(
    tmp_path: Path, amends: Amends, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert amends("init", "My Shop!").code == 0
    folder = tmp_path / "My Shop!"
    assert 'name = "my-shop"' in (folder / "pyproject.toml").read_text()
    monkeypatch.chdir(folder)
    lines = [
        line[2:] for line in (folder / "README.md").read_text().splitlines() if line.startswith("$ amends")
    ]
    ended = {}
    for line in lines:
        if not any(word in line for word in (" worker", "--watch", "--wait")):
            ended[line.split()[1]] = amends(*shlex.split(line)[1:]).code
            assert ended[line.split()[1]] in {0, 1}, line
    assert ended == {"run": 1, "list": 0, "history": 0, "start": 0, "send": 0}, (
        "the orders to nowhere are undone"
    )
    statuses = {one["id"]: one["status"] for one in amends("list", "--json").lines}
    assert statuses.pop("order-1004") in {"running", "completed"}, "the run of order-1005 took it up"
    assert statuses == {
        "order-1001": "completed",
        "order-1002": "compensated",
        "order-1003": "running",
        "order-1005": "compensated",
    }


def test_the_project_passes_its_own_test(tmp_path: Path, amends: Amends) -> None:
    amends("init", "shop")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path / "shop",
        capture_output=True,
        text=True,
        check=False,
    )
    assert "2 passed" in done.stdout, done.stdout


def test_the_table_and_the_commands_agree() -> None:
    for name, entry in cli.commands.items():
        if hasattr(entry, "real"):
            assert entry.real().name == name


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device here that is always full")
def test_output_without_room_is_told() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "amends", "version"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == exits.Exit.FAILED
    assert done.stderr.startswith("error: what there is to say cannot be written: No space left on device\n")
    assert "Traceback" not in done.stderr
