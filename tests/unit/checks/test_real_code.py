"""No false positive in the programs that we show to people."""

from __future__ import annotations

from pathlib import Path

import pytest

import amends
from amends.checks import Config, examine
from tests.docs.pages import PAGES, ROOT, blocks

SOURCE = Path(amends.__file__).parent
# Pages leave out names and, where they speak of something else, compensations: both is told, and true.
LEFT_OUT = {"AM601", "AM101"}
SHOWN = {
    "drawing.md": {"AM203"},  # its pictures show what becomes of a rejection after the pivot
    "changing-code.md": {"AM602"},  # the same saga before and after a change
    "compensations.md": {"AM306"},  # a saga that touches a global, to show what that leads to, and says so
}


def said(target: Path, config: Config | None = None) -> list[str]:
    report = examine([str(target)], config)
    assert report.problems == []
    return [f"{each.path}:{each.line} {each.code} {each.message}" for each in report.findings]


@pytest.mark.parametrize("target", ["demo", "demo/shop.py"])
def test_the_demo(target: str) -> None:
    assert said(SOURCE / target) == []


def test_the_benchmark() -> None:
    assert said(ROOT / "bench" / "ours" / "work.py") == []


@pytest.mark.parametrize("folder", sorted({path.parent.name for path in (ROOT / "examples").glob("*/*.py")}))
def test_the_examples(folder: str) -> None:
    load = folder != "django_shop"  # there `manage.py check` does it, with Django set up, and is tested
    assert said(ROOT / "examples" / folder, Config(load=load)) == []


def test_what_init_writes(tmp_path: Path) -> None:
    for name in ("app.py", "test_app.py"):
        text = (SOURCE / "cli" / "template" / f"{name}.txt").read_text(encoding="utf-8")
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert said(tmp_path) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_pages(page: Path, tmp_path: Path) -> None:
    if page.name == "checks.md":
        return  # tests/docs/test_checks.py knows what is wrong there
    text = "\n\n".join(b.text for b in blocks(page.read_text(encoding="utf-8")) if b.language == "python")
    path = tmp_path / "page.py"
    path.write_text(text, encoding="utf-8")
    findings = examine([str(path)], Config(load=False)).findings  # awaits at the top: no module
    if page.name == "README.md":
        assert {each.code for each in findings} <= {"AM601"}
    assert [each for each in findings if each.code not in LEFT_OUT | SHOWN.get(page.name, set())] == []
