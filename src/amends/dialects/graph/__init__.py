"""Graphs: sagas declared as data, run with all the parallelism that their dependencies allow."""

from .builder import Block
from .graph import Graph
from .problems import Problem

__all__ = ["Block", "Graph", "Problem"]
