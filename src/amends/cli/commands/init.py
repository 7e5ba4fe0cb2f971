"""``amends init``: a project to start from."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

import rich_click as click

from ..exits import Exit, Problem
from ..options import Where, command

# The template's files end in .txt: they are text here, and programs where they are written.
FILES = {
    "pyproject.toml": "pyproject.toml.txt",
    "app.py": "app.py.txt",
    "test_app.py": "test_app.py.txt",
    "README.md": "README.md.txt",
    ".gitignore": "gitignore.txt",
}
_NAMED = {"pyproject.toml", "README.md"}


@command("amends init my-shop", store=False)
@click.argument("directory", default=".", type=click.Path(path_type=Path))
def init(where: Where, directory: Path) -> Exit:
    """Make a project to start from.

    An order saga of three steps with compensations, a test, and a README with the commands to try. It
    overwrites nothing.
    """
    _must_be_free(directory)
    name = re.sub(r"[^a-z0-9]+", "-", directory.resolve().name.lower()).strip("-") or "shop"
    directory.mkdir(parents=True, exist_ok=True)
    folder = resources.files(__package__ or "").joinpath("../template")
    for target, source in FILES.items():
        text = folder.joinpath(source).read_text(encoding="utf-8")
        (directory / target).write_text(
            text.format(name=name) if target in _NAMED else text, encoding="utf-8"
        )
    if where.json:
        where.output.data({"directory": str(directory), "name": name, "files": list(FILES)})
        return Exit.OK
    where.output.show(f"{directory}: {', '.join(FILES)}", "", "Now:")
    if directory != Path():
        where.output.show(f"  cd {directory}")
    example = """--args '{"order": {"id": "1001", "cents": 4999}}'"""
    where.output.show(f"  amends run app:place_order {example} --id order-1001", "  cat README.md")
    return Exit.OK


def _must_be_free(directory: Path) -> None:
    if directory.exists() and not directory.is_dir():
        raise Problem(f"{directory} is a file", hint="name a folder", exit=Exit.REFUSED, code="exists")
    there = [name for name in FILES if (directory / name).exists()]
    if there:
        raise Problem(
            f"{directory} has {', '.join(there)} already; nothing was written",
            hint="name a new folder: amends init my-shop",
            exit=Exit.REFUSED,
            code="exists",
        )
