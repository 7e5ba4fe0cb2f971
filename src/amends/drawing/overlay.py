"""The deeds of an execution on the picture of its graph.

The interpreter makes a task for each node in the order of their names, so an action's id (its task's
path) says to which node it belongs: ``3.1`` is the third node's first.  Inside `try` the savepoint itself
is the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ..dialects.graph.model import SagaNode, SignalNode, SleepNode, StepNode
from ..dialects.graph.plan import Plan
from .diagram import Diagram, Node, State
from .graphs import id_of
from .story import Deed, ending

_WORST = (
    State.PARKED,
    State.FAILED,
    State.UNDOING,
    State.RUNNING,
    State.WAITING,
    State.DONE,
    State.UNDONE,
    State.SKIPPED,
)
_VISIBLE = StepNode | SagaNode | SignalNode | SleepNode


def paths_of(plan: Plan, cluster: str = "", path: str = "", first: int = 1) -> dict[str, tuple[str, Any]]:
    """For each node of the picture: the path of its task, and the node."""
    found: dict[str, tuple[str, Any]] = {}
    for place, (name, task) in enumerate(plan.tasks.items(), first):
        here, id = f"{path}{place}.", id_of(name, cluster)
        found[id] = (here, task.node)
        after = 2
        for key in ("try", "otherwise"):
            if key in task.blocks:
                inside = f"{id}/{key}" if "otherwise" in task.blocks else id
                found |= paths_of(task.blocks[key], inside, here, after)
                after += len(task.blocks[key].tasks)
    return found


def states_on(diagram: Diagram, plan: Plan, deeds: Sequence[Deed], status: str) -> Diagram:
    """The diagram with the states of what ran; what will never run any more is marked so."""
    paths = paths_of(plan)
    over = status in {"completed", "compensated", "partially_compensated", "terminated"}
    mine = {id: [deed for deed in deeds if deed.id.startswith(path)] for id, (path, _) in paths.items()}
    nodes = []
    for node in diagram.nodes:
        owner = node.id.removesuffix("/undo")
        if node.id == "end":
            nodes.append(msgspec.structs.replace(node, label=status, state=ending(status)))
        elif owner not in paths:
            nodes.append(node)
        elif node.kind == "undo" and owner != node.id:
            nodes.append(_undo(node, mine[owner]))
        else:
            nodes.append(_node(node, mine[owner], over=over and isinstance(paths[owner][1], _VISIBLE)))
    clusters = [
        msgspec.structs.replace(box, state=_worst([deed.undo or deed.state for deed in mine[box.id]]))
        if isinstance(paths.get(box.id, ("", None))[1], SagaNode)
        else box
        for box in diagram.clusters
    ]
    return Diagram(
        title=diagram.title, caption=diagram.caption, nodes=nodes, edges=diagram.edges, clusters=clusters
    )


def _node(node: Node, deeds: Sequence[Deed], *, over: bool) -> Node:
    if not deeds:
        return msgspec.structs.replace(node, state=State.SKIPPED) if over else node
    notes = list(node.notes)
    if len(deeds) == 1:
        notes += deeds[0].notes
    else:
        counted = {state: sum(deed.state is state for deed in deeds) for state in State}
        notes.append(", ".join(f"{count} {state.value}" for state, count in counted.items() if count))
    return msgspec.structs.replace(node, state=_worst([deed.state for deed in deeds]), notes=tuple(notes))


def _undo(node: Node, deeds: Sequence[Deed]) -> Node:
    states = [deed.undo for deed in deeds if deed.undo]
    notes = [note for deed in deeds for note in ([deed.undo_label, *deed.undo_notes] if deed.undo else [])]
    if len(deeds) > 1:
        notes = [f"{len(states)} of {len(deeds)}"] if states else []
    return msgspec.structs.replace(node, state=_worst(states), notes=tuple(notes))


def _worst(states: Sequence[State]) -> State:
    return next((state for state in _WORST if state in states), State.NONE)
