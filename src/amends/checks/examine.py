"""From targets to findings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from .config import Config
from .context import Context
from .definitions import Definitions
from .finding import Finding, Problem, Report
from .ignores import apply
from .loading import attach, importing, load
from .project import CannotCheck, Project, files, groups
from .resolver import Resolver
from .rules import ALL
from .source import Module


def examine(targets: Sequence[str], config: Config | None = None) -> Report:
    """Check files, folders, modules or packages, and say also what could not be checked.

    With ``config.load`` (the default) each target is imported, as a worker would.
    """
    config = config or Config()
    paths: dict[Path, Path] = {}
    problems: list[Problem] = []
    for target in targets:
        try:
            paths |= {path.resolve(): path for path in files(target) if path.resolve() not in paths}
        except CannotCheck as error:
            problems.append(Problem(target, error.message, error.hint))
    findings: list[Finding] = []
    checked: list[Module] = []
    for group in groups(list(paths.values())):
        project = Project()
        modules = project.add(group)
        with importing(project.roots):
            more, wrong = _program(project, modules, config)
        findings += more
        problems += [*project.problems, *wrong]
        checked += modules
    return Report(sorted(findings, key=lambda f: f.order), problems, sorted(m.path for m in checked))


def _program(project: Project, modules: list[Module], config: Config) -> tuple[list[Finding], list[Problem]]:
    """Check files that belong to one program."""
    resolver = Resolver(project)
    context = Context(project, resolver, Definitions(project, resolver), modules)
    for module in modules:
        context.definitions.look_into(module)
    problems = _load(context) if config.load else []
    findings = _choose(_run(context), config)
    read = [module for module in project.modules.values() if module is not None]
    findings = apply(findings, read, modules, config.active)
    return [f for f in findings if f.code not in config.ignored_in(f.path)], problems


def _load(context: Context) -> list[Problem]:
    """Import the targets that define something."""
    problems: list[Problem] = []
    concerned = {each.function.module.name for each in context.definitions_here}
    for module in context.targets:
        if module.name not in concerned and not _speaks_of_amends(module):
            continue
        loaded = load(module)
        context.loaded[module.name] = loaded
        if loaded.problem is not None:
            problems.append(loaded.problem)
        attach(loaded, context.definitions)
    return problems


def _speaks_of_amends(module: Module) -> bool:
    """A module may make steps by a decorator of its own; it need not be imported if nothing hints at it."""
    return any(isinstance(b, str) and b.partition(".")[0] == "amends" for b in module.bindings.values())


def _run(context: Context) -> Iterable[Finding]:
    found: dict[tuple[object, ...], Finding] = {}
    for rule in ALL:
        for finding in rule(context):
            found.setdefault((finding.code, finding.path, finding.span), finding)
    misfits = {mark for f in found.values() if f.code == "AM104" for mark in _marks(f)}
    return [f for f in found.values() if f.code != "AM902" or not misfits & _marks(f)]


def _marks(finding: Finding) -> set[tuple[str, object]]:
    """The line, and the name that the message begins with: the same mistake, found in two ways."""
    return {(finding.path, finding.line), (finding.path, finding.message.split()[0].rpartition(".")[2])}


def _choose(findings: Iterable[Finding], config: Config) -> list[Finding]:
    active = config.active
    return [f for f in findings if f.code in active]


def check(targets: Sequence[str], config: Config | None = None) -> list[Finding]:
    """The findings in files, folders, modules or packages, in order. Raises `CannotCheck` if a target
    is missing, cannot be parsed or cannot be imported.
    """
    report = examine(targets, config)
    if report.problems:
        first = report.problems[0]
        raise CannotCheck(f"{first.path}: {first.message}", hint=first.hint)
    return report.findings
