"""amends: durable sagas. Every step completes, or every effect is undone."""

from .definition.compensation import SEALED, UNRESOLVED
from .definition.context import Current, current
from .definition.flow import (
    continue_as_new,
    logger,
    now,
    patched,
    pivot,
    random,
    savepoint,
    undo_with,
    uuid,
)
from .definition.policy import Kind, Outcome, Recovery, Retry
from .definition.resource import Resource, injected
from .definition.saga import Saga, SagaCall, saga
from .definition.signal import Signal
from .definition.step import Step, StepCall, step
from .engine.client import Client
from .engine.engine import Engine
from .engine.handle import Handle
from .engine.outcome import Result
from .engine.status import Status
from .errors import (
    AmendsError,
    Compensated,
    DefinitionError,
    Divergence,
    EngineClosed,
    ForeignCall,
    IdInUse,
    NeedsAttention,
    NotInSaga,
    NotSent,
    NotYet,
    PayloadError,
    PayloadTooLarge,
    PivotRefused,
    Refused,
    Rejected,
    StepFailed,
    StoreError,
    Terminated,
    UnknownName,
)
from .kernel.limits import Limits
from .store.port import Transaction
from .worker.settings import Settings

__version__ = "0.1.0.dev0"

__all__ = [
    "SEALED",
    "UNRESOLVED",
    "AmendsError",
    "Client",
    "Compensated",
    "Current",
    "DefinitionError",
    "Divergence",
    "Engine",
    "EngineClosed",
    "ForeignCall",
    "Handle",
    "IdInUse",
    "Kind",
    "Limits",
    "NeedsAttention",
    "NotInSaga",
    "NotSent",
    "NotYet",
    "Outcome",
    "PayloadError",
    "PayloadTooLarge",
    "PivotRefused",
    "Recovery",
    "Refused",
    "Rejected",
    "Resource",
    "Result",
    "Retry",
    "Saga",
    "SagaCall",
    "Settings",
    "Signal",
    "Status",
    "Step",
    "StepCall",
    "StepFailed",
    "StoreError",
    "Terminated",
    "Transaction",
    "UnknownName",
    "__version__",
    "continue_as_new",
    "current",
    "injected",
    "logger",
    "now",
    "patched",
    "pivot",
    "random",
    "saga",
    "savepoint",
    "step",
    "undo_with",
    "uuid",
]
