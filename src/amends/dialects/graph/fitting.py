"""Do the parts of a graph fit? Steps and sagas that exist, arguments that they take, types where they are
known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ...definition.registry import Registry
from ...definition.signature import Signature
from ...errors import DefinitionError, MissingDefinition, did_you_mean
from .expression import ANY, Shape, shape_from, shape_of
from .expression.shapes import BOOLEAN, INTEGER, LIST, NULL, NUMBER, STRING, either, fits
from .model import FailNode, SagaNode, SignalNode, SleepNode, StepNode, TryNode, Undo
from .order import sequence
from .plan import Plan, Task, versions_of
from .problems import Path, Problems
from .templates import Template

ERROR = Shape("object", fields=dict.fromkeys(("type", "message", "step", "outcome"), STRING))


def find(plan: Plan, registry: Registry, problems: Problems) -> None:
    """Look up the steps and sagas of every node."""
    for task in plan.every():
        node = task.node
        try:
            if isinstance(node, StepNode):
                task.step = registry.step(node.step)
            elif isinstance(node, SagaNode):
                versions = versions_of(node, registry.sagas)
                if node.version is None and len(versions) > 1:
                    said = ", ".join(map(repr, versions))
                    problems.add(
                        (*task.path, "saga"), f"{node.saga!r} has the versions {said}", "say `version: …`"
                    )
                    continue
                task.saga = registry.saga(node.saga, node.version or "".join(versions))
        except MissingDefinition as error:
            field = "step" if isinstance(node, StepNode) else "saga"
            problems.add((*task.path, field), error.message, error.hint)


class Fitting:
    """Goes through a plan in its order, with the shapes of all that is known so far."""

    def __init__(self, registry: Registry, problems: Problems) -> None:
        self.registry = registry
        self.problems = problems

    def plan(self, plan: Plan, around: Mapping[str, Shape]) -> Shape:
        """Check every node; gives the shape of the result."""
        environment = dict(around)
        known = sequence(plan)
        for name in plan.tasks:  # those of a cycle have been reported
            environment.setdefault(name, ANY)
        for task in known:
            environment[task.name] = task.shape = self.task(task, environment)
        for task in plan.tasks.values():
            if task not in known:
                self.task(task, environment)
        return plan.result.check(environment, self.problems)

    def task(self, task: Task, environment: dict[str, Shape]) -> Shape:
        if "when" in task.templates:
            self.need(task.templates["when"], environment, BOOLEAN)
        shape = self.value(task, environment) if task.name not in self.problems.broken else ANY
        return shape.or_null() if "when" in task.templates else shape

    def value(self, task: Task, environment: dict[str, Shape]) -> Shape:
        node = task.node
        match node:
            case StepNode() | SagaNode():
                return self.work(task, environment)
            case SignalNode():
                return self.signal(task, node, environment)
            case SleepNode():
                self.need(task.templates["sleep"], environment, NUMBER)
            case FailNode():
                self.need(task.templates["fail"], environment, STRING)
            case TryNode():
                return self.attempt(task, environment)
            case _:
                if "value" in task.templates:
                    return task.templates["value"].check(environment, self.problems)
        return NULL

    def need(self, template: Template, environment: Mapping[str, Shape], want: Shape) -> Shape:
        have = template.check(environment, self.problems)
        if why := fits(have, want):
            self.problems.add(template.path, why)
        return have

    def signal(self, task: Task, node: SignalNode, environment: Mapping[str, Shape]) -> Shape:
        shape = self.type(node.type, (*task.path, "type"))
        if "otherwise" not in task.templates:
            return shape
        if node.timeout is None:
            self.problems.add(
                (*task.path, "otherwise"), "`otherwise` is for a timeout, and there is none", "timeout: …"
            )
        return either(shape, task.templates["otherwise"].check(environment, self.problems))

    def attempt(self, task: Task, environment: Mapping[str, Shape]) -> Shape:
        result = self.plan(task.blocks["try"], environment)
        if "otherwise" not in task.blocks:
            return result
        return either(result, self.plan(task.blocks["otherwise"], {**environment, "error": ERROR}))

    def type(self, data: Any, path: Path) -> Shape:
        """The shape that `data` writes down; reports what is none."""
        try:
            return shape_from(data)
        except DefinitionError as error:
            self.problems.add(path, error.message, error.hint)
            return ANY

    # ------------------------------------------------------------ steps and sagas

    def work(self, task: Task, environment: dict[str, Shape]) -> Shape:
        repeated = "each" in task.templates
        if repeated:
            items = self.need(task.templates["each"], environment, LIST)
            environment = {**environment, "item": items.item or ANY, "index": INTEGER}
        definition = task.step or task.saga
        if definition is None:
            for template in task.args.values():
                template.check(environment, self.problems)
            return LIST if repeated else ANY
        self.arguments(definition.signature, definition.name, task.args, (*task.path, "with"), environment)
        result = result_shape(definition.signature, definition.fn)
        if isinstance(task.node, StepNode) and task.node.undo:
            self.undo(task, task.node.undo, result)
        return Shape("list", item=result) if repeated else result

    def arguments(
        self,
        signature: Signature,
        name: str,
        given: Mapping[str, Template],
        path: Path,
        environment: Mapping[str, Shape],
    ) -> None:
        """Check the arguments of a call against the function's parameters."""
        resources = signature.plan[2]
        fields = {field.name: field for field in msgspec.structs.fields(signature.args)}
        said = f"{name}({', '.join(fields)})"
        for key, template in given.items():
            shape = template.check(environment, self.problems)
            if key in resources:
                self.problems.add(
                    (*path, key), f"{key!r} of {name} is a resource", "the engine gives it; leave it out"
                )
            elif key not in fields:
                self.problems.add((*path, key), f"{said} has no parameter {key!r}", did_you_mean(key, fields))
            elif why := fits(shape, shape_of(fields[key].type)):
                self.problems.add((*path, key), f"{key!r} of {name}: {why}")
        for key, field in fields.items():
            if field.required and key not in given:
                self.problems.add(path, f"{said} needs the argument {key!r}", f"with: {{{key}: …}}")

    def undo(self, task: Task, undo: Undo, result: Shape) -> None:
        """Check the compensation that a node has instead of its step's own."""
        assert task.step is not None
        path = (*task.path, "undo")
        try:
            step = self.registry.step(undo.step)
        except MissingDefinition as error:
            self.problems.add((*path, "step"), error.message, error.hint)
            return
        for one in (task.step, step):
            if one.signature.skip and one.instance is None:
                self.problems.add(
                    path, f"{one.name} is a method, whose object only the engine has", "use functions"
                )
                return
        fields = {
            field.name: shape_of(field.type) for field in msgspec.structs.fields(task.step.signature.args)
        }
        environment = {"result": result.or_null(), "outcome": STRING, **fields}
        if not task.undo_args:
            task.undo_args = default_undo(step.signature, fields, path, self.problems)
        self.arguments(step.signature, step.name, task.undo_args, (*path, "with"), environment)


def default_undo(
    signature: Signature, fields: Mapping[str, Shape], path: Path, problems: Problems
) -> dict[str, Template]:
    """Without `with`: the result is the first parameter, the action's arguments go by their names."""
    names = [field.name for field in msgspec.structs.fields(signature.args)]
    said = {name: name for name in names if name in fields}
    if names and names[0] not in fields:
        said[names[0]] = "result"
    return {name: Template.read(text, (*path, "with", name), problems) for name, text in said.items()}


def result_shape(signature: Signature, fn: Any) -> Shape:
    """The shape of what a step or saga returns (a graph knows it better than its annotation)."""
    known = getattr(fn, "shape", None)
    return known if isinstance(known, Shape) else shape_of(signature.hints.get("return", Any))
