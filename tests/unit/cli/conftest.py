"""Running the command line in this process, in a folder of the test's own."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from amends.cli import main
from tests.unit.cli import shop


class Done:
    """What a command did."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        """The one object it printed."""
        lines = self.lines
        assert len(lines) == 1, self.out
        return lines[0]

    @property
    def lines(self) -> list[Any]:
        return [msgspec.json.decode(line) for line in self.out.splitlines()]

    @property
    def error(self) -> Any:
        """The error object of a command with --json (other lines may stand before)."""
        return msgspec.json.decode(self.err.splitlines()[-1])["error"]

    def __repr__(self) -> str:
        return f"exit {self.code}\n{self.out}\n{self.err}"


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A folder, an environment and a module path of the test's own."""
    for name in list(os.environ):
        if name.startswith("AMENDS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("LOGNAME", "ada")
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    yield
    sys.path[:] = path
    for name, loaded in list(sys.modules.items()):
        if str(getattr(loaded, "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def amends(capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """`amends("show", "order-1001")` → `Done`."""

    def run(*arguments: str) -> Done:
        sys.modules.pop("app", None)
        capsys.readouterr()
        code = main(arguments)
        out, err = capsys.readouterr()
        return Done(code, out, err)

    return run


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A folder per state, made when first asked for."""
    folders: dict[str, Path] = {}

    def make(kind: str) -> Path:
        if kind not in folders:
            folder = folders[kind] = tmp_path_factory.mktemp(kind)
            if kind == "compensated":
                (folder / "repaired").touch()
            before = Path.cwd()
            os.chdir(folder)  # where `repaired` is looked for
            try:
                shop.fill(folder, kind)
            finally:
                os.chdir(before)
        return folders[kind]

    return make


@pytest.fixture
def order(made: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    """`order("stuck")`: here is now a project with a store in which order-1001 is stuck."""

    def put(kind: str) -> Path:
        shop.copy(made(kind), tmp_path)
        return tmp_path

    return put
