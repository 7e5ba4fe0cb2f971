"""What `import amends` offers is written down here: a name comes or goes by intent, never by accident."""

from __future__ import annotations

import inspect
import logging
import types

import amends

NAMES = {
    "calls and definitions": ["Saga", "SagaCall", "Step", "StepCall", "saga", "step"],
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
    "engines": ["Client", "Engine", "Handle", "Limits", "Result", "Settings", "Status"],
    "errors": [
        "AmendsError",
        "Compensated",
        "DefinitionError",
        "Divergence",
        "EngineClosed",
        "ForeignCall",
        "IdInUse",
        "NeedsAttention",
        "NotInSaga",
        "NotSent",
        "NotYet",
        "PayloadError",
        "PayloadTooLarge",
        "PivotRefused",
        "Refused",
        "Rejected",
        "StepFailed",
        "StoreError",
        "Terminated",
        "UnknownName",
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


def test_errors_have_one_root() -> None:
    for name in NAMES["errors"]:
        error = getattr(amends, name)
        assert inspect.isclass(error)
        assert issubclass(error, amends.AmendsError)


def test_the_logger_is_a_logger() -> None:
    assert isinstance(amends.logger, logging.LoggerAdapter)
