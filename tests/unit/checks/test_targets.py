"""What can be named: files, folders, modules, packages; several programs side by side."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

import amends
from amends.checks import CannotCheck, Config, check, examine
from amends.definition.registry import REGISTRY

SAGA = """
from __future__ import annotations
from dataclasses import dataclass
from amends import saga
from {helper} import text

@dataclass
class Order:
    parent: Order | None
    size: Size

@dataclass
class Size:
    number: int

@saga(name="f.a")
async def a(order: Order) -> str:
    return text()
"""
WRONG = "import time\n\ndef text() -> str:\n    return str(time.time())\n"
RIGHT = "def text() -> str:\n    return 'text'\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, helper in (("one", RIGHT), ("two", WRONG), ("three", RIGHT)):
        Path(name).mkdir()
        Path(name, "app.py").write_text(SAGA.format(helper="helping"))
        Path(name, "helping.py").write_text(helper)
    Path("shop/inner").mkdir(parents=True)
    for file in ("shop/__init__.py", "shop/inner/__init__.py"):
        Path(file).touch()
    Path("shop/inner/app.py").write_text(SAGA.format(helper="..helping"))
    Path("shop/helping.py").write_text(WRONG)
    return tmp_path


@pytest.mark.parametrize(
    "target", ["shop", "shop.inner", "shop.inner.app", "shop/inner/app.py", "shop/inner", "."]
)
def test_every_way_to_name_it(target: str, folder: Path) -> None:
    found = [(Path(each.path).resolve(), each.code) for each in check([target])]
    assert (folder / "shop" / "helping.py", "AM301") in found


def test_programs_side_by_side_do_not_mix() -> None:
    report = examine(["one", "two", "three"])
    assert report.problems == []
    assert [(Path(each.path), each.code) for each in report.findings] == [(Path("two/helping.py"), "AM301")]
    assert len(report.files) == 6


def test_a_target_named_twice_counts_once() -> None:
    report = examine(["two", "two/app.py", str(Path("two").resolve())])
    assert len(report.files) == 2
    assert len(report.findings) == 1


def test_nothing_stays_imported() -> None:
    before, path = dict(sys.modules), list(sys.path)
    check(["one", "shop"])
    assert {
        name for name in set(sys.modules) - set(before) if name.partition(".")[0] in ("app", "shop")
    } == set()
    assert "helping" not in sys.modules
    assert sys.path == path


def test_modules_of_a_package_that_is_there_stay(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made twice, their classes would be two."""
    monkeypatch.syspath_prepend(folder)
    Path("there").mkdir()
    Path("there/__init__.py").touch()
    Path("there/sagas.py").write_text("from amends import saga\n")
    package = importlib.import_module("there")
    try:
        check(["there"])
        assert sys.modules["there.sagas"] is vars(package)["sagas"]
    finally:
        for name in ("there", "there.sagas"):
            sys.modules.pop(name, None)


def test_a_file_named_like_a_module_of_python(folder: Path) -> None:
    import io

    Path("io.py").write_text(SAGA.format(helper="one.helping"))
    assert check(["io.py"]) == []
    assert sys.modules["io"] is io


def test_check_raises_what_it_could_not() -> None:
    with pytest.raises(CannotCheck, match=r"no file or folder nowhere\.py"):
        check(["nowhere.py"])
    with pytest.raises(CannotCheck, match="no module nowhere"):
        check(["nowhere"])
    Path("empty").mkdir()
    with pytest.raises(CannotCheck, match="holds no Python file"):
        check(["empty"])


def test_without_import_nothing_runs() -> None:
    Path("bomb.py").write_text("import amends\nraise SystemExit('boom')\n")
    assert check(["bomb.py"], Config(load=False)) == []
    with pytest.raises(CannotCheck, match="SystemExit: boom"):
        check(["bomb.py"])


def test_hidden_folders_and_environments_are_left_out() -> None:
    for name in (".venv", "node_modules", "site-packages"):
        Path("three", name).mkdir()
        Path("three", name, "bad.py").write_text("def (")
    report = examine(["three"])
    assert (report.problems, len(report.files)) == ([], 2)


def test_what_is_checked_replaces_nothing_that_this_process_has_defined() -> None:
    @amends.step(name="f.kept")
    async def kept() -> None: ...

    @amends.saga(name="f.a")
    async def a() -> None: ...

    Path("other.py").write_text(
        'from amends import saga, step\n\n@step(name="f.kept", irreversible=True)\nasync def kept() -> None: ...\n\n'
        '@saga(name="f.a")\nasync def a() -> None:\n    await kept()\n'
    )
    assert examine(["other.py"]).problems == []
    assert REGISTRY.step("f.kept") is kept
    assert REGISTRY.saga("f.a", a.version) is a
