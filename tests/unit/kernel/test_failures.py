"""Exceptions to faults and back."""

from __future__ import annotations

import msgspec
import pytest

from amends import Rejected, StepFailed, step
from amends.kernel.entries import NULL, Fault, Raw
from amends.kernel.failures import MESSAGE_LIMIT, failure_of, fault_of


class Odd(Exception):
    def __str__(self) -> str:
        raise ZeroDivisionError


class Narrow(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(one, two)
        self.both = (one, two)


class Narrower(Narrow):
    pass


class Refusal(Rejected):
    pass


class Named(Exception):
    def __init__(self, *, name: str) -> None:
        super().__init__(f"called {name}")


def details(fault: Fault) -> object:
    return None if fault.details == NULL else msgspec.json.decode(fault.details)


@pytest.mark.parametrize(
    ("error", "type_", "message", "kept"),
    [
        (ValueError("no", 3), "ValueError", "('no', 3)", ["no", 3]),
        (ValueError(), "ValueError", "", None),
        (Rejected("no", details={"code": 7}), "Rejected", "no", {"code": 7}),
        (Rejected("no"), "Rejected", "no", None),
        (Refusal("no", details=[1]), "Refusal", "no", [1]),
        (Odd(), "Odd", "(no text: str() of it raised ZeroDivisionError)", None),
        (ValueError("\ud800"), "ValueError", "\\ud800", None),
        (ValueError(object), "ValueError", "<class 'object'>", None),
    ],
)
def test_what_a_journal_keeps(error: Exception, type_: str, message: str, kept: object) -> None:
    fault = fault_of(error)
    assert (fault.type, fault.message, details(fault)) == (type_, message, kept)


def test_groups_tell_all_their_members() -> None:
    inner = ExceptionGroup("inner", [KeyError("b"), Odd()])
    fault = fault_of(ExceptionGroup("outer", [ValueError("a"), inner]))
    assert fault.type == "ExceptionGroup"
    assert fault.message.splitlines() == [
        "outer (2 sub-exceptions)",
        "  ValueError: a",
        "  KeyError: 'b'",
        "  Odd: (no text: str() of it raised ZeroDivisionError)",
    ]


def test_long_texts_are_cut_and_long_details_left_out() -> None:
    assert fault_of(ValueError("x" * MESSAGE_LIMIT)).message == "x" * MESSAGE_LIMIT
    assert fault_of(ValueError("x" * (MESSAGE_LIMIT + 1))).message == "x" * MESSAGE_LIMIT + "…"
    fits = "x" * (MESSAGE_LIMIT - 4)  # with quotes and brackets
    assert details(fault_of(ValueError(fits))) == [fits]
    assert details(fault_of(ValueError(fits + "x"))) is None


@step(name="failures.plain")
async def plain() -> None: ...


@step(name="failures.named", raises=[Narrow, Named, OSError], rejects=[Refusal, LookupError])
async def named() -> None: ...


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Narrow(1, 2), Narrow),
        (Narrower(1, 2), Narrower),
        (KeyError("k"), KeyError),
        (ConnectionResetError(104, "reset"), ConnectionResetError),
        (Refusal("no", details={"a": 1}), Refusal),
    ],
)
def test_what_is_named_is_rebuilt(error: Exception, expected: type[Exception]) -> None:
    found = failure_of(named, fault_of(error), "unknown")
    assert type(found) is expected
    assert found.args == error.args
    assert getattr(found, "details", None) == getattr(error, "details", None)
    assert getattr(found, "both", None) == getattr(error, "both", None)


def test_one_without_details_is_rebuilt_from_its_text() -> None:
    assert str(failure_of(named, Fault("LookupError", "gone", NULL), "rejected")) == "gone"


def test_what_cannot_be_rebuilt_is_a_step_failure() -> None:
    found = failure_of(named, fault_of(Named(name="x")), "unknown")
    assert isinstance(found, StepFailed)
    assert (found.type, found.outcome, found.details) == ("Named", "unknown", None)


@pytest.mark.parametrize(
    ("fault", "kept"),
    [
        (Fault("ValueError", "no", Raw(b'["no"]')), None),
        (Fault("Rejected", "no", Raw(b'["why"]')), ["why"]),
        (Fault("Rejected", "no", Raw(b'{"a":1}')), {"a": 1}),
        (Fault("Other", "no", Raw(b'{"a":1}')), {"a": 1}),
        (Fault("ValueError", "no", NULL), None),
    ],
)
def test_what_is_not_named_is_a_step_failure(fault: Fault, kept: object) -> None:
    found = failure_of(plain, fault, "rejected")
    assert isinstance(found, StepFailed)
    assert (found.step, found.type, found.outcome, found.details) == (
        "failures.plain",
        fault.type,
        "rejected",
        kept,
    )
    assert "no" in str(found)
