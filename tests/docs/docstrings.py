"""How the reference reads the docstrings of the house: an extension of griffe, loaded by zensical.toml.

Docstrings tell options in sentences (``timeout: seconds for one attempt.  retry: when to try again.``), which is short in
an editor and dense on a page: there each becomes a line of a list. Structs get the signature that msgspec makes
for them, enumerations a list of their members.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

NAMED = r"(?:^|(?<=[.:] ) ?|(?<=[.:]  )|(?<=\n))`{{0,2}}({names})`{{0,2}}:\s+"
HEAD = re.compile(r"\A(.*?)(?:\n\n|\Z)", re.DOTALL)


def as_list(text: str, names: list[str]) -> str:
    """The text with its paragraphs of named sentences as lists."""
    if not names:
        return text
    named = re.compile(NAMED.format(names="|".join(map(re.escape, names))))
    return "\n\n".join(_paragraph(part, named) for part in text.split("\n\n"))


def _paragraph(text: str, named: re.Pattern[str]) -> str:
    found = list(named.finditer(text))
    if len(found) < 2 or text.startswith(("    ", "- ")):
        return text
    lines = [text[: found[0].start()].rstrip()] if found[0].start() else []
    rest = ""
    for this, following in zip(found, [*found[1:], None], strict=True):
        said = " ".join(text[this.end() : following.start() if following else None].split())
        if following is None:
            said, rest = _last(said)
        lines.append(f"- `{this[1]}`: {said}")
    if len(lines) > len(found):
        lines.insert(1, "")
    return "\n".join(lines) + (f"\n\n{rest}" if rest else "")


def _last(said: str) -> tuple[str, str]:
    """What belongs to the last item, and what is said after it ("Raises …")."""
    item, mark, rest = said.partition(" Raises ")
    return item, f"Raises {rest}" if mark else ""


def fields(cls: griffe.Class) -> list[griffe.Attribute]:
    """The fields of a Struct, in order."""
    return [
        member
        for member in cls.members.values()
        if isinstance(member, griffe.Attribute) and member.annotation is not None and member.name[0] != "_"
    ]


def is_a(cls: griffe.Class, *names: str) -> bool:
    """Does a base class have one of these names (by its last part)?"""
    return any(str(base).rpartition(".")[2].partition("[")[0] in names for base in cls.bases)


class House(griffe.Extension):
    """Docstrings as lists, signatures of Structs, members of enumerations."""

    def on_class(self, *, cls: griffe.Class, **kwargs: Any) -> None:
        """A Struct, an enumeration, or a class whose docstring names its fields or parameters."""
        names = [name for name in cls.members if name[0] != "_"]
        if is_a(cls, "Struct") and "__init__" not in cls.members:
            self._signature(cls)
        if "__init__" in cls.members:
            names += [parameter.name for parameter in cls.parameters]
        if cls.docstring:
            cls.docstring.value = as_list(cls.docstring.value, names)
        if is_a(cls, "Enum", "StrEnum") and cls.docstring:
            members = ", ".join(f"`{name}`" for name, member in cls.members.items() if member.is_attribute)
            cls.docstring.value += f"\n\nMembers: {members}."

    def on_function(self, *, func: griffe.Function, **kwargs: Any) -> None:
        """A function whose docstring names its parameters."""
        if func.docstring:
            func.docstring.value = as_list(func.docstring.value, [item.name for item in func.parameters])

    def _signature(self, cls: griffe.Class) -> None:
        keywords = str(cls.keywords.get("kw_only", "")) == "True" if hasattr(cls, "keywords") else False
        kind = griffe.ParameterKind.keyword_only if keywords else griffe.ParameterKind.positional_or_keyword
        parameters = [
            griffe.Parameter(field.name, annotation=field.annotation, kind=kind, default=field.value)
            for field in fields(cls)
        ]
        if parameters:
            init = griffe.Function(
                "__init__", parameters=griffe.Parameters(griffe.Parameter("self"), *parameters)
            )
            cls.set_member("__init__", init)
