"""Durable names and versions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from ..context import Context, say
from ..definitions import Definition, SagaDef
from ..finding import Finding
from ..source import Module
from ..values import UNKNOWN


def implicit(context: Context) -> Iterator[Finding]:
    """AM601."""
    for each in context.definitions_here:
        if not each.named and each.function.outer is None:
            kind = "saga" if isinstance(each, SagaDef) else "step"
            suggestion = f"{each.function.module.name.rpartition('.')[2]}.{each.function.name}"
            message = f"the {kind} {each.label} is known to journals as {each.durable_name!r}"
            hint = f'@{kind}(name="{suggestion}"), or the present name if executions are running'
            yield say("AM601", each.function.module, each.function.node, message, hint=hint)


def duplicate(context: Context) -> Iterator[Finding]:
    """AM602: steps by name, sagas by name and version."""
    groups: dict[tuple[object, ...], list[Definition]] = defaultdict(list)
    for each in context.definitions_here:
        version = each.option("version", "") if isinstance(each, SagaDef) else ""
        if each.durable_name is not None and version is not UNKNOWN and each.function.outer is None:
            groups[type(each), each.durable_name, version].append(each)
    processes = _processes(context.targets)
    for (kind, name, _), group in groups.items():
        what = "saga" if kind is SagaDef else "step"
        for position, each in enumerate(group):
            first = next((other for other in group[:position] if _meet(other, each, processes)), None)
            if first is not None:
                where = f"{first.function.module.path.as_posix()}:{first.function.node.lineno}"
                message = f"the {what} name {name!r} is taken by {first.label} ({where})"
                yield say("AM602", each.function.module, each.function.node, message)


def _meet(one: Definition, other: Definition, processes: list[set[Module]]) -> bool:
    """Are they ever in one process? Scripts that lie side by side need not be."""
    first, second = one.function.module, other.function.module
    if one.function.node is other.function.node:
        return False
    package = first.name.partition(".")[0]
    if first is second or (package != first.name and package == second.name.partition(".")[0]):
        return True
    return any(first in loaded and second in loaded for loaded in processes)


def _processes(targets: list[Module]) -> list[set[Module]]:
    """For each target, the targets that importing it brings in, and itself (where that are more than one)."""
    names = {each.name: each for each in targets}
    direct = {module: [names[head] for head in _heads(module) if head in names] for module in targets}
    return [found for module in targets if len(found := _closure(module, direct)) > 1]


def _heads(module: Module) -> set[str]:
    """The beginnings of the dotted names that a module imports: packages and modules among them."""
    texts = [*module.stars, *(binding for binding in module.bindings.values() if isinstance(binding, str))]
    return {text.rsplit(".", cut)[0] for text in texts for cut in range(text.count(".") + 1)}


def _closure(module: Module, direct: dict[Module, list[Module]]) -> set[Module]:
    found, waiting = set[Module](), [module]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.add(current)
            waiting += direct[current]
    return found


def versions(context: Context) -> Iterator[Finding]:
    """AM603: a version that is plainly not the first, and the only one."""
    by_name: dict[object, list[SagaDef]] = defaultdict(list)
    for saga in context.definitions.sagas.values():
        by_name[saga.durable_name].append(saga)
    for saga in context.sagas:
        version = saga.option("version", "")
        later = isinstance(version, str) and version.lstrip("v").partition(".")[0].isdecimal()
        if (
            not later
            or int(str(version).lstrip("v").partition(".")[0]) < 2
            or len(by_name[saga.durable_name]) > 1
        ):
            continue
        message = f"the saga {saga.label} has version {version!r}, and no earlier one is defined"
        yield say("AM603", saga.function.module, saga.function.node, message)
