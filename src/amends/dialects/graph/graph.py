"""`Graph`: a saga declared instead of written, in Python, JSON or YAML."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import msgspec

from ... import codec
from ...definition.policy import Duration, seconds
from ...definition.registry import REGISTRY
from ...definition.saga import Saga, SagaCall, SagaOptions
from ...errors import DefinitionError, GraphError
from . import program
from .builder import After, Block, Condition
from .expression import Shape, shape_from, shape_of
from .expression.shapes import hint_of, written
from .fitting import Fitting, find
from .model import Document, StepNode, to_data
from .order import check_order
from .plan import Plan, plan_of
from .problems import Positions, Problem, Problems
from .reading import read
from .sources import read_json, read_yaml
from .undo import own_step


class Graph(Block):
    """``Graph("shop.order", inputs={"order": Order})``, then nodes; `saga` is what an engine runs.

    name: the durable name.  inputs: names and types (Python's, or words such as ``"string"``; see
    docs/graphs.md). version: as for `saga`; without it a hash of the graph, so that a changed graph is
    another version.  deadline: seconds.  A graph is checked as a whole when `saga` is first asked for,
    which raises `GraphError` with all that is wrong; afterwards it can no longer be changed.  Graphs are
    equal when they say the same.
    """

    def __init__(
        self,
        name: str,
        *,
        inputs: Mapping[str, Any] | None = None,
        version: str | None = None,
        deadline: Duration | None = None,
        title: str = "",
    ) -> None:
        super().__init__()
        more = {"version": version, "deadline": seconds(deadline, "deadline"), "title": title or None}
        types = {key: _type(given) for key, given in (inputs or {}).items()}
        head = {"graph": name, **({"inputs": types} if types else {})}
        self._data = {**head, **{k: v for k, v in more.items() if v is not None}, **self._data}
        self._source = ""
        self._positions: Positions = {}
        self._read: tuple[Problem, ...] = ()

    def pivot(self, name: str, *, after: After = (), when: Condition = None) -> Self:
        """The point of no return: all else must come before or after it."""
        return self._add(name, after, when, {"pivot": True}, {})

    # ------------------------------------------------------------ other forms

    @classmethod
    def from_json(cls, text: str, *, source: str = "") -> Self:
        """Read a graph from JSON. `source` names the file in errors. Raises `GraphError` where it is no
        JSON.
        """
        problems = Problems(source)
        return cls._of(read_json(text, problems), problems)

    @classmethod
    def from_yaml(cls, text: str, *, source: str = "") -> Self:
        """Read a graph from YAML (needs the extra `yaml`). Raises `GraphError` where it is no YAML."""
        problems = Problems(source)
        return cls._of(read_yaml(text, problems), problems)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a graph from a file that ends in ``.json``, ``.yaml`` or ``.yml``. Raises `GraphError`,
        OSError.
        """
        file = Path(path)
        readers = {".json": cls.from_json, ".yaml": cls.from_yaml, ".yml": cls.from_yaml}
        if file.suffix not in readers:
            raise GraphError(f"{file} is no graph by its name", hint=f"expected one of {', '.join(readers)}")
        try:
            text = file.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise GraphError(f"{file} is not in UTF-8: {error}") from None
        return readers[file.suffix](text, source=str(file))

    @classmethod
    def _of(cls, data: Any, problems: Problems) -> Self:
        made = cls("")
        made._data = data
        made._source, made._positions = problems.source, problems.positions
        made._read = problems.sorted()
        return made

    def to_json(self, *, indent: int = 2) -> str:
        """The graph as JSON, which `from_json` reads back. Raises `GraphError` when it cannot be
        understood.
        """
        data = msgspec.json.encode(to_data(self.document))
        return msgspec.json.format(data, indent=indent).decode()

    @cached_property
    def document(self) -> Document:
        """What the graph says, as a value. Raises `GraphError` when it cannot be understood."""
        problems = Problems(self._source, self._positions)
        document = read(self._data, problems)
        problems.found += [*self._read, *self._repeated()]
        problems.raise_any(self._name)
        assert document is not None
        return document

    # ------------------------------------------------------------ what it is

    @property
    def name(self) -> str:
        """The durable name."""
        return self.document.graph

    @property
    def version(self) -> str:
        """The version given, or the hash of all that decides what the graph does."""
        document = self.document
        if document.version is not None:
            return document.version
        data = {key: value for key, value in to_data(document).items() if key != "title"}
        return hashlib.sha256(codec.encode(data, "the graph")).hexdigest()[:12]

    def problems(self) -> tuple[Problem, ...]:
        """Everything that is wrong with the graph, in the order of the text; never raises."""
        try:
            self._built  # noqa: B018
        except GraphError as error:
            return error.problems
        return ()

    @cached_property
    def saga(self) -> Saga[..., Any]:
        """The saga that runs this graph, registered by name and version. Raises `GraphError` with every
        problem.
        """
        plan, steps = self._built
        document = self.document
        for step in steps:
            REGISTRY.add_step(step)
        options = SagaOptions(deadline=document.deadline)
        body = _body(document, plan)
        body.graph = self
        return Saga(body, document.graph, self.version, options)

    @property
    def plan(self) -> Plan:
        """The checked plan: nodes in the order of their names, with what each waits for. Raises
        `GraphError`.
        """
        return self._built[0]

    def __call__(self, *args: Any, **kwargs: Any) -> SagaCall[Any]:
        """Make a call: give it to an engine, or await it inside another saga."""
        return self.saga(*args, **kwargs)

    @cached_property
    def _built(self) -> tuple[Plan, list[Any]]:
        """The plan, and the steps that exist only for it. Raises `GraphError`."""
        problems = Problems(self._source, self._positions)
        document = read(self._data, problems)
        problems.found += [*self._read, *self._repeated()]
        if document is None:
            problems.raise_any(self._name)
            raise AssertionError("a document that is not there has problems")
        plan = plan_of(document.nodes, document.result, (), problems)
        fitting = Fitting(REGISTRY, problems)
        find(plan, REGISTRY, problems)
        inputs = {
            name.removesuffix("?"): _optional(name, fitting.type(given, ("inputs", name)))
            for name, given in document.inputs.items()
        }
        check_order(plan, inputs, problems)
        plan.shape = fitting.plan(plan, inputs)
        problems.raise_any(self._name)
        steps = []
        for task in plan.every():
            if isinstance(task.node, StepNode) and task.node.undo is not None:
                prefix = f"{document.graph}@{self.version}"
                task.step = own_step(task, task.node, prefix, REGISTRY, problems)
                steps.append(task.step)
        problems.raise_any(self._name)
        return plan, steps

    def _repeated(self) -> list[Problem]:
        return [
            Problem(
                0, 0, f"nodes.{name}", f"the name {name!r} is given twice", "each node has a name of its own"
            )
            for name in self._twice
        ]

    @property
    def _name(self) -> str:
        name = self._data.get("graph") if isinstance(self._data, dict) else None
        return name if isinstance(name, str) else ""

    def _changing(self) -> None:
        if "saga" in self.__dict__:
            raise DefinitionError(
                f"the graph {self._name!r} is built and cannot change any more",
                hint="add every node before .saga is used",
            )
        self.__dict__.pop("document", None)
        self.__dict__.pop("_built", None)

    def __eq__(self, other: object) -> bool:
        return self.document == other.document if isinstance(other, Graph) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # a graph grows

    def __repr__(self) -> str:
        return f"<graph {self._name}>"


def _type(given: Any) -> Any:
    """An input's type, as the document writes it."""
    return given if isinstance(given, str | list | dict) else written(shape_of(given))


def _optional(name: str, shape: Shape) -> Shape:
    return shape.or_null() if name.endswith("?") else shape


def _body(document: Document, plan: Plan) -> Any:
    """A function with the graph's inputs as parameters, for a `Saga` to be made of."""

    async def body(*args: Any, **kwargs: Any) -> Any:
        return await program.run(plan, dict(zip(names, args, strict=False)) | kwargs)

    shapes = {name: _optional(name, shape_from(given)) for name, given in document.inputs.items()}
    ordered = sorted(shapes, key=lambda name: shapes[name].optional)
    names = [name.removesuffix("?") for name in ordered]
    made: Any = body
    made.__name__ = document.graph.rpartition(".")[2]
    made.__qualname__ = document.graph
    made.__doc__ = document.title or f"The graph {document.graph}."
    made.__annotations__ = {name.removesuffix("?"): hint_of(shape) for name, shape in shapes.items()} | {
        "return": Any
    }
    made.__signature__ = inspect.Signature([_parameter(name, shapes[name]) for name in ordered])
    made.plan, made.shape = plan, plan.shape
    return made


def _parameter(name: str, shape: Shape) -> inspect.Parameter:
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    default = None if shape.optional else inspect.Parameter.empty
    return inspect.Parameter(name.removesuffix("?"), kind, default=default)
