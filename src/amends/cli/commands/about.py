"""``amends version`` and ``amends completion``."""

from __future__ import annotations

import platform
from importlib.metadata import version as version_of
from typing import Any

import rich_click as click
from click.shell_completion import get_completion_class

from ...store.sqlite import checkup
from ..exits import Exit, Problem
from ..options import Where, command

SHELLS = ("bash", "zsh", "fish")
_INSTALL = {
    "bash": """add to ~/.bashrc:   eval "$(amends completion bash)\"""",
    "zsh": """add to ~/.zshrc:   eval "$(amends completion zsh)\"""",
    "fish": "write to a file:   amends completion fish > ~/.config/fish/completions/amends.fish",
}


@command("amends version --json", store=False)
def version(where: Where) -> Exit:
    """Print versions."""
    found = versions()
    if where.json:
        where.output.data(found)
    else:
        where.output.show(*(f"{name:<8} {value}" for name, value in found.items()))
    return Exit.OK


def versions() -> dict[str, str]:
    """What matters when something is reported."""
    return {
        "amends": version_of("amends"),
        "python": platform.python_version(),
        "sqlite": checkup.sqlite_version(),
        "platform": platform.platform(),
    }


@command("amends completion bash", store=False)
@click.argument("shell", type=click.Choice(SHELLS))
def completion(where: Where, shell: str) -> Exit:
    """Print the completion script of a shell.

    It completes commands, options, statuses, and ids from the store.
    """
    from ..app import cli  # noqa: PLC0415 - the table of commands names this module

    kind = get_completion_class(shell)
    if kind is None:
        raise Problem(f"completion for {shell} is not to be had", hint=" or ".join(SHELLS))
    made: Any = kind(cli, {}, "amends", "_AMENDS_COMPLETE")
    script = made.source_template % made.source_vars()
    if where.json:
        where.output.data({"shell": shell, "script": script, "install": _INSTALL[shell]})
    else:
        where.output.out.file.write(f"# {_INSTALL[shell]}\n{script}\n")
    return Exit.OK
