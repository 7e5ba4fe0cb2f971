-- Queued tasks (see store/queueing.py). Of a task that is leased or delayed, `due` is when that ends.

-- name: drop [3]
WITH v (uid, action, direction) AS (VALUES {rows})
DELETE FROM amends_tasks WHERE (uid, action, direction) IN (SELECT uid, action, direction FROM v);

-- One that is there stays, but that it waits no longer than the new one would.
-- name: add [13]
INSERT OR FAIL INTO amends_tasks (
    uid, action, direction, namespace, queue, step, call, attempt, key, pool, priority, state, due
) VALUES {rows}
ON CONFLICT (uid, action, direction) DO UPDATE SET state = 'waiting', due = excluded.due
WHERE state = 'delayed' AND excluded.state = 'waiting';

-- name: glance
SELECT EXISTS (SELECT 1 FROM amends_tasks WHERE namespace = ?1 AND queue = ?2 AND state = 'waiting'), min(
    coalesce((
        SELECT due FROM amends_tasks
        WHERE namespace = ?1 AND queue = ?2 AND state = 'delayed' ORDER BY due LIMIT 1
    ), 9e999),
    coalesce((
        SELECT due FROM amends_tasks
        WHERE namespace = ?1 AND queue = ?2 AND state = 'leased' ORDER BY due LIMIT 1
    ), 9e999)
);

-- name: promote
UPDATE amends_tasks
SET state = 'waiting', lapses = lapses + (state = 'leased'), lapsed_at = iif(state = 'leased', due, lapsed_at)
WHERE num IN (
    SELECT num FROM amends_tasks
    WHERE namespace = ?1 AND queue = ?2 AND state IN ('delayed', 'leased') AND due <= ?3
    ORDER BY due LIMIT ?4
)
RETURNING num, cancelled, lapses >= ?5;

-- name: settings
SELECT paused, limits, tokens, filled_at FROM amends_queues WHERE namespace = ? AND name = ?;

-- name: save
UPDATE amends_queues SET tokens = ?3, filled_at = ?4 WHERE namespace = ?1 AND name = ?2;

-- name: running
SELECT key, count(*) FROM amends_tasks WHERE namespace = ? AND queue = ? AND state = 'leased' GROUP BY key;

-- name: candidates
SELECT t.num, t.key, t.pool FROM amends_tasks AS t
WHERE t.namespace = ?1 AND t.queue = ?2 AND t.state = 'waiting'
    AND t.key NOT IN (SELECT value FROM json_each(?3))
    AND NOT (t.direction = 'undo' AND EXISTS (
        SELECT 1 FROM amends_tasks AS d
        WHERE d.uid = t.uid AND d.action = t.action AND d.direction = 'do' AND d.state <> 'done'
    ))
ORDER BY t.priority DESC, t.num
LIMIT ?4;

-- name: pools
SELECT name, paused, limits FROM amends_queues
WHERE namespace = ?1 AND name IN (SELECT 'pool:' || value FROM json_each(?2));

-- name: in_pools
SELECT pool, count(*) FROM amends_tasks
WHERE namespace = ?1 AND state = 'leased' AND pool IN (SELECT value FROM json_each(?2)) AND pool <> ''
GROUP BY pool;

-- name: lease
UPDATE amends_tasks SET state = 'leased', due = ?2, holder = ?3, tries = tries + 1
WHERE num IN (SELECT value FROM json_each(?1))
RETURNING num, tries, lapses, lapsed_at, uid, action, direction, namespace, queue, step, call, attempt, key, pool,
    priority;

-- name: renew
UPDATE amends_tasks SET due = ?3, progress = coalesce(?4, progress)
WHERE num = ?1 AND tries = ?2 AND state = 'leased'
RETURNING cancelled;

-- name: held
SELECT uid, state FROM amends_tasks WHERE num = ?1 AND tries = ?2 AND state IN ('leased', 'done');

-- name: give_back
UPDATE amends_tasks SET state = 'waiting', holder = ''
WHERE num = ?1 AND tries = ?2 AND state = 'leased'
RETURNING num, cancelled;

-- name: cancel
UPDATE amends_tasks SET cancelled = 1 WHERE uid = ?1 AND action = ?2 AND direction = ?3
RETURNING num, state;

-- name: finish
UPDATE amends_tasks SET state = 'done' WHERE num = ?
RETURNING num, tries, uid, action, direction, attempt, lapses, lapsed_at;

-- name: known
SELECT 1 FROM amends_executions WHERE uid = ?;

-- name: queues
SELECT queue, state, count(*), min(due) FROM amends_tasks WHERE namespace = ? AND state <> 'done'
GROUP BY queue, state;

-- name: all_settings
SELECT name, paused, limits FROM amends_queues WHERE namespace = ?;

-- name: set
INSERT INTO amends_queues (namespace, name, paused, limits) VALUES (?1, ?2, coalesce(?3, 0), coalesce(?4, '{}'))
ON CONFLICT (namespace, name) DO UPDATE SET
    paused = coalesce(?3, paused),
    limits = coalesce(?4, limits),
    tokens = iif(?4 IS NULL, tokens, NULL),
    filled_at = iif(?4 IS NULL, filled_at, NULL);

-- name: of
SELECT action, direction, queue, step, attempt, state, lapses, iif(state = 'leased', holder, ''), progress, cancelled
FROM amends_tasks WHERE uid = ? ORDER BY num;

-- name: forget
DELETE FROM amends_tasks WHERE uid IN (SELECT value FROM json_each(?));
