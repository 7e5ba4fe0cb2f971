"""The phases of an execution (see `instance`)."""

FORWARD, RETURNED, UNWINDING, BACKWARD, FINISHED = (
    "forward",
    "returned",
    "unwinding",
    "backward",
    "finished",
)
