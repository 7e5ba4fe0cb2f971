-- Headers come with the columns of HEADER in reading.py, then what a claim needs besides.

-- name: due
SELECT {header}, num, lost, deaths, death_head
FROM amends_executions
WHERE owner IS NULL AND wake_at IS NOT NULL AND wake_at <= ?
ORDER BY wake_at, num
LIMIT ?;

-- name: count_due
SELECT count(*) FROM (
    SELECT 1 FROM amends_executions WHERE owner IS NULL AND wake_at IS NOT NULL AND wake_at <= ? LIMIT ?
);

-- name: take
UPDATE amends_executions SET owner = ?, wake_at = NULL, lost = 0
WHERE num IN (SELECT value FROM json_each(?));

-- name: rows
SELECT j.execution, j.position, j.now, j.events, j.commands, j.checksum
FROM json_each(?) AS n CROSS JOIN amends_journal AS j ON j.execution = n.value;

-- name: inbox
SELECT i.execution, i.seq, i.event, i.key
FROM json_each(?) AS n CROSS JOIN amends_inbox AS i ON i.execution = n.value
ORDER BY i.seq;

-- The same, of one execution, with text as bytes: for rows that no longer are what was written.
-- name: damaged_due
SELECT {damaged_header}, num, lost, deaths, death_head
FROM amends_executions
WHERE owner IS NULL AND wake_at IS NOT NULL AND wake_at <= ?
ORDER BY wake_at, num
LIMIT ?;

-- name: damaged_rows
SELECT execution, position, now, CAST(events AS BLOB), CAST(commands AS BLOB), checksum
FROM amends_journal
WHERE execution = ?
ORDER BY position;

-- name: damaged_inbox
SELECT execution, seq, CAST(event AS BLOB), CAST(key AS BLOB) FROM amends_inbox WHERE execution = ? ORDER BY seq;

-- name: next_wake
SELECT min(wake_at) FROM amends_executions WHERE owner IS NULL AND wake_at IS NOT NULL;

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

-- name: by_uid
SELECT {header}, num FROM amends_executions WHERE uid = ?;

-- name: damaged_by_uid
SELECT {damaged_header}, num FROM amends_executions WHERE uid = ?;

-- name: audited
SELECT at, uid, "by", action, reason, detail FROM amends_audit WHERE uid = ? ORDER BY seq;
