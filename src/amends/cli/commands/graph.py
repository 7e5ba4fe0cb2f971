"""``amends graph``: a picture of what a saga can do, or of what an execution did."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import rich_click as click

from ...definition.saga import Saga
from ...dialects.graph import Graph
from ...drawing import FORMATS, Diagram, draw_execution, draw_graph, draw_saga, render
from ...engine.backend import events_of
from ...engine.status import status_of
from .. import apps
from ..exits import Exit, Problem
from ..options import Where, command

DOCUMENTS = (".json", ".yaml", ".yml")
ENDINGS = {".svg": "svg", ".dot": "dot", ".gv": "dot", ".mmd": "mermaid", ".mermaid": "mermaid"}


@command("amends graph app:place_order --id order-1001\namends graph app:place_order --output order.svg")
@click.argument("module", metavar="[MODULE:SAGA | FILE]", required=False)
@click.option("--id", help="Draw this execution; the module is needed only for what has not begun.")
@click.option("--format", "-f", type=click.Choice(list(FORMATS)), help="Default: by --output, else mermaid.")
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file.")
async def graph(
    where: Where, module: str | None, id: str | None, format: str | None, output: Path | None
) -> Exit:
    """Draw a saga or an execution as Mermaid, DOT or SVG.

    A saga is drawn from its code (module:name), a graph from its JSON or YAML file, an execution from its
    journal.
    """
    chosen = format or (ENDINGS.get(output.suffix.lower()) if output else None) or "mermaid"
    definition = _definition(module)
    if id is not None:
        diagram = await _of_execution(where, id, definition)
    elif definition is None:
        hint = "for example: amends graph app:place_order, or amends graph --id order-1001"
        raise Problem("nothing to draw is named", hint=hint)
    else:
        diagram = draw_graph(definition) if isinstance(definition, Graph) else draw_saga(definition)
    _tell(where, diagram, chosen, output)
    return Exit.OK


def _definition(module: str | None) -> Graph | Saga[..., Any] | None:
    if module is None:
        return None
    if Path(module).suffix.lower() in DOCUMENTS:
        if not Path(module).is_file():
            raise Problem(
                f"there is no file {module}", hint="name a graph's JSON or YAML file, or module:saga"
            )
        return Graph.load(module)
    app = apps.load(module)
    return app.target if isinstance(app.target, Graph) else app.saga(module)


async def _of_execution(where: Where, id: str, definition: Graph | Saga[..., Any] | None) -> Diagram:
    async with where.desk() as desk:
        header, rows, _ = await desk.read(await desk.find(id))
        status = status_of(await desk.seen(header))
    if definition is not None:
        name = definition.saga.name if isinstance(definition, Graph) else definition.name
        if name != header.saga:
            raise Problem(
                f"{id} is an execution of {header.saga}, not of {name}", hint="leave the module out"
            )
    return draw_execution(events_of(rows), status, definition)


def _tell(where: Where, diagram: Diagram, format: str, output: Path | None) -> None:
    text = render(diagram, format)
    if output is not None:
        try:
            output.write_text(text, encoding="utf-8")
        except OSError as error:
            raise Problem(f"{output} cannot be written: {error.strerror}") from error
    if where.json:
        about = {"format": format, "output": str(output) if output else None}
        where.output.data({**about, "diagram": msgspec.to_builtins(diagram), "text": text})
    elif output is not None:
        where.output.note(f"written: {output}")
    else:
        where.output.out.file.write(text if text.endswith("\n") else text + "\n")
