"""Is the order of a graph possible? Names, cycles, what is never reached, and the pivot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ...errors import did_you_mean
from .model import FailNode, PivotNode, SagaNode, TryNode
from .plan import Plan, Task
from .problems import Problems


def check_order(plan: Plan, inputs: Iterable[str], problems: Problems) -> None:
    """Report everything about the order that cannot be."""
    _unique(plan, dict.fromkeys(inputs, ("inputs",)), problems)
    _block(plan, problems, inside="")


def _unique(plan: Plan, seen: dict[str, tuple[str | int, ...]], problems: Problems) -> None:
    for task in plan.every():
        if task.name in seen:
            hint = "names are unique in the whole graph, also inside `try`"
            where = "an input" if seen[task.name] == ("inputs",) else "another node"
            problems.add(task.path, f"{where} has the name {task.name!r} already", hint, key=True)
        seen[task.name] = task.path


def _block(plan: Plan, problems: Problems, inside: str) -> None:
    for task in plan.tasks.values():
        _after(task, plan, problems)
        for block in task.blocks.values():
            _block(block, problems, inside=task.name)
    if not _cycles(plan, problems):
        _pivots(plan, problems, inside)
        _never(plan, problems)


def _after(task: Task, plan: Plan, problems: Problems) -> None:
    for place, name in enumerate(task.node.after):
        if name not in plan.tasks:
            hint = did_you_mean(name, set(plan.tasks) - {task.name})
            problems.add((*task.path, "after", place), f"there is no node {name!r} beside this one", hint)


def sequence(plan: Plan) -> list[Task]:
    """The tasks so that each comes after what it needs (those of a cycle are left out)."""
    followers: dict[str, list[str]] = {name: [] for name in plan.tasks}
    missing = {}
    for name, task in plan.tasks.items():
        missing[name] = len(task.needs)
        for other in task.needs:
            followers[other].append(name)
    ready = [name for name, count in missing.items() if not count]
    for name in ready:  # grows while it is walked
        for follower in followers[name]:
            missing[follower] -= 1
            if not missing[follower]:
                ready.append(follower)
    return [plan.tasks[name] for name in ready]


def _cycles(plan: Plan, problems: Problems) -> bool:
    """Report one cycle for each group of nodes that wait for each other. Is there any?"""
    good = {task.name for task in sequence(plan)}
    bad = {name: task for name, task in plan.tasks.items() if name not in good}
    found = bool(bad)
    while bad:
        cycle = _walk(bad)
        if not cycle:
            return found
        first = plan.tasks[cycle[0]]
        way = " → ".join([*cycle, cycle[0]])
        hint = "each waits for the next, by `after` or by reading its value; take one of them away"
        problems.add(first.path, f"these nodes wait for each other: {way}", hint, key=True)
        for name in cycle:
            bad.pop(name)
    return found


def _walk(bad: Mapping[str, Task]) -> list[str]:
    """A cycle among these nodes; empty if there is none."""
    for start in bad:
        way: list[str] = []
        here = start
        while here not in way:
            way.append(here)
            following = next((name for name in bad[here].needs if name in bad), None)
            if following is None:
                break
            here = following
        else:
            return way[way.index(here) :]
    return []


def ancestors(plan: Plan) -> dict[str, set[str]]:
    """For each node all that come before it."""
    found: dict[str, set[str]] = {}
    for task in sequence(plan):
        found[task.name] = set(task.needs).union(*(found[name] for name in task.needs))
    return found


def pivots(plan: Plan) -> list[Task]:
    """The nodes that pass the point of no return: pivots, and nested graphs that have one."""
    return [task for task in plan.tasks.values() if _is_pivot(task)]


def _is_pivot(task: Task) -> bool:
    if isinstance(task.node, PivotNode):
        return True
    inner = getattr(task.saga.fn, "plan", None) if isinstance(task.node, SagaNode) and task.saga else None
    return isinstance(inner, Plan) and bool(pivots(inner))


def _pivots(plan: Plan, problems: Problems, inside: str) -> None:
    before = ancestors(plan)
    found = pivots(plan)
    for task in found:
        if inside:
            hint = "put it after the `try`: what cannot be undone any more cannot be tried"
            problems.add(task.path, f"the pivot stands inside the savepoint {inside!r}", hint, key=True)
            continue
        beside = [
            name
            for name in plan.tasks
            if name != task.name and name not in before[task.name] and task.name not in before[name]
        ]
        if beside:
            names = ", ".join(map(repr, beside))
            hint = f"`after: [{task.name}]` in the node, or its name in the pivot's `after`"
            problems.add(
                task.path,
                f"the pivot {task.name!r} needs all else at rest, and {names} may run beside it",
                hint,
            )
        for other in found:
            if other.name in before[task.name]:
                problems.add(
                    task.path,
                    f"two pivots on one path: {other.name!r} comes before {task.name!r}",
                    "one is enough",
                )
        for name in plan.tasks:
            if task.name in before[name] and isinstance(plan.tasks[name].node, FailNode):
                hint = "decide before the pivot; after it nothing is undone"
                problems.add(
                    plan.tasks[name].path, f"{name!r} fails after the pivot {task.name!r}", hint, key=True
                )


def _never(plan: Plan, problems: Problems) -> None:
    """Nodes that are never reached."""
    before = ancestors(plan)
    ends = [
        task.name
        for task in plan.tasks.values()
        if isinstance(task.node, FailNode) and "when" not in task.templates
    ]
    for name, task in plan.tasks.items():
        if "when" in task.templates and task.templates["when"].constant is False:
            problems.add((*task.path, "when"), f"{name!r} is never reached: its condition is always false")
        blocking = [end for end in ends if end in before[name]]
        if blocking:
            problems.add(
                task.path, f"{name!r} is never reached: {blocking[0]!r} always fails", "give it a `when`"
            )
        if isinstance(task.node, TryNode) and not task.blocks["try"].tasks:
            problems.add((*task.path, "try"), f"{name!r} tries nothing", "try: {nodes: {…}}")
