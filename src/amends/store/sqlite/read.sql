-- `{header}` are the columns of HEADER in reading.py.  A query that fetches text has a twin, `damaged_…`, which fetches
-- it as bytes, for text that no longer is what was written.

-- Sagas, by namespace, of which something sleeps or is due, and no pause covers: a walk over the index from one to the
-- next, by the number of the first execution of each. (As bytes: whatever they hold, what is in them is found again.)
-- name: walk
WITH RECURSIVE n (num) AS (
    SELECT * FROM (
        SELECT num FROM amends_executions
        WHERE owner IS NULL AND wake_at IS NOT NULL ORDER BY namespace, saga LIMIT 1
    )
    UNION ALL
    SELECT coalesce((
        SELECT e.num FROM amends_executions AS e
        WHERE e.owner IS NULL AND e.wake_at IS NOT NULL AND e.namespace = f.namespace AND e.saga > f.saga
        ORDER BY e.saga LIMIT 1
    ), (
        SELECT e.num FROM amends_executions AS e
        WHERE e.owner IS NULL AND e.wake_at IS NOT NULL AND e.namespace > f.namespace
        ORDER BY e.namespace, e.saga LIMIT 1
    ))
    FROM n CROSS JOIN amends_executions AS f ON f.num = n.num
), g (namespace, saga) AS (
    SELECT f.namespace, f.saga
    FROM n CROSS JOIN amends_executions AS f ON f.num = n.num
    WHERE NOT EXISTS (
        SELECT 1 FROM amends_pauses AS p WHERE p.namespace = f.namespace AND p.saga IN ('', f.saga)
    )
);

-- name: groups
{walk} SELECT CAST(namespace AS BLOB), CAST(saga AS BLOB) FROM g;

-- name: due
SELECT wake_at, num, uid, lost, deaths, death_head, lost_by
FROM amends_executions
WHERE owner IS NULL AND wake_at IS NOT NULL AND namespace = CAST(?3 AS TEXT) AND saga = CAST(?4 AS TEXT)
  AND wake_at <= ?1
ORDER BY wake_at, num
LIMIT ?2;

-- name: damaged_due
SELECT wake_at, num, CAST(uid AS BLOB), lost, deaths, death_head, lost_by
FROM amends_executions
WHERE owner IS NULL AND wake_at IS NOT NULL AND namespace = CAST(?3 AS TEXT) AND saga = CAST(?4 AS TEXT)
  AND wake_at <= ?1
ORDER BY wake_at, num
LIMIT ?2;

-- name: count_due
SELECT count(*) FROM (
    SELECT 1 FROM amends_executions
    WHERE owner IS NULL AND wake_at IS NOT NULL AND namespace = CAST(?3 AS TEXT) AND saga = CAST(?4 AS TEXT)
  AND wake_at <= ?1
    LIMIT ?2
);

-- name: take
UPDATE amends_executions SET owner = ?, wake_at = NULL
WHERE num IN (SELECT value FROM json_each(?));

-- name: by_num
SELECT {header}, num FROM amends_executions WHERE num IN (SELECT value FROM json_each(?));

-- name: damaged_by_num
SELECT {damaged_header}, num FROM amends_executions WHERE num IN (SELECT value FROM json_each(?));

-- name: rows
SELECT j.execution, j.position, j.now, j.events, j.commands, j.checksum
FROM json_each(?) AS n CROSS JOIN amends_journal AS j ON j.execution = n.value;

-- name: damaged_rows
SELECT j.execution, j.position, j.now, CAST(j.events AS BLOB), CAST(j.commands AS BLOB), j.checksum
FROM json_each(?) AS n CROSS JOIN amends_journal AS j ON j.execution = n.value;

-- name: inbox
SELECT i.execution, i.seq, i.event, i.key
FROM json_each(?) AS n CROSS JOIN amends_inbox AS i ON i.execution = n.value
ORDER BY i.seq;

-- name: damaged_inbox
SELECT i.execution, i.seq, CAST(i.event AS BLOB), CAST(i.key AS BLOB)
FROM json_each(?) AS n CROSS JOIN amends_inbox AS i ON i.execution = n.value
ORDER BY i.seq;

-- name: next_wake
{walk}
SELECT min((
    SELECT d.wake_at FROM amends_executions AS d
    WHERE d.owner IS NULL AND d.wake_at IS NOT NULL AND d.namespace = g.namespace AND d.saga = g.saga
    ORDER BY d.wake_at LIMIT 1
))
FROM g;

-- name: news
SELECT e.uid, i.seq, i.event, i.key
FROM amends_inbox AS i JOIN amends_executions AS e ON e.num = i.execution
WHERE i.seq > ? AND e.owner = ?
ORDER BY i.seq;

-- name: damaged_news
SELECT e.uid, i.seq, CAST(i.event AS BLOB), CAST(i.key AS BLOB)
FROM amends_inbox AS i JOIN amends_executions AS e ON e.num = i.execution
WHERE i.seq > ? AND e.owner = ?
ORDER BY i.seq;

-- name: by_id
SELECT {header} FROM amends_executions WHERE namespace = ? AND id = ?;

-- name: damaged_by_id
SELECT {damaged_header} FROM amends_executions WHERE namespace = ? AND id = ?;

-- name: num
SELECT num FROM amends_executions WHERE uid = ?;

-- name: audited
SELECT at, uid, "by", action, reason, detail FROM amends_audit WHERE uid = ? ORDER BY seq;
