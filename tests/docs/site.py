"""Builds the documentation site into build/docs/site: ``python -m tests.docs.site`` (`make docs`).

The pages of the repository link to each other and to sources as files, so that they can be read on a
code host and in an editor. `gather` lays them out as a site: what is linked outside of docs/ comes along
(other pages as pages, sources as listings), and the links follow. Then zensical builds that strictly: a
dead link, a missing page or an unknown name ends it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from tests.docs.names import complaints
from tests.docs.pages import FENCE, ROOT

DOCS = ROOT / "docs"
CONFIG = ROOT / "zensical.toml"
PAGES = Path("build", "docs", "pages")
SITE = Path("build", "docs", "site")
ALWAYS = [ROOT / name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "examples/README.md")]

LINK = re.compile(r"(?P<before>\]\()(?P<path>[^)\s#:]+)(?P<anchor>#[^)\s]*)?(?P<after>\))")
CODE = re.compile(rf"{FENCE.pattern}|`[^`\n]+`", FENCE.flags)
PRINTS = re.compile(r"^<!-- prints -->\n```text\n", re.MULTILINE)
FILE = re.compile(r"^<!-- file: (\S+) -->\n```(\w+)\n", re.MULTILINE)
CONTENTS = re.compile(r"(?:^- \[[^\]]+\]\(#.*\n(?:  .*\n)*)+\n(?=##? )", re.MULTILINE)
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
LANGUAGES = {".py": "python", ".json": "json", ".toml": "toml", ".sql": "sql"}


class DeadLink(Exception):
    """A page links to a file that does not exist."""


def place(path: Path) -> Path:
    """Where a file of the repository stands in the site."""
    if path.is_relative_to(DOCS):
        return path.relative_to(DOCS)
    inside = path.relative_to(ROOT)
    if path.suffix == ".md" and len(inside.parts) == 1:
        return Path("project", inside.name.lower())
    if path.suffix == ".md":  # examples/README.md: examples.md
        return inside.parent.with_suffix(".md") if inside.stem == "README" else inside
    return Path("source", f"{inside}.md")


def gather(target: Path) -> list[Path]:
    """Lay out docs/ and all that it links to under `target`. Returns the pages; raises `DeadLink`."""
    shutil.rmtree(target, ignore_errors=True)
    waiting = [*sorted(path for path in DOCS.rglob("*") if path.is_file()), *ALWAYS]
    done: dict[Path, Path] = {}
    while waiting:
        path = waiting.pop()
        if path in done:
            continue
        done[path] = there = target / place(path)
        there.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".md":
            text, linked = follow(path)
            there.write_text(text, encoding="utf-8")
            waiting += linked
        elif path.is_relative_to(DOCS):
            shutil.copyfile(path, there)
        else:
            there.write_text(listing(path), encoding="utf-8")
    return sorted(page.relative_to(target) for page in done.values() if page.suffix == ".md")


def follow(page: Path) -> tuple[str, list[Path]]:
    """A page with its links as the site needs them, and the files that it links to."""
    linked: list[Path] = []
    here = place(page).parent

    def link(found: re.Match[str]) -> str:
        target = (page.parent / found["path"]).resolve()
        if not target.exists():
            raise DeadLink(f"{page.relative_to(ROOT)} links to {found['path']}, which does not exist")
        linked.append(target)
        to = Path(*[".."] * len(here.parts)) / place(target)
        return f"{found['before']}{to.as_posix()}{found['anchor'] or ''}{found['after']}"

    text = page.read_text(encoding="utf-8")
    parts, end = [], 0
    for code in CODE.finditer(text):
        parts += [LINK.sub(link, text[end : code.start()]), code[0]]
        end = code.end()
    parts.append(LINK.sub(link, text[end:]))
    return dressed("".join(parts)), linked


def dressed(text: str) -> str:
    """What comments say in the source, as titles of blocks; and no list of contents, which the site has beside the page."""
    text = PRINTS.sub('```text title="prints"\n', text)
    text = FILE.sub(r'```\2 title="\1"\n', text)
    return CONTENTS.sub("", text, count=1)


def listing(path: Path) -> str:
    """A page that shows a source file, or what is in a folder."""
    title = f"# {path.relative_to(ROOT).as_posix()}\n\n"
    if path.is_dir():
        return title + "".join(f"- `{file.name}`\n" for file in sorted(path.glob("*.*")))
    return f"{title}````` {LANGUAGES.get(path.suffix, 'text')}\n{path.read_text(encoding='utf-8').rstrip()}\n`````\n"


def listed() -> set[str]:
    """The pages of the site's navigation."""
    return set(_leaves(tomllib.loads(CONFIG.read_text(encoding="utf-8"))["project"]["nav"]))


def _leaves(entry: object) -> Iterator[str]:
    if isinstance(entry, str):
        yield entry
    elif isinstance(entry, list):
        for inner in entry:
            yield from _leaves(inner)
    elif isinstance(entry, dict):
        yield from _leaves(list(entry.values()))


def unlisted(pages: list[Path]) -> list[str]:
    """Pages that the navigation lacks, or has without there being any; one line each."""
    nav = listed()
    there = {page.as_posix() for page in pages if page.parts[0] != "source"}
    return [
        *(
            f"{page} is in no list of zensical.toml's nav, so no reader finds it"
            for page in sorted(there - nav)
        ),
        *(f"zensical.toml's nav has {page}, which does not exist" for page in sorted(nav - there)),
    ]


def build(folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Build what was gathered in a folder that has a zensical.toml, strictly."""
    shutil.rmtree(folder / SITE, ignore_errors=True)
    built = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--clean", "--strict"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    built.stdout = COLOURS.sub("", built.stdout)
    return built


def main() -> int:
    """Gather, build, and say where it is."""
    found = complaints()
    try:
        pages = gather(ROOT / PAGES)
        found += unlisted(pages)
    except DeadLink as dead:
        found.append(str(dead))
    if found:
        print(*found, sep="\n", file=sys.stderr)
        return 1
    built = build()
    print(built.stdout, end="")
    if built.returncode == 0:
        print(f"{len(pages)} pages: {SITE / 'index.html'}")
    return built.returncode


if __name__ == "__main__":
    sys.exit(main())
