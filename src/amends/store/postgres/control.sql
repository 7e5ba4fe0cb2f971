-- Incarnations: {epoch} is the database's timeline, {fence} the part `fence` of commit.sql.

-- name: register
WITH fence AS (
    INSERT INTO {schema}.fences (epoch) VALUES ({epoch}) RETURNING incarnation
)
INSERT INTO {schema}.leases (incarnation, expires_at, place)
SELECT incarnation, clock_timestamp() + %(lease)s::float8 * interval '1 second', %(place)s::text FROM fence
RETURNING incarnation;

-- Renewed only while the fence stands.
-- name: renew
UPDATE {schema}.leases
SET expires_at = clock_timestamp() + %(lease)s::float8 * interval '1 second'
WHERE incarnation = %(me)s::bigint
  AND EXISTS (SELECT FROM {schema}.fences WHERE incarnation = %(me)s::bigint AND NOT retired AND epoch = {epoch})
RETURNING incarnation;

-- The last will of a worker that closes without having retired.
-- name: expire
UPDATE {schema}.leases SET expires_at = '-infinity' WHERE incarnation = %(me)s::bigint;

-- Whose lease has run out is retired, unless a commit of it is under way just now (it is tried again later).
-- name: retire_the_dead
WITH dead AS MATERIALIZED (
    SELECT f.incarnation
    FROM {schema}.fences AS f JOIN {schema}.leases AS l ON l.incarnation = f.incarnation
    WHERE l.expires_at < clock_timestamp() AND NOT f.retired
    ORDER BY f.incarnation
    FOR UPDATE OF f SKIP LOCKED
)
UPDATE {schema}.fences AS f SET retired = true FROM dead WHERE f.incarnation = dead.incarnation;

-- Retired, its lease run out, and not all that it owned given back.
-- name: unburied
SELECT l.incarnation
FROM {schema}.leases AS l LEFT JOIN {schema}.fences AS f ON f.incarnation = l.incarnation
WHERE l.expires_at < clock_timestamp() AND f.retired IS NOT FALSE
ORDER BY l.incarnation;

-- Waits for the commit that may be under way.
-- name: retire
UPDATE {schema}.fences SET retired = true WHERE incarnation = %(incarnation)s::bigint AND NOT retired;

-- A head is the position of the next row; `deaths` counts owners that died at the same head in a row.
-- name: bury
WITH left_over AS MATERIALIZED (
    SELECT num FROM {schema}.executions
    WHERE owner = %(incarnation)s::bigint
    ORDER BY num
    LIMIT %(limit)s::bigint
    FOR NO KEY UPDATE
), heads AS (
    SELECT o.num, coalesce(
        (SELECT max(j."position") + 1 FROM {schema}.journal AS j WHERE j.execution = o.num), 0
    ) AS head
    FROM left_over AS o
), buried AS (
    UPDATE {schema}.executions AS e
    SET owner = NULL, wake_at = %(now)s::float8, lost = true, death_head = h.head,
        deaths = CASE WHEN e.death_head = h.head THEN e.deaths ELSE 0 END + 1
    FROM heads AS h
    WHERE e.num = h.num
    RETURNING 1
)
SELECT count(*) FROM buried;

-- name: hand_back
WITH left_over AS MATERIALIZED (
    SELECT num FROM {schema}.executions
    WHERE owner = %(incarnation)s::bigint
    ORDER BY num
    LIMIT %(limit)s::bigint
    FOR NO KEY UPDATE
), returned AS (
    UPDATE {schema}.executions AS e
    SET owner = NULL, wake_at = 0, lost = NOT (e.uid = ANY (%(settled)s::text[]))
    FROM left_over AS o
    WHERE e.num = o.num
    RETURNING 1
)
SELECT count(*) FROM returned;

-- Nothing is left of an incarnation once it owns nothing.
-- name: forget
WITH gone AS (
    DELETE FROM {schema}.leases
    WHERE incarnation = %(incarnation)s::bigint
      AND NOT EXISTS (SELECT FROM {schema}.executions WHERE owner = %(incarnation)s::bigint)
    RETURNING incarnation
)
DELETE FROM {schema}.fences AS f USING gone WHERE f.incarnation = gone.incarnation AND f.retired;

-- name: left_over
SELECT EXISTS (SELECT FROM {schema}.executions WHERE owner = %(incarnation)s::bigint);

-- Several workers claim at once: each takes what no other is taking.
-- name: claim
WITH {fence}, due AS MATERIALIZED (
    SELECT e.num, e.wake_at
    FROM {schema}.executions AS e CROSS JOIN fence
    WHERE e.owner IS NULL AND e.wake_at IS NOT NULL AND e.wake_at <= %(now)s::float8
    ORDER BY e.wake_at, e.num
    LIMIT %(limit)s::bigint
    FOR NO KEY UPDATE OF e SKIP LOCKED
), taken AS (
    UPDATE {schema}.executions AS e SET owner = %(me)s::bigint, wake_at = NULL
    FROM due AS d
    WHERE e.num = d.num
    RETURNING e.num, e.uid, e.lost, e.deaths, e.death_head, d.wake_at
), moved AS (
    UPDATE {schema}.inbox AS i SET owner = %(me)s::bigint FROM taken AS t WHERE i.execution = t.num
)
SELECT f.alive, t.num, t.uid, t.lost, t.deaths, t.death_head
FROM (SELECT count(*) AS alive FROM fence) AS f LEFT JOIN taken AS t ON true
ORDER BY t.wake_at, t.num;

-- `lost`, because the open commands of a parked execution may have been dispatched before it was parked.
-- name: park
WITH {fence}, parked AS (
    UPDATE {schema}.executions AS e
    SET parked = ARRAY[e.status, e.cause, e.detail], status = 'attention', cause = %(cause)s::text,
        detail = %(detail)s::text, updated_at = %(now)s::float8, owner = NULL, wake_at = NULL, lost = true
    FROM fence
    WHERE e.uid = %(uid)s::text AND e.owner = %(me)s::bigint
    RETURNING 1
)
SELECT (SELECT count(*) FROM fence), (SELECT count(*) FROM parked),
    EXISTS (SELECT FROM {schema}.executions WHERE uid = %(uid)s::text);

-- name: unpark
WITH unparked AS (
    UPDATE {schema}.executions
    SET status = parked[1], cause = parked[2], detail = parked[3], updated_at = %(at)s::float8, parked = NULL,
        wake_at = 0, deaths = 0
    WHERE uid = %(uid)s::text AND parked IS NOT NULL
    RETURNING 1
), audited AS (
    INSERT INTO {schema}.audit (at, uid, "by", action, reason, detail)
    SELECT %(at)s::float8, %(told)s::text, %(by)s::text, %(action)s::text, %(reason)s::text, %(detail)s::text
    FROM unparked
)
SELECT (SELECT count(pg_notify(%(channel)s::text, '')) FROM unparked),
    EXISTS (SELECT FROM {schema}.executions WHERE uid = %(uid)s::text);

-- The fence of a transactional step: in its transaction, before its own statements.
-- name: hold
WITH {fence} SELECT incarnation FROM fence;

-- name: taken
SELECT EXISTS (SELECT FROM {schema}.journal WHERE execution = %(execution)s::bigint AND "position" = %(position)s::integer);

-- name: exists
SELECT EXISTS (
    SELECT FROM {schema}.executions
    WHERE (namespace = %(namespace)s::text AND id = %(id)s::text) OR uid = %(uid)s::text
);
