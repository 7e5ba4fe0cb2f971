"""[tool.amends.check], and comments that ignore."""

from __future__ import annotations

from pathlib import Path

import pytest

from amends.checks import BadConfig, Config, examine, main
from amends.checks.config import find, read

SAGA = """
import os, time
from amends import saga

@saga
async def a(order: str) -> str:
    return os.environ["A"] + str(time.time()){comment}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: str, text: str) -> Path:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def codes(target: str, config: Config | None = None) -> list[str]:
    return [each.code for each in examine([target], config).findings]


def settings(text: str) -> Config:
    return read(write("pyproject.toml", f"[tool.amends.check]\n{text}"))


def test_select_and_ignore() -> None:
    write("a.py", SAGA.format(comment=""))
    assert codes("a.py") == ["AM601", "AM305", "AM301"]
    assert codes("a.py", settings('select = ["AM3"]')) == ["AM305", "AM301"]
    assert codes("a.py", settings('select = ["AM3"]\nignore = ["AM301"]')) == ["AM305"]
    assert codes("a.py", settings('ignore = ["ALL"]')) == []


def test_ignores_by_file_count_from_the_settings() -> None:
    write("tests/a.py", SAGA.format(comment=""))
    write("src/b.py", SAGA.format(comment=""))
    config = settings('per-file-ignores = { "tests/**" = ["AM3"], "*/b.py" = ["AM6"] }')
    assert codes("tests/a.py", config) == ["AM601"]
    assert codes("src", config) == ["AM305", "AM301"]


def test_the_nearest_settings_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    write("pyproject.toml", '[tool.amends.check]\nignore = ["ALL"]\n')
    write("shop/pyproject.toml", '[project]\nname = "shop"\n')
    write("shop/a.py", SAGA.format(comment=""))
    monkeypatch.chdir("shop")
    assert find(Path.cwd()) == Path("../pyproject.toml").resolve()
    assert main(["a.py"]) == 0
    assert main(["a.py", "--config", "pyproject.toml"]) == 1


def test_the_command_line_goes_on_top() -> None:
    write("a.py", SAGA.format(comment=""))
    write("pyproject.toml", '[tool.amends.check]\nselect = ["AM6"]\nstrict = true\nimport = false\n')
    assert main(["a.py"]) == 1
    assert main(["a.py", "--ignore", "AM601"]) == 0
    assert main(["a.py", "--select", "AM1"]) == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('selct = ["AM1"]', "has no setting 'selct'"),
        ('select = "AM1"', "Expected `array`"),
        ('select = ["AM7"]', "no rule begins with 'AM7'"),
        ('per-file-ignores = { "a" = ["x"] }', "no rule begins with 'x'"),
        ("strict = 1", "Expected `bool`"),
        ("select = [", "cannot be read"),
    ],
)
def test_wrong_settings_are_named(text: str, said: str) -> None:
    with pytest.raises(BadConfig, match=said.replace("[", r"\[")):
        settings(text)


@pytest.mark.parametrize(
    ("comment", "left"),
    [
        ("", ["AM305", "AM301"]),
        ("  # amends: ignore[AM301] told in the docs", ["AM305"]),
        ("  # amends: ignore[AM301, AM305]", []),
        ("  # amends: ignore[AM3]", []),
        ("  # amends: ignore", []),
        ("  # noqa: E501  # amends: ignore[AM3]", ["AM305", "AM301"]),
        ("  # amends:ignore[AM3] close together", []),
        ("  # amends: ignored[AM3]", ["AM305", "AM301"]),
        ("  # amends: ignore[AM301, AM101]", ["AM305", "AM901"]),
        ("  # amends: ignore[AM999]", ["AM305", "AM301", "AM901"]),
        ("\n# amends: ignore-file[AM3] a sketch", []),
        ("\n# amends: ignore-file[AM4] a sketch", ["AM305", "AM301", "AM901"]),
    ],
)
def test_comments(comment: str, left: list[str]) -> None:
    write("a.py", SAGA.format(comment=comment))
    found = codes("a.py", Config(ignore=("AM601",)))
    assert found == left


def test_a_comment_in_a_text_is_none() -> None:
    write("a.py", SAGA.format(comment=" + '# amends: ignore'"))
    assert codes("a.py", Config(ignore=("AM6",))) == ["AM305", "AM301"]


def test_unused_is_only_said_of_rules_that_were_asked() -> None:
    write("a.py", "# amends: ignore-file[AM4] a sketch\n" + SAGA.format(comment=""))
    assert "AM901" not in codes("a.py", Config(select=("AM3", "AM9")))
    assert "AM901" in codes("a.py", Config(select=("AM3", "AM4", "AM9")))


def test_a_comment_in_a_helper_counts_though_the_helper_is_no_target() -> None:
    write(
        "helping.py",
        "import time\n\ndef now() -> float:\n    return time.time()  # amends: ignore[AM301] a log\n",
    )
    write(
        "a.py",
        "import amends, helping\n\n@amends.saga(name='a')\nasync def a() -> float:\n    return helping.now()\n",
    )
    assert codes("a.py") == []
    write("helping.py", "import time\n\ndef now() -> float:\n    return time.time()\n")
    assert codes("a.py") == ["AM301"]
