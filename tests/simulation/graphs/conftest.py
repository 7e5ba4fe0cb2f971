"""Definitions of one test do not reach the next."""

from tests.simulation.promises.conftest import _definitions

__all__ = ["_definitions"]
