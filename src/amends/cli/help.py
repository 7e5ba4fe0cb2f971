"""How help looks. Apart, so that `amends --help` loads nothing else."""

from __future__ import annotations

from typing import Any

import rich_click as click
from rich.text import Text


def shown(example: str) -> Any:
    """An example as it stands below the help (as rich text, because click joins the lines of plain text)."""
    lines = "\n".join(f"  $ {_in_columns(line)}" for line in example.strip().splitlines())
    return Text(f"Example:\n{lines}")


def _in_columns(line: str) -> str:
    """Broken before its options as a shell reads it, for a terminal's wrap would make two commands of it."""
    if len(line) <= 76 or " --" not in line:
        return line
    head, _, options = line.partition(" --")
    return f"{head} \\\n      --{options}"


# Without boxes, and columns in line with each other.
HELP = click.RichHelpConfiguration(
    theme="default-slim",
    style_commands_table_column_width_ratio=(1, 6),
)
SETTINGS = {"help_option_names": ["-h", "--help"], "rich_help_config": HELP}
