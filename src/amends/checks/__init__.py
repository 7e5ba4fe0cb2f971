"""Static checks of sagas: what would go wrong, before it runs.

Two sources are combined: the syntax tree of the targets (and of the helpers beside them), and, where the
targets can be imported, the real steps and sagas.  docs/checks.md explains every rule.
"""

from __future__ import annotations

from .catalogue import RULES, Rule
from .command import arguments, exit_code, main, run
from .config import BadConfig, Config
from .examine import check, examine
from .finding import Finding, Place, Problem, Report, Severity, Span
from .project import CannotCheck
from .sarif import as_json, as_sarif

__all__ = [
    "RULES",
    "BadConfig",
    "CannotCheck",
    "Config",
    "Finding",
    "Place",
    "Problem",
    "Report",
    "Rule",
    "Severity",
    "Span",
    "arguments",
    "as_json",
    "as_sarif",
    "check",
    "examine",
    "exit_code",
    "main",
    "run",
]
