"""amends: durable sagas. Every step completes, or every effect is undone.

A name is loaded when it is first used, with what it needs: a participant that only has the barrier, or a
program that only looks at errors, never loads the engine. Type checkers read the imports below; `_HOMES`
says the same to the interpreter, and a test compares the two.
"""

import typing

from .errors import (
    AmendsError,
    Compensated,
    DefinitionError,
    Divergence,
    EngineClosed,
    ExpressionError,
    ForeignCall,
    GraphError,
    GraphFailed,
    IdInUse,
    NeedsAttention,
    NotInSaga,
    NotSent,
    NotYet,
    PayloadError,
    PayloadTooLarge,
    PivotRefused,
    QueryError,
    QueueFull,
    Refused,
    Rejected,
    StepFailed,
    StoreError,
    Terminated,
    UnknownName,
    Unopened,
)
from .lazily import loader as _loader

if typing.TYPE_CHECKING:
    from .definition.batch import BatchCall
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
    from .dialects.graph import Graph
    from .engine.bulk import BulkBatch, BulkItem
    from .engine.client import Client
    from .engine.engine import Engine
    from .engine.handle import Handle
    from .engine.keys import Keys, KeyStatus, RotateBatch
    from .engine.operations import Operations
    from .engine.outcome import Result
    from .engine.pauses import Pauses
    from .engine.queue_worker import QueueWorker
    from .engine.queues import Queues
    from .engine.retention import RetainBatch
    from .engine.schedules.schedules import Schedules, ScheduleStatus
    from .engine.status import Status
    from .engine.transfer import ImportItem
    from .kernel.limits import Limits
    from .store.pausing import Pause
    from .store.port import Transaction
    from .store.queueing import QueueLimits, QueueStatus, TaskStatus
    from .worker.settings import Settings

__version__ = "0.1.0.dev0"
"""The release."""

__all__ = [
    "SEALED",
    "UNRESOLVED",
    "AmendsError",
    "BatchCall",
    "BulkBatch",
    "BulkItem",
    "Client",
    "Compensated",
    "Current",
    "DefinitionError",
    "Divergence",
    "Engine",
    "EngineClosed",
    "ExpressionError",
    "ForeignCall",
    "Graph",
    "GraphError",
    "GraphFailed",
    "Handle",
    "IdInUse",
    "ImportItem",
    "KeyStatus",
    "Keys",
    "Kind",
    "Limits",
    "NeedsAttention",
    "NotInSaga",
    "NotSent",
    "NotYet",
    "Operations",
    "Outcome",
    "Pause",
    "Pauses",
    "PayloadError",
    "PayloadTooLarge",
    "PivotRefused",
    "QueryError",
    "QueueFull",
    "QueueLimits",
    "QueueStatus",
    "QueueWorker",
    "Queues",
    "Recovery",
    "Refused",
    "Rejected",
    "Resource",
    "Result",
    "RetainBatch",
    "Retry",
    "RotateBatch",
    "Saga",
    "SagaCall",
    "ScheduleStatus",
    "Schedules",
    "Settings",
    "Signal",
    "Status",
    "Step",
    "StepCall",
    "StepFailed",
    "StoreError",
    "TaskStatus",
    "Terminated",
    "Transaction",
    "UnknownName",
    "Unopened",
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

_HOMES = {
    ".definition.batch": ("BatchCall",),
    ".definition.compensation": ("SEALED", "UNRESOLVED"),
    ".definition.context": ("Current", "current"),
    ".definition.flow": (
        "continue_as_new",
        "logger",
        "now",
        "patched",
        "pivot",
        "random",
        "savepoint",
        "undo_with",
        "uuid",
    ),
    ".definition.policy": ("Kind", "Outcome", "Recovery", "Retry"),
    ".definition.resource": ("Resource", "injected"),
    ".definition.saga": ("Saga", "SagaCall", "saga"),
    ".definition.signal": ("Signal",),
    ".definition.step": ("Step", "StepCall", "step"),
    ".dialects.graph": ("Graph",),
    ".engine.bulk": ("BulkBatch", "BulkItem"),
    ".engine.client": ("Client",),
    ".engine.engine": ("Engine",),
    ".engine.handle": ("Handle",),
    ".engine.keys": ("Keys", "KeyStatus", "RotateBatch"),
    ".engine.operations": ("Operations",),
    ".engine.queue_worker": ("QueueWorker",),
    ".engine.pauses": ("Pauses",),
    ".engine.queues": ("Queues",),
    ".engine.retention": ("RetainBatch",),
    ".engine.schedules.schedules": ("Schedules", "ScheduleStatus"),
    ".engine.transfer": ("ImportItem",),
    ".engine.outcome": ("Result",),
    ".engine.status": ("Status",),
    ".kernel.limits": ("Limits",),
    ".store.port": ("Transaction",),
    ".store.pausing": ("Pause",),
    ".store.queueing": ("QueueLimits", "QueueStatus", "TaskStatus"),
    ".worker.settings": ("Settings",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

if not typing.TYPE_CHECKING:  # or every misspelt name would pass for one of unknown type
    __getattr__ = _loader(__name__, _HOME_OF)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
