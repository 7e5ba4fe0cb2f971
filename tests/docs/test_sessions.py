"""The shell sessions of the documentation are true. (Some pages have tests of their own.)"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, blocks
from tests.docs.sessions import Session, play

ELSEWHERE = {"README.md", *(f"docs/{page}.md" for page in ("checks", "cli", "demo", "tutorial"))}


def pages() -> list[Path]:
    return [
        page
        for page in PAGES
        if page.relative_to(ROOT).as_posix() not in ELSEWHERE
        and page.parent.parent != ROOT / "examples"  # each project has its own test beside it
        and any(
            block.language == "console" and block.reason is None
            for block in blocks(page.read_text(encoding="utf-8"))
        )
    ]


@pytest.mark.slow
@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_sessions_run(page: Path, tmp_path: Path) -> None:
    session = Session(tmp_path)
    try:
        play(page.read_text(encoding="utf-8"), session)
    finally:
        session.close()


def test_a_session_that_says_otherwise_is_found(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="echo one"):
        play("```console\n$ echo one\ntwo\n```\n", Session(tmp_path))
    with pytest.raises(AssertionError, match=r"\[3\]"):
        play("```console\n$ exit 3\n```\n", Session(tmp_path))
    play("<!-- exit 3 -->\n```console\n$ exit 3\n```\n", Session(tmp_path))


def test_files_are_there_for_the_session(tmp_path: Path) -> None:
    play(
        "<!-- file: a.py -->\n```python\nx = 1\n```\n\n```console\n$ cat a.py\nx = 1\n```\n",
        Session(tmp_path),
    )
