-- Incarnations: {epoch} is the database's timeline, {fence} the part `fence` of commit.sql.

-- name: register
WITH fence AS (
    INSERT INTO {schema}.fences (epoch) VALUES ({epoch}) RETURNING incarnation
)
INSERT INTO {schema}.leases (incarnation, expires_at, place)
SELECT incarnation, clock_timestamp() + %(lease)s::float8 * interval '1 second', %(place)s::text FROM fence
RETURNING incarnation;

-- Renewed only while the fence stands. Yields the fewest executions that another owns which serves all that this one does.
-- name: renew
UPDATE {schema}.leases
SET expires_at = clock_timestamp() + %(lease)s::float8 * interval '1 second', owned = %(owned)s::bigint
WHERE incarnation = %(me)s::bigint
  AND EXISTS (SELECT FROM {schema}.fences WHERE incarnation = %(me)s::bigint AND NOT retired AND epoch = {epoch})
RETURNING (
    SELECT min(o.owned)
    FROM {schema}.leases AS o
    WHERE o.incarnation <> %(me)s::bigint AND o.expires_at >= clock_timestamp() AND NOT EXISTS (
        SELECT FROM {schema}.served AS m
        WHERE m.incarnation = %(me)s::bigint AND NOT m.adopted AND NOT EXISTS (
            SELECT FROM {schema}.served AS s
            WHERE s.incarnation = o.incarnation AND s.saga = m.saga AND s.version = m.version
        )
    )
);

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

-- From one that is retired to this one, or to whoever may claim it. Several may take over at once: each takes what no
-- other is taking. A head is the position of the next row; `deaths` counts owners that died at the same head in a row.
-- name: inherit
WITH {fence}, left_over AS MATERIALIZED (
    SELECT e.num, (NOT %(declared)s::boolean OR EXISTS (
        SELECT FROM {schema}.served AS s
        WHERE s.incarnation = %(me)s::bigint AND s.saga = e.saga AND s.version = e.version
    )) AND NOT EXISTS (
        SELECT FROM {schema}.pauses AS p WHERE p.namespace = e.namespace AND p.saga IN ('', e.saga)
    ) AS mine
    FROM {schema}.executions AS e CROSS JOIN fence
    WHERE e.owner = %(dead)s::bigint
      AND NOT EXISTS (SELECT FROM {schema}.fences AS f WHERE f.incarnation = %(dead)s::bigint AND NOT f.retired)
    ORDER BY e.num
    LIMIT %(limit)s::bigint
    FOR NO KEY UPDATE OF e SKIP LOCKED
), heads AS (
    SELECT o.num, o.mine, coalesce(
        (SELECT max(j."position") + 1 FROM {schema}.journal AS j WHERE j.execution = o.num), 0
    ) AS head
    FROM left_over AS o
), inherited AS (
    UPDATE {schema}.executions AS e
    SET owner = CASE WHEN h.mine THEN %(me)s::bigint END, wake_at = CASE WHEN NOT h.mine THEN %(now)s::float8 END,
        lost = true, lost_by = e.owner, death_head = h.head, deaths = CASE WHEN e.death_head = h.head THEN e.deaths ELSE 0 END + 1
    FROM heads AS h
    WHERE e.num = h.num
    RETURNING e.num, e.uid, e.lost, e.deaths, e.death_head, e.lost_by, h.mine
), moved AS (
    UPDATE {schema}.inbox AS i SET owner = %(me)s::bigint FROM inherited AS t WHERE t.mine AND i.execution = t.num
)
SELECT f.alive, t.num, t.uid, t.lost, t.deaths, t.death_head, t.lost_by, t.mine
FROM (SELECT count(*) AS alive FROM fence) AS f LEFT JOIN inherited AS t ON true
ORDER BY t.num;

-- name: hand_back
WITH left_over AS MATERIALIZED (
    SELECT num FROM {schema}.executions
    WHERE owner = %(incarnation)s::bigint
    ORDER BY num
    LIMIT %(limit)s::bigint
    FOR NO KEY UPDATE
), returned AS (
    UPDATE {schema}.executions AS e
    SET owner = NULL, wake_at = 0, lost = NOT (e.uid = ANY (%(settled)s::text[])), lost_by = e.owner,
        death_head = greatest(e.death_head, 0)
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
), unserved AS (
    DELETE FROM {schema}.served AS s USING gone WHERE s.incarnation = gone.incarnation
)
DELETE FROM {schema}.fences AS f USING gone WHERE f.incarnation = gone.incarnation AND f.retired;

-- name: left_over
SELECT count(*) FROM {schema}.executions WHERE owner = %(incarnation)s::bigint;

-- What sleeps, or is due, by namespace and definition: a walk over the index from one group to the next.
-- name: groups
groups AS (
    (
        SELECT e.namespace, e.saga, e.version
        FROM {schema}.executions AS e
        WHERE e.owner IS NULL AND e.wake_at IS NOT NULL
        ORDER BY e.namespace, e.saga, e.version
        LIMIT 1
    )
    UNION ALL
    SELECT n.namespace, n.saga, n.version
    FROM groups AS g CROSS JOIN LATERAL (
        SELECT e.namespace, e.saga, e.version
        FROM {schema}.executions AS e
        WHERE e.owner IS NULL AND e.wake_at IS NOT NULL AND (e.namespace, e.saga, e.version) > (g.namespace, g.saga, g.version)
        ORDER BY e.namespace, e.saga, e.version
        LIMIT 1
    ) AS n
);

-- Of these, what a worker may take: nothing that a pause covers. One that has not said what it serves may take all else.
-- name: mine
mine AS (
    SELECT g.namespace, g.saga, g.version
    FROM groups AS g
    WHERE (NOT %(declared)s::boolean OR EXISTS (
        SELECT FROM {schema}.served AS s
        WHERE s.incarnation = %(me)s::bigint AND s.saga = g.saga AND s.version = g.version
    )) AND NOT EXISTS (
        SELECT FROM {schema}.pauses AS p WHERE p.namespace = g.namespace AND p.saga IN ('', g.saga)
    )
);

-- Several workers claim at once: each takes what no other is taking, so there are twice as many candidates as are
-- wanted. `turn` shares between namespaces: the n-th of a namespace with the weight w comes at n / w.
-- name: claim
WITH RECURSIVE {fence}, {groups}, {mine}, candidates AS (
    SELECT c.num, c.wake_at, row_number() OVER (PARTITION BY m.namespace ORDER BY c.wake_at, c.num)
        / coalesce((
            SELECT w.weight FROM unnest(%(namespaces)s::text[], %(weights)s::float8[]) AS w (namespace, weight)
            WHERE w.namespace = m.namespace
        ), 1) AS turn
    FROM mine AS m CROSS JOIN LATERAL (
        SELECT e.num, e.wake_at
        FROM {schema}.executions AS e
        WHERE e.owner IS NULL AND e.wake_at IS NOT NULL AND e.wake_at <= %(now)s::float8
          AND e.namespace = m.namespace AND e.saga = m.saga AND e.version = m.version
        ORDER BY e.wake_at, e.num
        LIMIT 2 * %(limit)s::bigint
    ) AS c
), first AS MATERIALIZED (
    SELECT num, turn FROM candidates ORDER BY turn, wake_at, num LIMIT 2 * %(limit)s::bigint
), due AS MATERIALIZED (
    SELECT e.num, e.wake_at, f.turn
    FROM first AS f JOIN {schema}.executions AS e ON e.num = f.num CROSS JOIN fence
    WHERE e.owner IS NULL AND e.wake_at IS NOT NULL AND e.wake_at <= %(now)s::float8
    ORDER BY f.turn, e.wake_at, e.num
    LIMIT %(limit)s::bigint
    FOR NO KEY UPDATE OF e SKIP LOCKED
), taken AS (
    UPDATE {schema}.executions AS e SET owner = %(me)s::bigint, wake_at = NULL
    FROM due AS d
    WHERE e.num = d.num
    RETURNING e.num, e.uid, e.lost, e.deaths, e.death_head, e.lost_by, d.turn, d.wake_at
), moved AS (
    UPDATE {schema}.inbox AS i SET owner = %(me)s::bigint FROM taken AS t WHERE i.execution = t.num
)
SELECT f.alive, t.num, t.uid, t.lost, t.deaths, t.death_head, t.lost_by
FROM (SELECT count(*) AS alive FROM fence) AS f LEFT JOIN taken AS t ON true
ORDER BY t.turn, t.wake_at, t.num;

-- name: next_wake
WITH RECURSIVE {groups}, {mine}
SELECT min(n.wake_at)
FROM mine AS m CROSS JOIN LATERAL (
    SELECT e.wake_at
    FROM {schema}.executions AS e
    WHERE e.owner IS NULL AND e.wake_at IS NOT NULL
      AND e.namespace = m.namespace AND e.saga = m.saga AND e.version = m.version
    ORDER BY e.wake_at
    LIMIT 1
) AS n;

-- What a worker has the code of, and nobody else need adopt any more. What was parked for want of it goes on.
-- name: serve
WITH wanted AS MATERIALIZED (
    SELECT DISTINCT v.saga, v.version FROM unnest(%(sagas)s::text[], %(versions)s::text[]) AS v (saga, version)
), declared AS (
    UPDATE {schema}.leases SET declared = true WHERE incarnation = %(me)s::bigint RETURNING incarnation
), dropped AS (
    DELETE FROM {schema}.served AS s
    WHERE (s.incarnation = %(me)s::bigint AND NOT s.adopted AND NOT EXISTS (
        SELECT FROM wanted AS w WHERE w.saga = s.saga AND w.version = s.version
    )) OR (s.incarnation <> %(me)s::bigint AND s.adopted AND EXISTS (
        SELECT FROM wanted AS w WHERE w.saga = s.saga AND w.version = s.version
    ))
), served AS (
    INSERT INTO {schema}.served (incarnation, saga, version)
    SELECT d.incarnation, w.saga, w.version FROM wanted AS w CROSS JOIN declared AS d
    ON CONFLICT (incarnation, saga, version) DO UPDATE SET adopted = false
), waiting AS MATERIALIZED (
    SELECT e.num
    FROM {schema}.executions AS e
    WHERE e.status = 'attention' AND e.parked IS NOT NULL AND e.cause = 'missing_definition'
      AND EXISTS (SELECT FROM wanted AS w WHERE w.saga = e.saga AND w.version = e.version)
    ORDER BY e.num
    FOR NO KEY UPDATE
), unparked AS (
    UPDATE {schema}.executions AS e
    SET status = e.parked[1], cause = e.parked[2], detail = e.parked[3], parked = NULL, wake_at = 0, deaths = 0
    FROM waiting AS w
    WHERE e.num = w.num
    RETURNING 1
)
SELECT (SELECT count(*) FROM declared), (SELECT count(*) FROM unparked);

-- What is due and no living worker has the code of; while one lives that has not said what it has, nothing is.
-- `mine`: may this worker adopt it? One that has another version of the saga, or anyone when none has.
-- name: orphans
WITH RECURSIVE {groups}, living AS MATERIALIZED (
    SELECT l.incarnation, l.declared
    FROM {schema}.leases AS l JOIN {schema}.fences AS f ON f.incarnation = l.incarnation
    WHERE l.expires_at >= clock_timestamp() AND NOT f.retired
), known AS MATERIALIZED (
    SELECT s.incarnation, s.saga, s.version
    FROM {schema}.served AS s JOIN living AS l ON l.incarnation = s.incarnation
    WHERE NOT s.adopted
)
SELECT g.saga, g.version, min(n.wake_at), bool_or(
    NOT EXISTS (SELECT FROM known AS k WHERE k.saga = g.saga)
    OR EXISTS (SELECT FROM known AS k WHERE k.saga = g.saga AND k.incarnation = %(me)s::bigint)
) AS mine
FROM groups AS g CROSS JOIN LATERAL (
    SELECT e.wake_at
    FROM {schema}.executions AS e
    WHERE e.owner IS NULL AND e.wake_at IS NOT NULL AND e.wake_at <= %(now)s::float8
      AND e.namespace = g.namespace AND e.saga = g.saga AND e.version = g.version
    ORDER BY e.wake_at
    LIMIT 1
) AS n
WHERE NOT EXISTS (SELECT FROM living AS l WHERE NOT l.declared)
  AND NOT EXISTS (
      SELECT FROM {schema}.served AS s JOIN living AS l ON l.incarnation = s.incarnation
      WHERE s.saga = g.saga AND s.version = g.version
  )
GROUP BY g.saga, g.version
ORDER BY g.saga, g.version;

-- name: adopt
INSERT INTO {schema}.served (incarnation, saga, version, adopted)
SELECT %(me)s::bigint, v.saga, v.version, true
FROM unnest(%(sagas)s::text[], %(versions)s::text[]) AS v (saga, version)
ON CONFLICT DO NOTHING;

-- `lost`, because the open commands of a parked execution may have been dispatched before it was parked.
-- name: park
WITH {fence}, parked AS (
    UPDATE {schema}.executions AS e
    SET parked = ARRAY[e.status, e.cause, e.detail], status = 'attention', cause = %(cause)s::text,
        detail = %(detail)s::text, updated_at = %(now)s::float8, owner = NULL, wake_at = NULL, lost = true,
        lost_by = e.owner, death_head = greatest(e.death_head, 0)
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

-- Roots with all that is nested in them, and which of them are over; locked in the order of their numbers.
-- name: trees
SELECT e.num, e.uid, e.root, e.parent,
    e.owner IS NULL AND e.status = ANY (%(final)s::text[])
        AND coalesce(e.finished_at, %(before)s::float8) < %(before)s::float8
FROM {schema}.executions AS e
WHERE e.uid = ANY (%(uids)s::text[]) OR (e.parent <> '' AND e.root = ANY (%(uids)s::text[]))
ORDER BY e.num
FOR UPDATE OF e;

-- name: prune
WITH journal AS (
    DELETE FROM {schema}.journal WHERE execution = ANY (%(nums)s::bigint[])
), inbox AS (
    DELETE FROM {schema}.inbox WHERE execution = ANY (%(nums)s::bigint[])
), attributes AS (
    DELETE FROM {schema}.attributes WHERE execution_uid = ANY (%(uids)s::text[])
), audit AS (
    DELETE FROM {schema}.audit WHERE uid = ANY (%(uids)s::text[])
), tasks AS (
    DELETE FROM {schema}.tasks WHERE uid = ANY (%(uids)s::text[])
)
DELETE FROM {schema}.executions WHERE num = ANY (%(nums)s::bigint[]);
