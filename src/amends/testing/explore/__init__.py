"""Explore a saga: every path with so many faults, nothing random, and what is wrong in words.

    report = explore(place_order(order), participants=World, faults=2)
    report.check()

`explorer` drives, `run` is one path on the kernel, `choices` enumerates, `survey` looks at each run and
`diagnosis` closely at those that ended wrong.
"""

from .cases import called, cases
from .explorer import explore, replay
from .faults import KINDS
from .findings import CAUSES, Finding, Note
from .page import page
from .report import Found, Report
from .subject import CannotExplore

__all__ = [
    "CAUSES",
    "KINDS",
    "CannotExplore",
    "Finding",
    "Found",
    "Note",
    "Report",
    "called",
    "cases",
    "explore",
    "page",
    "replay",
]
