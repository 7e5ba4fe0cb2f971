-- Queued tasks (see store/queueing.py), by this server's clock. Of a task that is leased or delayed, `due` is when that
-- ends.

-- name: task_glance
SELECT
    EXISTS (
        SELECT FROM {schema}.tasks WHERE namespace = %(namespace)s::text AND queue = %(queue)s::text AND state = 'waiting'
    ),
    least(
        (
            SELECT min(due) FROM {schema}.tasks
            WHERE namespace = %(namespace)s::text AND queue = %(queue)s::text AND state = 'delayed'
        ), (
            SELECT min(due) FROM {schema}.tasks
            WHERE namespace = %(namespace)s::text AND queue = %(queue)s::text AND state = 'leased'
        )
    ) - extract(epoch FROM statement_timestamp())::float8;

-- Whoever looks at the same moment passes over what is being looked at.
-- name: task_promote
UPDATE {schema}.tasks AS t
SET state = 'waiting',
    lapses = t.lapses + CASE WHEN t.state = 'leased' THEN 1 ELSE 0 END,
    lapsed_at = CASE WHEN t.state = 'leased' THEN t.due ELSE t.lapsed_at END
WHERE t.num IN (
    SELECT num FROM {schema}.tasks
    WHERE namespace = %(namespace)s::text AND queue = %(queue)s::text AND state IN ('delayed', 'leased')
        AND due <= extract(epoch FROM statement_timestamp())
    ORDER BY due LIMIT %(most)s::bigint
    FOR UPDATE SKIP LOCKED
)
RETURNING t.num, t.cancelled, t.lapses >= %(deaths)s::bigint;

-- Who takes from a queue that has settings holds them meanwhile: what runs is counted by one at a time.
-- name: task_settings
SELECT paused, limits, tokens, filled_at, extract(epoch FROM statement_timestamp())::float8 FROM {schema}.queues
WHERE namespace = %(namespace)s::text AND name = %(queue)s::text
FOR UPDATE;

-- name: task_save
UPDATE {schema}.queues SET tokens = %(tokens)s::float8, filled_at = %(at)s::float8
WHERE namespace = %(namespace)s::text AND name = %(queue)s::text;

-- name: task_running
SELECT key, count(*) FROM {schema}.tasks
WHERE namespace = %(namespace)s::text AND queue = %(queue)s::text AND state = 'leased'
GROUP BY key;

-- name: task_candidates
SELECT t.num, t.key, t.pool FROM {schema}.tasks AS t
WHERE t.namespace = %(namespace)s::text AND t.queue = %(queue)s::text AND t.state = 'waiting'
    AND t.key <> ALL (%(saturated)s::text[])
    AND NOT (t.direction = 'undo' AND EXISTS (
        SELECT FROM {schema}.tasks AS d
        WHERE d.uid = t.uid AND d.action = t.action AND d.direction = 'do' AND d.state <> 'done'
    ))
ORDER BY t.priority DESC, t.num
LIMIT %(limit)s::bigint
FOR UPDATE OF t SKIP LOCKED;

-- name: task_pools
SELECT name, paused, limits FROM {schema}.queues
WHERE namespace = %(namespace)s::text AND name = ANY (%(names)s::text[])
ORDER BY name
FOR UPDATE;

-- name: task_in_pools
SELECT pool, count(*) FROM {schema}.tasks
WHERE namespace = %(namespace)s::text AND state = 'leased' AND pool = ANY (%(pools)s::text[]) AND pool <> ''
GROUP BY pool;

-- name: task_lease
UPDATE {schema}.tasks
SET state = 'leased', due = extract(epoch FROM statement_timestamp()) + %(lease)s::float8, holder = %(holder)s::text,
    tries = tries + 1
WHERE num = ANY (%(nums)s::bigint[])
RETURNING num, tries, lapses, lapsed_at, uid, action, direction, namespace, queue, step, call, attempt, key, pool,
    priority;

-- name: task_renew
UPDATE {schema}.tasks AS t
SET due = extract(epoch FROM statement_timestamp()) + %(lease)s::float8, progress = coalesce(v.progress, t.progress)
FROM unnest(%(nums)s::bigint[], %(tries)s::bigint[], %(progress)s::text[]) AS v (num, tries, progress)
WHERE t.num = v.num AND t.tries = v.tries AND t.state = 'leased'
RETURNING t.num, t.tries, t.cancelled;

-- name: task_held
SELECT num, tries, uid, state FROM {schema}.tasks
WHERE (num, tries) IN (SELECT * FROM unnest(%(nums)s::bigint[], %(tries)s::bigint[])) AND state IN ('leased', 'done')
ORDER BY num
FOR UPDATE;

-- name: task_give_back
UPDATE {schema}.tasks SET state = 'waiting', holder = ''
WHERE (num, tries) IN (SELECT * FROM unnest(%(nums)s::bigint[], %(tries)s::bigint[])) AND state = 'leased'
RETURNING num, cancelled, lapses;

-- name: task_cancel
UPDATE {schema}.tasks SET cancelled = true
WHERE (uid, action, direction) IN (
    SELECT * FROM unnest(%(uids)s::text[], %(actions)s::text[], %(directions)s::text[])
)
RETURNING num, state, uid, action, direction;

-- name: task_finish
UPDATE {schema}.tasks SET state = 'done' WHERE num = ANY (%(nums)s::bigint[])
RETURNING num, tries, uid, action, direction, attempt, lapses, lapsed_at;

-- name: task_known
SELECT uid FROM {schema}.executions WHERE uid = ANY (%(uids)s::text[]);

-- name: task_queues
SELECT queue, state, count(*), min(due) FROM {schema}.tasks
WHERE namespace = %(namespace)s::text AND state <> 'done'
GROUP BY queue, state;

-- name: task_all_settings
SELECT name, paused, limits FROM {schema}.queues WHERE namespace = %(namespace)s::text;

-- name: task_clock
SELECT extract(epoch FROM statement_timestamp())::float8;

-- name: task_set
INSERT INTO {schema}.queues (namespace, name, paused, limits)
VALUES (
    %(namespace)s::text, %(queue)s::text, coalesce(%(paused)s::boolean, false), coalesce(%(limits)s::text, '{}')
)
ON CONFLICT (namespace, name) DO UPDATE SET
    paused = coalesce(%(paused)s::boolean, queues.paused),
    limits = coalesce(%(limits)s::text, queues.limits),
    tokens = CASE WHEN %(limits)s::text IS NULL THEN queues.tokens END,
    filled_at = CASE WHEN %(limits)s::text IS NULL THEN queues.filled_at END;

-- name: task_of
SELECT action, direction, queue, step, attempt, state, lapses, CASE WHEN state = 'leased' THEN holder ELSE '' END, progress,
    cancelled
FROM {schema}.tasks WHERE uid = %(uid)s::text ORDER BY num;
