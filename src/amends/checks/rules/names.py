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
    for (kind, name, _), group in groups.items():
        what = "saga" if kind is SagaDef else "step"
        for position, each in enumerate(group):
            first = next((other for other in group[:position] if _meet(other, each, context)), None)
            if first is not None:
                where = f"{first.function.module.path.as_posix()}:{first.function.node.lineno}"
                message = f"the {what} name {name!r} is taken by {first.label} ({where})"
                yield say("AM602", each.function.module, each.function.node, message)


def _meet(one: Definition, other: Definition, context: Context) -> bool:
    """Are they ever in one process? Scripts that lie side by side need not be."""
    first, second = one.function.module, other.function.module
    if one.function.node is other.function.node:
        return False
    package = first.name.partition(".")[0]
    if first is second or (package != first.name and package == second.name.partition(".")[0]):
        return True
    return any({first, second} <= _brought_in(module, context) for module in context.targets)


def _brought_in(module: Module, context: Context) -> set[Module]:
    """The targets that importing a module imports, and itself."""
    names = {each.name: each for each in context.targets}
    found, waiting = set[Module](), [module]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.add(current)
            texts = [*current.stars, *(b for b in current.bindings.values() if isinstance(b, str))]
            heads = {
                ".".join(text.split(".")[:cut]) for text in texts for cut in range(1, text.count(".") + 2)
            }
            waiting += [names[head] for head in heads & names.keys()]
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
