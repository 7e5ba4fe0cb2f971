"""Durable names: what a journal calls a step or saga, in modules, scripts and functions."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from amends import DefinitionError, step
from amends.definition.naming import durable_name

SCRIPT = """
from amends import saga, step

@step
async def charge(): ...

class Shop:
    @step
    async def charge(self): ...

def make():
    @saga
    async def place(): ...
    return place

print(charge.name, Shop.charge.name, make().name)
"""


def run(*arguments: str, cwd: Path, text: str | None = None) -> list[str]:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, input=text, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def names(module: str) -> list[str]:
    return [f"{module}.charge", f"{module}.Shop.charge", f"{module}.make.place"]


def test_module_and_qualified_name() -> None:
    async def charge() -> None: ...

    assert durable_name(charge, None) == f"{__name__}.test_module_and_qualified_name.charge"


def test_a_given_name_counts_as_it_is() -> None:
    assert durable_name(lambda: None, "payments: charge!") == "payments: charge!"
    assert step(name="payments.charge")(lambda: None).name == "payments.charge"


def test_a_script_is_named_as_it_would_be_imported(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(SCRIPT)
    assert run("shop.py", cwd=tmp_path) == names("shop")
    assert run("-c", "import shop", cwd=tmp_path) == names("shop")
    assert run("-m", "shop", cwd=tmp_path) == names("shop")


def test_so_is_a_package_that_is_run(tmp_path: Path) -> None:
    package = tmp_path / "store"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "shop.py").write_text(SCRIPT)
    (package / "__main__.py").write_text(SCRIPT)
    assert run("-m", "store.shop", cwd=tmp_path) == names("store.shop")
    assert run("-m", "store", cwd=tmp_path) == names("store")


def test_code_without_a_file_has_no_better_name(tmp_path: Path) -> None:
    assert run("-", cwd=tmp_path, text=SCRIPT) == names("__main__")


@pytest.mark.parametrize("name", ["", " charge", "charge ", "charge\n", "a\tb", "\x00"])
def test_names_that_cannot_be_read_are_refused(name: str) -> None:
    with pytest.raises(DefinitionError, match="a durable name must be visible text without spaces around it"):
        durable_name(lambda: None, name)


def test_a_function_without_module_is_still_named() -> None:
    made: Callable[..., object] = eval("lambda: None", {"__name__": "made"})
    assert durable_name(made, None) == "made.<lambda>"
