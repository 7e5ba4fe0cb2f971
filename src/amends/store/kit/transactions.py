"""Transactional steps: the effect and its row together, or neither."""

from __future__ import annotations

from ...errors import Fenced, Refused, StoreError
from ...kernel.entries import Row
from ..port import COMMITTED, Transaction, Write
from .support import (
    UNSTORABLE,
    Subject,
    all_committed,
    asleep,
    case,
    holds,
    positions,
    refuses,
    row,
    same,
    start,
)

TABLE = "CREATE TABLE IF NOT EXISTS stock (item TEXT PRIMARY KEY, left_over INTEGER)"


class Oops(Exception):
    """A body's own failure."""


@case()
async def transact_appends_the_row(subject: Subject) -> None:
    """The row that the body returns is in the journal when `transact` returns."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a")]))
    same(await store.transact(me, "a", lambda tx: row(1)), COMMITTED, "verdict")
    same(await positions(store, "a"), [0, 1], "rows")
    all_committed(await store.commit(me, [Write("a", row=row(2))]))


@case()
async def transact_raises_what_the_body_raises(subject: Subject) -> None:
    """An exception of the body is raised as it is, and nothing is kept."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a")]))

    def body(tx: Transaction) -> Row:
        raise Oops

    await refuses(Oops, store.transact(me, "a", body), "the body's exception")
    same(await positions(store, "a"), [0], "rows")
    all_committed(await store.commit(me, [Write("a", row=row(1))]))


@case()
async def transact_on_a_taken_position_conflicts(subject: Subject) -> None:
    """A row whose position is taken is a conflict, one that cannot be stored is poison; nothing is kept."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a")]))
    verdict = await store.transact(me, "a", lambda tx: row(0, 5.0))
    same(verdict.code.value, "conflict", "taken")
    verdict = await store.transact(me, "a", lambda tx: row(1, 5.0, UNSTORABLE))
    same(verdict.code.value, "poison", "unstorable")
    same(await positions(store, "a"), [0], "rows")


@case()
async def transact_needs_ownership(subject: Subject) -> None:
    """Without ownership the body does not even run."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a")]))
    all_committed(await store.commit(me, [asleep("a", 1)]))
    ran: list[str] = []

    def body(tx: Transaction) -> Row:
        ran.append("ran")
        return row(2)

    same((await store.transact(me, "a", body)).code.value, "conflict", "a sleeper")
    same((await store.transact(me, "nobody", body)).code.value, "conflict", "an unknown uid")
    await store.retire(me)
    await refuses(Fenced, store.transact(me, "a", body), "a retired incarnation")
    same(ran, [], "the body")


@case("sql")
async def transact_commits_sql_with_the_row(subject: Subject) -> None:
    """The body's SQL is durable together with its row."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a")]))

    def body(tx: Transaction) -> Row:
        tx.execute(TABLE)
        tx.execute("INSERT INTO stock VALUES (?, ?)".replace("?", subject.mark), ("pen", 7))
        same(tx.execute("SELECT left_over FROM stock"), [(7,)], "what the body reads")
        return row(1)

    same(await store.transact(me, "a", body), COMMITTED, "verdict")
    await subject.kill(store)
    store, me = await subject.worker()
    claims = await store.claim(me, 1e9, 10)
    same([len(claim.rows) for claim in claims], [2], "rows")
    seen: list[object] = []

    def look(tx: Transaction) -> Row:
        seen.extend(tx.execute("SELECT item, left_over FROM stock"))
        return row(2)

    same(await store.transact(me, "a", look), COMMITTED, "verdict")
    same(seen, [("pen", 7)], "the table")


@case("sql")
async def transact_rolls_sql_back(subject: Subject) -> None:
    """After an exception, a conflict or a poisoned row the body's SQL is undone."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a")]))
    same(await store.transact(me, "a", lambda tx: [tx.execute(TABLE), row(1)][1]), COMMITTED, "the table")  # type: ignore[arg-type, return-value]

    def insert(tx: Transaction) -> None:
        tx.execute("INSERT INTO stock VALUES ('pen', 7)")

    def fails(tx: Transaction) -> Row:
        insert(tx)
        raise Oops

    def conflicts(tx: Transaction) -> Row:
        insert(tx)
        return row(0)

    def poisons(tx: Transaction) -> Row:
        insert(tx)
        return row(2, 1.0, UNSTORABLE)

    def looks(tx: Transaction) -> Row:
        same(tx.execute("SELECT * FROM stock"), [], "the table")
        return row(2)

    await refuses(Oops, store.transact(me, "a", fails), "an exception")
    same((await store.transact(me, "a", conflicts)).code.value, "conflict", "a conflict")
    same((await store.transact(me, "a", poisons)).code.value, "poison", "poison")
    same(await store.transact(me, "a", looks), COMMITTED, "a look")


@case("sql")
async def transact_can_go_on_after_a_failed_statement(subject: Subject) -> None:
    """A statement that fails leaves the transaction as it was before it; the body may handle the error."""
    errors: list[Exception] = []
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a")]))

    def body(tx: Transaction) -> Row:
        tx.execute(TABLE)
        tx.execute("INSERT INTO stock VALUES ('pen', 7)")
        try:
            tx.execute("INSERT INTO stock VALUES ('pen', 8)")
        except Exception as error:  # noqa: BLE001  # the database's own error, whatever it is called
            errors.append(error)
        return row(1)

    same(await store.transact(me, "a", body), COMMITTED, "verdict")
    same(len(errors), 1, "the second insertion failed")
    kept: list[object] = []

    def look(tx: Transaction) -> Row:
        kept.extend(tx.execute("SELECT left_over FROM stock"))
        return row(2)

    await store.transact(me, "a", look)
    same(kept, [(7,)], "the table")


@case("sql")
async def transact_guards_the_transaction(subject: Subject) -> None:
    """A body can neither end the transaction nor write the store's own tables; trying undoes it all."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a")]))
    for statement in ("COMMIT", "ROLLBACK", "BEGIN", "INSERT INTO stock VALUES ('pen', 7); COMMIT"):

        def body(tx: Transaction, statement: str = statement) -> Row:
            tx.execute(TABLE)
            tx.execute(statement)
            return row(1)

        await refuses(Refused, store.transact(me, "a", body), statement)
    same(await positions(store, "a"), [0], "rows")
    missing: list[bool] = []

    def look(tx: Transaction) -> Row:
        try:
            tx.execute("SELECT * FROM stock")
        except Exception:  # noqa: BLE001  # the database's own error, whatever it is called
            missing.append(True)
        return row(1)

    await store.transact(me, "a", look)
    same(missing, [True], "the table that the bodies made is gone")


@case("sql")
async def transaction_is_of_no_use_afterwards(subject: Subject) -> None:
    """The handle ends with the body."""
    store, me = await subject.worker()
    all_committed(await store.commit(me, [start("a")]))
    kept: list[Transaction] = []

    def body(tx: Transaction) -> Row:
        kept.append(tx)
        return row(1)

    same(await store.transact(me, "a", body), COMMITTED, "verdict")
    try:
        kept[0].execute("SELECT 1")
    except StoreError:
        return
    except Refused:
        return
    holds(False, "the handle refuses")
