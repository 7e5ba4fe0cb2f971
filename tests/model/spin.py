"""Running spin: from a model and its macros to what was found, with the shortest run that shows it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
MEMORY = 3000  # megabytes, at most


@dataclass(frozen=True)
class Result:
    """What a run found.

    violated: the assertion as spin writes it, "cycle" for something that never happens, "" for nothing.
    story: what the model printed on the way there.  unreached: statements that no run came to.
    """

    violated: str
    states: int
    story: list[str]
    unreached: list[str]


def check(
    folder: Path, model: str, macros: Iterable[str], *, ends: bool = False, shortest: bool = False
) -> Result:
    """Explore every state. `ends`: look for runs in which what is promised never comes, under weak fairness.

    `shortest`: breadth first, which finds the shortest story and keeps more in memory.
    """
    given = [f"-D{macro}" for macro in macros]
    shutil.copy(HERE / model, folder)
    _run(folder, "spin", "-a", *given, model)
    how = ["-DNFAIR=4"] if ends else ["-DSAFETY", "-DNOCLAIM", *(["-DBFS"] if shortest else [])]
    # Not optimized: most runs take less time than the optimizer does.
    _run(folder, "gcc", "-O0", "-w", f"-DMEMLIM={MEMORY}", *how, "-o", "pan", "pan.c")
    said = _run(folder, "./pan", "-m1000000", *(["-a", "-f"] if ends else []))
    errors, states = re.search(r"errors: (\d+)", said), re.search(r"(\d+) states, stored", said)
    assert errors, f"spin did not come to an end:\n{said[-3000:]}"
    assert states
    assert "max search depth too small" not in said, "part of the states were not looked at"
    found = re.search(r"assertion violated *(.*) \(at depth", said)
    violated = found[1].strip() if found else "cycle" if "acceptance cycle" in said else ""
    assert bool(violated) == bool(int(errors[1])), said[-3000:]
    story = _story(folder, given, model) if violated else []
    unreached = re.findall(rf"{re.escape(model)}:\d+, state \d+, (?!\"-end-\").*", said)
    return Result(violated, int(states[1]), story, unreached)


def _story(folder: Path, given: list[str], model: str) -> list[str]:
    trail = _run(folder, "spin", "-t", *given, model).splitlines()
    return [line.strip() for line in trail if re.match(r" {6,}\S", line)]


def _run(folder: Path, *command: str) -> str:
    done = subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True, timeout=280)
    if command[0] == "gcc" or command[:2] == ("spin", "-a"):
        assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr
