-- For connections of the caller's, of any driver: values are written :name, each name once (so CAST, not two colons).

-- The cluster, and the database in it.
-- name: identify
SELECT CAST((SELECT system_identifier FROM pg_control_system()) AS text), CAST(d.oid AS bigint)
FROM pg_database AS d WHERE d.datname = current_database();

-- The notification is delivered when the caller commits, and not at all otherwise.
-- name: create
WITH made AS (
    INSERT INTO {schema}.executions (
        uid, namespace, id, "partition", saga, version, status, cause, inbox_seq, wake_at,
        root, parent, parent_action, depth, deadline, created_at, updated_at, attributes, input
    ) VALUES (
        CAST(:uid AS text), CAST(:namespace AS text), CAST(:id AS text), CAST(:partition AS bigint), CAST(:saga AS text),
        CAST(:version AS text), 'running', '', 0, 0, CAST(:root AS text), '', '', 0, CAST(:deadline AS float8),
        CAST(:created_at AS float8), CAST(:updated_at AS float8), CAST(:attributes AS text), CAST(:input AS text)
    )
    ON CONFLICT DO NOTHING
    RETURNING uid
), told AS (
    SELECT pg_notify(CAST(:channel AS text), '') FROM made
)
SELECT uid, (SELECT count(*) FROM told) FROM made;

-- name: find
SELECT uid, id, saga, input FROM {schema}.executions
WHERE namespace = CAST(:namespace AS text) AND id = CAST(:id AS text);
