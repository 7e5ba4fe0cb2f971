"""What `import amends` offers is written down here: a name comes or goes by intent, never by accident."""

from __future__ import annotations

import ast
import inspect
import logging
import subprocess
import sys
import types
from pathlib import Path

import pytest

import amends
import amends.testing

NAMES = {
    "calls and definitions": ["Graph", "Saga", "SagaCall", "Step", "StepCall", "saga", "step"],
    "policies": ["Kind", "Outcome", "Recovery", "Retry"],
    "in a saga": [
        "Signal",
        "continue_as_new",
        "current",
        "logger",
        "now",
        "patched",
        "pivot",
        "random",
        "savepoint",
        "undo_with",
        "uuid",
    ],
    "in a step": ["Current", "Resource", "SEALED", "Transaction", "UNRESOLVED", "injected"],
    "engines": [
        "Client",
        "Engine",
        "Handle",
        "KeyStatus",
        "Keys",
        "Limits",
        "Operations",
        "Result",
        "Schedules",
        "ScheduleStatus",
        "Settings",
        "Status",
    ],
    "queues": ["BatchCall", "QueueLimits", "QueueStatus", "QueueWorker", "Queues", "TaskStatus"],
    "standing still": ["Pause", "Pauses"],
    "many at a time": ["BulkBatch", "BulkItem", "ImportItem", "RetainBatch", "RotateBatch"],
    "errors": [
        "AmendsError",
        "Compensated",
        "DefinitionError",
        "Divergence",
        "EngineClosed",
        "ExpressionError",
        "ForeignCall",
        "GraphError",
        "GraphFailed",
        "IdInUse",
        "NeedsAttention",
        "NotInSaga",
        "NotSent",
        "NotYet",
        "PayloadError",
        "PayloadTooLarge",
        "PivotRefused",
        "QueryError",
        "QueueFull",
        "Refused",
        "Rejected",
        "StepFailed",
        "StoreError",
        "Terminated",
        "UnknownName",
        "Unopened",
    ],
    "the release": ["__version__"],
}


def test_the_public_names_are_exactly_these() -> None:
    assert sorted(amends.__all__) == sorted(name for names in NAMES.values() for name in names)


def test_each_of_them_exists() -> None:
    assert [name for name in amends.__all__ if not hasattr(amends, name)] == []
    assert len(set(amends.__all__)) == len(amends.__all__)


def test_nothing_else_can_be_mistaken_for_public() -> None:
    found = [
        name
        for name, value in vars(amends).items()
        if name[0] != "_" and name not in amends.__all__ and not isinstance(value, types.ModuleType)
    ]
    assert found == []


def test_the_interpreter_and_the_type_checkers_are_told_the_same() -> None:
    """`_HOMES` and the imports under TYPE_CHECKING name the same things in the same places."""
    tree = ast.parse(Path(amends.__file__).read_text(encoding="utf-8"))
    said = {
        "." * node.level + str(node.module): tuple(alias.name for alias in node.names)
        for block in tree.body
        if isinstance(block, ast.If) and ast.unparse(block.test) == "typing.TYPE_CHECKING"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
    }
    assert said == amends._HOMES
    assert said


def test_completion_lists_what_is_not_loaded_yet() -> None:
    assert set(amends.__all__) <= set(dir(amends))


def test_a_misspelt_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'amends' has no attribute 'Engin'"):
        _ = amends.Engin  # type: ignore[attr-defined]


def fresh(code: str) -> str:
    """What a new interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


@pytest.mark.parametrize("home", amends._HOMES)
def test_each_home_can_be_the_first_that_is_loaded(home: str) -> None:
    assert fresh(f"import amends; print(amends.{amends._HOMES[home][0]} is not None)") == "True\n"


def test_all_names_can_be_imported_at_once() -> None:
    assert (
        fresh("from amends import *; print(Engine.__name__, step.__name__, now.__name__)")
        == "Engine step now\n"
    )


HEAVY = {"asyncio", "sqlite3", "amends.definition", "amends.engine", "amends.kernel", "amends.store"}


@pytest.mark.parametrize("module", ["amends", "amends.errors", "amends.participants.barrier"])
def test_small_imports_stay_small(module: str) -> None:
    """They load neither the engine nor anything that is not in the standard library."""
    code = f"import sys; before = {{*sys.modules}}; import {module}; print(*{{*sys.modules}} - before)"
    loaded = set(fresh(code).split())
    assert module in loaded
    assert loaded & HEAVY == set()
    assert {name.partition(".")[0] for name in loaded} - sys.stdlib_module_names == {"amends"}


def test_the_engine_is_not_small() -> None:
    """What the test above looks for can be found."""
    assert set(fresh("import sys, amends; amends.Engine; print(*sys.modules)").split()) >= {"apsw", "msgspec"}


def test_errors_have_one_root() -> None:
    for name in NAMES["errors"]:
        error = getattr(amends, name)
        assert inspect.isclass(error)
        assert issubclass(error, amends.AmendsError)


def test_the_logger_is_a_logger() -> None:
    assert isinstance(amends.logger, logging.LoggerAdapter)


def test_the_names_for_tests_are_exactly_these() -> None:
    assert sorted(amends.testing.__all__) == ["Stuck", "World", "world"]
