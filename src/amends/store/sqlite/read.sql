-- `{header}` are the columns of HEADER in reading.py.  A query that fetches text has a twin, `damaged_…`, which fetches
-- it as bytes, for text that no longer is what was written.

-- Namespaces in which something sleeps or is due: a walk over the index from one to the next. (As bytes: whatever they
-- hold, what is in them is found again.)
-- name: walk
WITH RECURSIVE n (namespace) AS (
    SELECT * FROM (
        SELECT namespace FROM amends_executions
        WHERE owner IS NULL AND wake_at IS NOT NULL ORDER BY namespace LIMIT 1
    )
    UNION ALL
    SELECT (
        SELECT e.namespace FROM amends_executions AS e
        WHERE e.owner IS NULL AND e.wake_at IS NOT NULL AND e.namespace > n.namespace ORDER BY e.namespace LIMIT 1
    )
    FROM n WHERE n.namespace IS NOT NULL
);

-- name: namespaces
{walk} SELECT CAST(namespace AS BLOB) FROM n WHERE namespace IS NOT NULL;

-- name: due
SELECT wake_at, num, uid, lost, deaths, death_head
FROM amends_executions
WHERE owner IS NULL AND wake_at IS NOT NULL AND namespace = CAST(?3 AS TEXT) AND wake_at <= ?1
ORDER BY wake_at, num
LIMIT ?2;

-- name: damaged_due
SELECT wake_at, num, CAST(uid AS BLOB), lost, deaths, death_head
FROM amends_executions
WHERE owner IS NULL AND wake_at IS NOT NULL AND namespace = CAST(?3 AS TEXT) AND wake_at <= ?1
ORDER BY wake_at, num
LIMIT ?2;

-- name: count_due
SELECT count(*) FROM (
    SELECT 1 FROM amends_executions
    WHERE owner IS NULL AND wake_at IS NOT NULL AND namespace = CAST(?3 AS TEXT) AND wake_at <= ?1
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
    WHERE d.owner IS NULL AND d.wake_at IS NOT NULL AND d.namespace = n.namespace
    ORDER BY d.wake_at LIMIT 1
))
FROM n WHERE n.namespace IS NOT NULL;

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
