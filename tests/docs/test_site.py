"""The documentation site builds, strictly: no dead link, no page that is missing or that nobody finds, no silent name."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import griffe
import pytest

from tests.docs import docstrings, names, site
from tests.docs.pages import ROOT


@pytest.fixture(scope="module")
def gathered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """A folder that is laid out like the repository, as far as the site needs it, and its pages."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copy(site.CONFIG, folder)
    for name in ("src", "tests"):
        (folder / name).symlink_to(ROOT / name)
    return folder, site.gather(folder / site.PAGES)


def small(folder: Path, pages: dict[str, str]) -> Path:
    """A site of these pages alone, with the settings of ours."""
    text = site.CONFIG.read_text(encoding="utf-8")
    nav = "nav = [{}]\n\n[project.theme]".format(", ".join(f'"{name}"' for name in pages))
    text, count = re.subn(r"^nav = \[.*?^\[project\.theme\]", nav, text, flags=re.DOTALL | re.MULTILINE)
    assert count == 1
    (folder / "zensical.toml").write_text(text, encoding="utf-8")
    (folder / site.PAGES).mkdir(parents=True)
    for name in ("src", "tests"):
        (folder / name).symlink_to(ROOT / name)
    for name, page in pages.items():
        (folder / site.PAGES / name).write_text(page, encoding="utf-8")
    return folder


@pytest.mark.slow
def test_it_builds(gathered: tuple[Path, list[Path]]) -> None:
    folder, pages = gathered
    built = site.build(folder)
    assert built.returncode == 0, built.stdout
    assert "No issues found" in built.stdout
    assert [page for page in pages if not (folder / site.SITE / page.with_suffix(".html")).exists()] == []


def test_every_page_can_be_found(gathered: tuple[Path, list[Path]]) -> None:
    assert site.unlisted(gathered[1]) == []


def test_every_public_name_is_in_the_api_and_says_what_it_is() -> None:
    assert names.complaints() == []


def test_what_is_internal_exists() -> None:
    assert set(names.INTERNAL) <= set(names.offers())


# ---------------------------------------------------------------- each of these can fail


def test_dead_links_end_the_build(tmp_path: Path) -> None:
    built = site.build(small(tmp_path, {"index.md": "# A\n\n[gone](gone.md)\n\n[gone](#nowhere)\n"}))
    assert built.returncode != 0
    assert "gone.md" in built.stdout
    assert "#nowhere" in built.stdout


def test_unknown_names_end_the_build(tmp_path: Path) -> None:
    built = site.build(small(tmp_path, {"index.md": "# A\n\n::: amends.Engin\n"}))
    assert built.returncode != 0
    assert "amends.Engin" in built.stdout


def test_a_sound_page_builds(tmp_path: Path) -> None:
    """So that it is the fault that ends the builds above."""
    built = site.build(small(tmp_path, {"index.md": "# A\n\n[here](#a)\n"}))
    assert built.returncode == 0, built.stdout


def test_pages_without_a_place_are_found() -> None:
    pages = [Path(page) for page in sorted(site.listed() - {"cli.md"})]
    (said,) = site.unlisted([*pages, Path("source/x.py.md")])
    assert "has cli.md, which does not exist" in said
    (said,) = site.unlisted([*pages, Path("cli.md"), Path("lost.md")])
    assert "lost.md is in no list" in said


def test_a_link_to_nothing_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site, "ROOT", tmp_path)
    page = tmp_path / "README.md"
    page.write_text("`[code](no.md)` [gone](src/gone.py)\n")
    with pytest.raises(site.DeadLink, match=r"README\.md links to src/gone\.py"):
        site.follow(page)


def test_missing_and_surplus_names_are_found(tmp_path: Path) -> None:
    shutil.copytree(names.API, tmp_path, dirs_exist_ok=True)
    page = tmp_path / "engines.md"
    text = page.read_text(encoding="utf-8")
    page.write_text(text.replace("::: amends.Client\n", "::: amends.kernel.run.Run\n\n::: amends.Engine\n"))
    said = names.complaints(tmp_path)
    assert [line.split()[0] for line in said] == ["amends.Client", "amends.kernel.run.Run", "amends.Engine"]


def test_names_that_say_nothing_are_found(tmp_path: Path) -> None:
    (tmp_path / "quiet.py").write_text(
        "LOUD = 1\n'''Said.'''\nQUIET = 1\nclass A:\n    '''Said.'''\n    def said(self):\n        '''Said.'''\n"
        "    def unsaid(self): ...\n    @property\n    def value(self): ...\n"
        "class B(A):\n    '''Said.'''\n    def said(self): ...\n"
    )
    tree = names.load("quiet", tmp_path)
    found = [
        said
        for name in ("LOUD", "QUIET", "A", "B")
        for said in names.silent(name, names.defined(f"q.{name}", tree))
    ]
    assert found == ["QUIET", "A.unsaid", "A.value"]


# ---------------------------------------------------------------- gathering


def test_links_follow_what_they_lead_to() -> None:
    text, linked = site.follow(ROOT / "docs" / "architecture.md")
    assert "](source/src/amends/kernel/ledger.py.md)" in text
    assert "](../src" not in text
    assert ROOT / "src/amends/kernel/ledger.py" in linked


def test_links_in_code_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site, "ROOT", tmp_path)
    page = tmp_path / "README.md"
    code = "`[a](no.md)`\n\n```text\n[b](no.md)\n```\n"
    page.write_text(code)
    assert site.follow(page) == (code, [])


# ---------------------------------------------------------------- docstrings


def test_sentences_about_options_become_a_list() -> None:
    text = "How it works.\n\ntimeout: seconds for one\nattempt.  retry: when to try again. Raises\n`Wrong`.\n\nMore: text."
    assert docstrings.as_list(text, ["timeout", "retry"]) == (
        "How it works.\n\n- `timeout`: seconds for one attempt.\n- `retry`: when to try again.\n\nRaises `Wrong`.\n\nMore: text."
    )


def test_text_without_options_is_left_alone() -> None:
    text = "timeout: only one is named.\n\n    timeout: code  retry: code"
    assert docstrings.as_list(text, ["timeout", "retry"]) == text
    assert docstrings.as_list(text, []) == text


def test_structs_have_their_signature() -> None:
    tree = griffe.load(
        "amends.worker.settings",
        search_paths=[str(names.SRC)],
        extensions=griffe.load_extensions(docstrings.House()),
    )
    assert [item.name for item in tree["Settings"].parameters][1:4] == ["steps", "threads", "resident"]
    assert tree["Settings"].docstring.value.count("\n- `") > 5
