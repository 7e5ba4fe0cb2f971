"""The barrier itself: a handful of operations, each one statement on the caller's own connection."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

from ...clock import Clock, SystemClock
from ...errors import PayloadError, Rejected
from . import sql
from .drivers import Driver, NoTransaction, Open
from .flow import Flow, operation
from .keys import Key
from .verdict import Entry, Found, State, judge, stored_rejection

_TABLE = re.compile(r"([A-Za-z_]\w*\.)?[A-Za-z_]\w*")


class Barrier:
    """Keeps requests from being done twice, too late, or undone before they were done.

    Every operation takes the service's own connection (sqlite3, aiosqlite, apsw, psycopg, asyncpg,
    SQLAlchemy, Django, or plain PEP 249) and must be awaited where that connection is asynchronous. The
    object itself holds nothing but settings; make one for the program.

    table: its name, with a schema before it or not.  paramstyle: for a PEP 249 connection whose module does
    not say it.  encode and decode: replies to text and back (default: JSON, as rejections
    always are).  clock: for the age of rows.
    """

    def __init__(
        self,
        *,
        table: str = "amends_barrier",
        paramstyle: str | None = None,
        encode: Callable[[Any], str] | None = None,
        decode: Callable[[str], Any] = json.loads,
        clock: Clock | None = None,
    ) -> None:
        if not _TABLE.fullmatch(table):
            raise ValueError(
                f"{table!r} cannot be a table's name: expected letters, digits, _ and at most one dot"
            )
        self.paramstyle = paramstyle
        self._sql = sql.load(table)
        self._encode = encode or _to_json
        self._decode = decode
        self._clock = clock or SystemClock()

    @property
    def schema(self) -> str:
        """The table as SQL, for a migration of your own."""
        return ";\n".join(self._sql[name].text for name in ("create_table", "create_index")) + ";\n"

    @operation
    def create_table(self, driver: Driver, connection: Any) -> Flow[None]:
        """Create the table if it is not there. Commit it as any other change of the schema."""
        for name in ("create_table", "create_index"):
            yield driver.fetch(connection, self._sql[name], {})

    # ------------------------------------------------------------ requests

    @operation
    def enter(self, driver: Driver, connection: Any, key: Key | str, *, reply: Any = None) -> Flow[Entry]:
        """Ask what to do with a request, before it is done and in the same transaction.

        `reply` is what the caller will be answered, and with it every duplicate: say it beforehand, and the
        barrier costs one statement. Raises `NoTransaction` when the connection commits by itself,
        `InvalidKey` for a key that says no direction, `PayloadError` for a reply that cannot be encoded.
        """
        return (yield from self._enter(driver, connection, _key(key), reply))

    def _enter(self, driver: Driver, connection: Any, key: Key, reply: Any) -> Flow[Entry]:
        if not (yield driver.in_transaction(connection)):
            raise NoTransaction(
                f"{key} came to a connection that commits every statement by itself, so a crash after the "
                "barrier's row would lose the effect for ever",
                hint="open a transaction first, and let it hold both enter() and your own statements",
            )
        return (yield from self._record(driver, connection, key, State.DONE, reply))

    @operation
    def store_reply(self, driver: Driver, connection: Any, entry: Entry, reply: Any) -> Flow[Entry]:
        """Store a reply that only the work itself could tell, in the transaction that entered.

        One more statement: give `reply` to `enter` where you can. Raises `ValueError` for an entry that does
        not execute.
        """
        return (yield from self._store(driver, connection, entry, reply))

    def _store(self, driver: Driver, connection: Any, entry: Entry, reply: Any) -> Flow[Entry]:
        if not entry.execute:
            raise ValueError(f"{entry.key} is {entry.verdict.value}: its answer is the stored one")
        name = "store_reply" if entry.key.direction == "do" else "store_undo_reply"
        text = self._text(reply)
        yield driver.fetch(connection, self._sql[name], {"action": entry.key.action, "reply": text})
        return Entry(entry.key, entry.verdict, entry.state, self._value(entry.key, entry.state, text))

    @operation
    def reject(
        self, driver: Driver, connection: Any, key: Key | str, message: str, *, details: Any = None
    ) -> Flow[Entry]:
        """Say no to an action, and remember it: every later copy of it is answered the same.

        Call it instead of `enter`, or in a new transaction after the one that entered was rolled back.
        Commit, then `answer()` raises the `Rejected`. If the action was done meanwhile, `answer()` is its
        reply. `details` are what JSON can say.
        """
        key = _key(key)
        if key.direction == "undo":
            raise PayloadError(
                f"{key} is a compensation: it cannot be rejected, only fail and be tried again",
                hint="raise an error of your own; the orchestrator repeats the compensation or asks a person",
            )
        said = stored_rejection(message, details)
        return (yield from self._record(driver, connection, key, State.REJECTED, said))

    @operation
    def run(
        self,
        driver: Driver,
        connection: Any,
        key: Key | str,
        business: Callable[[], Any],
        *,
        reply: Any = None,
    ) -> Flow[Any]:
        """The whole protocol: a transaction of its own, the verdict, the work, the answer.

        `business` is called only to execute; with an asynchronous connection it may be asynchronous. What it
        returns, unless None, replaces `reply` at the price of one more statement. When it raises `Rejected`
        from an action, its writes are rolled back and the rejection is remembered. Any other exception rolls
        back everything, the barrier's row too. Raises what `Entry.answer` raises.
        """
        key = _key(key)
        transaction: Open = yield driver.begin(connection)
        try:
            entry = yield from self._enter(driver, connection, key, reply)
            if entry.execute:
                said = yield business()
                if said is not None:
                    entry = yield from self._store(driver, connection, entry, said)
            yield transaction.commit()
        except BaseException as error:
            yield from _roll_back(transaction, error)
            if not isinstance(error, Rejected) or key.direction == "undo":
                raise
            refusal = error
        else:
            return entry.answer()
        said = stored_rejection(refusal.message, refusal.details)
        transaction = yield driver.begin(connection)
        try:
            entry = yield from self._record(driver, connection, key, State.REJECTED, said)
            yield transaction.commit()
        except BaseException as error:
            yield from _roll_back(transaction, error)
            raise
        return entry.answer()

    def _record(self, driver: Driver, connection: Any, key: Key, state: State, reply: Any) -> Flow[Entry]:
        values = {
            "action": key.action,
            "state": state.value,
            "reply": _to_json(reply) if state is State.REJECTED else self._text(reply),
            "now": int(self._clock.now()),
        }
        rows = yield driver.fetch(connection, self._sql[key.direction], values)
        calls, found, stored = rows[0]
        return self._judged(key, calls, State(found), stored)

    def _judged(self, key: Key, calls: int, state: State, stored: str | None) -> Entry:
        return Entry(key, judge(key.direction, calls, state), state, self._value(key, state, stored))

    # ------------------------------------------------------------ status probes

    @operation
    def probe(self, driver: Driver, connection: Any, key: Key | str) -> Flow[Found]:
        """Look what became of an action. When nothing is found, it may still be under way: `unknown`."""
        key = _key(key)
        rows = yield driver.fetch(connection, self._sql["probe"], {"action": key.action})
        return self._found(key, rows)

    @operation
    def seal(self, driver: Driver, connection: Any, key: Key | str) -> Flow[Found]:
        """Look what became of an action, and if nothing is found make sure that nothing ever will.

        Waits for an action under way. Once committed, the outcome is certain: `succeeded` or `rejected`.
        """
        key = _key(key)
        values = {"action": key.action, "now": int(self._clock.now())}
        rows = yield driver.fetch(connection, self._sql["seal"], values)
        return self._found(key, rows)

    def _found(self, key: Key, rows: Iterable[tuple[Any, ...]]) -> Found:
        for _, state, stored in rows:
            return Found(key, State(state), self._value(key.forward, State(state), stored))
        return Found(key, None)

    # ------------------------------------------------------------ age

    @operation
    def clean_up(self, driver: Driver, connection: Any, *, older_than: float, batch: int = 1000) -> Flow[int]:
        """Forget actions whose state last changed more than `older_than` seconds ago; gives how many.

        At most `batch` a call, the oldest first: call it until it gives less, committing in between. What is
        forgotten is done again if it comes again, and its compensation finds nothing to undo: `older_than`
        must exceed the longest time from an action to the last word of its saga, waits for people included.
        """
        if older_than <= 0 or batch < 1:
            raise ValueError(f"older_than={older_than} and batch={batch} must be positive")
        values = {"before": int(self._clock.now() - older_than), "batch": batch}
        rows = yield driver.fetch(connection, self._sql["clean_up"], values)
        return len(rows)

    # ------------------------------------------------------------ replies

    def _text(self, reply: Any) -> str | None:
        return None if reply is None else self._encode(reply)

    def _value(self, key: Key, state: State, text: str | None) -> Any:
        """The reply as a duplicate would get it, so that the first answer is no other than the second.

        A rejection is JSON whatever replies are. An action that is not to be done any more has no reply.
        """
        if text is None:
            return None
        if key.direction == "do" and state is not State.DONE:
            return json.loads(text) if state is State.REJECTED else None
        return self._decode(text)


def _key(key: Key | str) -> Key:
    return Key.parse(key) if isinstance(key, str) else key


def _to_json(reply: Any) -> str:
    try:
        return json.dumps(reply, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise PayloadError(
            f"the reply cannot be stored as JSON: {error}",
            hint="give what JSON can say, or Barrier(encode=…, decode=…) for your own types",
        ) from error


def _roll_back(transaction: Open, error: BaseException) -> Flow[None]:
    """Roll back because of `error`, which is not lost when the rollback fails too (a dead connection)."""
    try:
        yield transaction.rollback()
    except Exception as second:  # noqa: BLE001 - kept as a note on the error that is raised
        error.add_note(f"the rollback failed too: {type(second).__name__}: {second}")
