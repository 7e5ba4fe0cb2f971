"""Pictures of sagas: what a definition can do, and what an execution did.

One function for each source (`draw_graph`, `draw_saga`, `draw_execution`) makes a `Diagram`; `render`
writes it as Mermaid, DOT or SVG.  Nothing here runs a saga or opens a store.
"""

from .code import draw_saga
from .diagram import Cluster, Diagram, Edge, Node, State
from .executions import draw_execution
from .graphs import draw_graph
from .rendering import FORMATS, render

__all__ = [
    "FORMATS",
    "Cluster",
    "Diagram",
    "Edge",
    "Node",
    "State",
    "draw_execution",
    "draw_graph",
    "draw_saga",
    "render",
]
