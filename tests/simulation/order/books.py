"""The participants: what each attempt did, kept outside of the saga, and audited at the end."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from amends.errors import Rejected
from amends.kernel.actions import Action
from amends.worker.conclusions import Interrupted

from .programs import Node


@dataclass
class Call:
    """An attempt that runs, or (with `due`) waits for its retry."""

    uid: str
    direction: str
    action: Action
    due: float
    number: int = 0
    stopped: bool = False
    entry: Entry | None = None


@dataclass
class Entry:
    """What a participant remembers of one attempt. `how`: ok, reject, refused, fail, interrupted, lost."""

    uid: str
    action: str
    direction: str
    name: str
    args: Any
    result: Any
    rows: int
    how: str = "running"


@dataclass
class Account:
    """One idempotency key at its participant."""

    began: int = 0
    effect: bool = False
    rejected: bool = False


class Books:
    """All participants of one world."""

    def __init__(self, nodes: dict[str, Node]) -> None:
        self.nodes = nodes
        self.entries: list[Entry] = []
        self.accounts: dict[tuple[str, str, str], Account] = {}

    @staticmethod
    def label(action: Action) -> str:
        """Which node of the program an action is, by its arguments."""
        label: str = json.loads(bytes(action.args))["label"]
        return label

    def account(self, uid: str, action: Action, direction: str) -> Account:
        return self.accounts.setdefault((uid, action.id, direction), Account())

    def begin(self, call: Call, rows: list[Any]) -> None:
        """A request arrives (the result is what the compensation would be given)."""
        action = call.action
        account = self.account(call.uid, action, call.direction)
        account.began += 1
        call.number = (action.attempts if call.direction == "do" else action.undo_attempts) + 1
        result = json.loads(bytes(action.value)) if action.outcome == "succeeded" else None
        call.entry = Entry(
            call.uid,
            action.id,
            call.direction,
            action.name,
            json.loads(bytes(action.args)),
            result,
            len(rows),
        )
        self.entries.append(call.entry)

    def end(self, call: Call, choice: int) -> BaseException | None:
        """The reply. A `stopped` attempt ends as `choice` says, the others as their node says."""
        account = self.account(call.uid, call.action, call.direction)
        entry = call.entry
        assert entry is not None
        if call.direction == "undo":
            return self._undone(call, account, entry)
        word = self._word(call, account)
        if call.stopped and choice % 3 < 2 and word != "reject":
            account.effect = account.effect or choice % 3 == 1
            entry.how = "interrupted"
            return Interrupted("the saga no longer waits for this step")
        entry.how = word.rstrip("+-")
        if word == "ok":
            account.effect = True
            return None
        account.effect = account.effect or word == "fail+"
        if word == "reject":
            account.rejected = True
            return Rejected("no")
        if word == "refused":
            return ConnectionRefusedError("nobody there")
        return RuntimeError("it broke")

    def _word(self, call: Call, account: Account) -> str:
        node = self.nodes[self.label(call.action)]
        spare = call.action.name == "order.spare"
        words = node.options["spare" if spare else "ends"]
        word: str = words[account.began - 1] if account.began <= len(words) else "ok"
        if call.action.name == "order.barrier":  # it keeps a barrier, and answers by it
            return "ok" if account.effect else "reject" if account.rejected else word
        return word

    def _undone(self, call: Call, account: Account, entry: Entry) -> BaseException | None:
        if account.began <= self.nodes[self.label(call.action)].options["undo"]:
            entry.how = "fail"
            return RuntimeError("it cannot be undone now")
        self.account(call.uid, call.action, "do").effect = False
        entry.how = "ok"
        return None

    def lose(self, call: Call, *, took_effect: bool) -> None:
        """The worker of a running attempt dies; the participant may have done it all the same."""
        assert call.entry is not None
        call.entry.how = "lost"
        if took_effect:
            if call.direction == "undo":
                self.account(call.uid, call.action, "do").effect = False
            elif self._word(call, self.account(call.uid, call.action, "do")) in ("ok", "fail+", "fail-"):
                self.account(call.uid, call.action, "do").effect = True

    def by_hand(self, uid: str, action: Action, *, done: bool) -> None:
        """An operator brought it about: the action's effect, or its undoing."""
        self.account(uid, action, "do").effect = done
