"""The documentation is true: examples run and print what they say, links lead somewhere."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import amends
from amends.definition.compensation import CompensationOptions
from amends.definition.saga import SagaOptions
from amends.definition.step import StepOptions
from amends.engine.sync import Sync
from amends.errors import Parked
from tests.docs import errors_table, pages
from tests.docs.pages import PAGES, ROOT, anchors, blocks, prose

LANGUAGES = {"ini", "dockerfile", "python", "text", "console", "toml", "sql", "json", "yaml"}


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_examples_run(page: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", pages.__file__, str(page)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_blocks_are_declared(page: Path) -> None:
    for block in blocks(page.read_text(encoding="utf-8")):
        where = f"{page.name}:{block.line}"
        assert block.language in LANGUAGES, f"{where} has the language {block.language!r}"
        if block.reason is not None:
            assert len(block.reason) > 10, f"{where} is not run, without saying why"
        elif block.comment.startswith("not"):
            pytest.fail(f"{where} has the comment {block.comment!r}; write `not run: reason`")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    dead = []
    for link in pages.LINK.findall(prose(text)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
            dead.append(link)
    assert dead == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_exist(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    wanted = set(re.findall(r"\bmake ([a-z][a-z-]+)\b", "\n".join(code(page))))
    assert {target for target in wanted if not re.search(rf"^{target}:", makefile, re.MULTILINE)} == set()


def code(page: Path) -> list[str]:
    """What a page sets in code type: blocks and spans."""
    text = page.read_text(encoding="utf-8")
    return [block.text for block in blocks(text)] + re.findall(r"`([^`\n]+)`", pages.FENCE.sub("", text))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_names_of_amends_exist(page: Path) -> None:
    """``amends.x.y`` in code type is a module or a thing in one (but for files, such as ``/amends.db``, and settings)."""
    unknown = []
    for dotted in set(re.findall(r"(?<!/)(?<!tool\.)\bamends((?:\.[A-Za-z_]\w*)+)", "\n".join(code(page)))):
        try:
            resolve(dotted)
        except (ImportError, AttributeError):
            unknown.append(f"amends{dotted}")
    assert unknown == []


def resolve(dotted: str) -> object:
    found: object = amends
    path = "amends"
    for part in dotted.strip(".").split("."):
        path = f"{path}.{part}"
        if not hasattr(found, part):
            importlib.import_module(path)
        found = getattr(found, part)
    return found


# ---------------------------------------------------------------- nothing is left out


def test_the_reference_mentions_each_public_name() -> None:
    text = "\n".join(code(ROOT / "docs" / "reference.md"))
    missing = [name for name in amends.__all__ if not re.search(rf"\b{re.escape(name)}\b", text)]
    assert missing == []


# What the engine itself asks of these values.
INTERNAL = {
    "Engine.enlist",
    "Current.deadline_at",
    "Current.key_suffix",
    "Limits.check_depth",
    "Limits.check_fan_out",
    "Retry.allows",
    "Retry.next",
}


@pytest.mark.parametrize(
    "described",
    [
        amends.Client,
        amends.Current,
        amends.Engine,
        amends.Handle,
        amends.Limits,
        amends.Result,
        amends.Retry,
        amends.Settings,
        amends.Status,
        CompensationOptions,
        SagaOptions,
        StepOptions,
        Sync,
    ],
)
def test_the_reference_mentions_each_option_and_method(described: type) -> None:
    text = "\n".join(code(ROOT / "docs" / "reference.md"))
    fields = getattr(described, "__struct_fields__", ())
    wanted = {*fields, *(name for name, value in vars(described).items() if callable(value))}
    missing = [
        name
        for name in sorted(wanted)
        if name[0] != "_"
        and f"{described.__name__}.{name}" not in INTERNAL
        and not re.search(rf"\b{name}\b", text)
    ]
    assert missing == []


def test_each_cause_of_parking_is_explained() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = text.partition("## What parks an execution")[2].partition("| why |")[0]
    said = set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))
    assert said == {error.cause for error in errors_table.errors() if issubclass(error, Parked)}


def test_each_promise_has_a_place_and_tests() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \|", text.partition("## Where each promise lives")[2], re.MULTILINE)
    assert rows == [str(number) for number in range(1, 17)]
    folder = ROOT / "tests" / "simulation" / "promises"
    missing = [row for row in rows if not list(folder.glob(f"test_promise_{row:0>2}_*.py"))]
    assert missing == []


def test_the_table_of_errors_is_up_to_date() -> None:
    page = ROOT / "docs" / "errors.md"
    text = page.read_text(encoding="utf-8")
    assert errors_table.fill(text) == text, "run: python -m tests.docs.errors_table"


def test_error_codes_are_unique() -> None:
    codes = [error.code for error in errors_table.errors()]
    assert len(set(codes)) == len(codes)


def test_the_readme_keeps_its_promises() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) < 150
    first = next(block for block in blocks("\n".join(lines)) if block.language == "python")
    assert first.line + first.text.count("\n") < 30, "the example ends before line 30"
    assert {"make demo", "make test"} <= set(re.findall(r"make \w+", "\n".join(lines)))


# ---------------------------------------------------------------- these tests can fail


def check(tmp_path: Path, text: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    pages.run(page)


def test_an_example_that_fails_is_found(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        check(tmp_path, "```python\n1 / 0\n```\n")


def test_wrong_output_is_found(tmp_path: Path) -> None:
    page = "```python\nprint(1)\n```\n\n<!-- prints -->\n```text\n2\n```\n"
    with pytest.raises(AssertionError, match=r"page\.md:7 says"):
        check(tmp_path, page)
    check(tmp_path, page.replace("2\n", "1\n"))


def test_each_comment_stands_for_its_own_block(tmp_path: Path) -> None:
    page = "<!-- not run: it would fail -->\n```python\n1 / 0\n```\n"
    page += "```python\nprint(1)\n```\n\n<!-- prints -->\n```text\n2\n```\n"
    assert [block.comment for block in blocks(page)] == ["not run: it would fail", "", "prints"]
    with pytest.raises(AssertionError, match=r"page\.md:11 says"):
        check(tmp_path, page)


def test_blocks_share_a_namespace_and_may_await(tmp_path: Path) -> None:
    text = "```python\nimport asyncio\nx = 1\n```\n```python\nawait asyncio.sleep(0)\nassert x == 1\n```\n"
    check(tmp_path, text + "```python\nasyncio.run(asyncio.sleep(0))\n```\n")


def test_a_block_that_is_not_run_is_not_run(tmp_path: Path) -> None:
    check(tmp_path, "<!-- not run: it would fail -->\n```python\n1 / 0\n```\n")


def test_links_and_anchors_are_read() -> None:
    text = "# One `two`: three\n[a](b.md#c) ![i](x.png) [`d`](e.md)\n"
    text += "```text\n[n](o.md)\n# no heading\n```\n`[p](q.md)`\n"
    assert pages.LINK.findall(prose(text)) == ["b.md#c", "e.md"]
    assert anchors(text) == {"one-two-three"}
