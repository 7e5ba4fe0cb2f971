-- A commit is one statement, put together from those of these parts that its batch needs (see statement.py).
--   {fenced}  joins the fence: a part that does not is a hole in the fence. Empty for what clients write.
--   {gate}    lets through what a new execution's write asks for only if that execution was indeed started.
--   {which}   executions to lock: those whose headers change, those that get messages, or both.
-- All parts see the database as it was before the statement; what one makes another learns only by RETURNING.

-- name: fence
fence AS MATERIALIZED (
    SELECT incarnation FROM {schema}.fences
    WHERE incarnation = %(me)s::bigint AND NOT retired
      AND epoch = substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)
    FOR SHARE
)

-- name: started
started AS (
    INSERT INTO {schema}.executions (
        uid, namespace, id, "partition", saga, version, status, cause, owner, inbox_seq, wake_at, lost,
        root, parent, parent_action, depth, deadline, created_at, updated_at, finished_at,
        attributes, input, result, detail
    )
    SELECT v.* FROM unnest(
        %(s_uid)s::text[], %(s_namespace)s::text[], %(s_id)s::text[], %(s_partition)s::bigint[], %(s_saga)s::text[],
        %(s_version)s::text[], %(s_status)s::text[], %(s_cause)s::text[], %(s_owner)s::bigint[], %(s_inbox_seq)s::bigint[],
        %(s_wake_at)s::float8[], %(s_lost)s::boolean[], %(s_root)s::text[], %(s_parent)s::text[],
        %(s_parent_action)s::text[], %(s_depth)s::bigint[], %(s_deadline)s::float8[], %(s_created_at)s::float8[],
        %(s_updated_at)s::float8[], %(s_finished_at)s::float8[], %(s_attributes)s::text[], %(s_input)s::text[],
        %(s_result)s::text[], %(s_detail)s::text[]
    ) AS v {fenced}
    ON CONFLICT DO NOTHING
    RETURNING uid, id, num
)

-- The first rows of what was started.
-- name: begun
begun AS (
    INSERT INTO {schema}.journal (execution, now, checksum, "position", events, commands)
    SELECT s.num, v.now, v.checksum, v.position, v.events, v.commands
    FROM unnest(
        %(b_uid)s::text[], %(b_now)s::float8[], %(b_checksum)s::bigint[], %(b_position)s::integer[], %(b_events)s::text[],
        %(b_commands)s::text[]
    ) AS v (uid, now, checksum, position, events, commands)
    JOIN started AS s ON s.uid = v.uid
)

-- name: appended
appended AS (
    INSERT INTO {schema}.journal (execution, now, checksum, "position", events, commands)
    SELECT v.* FROM unnest(
        %(r_execution)s::bigint[], %(r_now)s::float8[], %(r_checksum)s::bigint[], %(r_position)s::integer[],
        %(r_events)s::text[], %(r_commands)s::text[]
    ) AS v {fenced}
)

-- Children. One whose id exists makes the statement fail; it is then sought (see sift.py).
-- name: born
born AS (
    INSERT INTO {schema}.executions (
        uid, namespace, id, "partition", saga, version, status, cause, owner, inbox_seq, wake_at, lost,
        root, parent, parent_action, depth, deadline, created_at, updated_at, finished_at,
        attributes, input, result, detail
    )
    SELECT v.uid, v.namespace, v.id, v."partition", v.saga, v.version, v.status, v.cause, v.owner, v.inbox_seq, v.wake_at,
        v.lost, v.root, v.parent, v.parent_action, v.depth, v.deadline, v.created_at, v.updated_at, v.finished_at,
        v.attributes, v.input, v.result, v.detail
    FROM unnest(
        %(c_uid)s::text[], %(c_namespace)s::text[], %(c_id)s::text[], %(c_partition)s::bigint[], %(c_saga)s::text[],
        %(c_version)s::text[], %(c_status)s::text[], %(c_cause)s::text[], %(c_owner)s::bigint[], %(c_inbox_seq)s::bigint[],
        %(c_wake_at)s::float8[], %(c_lost)s::boolean[], %(c_root)s::text[], %(c_parent)s::text[],
        %(c_parent_action)s::text[], %(c_depth)s::bigint[], %(c_deadline)s::float8[], %(c_created_at)s::float8[],
        %(c_updated_at)s::float8[], %(c_finished_at)s::float8[], %(c_attributes)s::text[], %(c_input)s::text[],
        %(c_result)s::text[], %(c_detail)s::text[], %(c_gate)s::text[]
    ) AS v (
        uid, namespace, id, "partition", saga, version, status, cause, owner, inbox_seq, wake_at, lost,
        root, parent, parent_action, depth, deadline, created_at, updated_at, finished_at,
        attributes, input, result, detail, gate
    ) {fenced}
    WHERE {gate}
    RETURNING uid, num
)

-- Messages to executions that this statement makes (their headers count them already). A receiver that was not made
-- after all has no number, which the table refuses.
-- name: welcomed
welcomed AS (
    INSERT INTO {schema}.inbox (execution, key, event, owner)
    SELECT n.num, v.key, v.event, v.owner
    FROM unnest(%(w_uid)s::text[], %(w_key)s::text[], %(w_event)s::text[], %(w_owner)s::bigint[], %(w_gate)s::text[])
        WITH ORDINALITY AS v (uid, key, event, owner, gate, place)
    LEFT JOIN ({newborn}) AS n ON n.uid = v.uid
    {fenced}
    WHERE {gate}
    ORDER BY v.place
)

-- name: consumed
consumed AS (
    DELETE FROM {schema}.inbox AS i
    USING unnest(%(g_execution)s::bigint[], %(g_seq)s::bigint[]) AS v (execution, seq) {fenced}
    WHERE i.execution = v.execution AND i.seq = v.seq
    RETURNING 1
)

-- All writers lock headers in the order of their numbers, and hold them to the end: nobody waits in a circle, and what
-- is read here stays true. Numbers of messages are drawn after it, so that those of one execution come in order.
-- name: locked
locked AS MATERIALIZED (
    SELECT e.num, e.uid, e.owner, e.inbox_seq
    FROM {schema}.executions AS e {fenced}
    WHERE {which}
    ORDER BY e.num
    FOR NO KEY UPDATE OF e
)

-- An unknown receiver has no number, which the table refuses. Of two messages with one key the first stays; a key that
-- is consumed by the same statement is free, so {first} has that done before.
-- name: posted
posted AS (
    INSERT INTO {schema}.inbox (execution, key, event, owner)
    SELECT l.num, v.key, v.event, l.owner
    FROM unnest(%(m_uid)s::text[], %(m_key)s::text[], %(m_event)s::text[], %(m_gate)s::text[])
        WITH ORDINALITY AS v (uid, key, event, gate, place)
    LEFT JOIN locked AS l ON l.uid = v.uid
    {fenced}
    WHERE {gate}{first}
    ORDER BY v.place
    ON CONFLICT DO NOTHING
    RETURNING execution
)

-- name: news
news AS (SELECT execution, count(*) AS news FROM posted GROUP BY execution)

-- name: no_news
news AS (SELECT 0::bigint AS execution, 0::bigint AS news WHERE false)

-- A release holds only if the inbox is where the owner saw it, the messages of this statement included. A receiver that
-- nobody owns becomes due at once, unless it is parked.
-- name: heads
heads AS (
    UPDATE {schema}.executions AS e
    SET inbox_seq = e.inbox_seq + x.news,
        owner = CASE WHEN x.released THEN NULL ELSE e.owner END,
        wake_at = CASE
            WHEN x.released THEN x.wake_at
            WHEN x.news > 0 AND e.owner IS NULL AND e.parked IS NULL THEN 0
            ELSE e.wake_at
        END,
        lost = CASE WHEN x.released THEN x.lost ELSE e.lost END,
        death_head = CASE WHEN x.released AND x.lost THEN -1 ELSE e.death_head END, -- see `port.SLEPT`
        status = CASE WHEN x.changes THEN x.status ELSE e.status END,
        cause = CASE WHEN x.changes THEN x.cause ELSE e.cause END,
        result = CASE WHEN x.changes THEN x.result ELSE e.result END,
        detail = CASE WHEN x.changes THEN x.detail ELSE e.detail END,
        finished_at = CASE WHEN x.changes THEN x.finished_at ELSE e.finished_at END,
        updated_at = CASE WHEN x.changes OR x.released THEN coalesce(x.now, e.updated_at) ELSE e.updated_at END
    FROM (
        SELECT l.num, v.changes, v.status, v.cause, v.result, v.detail, v.finished_at, v.now, v.wake_at, v.lost,
            coalesce(n.news, 0) AS news, v.seen = l.inbox_seq + coalesce(n.news, 0) AS released
        FROM locked AS l
        LEFT JOIN unnest(
            %(h_num)s::bigint[], %(h_changes)s::boolean[], %(h_status)s::text[], %(h_cause)s::text[], %(h_result)s::text[],
            %(h_detail)s::text[], %(h_finished_at)s::float8[], %(h_now)s::float8[], %(h_seen)s::bigint[],
            %(h_wake_at)s::float8[], %(h_lost)s::boolean[]
        ) AS v (num, changes, status, cause, result, detail, finished_at, now, seen, wake_at, lost) ON v.num = l.num
        LEFT JOIN news AS n ON n.execution = l.num
        WHERE v.num IS NOT NULL OR n.news > 0
    ) AS x {fenced}
    WHERE e.num = x.num
    RETURNING e.num, e.owner
)

-- name: audited
audited AS (
    INSERT INTO {schema}.audit (at, uid, "by", action, reason, detail)
    SELECT v.at, v.uid, v."by", v.action, v.reason, v.detail
    FROM unnest(
        %(a_at)s::float8[], %(a_uid)s::text[], %(a_by)s::text[], %(a_action)s::text[], %(a_reason)s::text[],
        %(a_detail)s::text[], %(a_gate)s::text[]
    ) WITH ORDINALITY AS v (at, uid, "by", action, reason, detail, gate, place) {fenced}
    WHERE {gate}
    ORDER BY v.place
)

-- Tasks whose end is journaled. What is dropped and issued again by one statement must be gone first.
-- name: dropped
dropped AS (
    DELETE FROM {schema}.tasks AS t
    USING unnest(%(d_uid)s::text[], %(d_action)s::text[], %(d_direction)s::text[]) AS v (uid, action, direction) {fenced}
    WHERE t.uid = v.uid AND t.action = v.action AND t.direction = v.direction
    RETURNING 1
)

-- One that is there stays, but that it waits no longer than the new one would.
-- name: queued
queued AS (
    INSERT INTO {schema}.tasks (
        uid, action, direction, namespace, queue, step, call, attempt, key, pool, priority, state, due
    )
    SELECT v.uid, v.action, v.direction, v.namespace, v.queue, v.step, v.call, v.attempt, v.key, v.pool, v.priority,
        CASE WHEN v.delay > 0 THEN 'delayed' ELSE 'waiting' END, extract(epoch FROM statement_timestamp()) + v.delay
    FROM unnest(
        %(q_uid)s::text[], %(q_action)s::text[], %(q_direction)s::text[], %(q_namespace)s::text[], %(q_queue)s::text[],
        %(q_step)s::text[], %(q_call)s::text[], %(q_attempt)s::bigint[], %(q_key)s::text[], %(q_pool)s::text[],
        %(q_priority)s::bigint[], %(q_delay)s::float8[], %(q_gate)s::text[]
    ) WITH ORDINALITY AS v (
        uid, action, direction, namespace, queue, step, call, attempt, key, pool, priority, delay, gate, place
    ) {fenced}
    WHERE {gate}{dropped_first}
    ORDER BY v.place
    ON CONFLICT (uid, action, direction) DO UPDATE SET state = 'waiting', due = excluded.due
        WHERE tasks.state = 'delayed' AND excluded.state = 'waiting'
    RETURNING 1
)
