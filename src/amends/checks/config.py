"""Settings of a check: from ``[tool.amends.check]`` of the nearest pyproject.toml, and from arguments.

[tool.amends.check]
select = ["ALL"]                    # codes or their beginnings: AM101, AM3
ignore = ["AM601"]
per-file-ignores = { "tests/**" = ["AM1"] }
import = true                       # false: look at the source alone
strict = false                      # true: advice counts as a finding, too
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import msgspec

from ..errors import AmendsError, did_you_mean
from .catalogue import RULES, matching


class BadConfig(AmendsError):
    """The settings of the static checks make no sense."""

    code = "check_config"


class Config(
    msgspec.Struct, frozen=True, kw_only=True, rename={"load": "import", "per_file": "per-file-ignores"}
):
    """select, ignore: codes or their beginnings (``ALL``).  per_file: what to ignore, by pattern of the path
    relative to `folder`.  load: import the targets.  strict: advice counts, too.
    """

    select: tuple[str, ...] = ("ALL",)
    ignore: tuple[str, ...] = ()
    per_file: dict[str, tuple[str, ...]] = {}
    load: bool = True
    strict: bool = False
    folder: str = "."

    def __post_init__(self) -> None:
        for pattern in (*self.select, *self.ignore, *(p for each in self.per_file.values() for p in each)):
            if not matching([pattern]):
                raise BadConfig(
                    f"no rule begins with {pattern!r}", hint=did_you_mean(pattern, [*RULES, "ALL"])
                )

    @property
    def active(self) -> set[str]:
        """The codes that are asked for and can be answered."""
        chosen = matching(self.select) - matching(self.ignore)
        return {code for code in chosen if self.load or not RULES[code].loaded}

    def ignored_in(self, path: str) -> set[str]:
        """The codes that are ignored in a file."""
        full = Path(path).resolve()
        base = Path(self.folder).resolve()
        names = {path, full.as_posix()}
        if full.is_relative_to(base):
            names.add(full.relative_to(base).as_posix())
        hits = [codes for glob, codes in self.per_file.items() if any(fnmatch(name, glob) for name in names)]
        return matching([code for codes in hits for code in codes])


def find(start: Path) -> Path | None:
    """The nearest pyproject.toml with settings, from a folder upwards."""
    start = start.resolve()
    for folder in (start, *start.parents):
        path = folder / "pyproject.toml"
        if path.is_file() and "check" in _read(path).get("tool", {}).get("amends", {}):
            return path
    return None


def read(path: Path) -> Config:
    """The settings in a pyproject.toml. Raises `BadConfig`."""
    given = _read(path).get("tool", {}).get("amends", {}).get("check", {})
    known = [name for name in Config.__struct_encode_fields__ if name != "folder"]
    unknown = [name for name in given if name not in known]
    if unknown:
        hint = did_you_mean(unknown[0], known)
        raise BadConfig(f"{path}: [tool.amends.check] has no setting {unknown[0]!r}", hint=hint)
    try:
        return msgspec.convert({**given, "folder": str(path.parent)}, Config)
    except msgspec.ValidationError as error:
        raise BadConfig(f"{path}: [tool.amends.check]: {error}") from error


def changed(config: Config, *, select: Sequence[str], ignore: Sequence[str], **others: Any) -> Config:
    """Settings with those of the command line on top. Raises `BadConfig`."""
    given: dict[str, Any] = {name: value for name, value in others.items() if value is not None}
    if select:
        given["select"] = tuple(select)
    if ignore:
        given["ignore"] = (*config.ignore, *ignore)
    return msgspec.structs.replace(config, **given)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise BadConfig(f"{path} cannot be read: {error}") from error
