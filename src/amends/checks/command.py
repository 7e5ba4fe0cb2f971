"""The command line of the static checks: `amends check`, `python -m amends.checks`.

Exit codes: 0 clean (advice alone is clean, but with --strict), 1 findings, 2 could not check (a target is
missing or cannot be parsed or imported, or the settings make no sense).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from ..errors import AmendsError, did_you_mean
from . import text
from .catalogue import RULES
from .config import BadConfig, Config, changed, find, read
from .examine import examine
from .finding import Report, Severity
from .sarif import as_json, as_sarif

CLEAN, FINDINGS, COULD_NOT = 0, 1, 2

_EPILOG = """\
exit codes:
  0  clean; advice is shown and does not count, but with --strict
  1  findings
  2  could not check: no such target, no Python, an import that failed, wrong settings

examples:
  amends check shop.orders              a module, imported as a worker does
  amends check src --no-import          a folder, the source alone
  amends check src --sarif > out.sarif  for code hosts
  amends check --explain AM101
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command to a parser."""
    add = parser.add_argument
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    add("targets", nargs="*", metavar="TARGET", help="module, package, file or folder")
    add("--no-import", action="store_false", dest="load", default=None, help="look at the source alone")
    add("--select", action="append", default=[], metavar="CODES", help="only these rules (AM101, AM3, ALL)")
    add("--ignore", action="append", default=[], metavar="CODES", help="not these rules")
    add("--strict", action="store_true", default=None, help="advice counts as a finding, too")
    add("--config", type=Path, metavar="FILE", help="a pyproject.toml (default: the nearest with settings)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_const", const="json", dest="form", help="for programs")
    form.add_argument("--sarif", action="store_const", const="sarif", dest="form", help="SARIF 2.1.0")
    add("--output", type=Path, metavar="FILE", help="write there instead of to standard output")
    add("--explain", metavar="RULE", help="explain a rule (AM101, missing-compensation), and do nothing else")
    add("--rules", action="store_true", help="list all rules, and do nothing else")


def main(argv: Sequence[str] | None = None, prog: str = "python -m amends.checks") -> int:
    """Check what the arguments say and print what was found. Returns the exit code."""
    parser = argparse.ArgumentParser(prog=prog, description="Static checks of sagas.")
    arguments(parser)
    given = parser.parse_args(argv)
    if not given.targets and not given.explain and not given.rules:
        parser.error("name a module, package, file or folder to check")
    return run(given)


def run(given: argparse.Namespace) -> int:
    """The command for parsed arguments (see `arguments`). Returns the exit code."""
    try:
        if given.explain or given.rules:
            _write(_explained(given.explain) if given.explain else text.rules(), given.output)
            return CLEAN
        config = _config(given)
        report = examine(given.targets, config)
        _write(_formed(report, given.form), given.output)
    except (AmendsError, OSError) as error:
        print(_refused(error, given.form), file=sys.stderr)
        return COULD_NOT
    return exit_code(report, strict=config.strict)


def exit_code(report: Report, *, strict: bool = False) -> int:
    """What a report means for a build."""
    if report.problems:
        return COULD_NOT
    counted = [each for each in report.findings if strict or each.severity is not Severity.ADVICE]
    return FINDINGS if counted else CLEAN


def _config(given: argparse.Namespace) -> Config:
    path = given.config or find(Path.cwd())
    return changed(
        read(path) if path else Config(),
        select=_codes(given.select),
        ignore=_codes(given.ignore),
        load=given.load,
        strict=given.strict,
    )


def _codes(given: list[str]) -> list[str]:
    return [code.strip() for each in given for code in each.split(",") if code.strip()]


def _explained(asked: str) -> str:
    """By code or by name."""
    names = {rule.name: code for code, rule in RULES.items()}
    code = names.get(asked.lower(), asked.upper())
    if code not in RULES:
        raise BadConfig(f"there is no rule {asked}", hint=did_you_mean(asked, [*RULES, *names]))
    return text.rule(code)


def _formed(report: Report, form: str | None) -> str:
    if form is None:
        return text.told(report)
    from .. import __version__  # noqa: PLC0415 - the package's head imports far more than this needs

    made = as_json(report) if form == "json" else as_sarif(report, __version__)
    return msgspec.json.format(msgspec.json.encode(made)).decode()


def _refused(error: AmendsError | OSError, form: str | None) -> str:
    """An error of the command itself, in the form that the other commands have."""
    message, code, hint = str(error), "os", ""
    if isinstance(error, AmendsError):
        message, code, hint = error.message, error.code, error.hint
    if form is None:
        return f"error: {message}" + (f"\n  → {hint}" if hint else "")
    told = {"code": code, "message": message, "hint": hint, "exit": COULD_NOT}
    return msgspec.json.encode({"error": told}).decode()


def _write(said: str, output: Path | None) -> None:
    if output is None:
        try:
            print(said, flush=True)
        except BrokenPipeError:  # the reader went away (`| head`); the interpreter must not complain at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    else:
        output.write_text(said + "\n", encoding="utf-8")
