"""Keys: which action a request belongs to, and whether it does or undoes it.

An action and its compensation must share the action's key, or the barrier cannot see that they belong
together. amends sends `execution uid / run / action id / direction` as the idempotency key, so its keys are
taken apart at the last slash. Other orchestrators name the same facts otherwise: there is one small
function for each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self, get_args

from ...errors import AmendsError, did_you_mean

Direction = Literal["do", "undo"]
DIRECTIONS: tuple[str, ...] = get_args(Direction)

LONGEST = 1024  # bytes of an action's key: PostgreSQL cannot index more than 2,704


class InvalidKey(AmendsError):
    """A request without a usable idempotency key: it cannot be told from its own duplicate."""

    code = "invalid_key"


@dataclass(frozen=True, slots=True)
class Key:
    """One action in one direction. `action` is the same for an action and its compensation.

    Raises `InvalidKey` when it is empty, holds control characters or is longer than 1,024 bytes.
    """

    action: str
    direction: Direction = "do"

    def __post_init__(self) -> None:
        if not self.action or not self.action.isprintable():
            raise InvalidKey(
                f"the action's key is {self.action!r}; expected printable characters",
                hint="send the orchestrator's idempotency key, the same for every attempt",
            )
        if len(self.action.encode()) > LONGEST:
            raise InvalidKey(
                f"the action's key has {len(self.action.encode()):,} bytes; at most {LONGEST:,} can be kept",
                hint="send a name or a digest, not the request itself",
            )
        if self.direction not in DIRECTIONS:
            raise InvalidKey(
                f"the direction is {self.direction!r}; an action is 'do', its compensation is 'undo'",
                hint=did_you_mean(str(self.direction), DIRECTIONS),
            )

    @classmethod
    def parse(cls, text: str, direction: Direction | None = None) -> Self:
        """Take apart what amends sends: it ends in ``/do`` or ``/undo``.

        Give `direction` where the request's own place says it (a route that only compensates); a key that
        ends otherwise is then taken whole. Raises `InvalidKey` when neither says it, or when they differ.
        """
        action, slash, last = text.rpartition("/")
        if not slash or last not in DIRECTIONS:
            if direction is None:
                raise InvalidKey(
                    f"the key {text!r} does not say its direction: it ends neither in /do nor in /undo",
                    hint="give it: Key(action, 'do') for an action, Key(action, 'undo') for its compensation",
                )
            return cls(text, direction)
        if direction is not None and direction != last:
            raise InvalidKey(
                f"the key {text!r} came to a place that takes {direction!r}",
                hint="the action and its compensation may have changed places in the caller's configuration",
            )
        return cls(action, "undo" if last == "undo" else "do")

    @property
    def forward(self) -> Key:
        """The key of the action itself."""
        return Key(self.action)

    def __str__(self) -> str:
        return f"{self.action}/{self.direction}"


# ---------------------------------------------------------------- other orchestrators

_DTM_UNDOES = {"compensate", "cancel", "rollback"}
_DTM_DOES = {"action", "try", "confirm", "commit"}


def dtm(gid: str, branch_id: str, op: str, trans_type: str = "saga") -> Key:
    """The key of a request from DTM, whose four facts come in the query string.

    `compensate`, `cancel` and `rollback` undo what `action` or `try` did. `confirm` and `commit` are
    actions of their own, which nothing undoes. Raises `InvalidKey` for another `op`.
    """
    if op not in _DTM_DOES | _DTM_UNDOES:
        raise InvalidKey(
            f"DTM has no operation {op!r}", hint=did_you_mean(op, sorted(_DTM_DOES | _DTM_UNDOES))
        )
    own = (op,) if op in {"confirm", "commit"} else ()
    return _key("undo" if op in _DTM_UNDOES else "do", "dtm", trans_type, gid, branch_id, *own)


def temporal(workflow_id: str, run_id: str, activity_id: str, direction: Direction = "do") -> Key:
    """The key of a Temporal activity.

    Take them from `activity.info()`. The compensating activity has an id of its own, so it must be told
    the *action's* `activity_id`: set one by name when starting the action, and use it for both.
    """
    return _key(direction, "temporal", workflow_id, run_id, activity_id)


def step_functions(execution: str, state: str, direction: Direction = "do", *, token: str = "") -> Key:
    """The key of a task of AWS Step Functions.

    `execution`: the ARN (``$$.Execution.Id``).  `state`: the name of the *action's* state, also for its
    compensation.  `token`: what tells visits of the same state apart, in a loop or a Map (an item's own
    id). A task token changes with every attempt, so it must not be used unless the state is never retried.
    """
    return _key(direction, "states", execution, state, *((token,) if token else ()))


def _key(direction: Direction, *parts: str) -> Key:
    """Parts joined by slashes, with those inside a part escaped: two lists never give one key."""
    for part in parts:
        if not part:
            raise InvalidKey(
                f"a part of the key is empty: {', '.join(map(repr, parts))}",
                hint="each part must come from the orchestrator's request",
            )
    return Key("/".join(part.replace("%", "%25").replace("/", "%2F") for part in parts), direction)
