-- The hot path. OR FAIL: what a failing statement did stays until the transaction is rolled back, which always follows;
-- so SQLite need not keep a statement journal (measured: a third of the time of a wide batch).

-- name: fence
SELECT 1 FROM amends_fences WHERE incarnation = ? AND retired = 0;

-- name: start [23]
INSERT OR FAIL INTO amends_executions (
    uid, namespace, id, "partition", saga, version, status, cause, owner, inbox_seq, wake_at,
    root, parent, parent_action, depth, deadline, created_at, updated_at, finished_at,
    attributes, input, result, detail
) VALUES {rows}
ON CONFLICT DO NOTHING
RETURNING uid, num;

-- name: append [6]
INSERT OR FAIL INTO amends_journal (execution, position, now, events, commands, checksum) VALUES {rows};

-- One write alone, a transaction of its own, with the fence as part of it; what yields no row has changed nothing.
-- First a row in the middle, then the first one with the execution that it begins, then the last one with its end.
-- name: append_alone
INSERT INTO amends_journal (execution, position, now, events, commands, checksum) SELECT ?, ?, ?, ?, ?, ? WHERE {alive} RETURNING 1;

-- name: begin_alone
BEGIN IMMEDIATE;
INSERT OR FAIL INTO amends_executions (
    uid, namespace, id, "partition", saga, version, status, cause, owner, inbox_seq, wake_at,
    root, parent, parent_action, depth, deadline, created_at, updated_at, finished_at,
    attributes, input, result, detail
) SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ? WHERE {alive}
ON CONFLICT DO NOTHING
RETURNING num;
INSERT OR FAIL INTO amends_journal (execution, position, now, events, commands, checksum)
SELECT last_insert_rowid(), ?, ?, ?, ?, ? WHERE changes();
COMMIT;

-- name: end_alone
BEGIN IMMEDIATE;
INSERT OR FAIL INTO amends_journal (execution, position, now, events, commands, checksum)
SELECT ?, ?, ?, ?, ?, ? WHERE {alive};
UPDATE OR FAIL amends_executions
SET owner = iif(inbox_seq = ?2, NULL, owner), wake_at = iif(inbox_seq = ?2, ?3, NULL), lost = iif(inbox_seq = ?2, ?4, lost),
    death_head = iif(inbox_seq = ?2 AND ?4, -1, death_head), status = ?5, cause = ?6, result = ?7, detail = ?8,
    finished_at = ?9, updated_at = ?10
WHERE num = ?1 AND changes()
RETURNING owner;
COMMIT;

-- name: change [7]
WITH v (num, status, cause, result, detail, finished_at, now) AS (VALUES {rows})
UPDATE OR FAIL amends_executions AS e
SET status = v.status, cause = v.cause, result = v.result, detail = v.detail, finished_at = v.finished_at,
    updated_at = coalesce(v.now, e.updated_at)
FROM v
WHERE e.num = v.num;

-- `death_head`: see `port.SLEPT`.
-- name: release [5]
WITH v (num, inbox_seq, wake_at, lost, now) AS (VALUES {rows})
UPDATE OR FAIL amends_executions AS e
SET owner = NULL, wake_at = v.wake_at, lost = v.lost, death_head = iif(v.lost, -1, e.death_head), updated_at = coalesce(v.now, e.updated_at)
FROM v
WHERE e.num = v.num AND e.inbox_seq = v.inbox_seq
RETURNING num;

-- A change and a release in one: how most executions end.
-- name: finish [10]
WITH v (num, inbox_seq, wake_at, lost, status, cause, result, detail, finished_at, now) AS (VALUES {rows})
UPDATE OR FAIL amends_executions AS e
SET owner = iif(e.inbox_seq = v.inbox_seq, NULL, e.owner), wake_at = iif(e.inbox_seq = v.inbox_seq, v.wake_at, NULL),
    lost = iif(e.inbox_seq = v.inbox_seq, v.lost, e.lost),
    death_head = iif(e.inbox_seq = v.inbox_seq AND v.lost, -1, e.death_head), status = v.status, cause = v.cause, result = v.result, detail = v.detail,
    finished_at = v.finished_at, updated_at = coalesce(v.now, e.updated_at)
FROM v
WHERE e.num = v.num
RETURNING num, owner;

-- name: consume [1]
WITH v (seq) AS (VALUES {rows})
DELETE FROM amends_inbox WHERE seq IN (SELECT seq FROM v);

-- name: receivers
SELECT e.uid, e.num FROM json_each(?) AS j CROSS JOIN amends_executions AS e ON e.uid = j.value;

-- name: post [3]
INSERT OR FAIL INTO amends_inbox (execution, key, event) VALUES {rows}
ON CONFLICT DO NOTHING
RETURNING execution;

-- A receiver that nobody owns becomes due at once, unless it is parked.
-- name: wake [2]
WITH v (num, news) AS (VALUES {rows})
UPDATE OR FAIL amends_executions AS e
SET inbox_seq = e.inbox_seq + v.news, wake_at = iif(e.owner IS NULL AND e.parked IS NULL, 0.0, e.wake_at)
FROM v
WHERE e.num = v.num;

-- name: taken
SELECT EXISTS (SELECT 1 FROM amends_journal WHERE execution = ? AND position = ?);

-- name: exists
SELECT EXISTS (SELECT 1 FROM amends_executions WHERE (namespace = ? AND id = ?) OR uid = ?);
