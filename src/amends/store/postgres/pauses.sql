-- Yields the pause that holds: the new one, or the one that was there (none, if that is not visible yet).
-- name: add_pause
WITH added AS (
    INSERT INTO {schema}.pauses (namespace, saga, "by", reason, since)
    VALUES (%(namespace)s::text, %(saga)s::text, %(by)s::text, %(reason)s::text, %(since)s::float8)
    ON CONFLICT DO NOTHING
    RETURNING namespace, saga, "by", reason, since
), audited AS (
    INSERT INTO {schema}.audit (at, uid, "by", action, reason, detail)
    SELECT %(at)s::float8, %(uid)s::text, %(audit_by)s::text, %(action)s::text, %(audit_reason)s::text,
        %(detail)s::text
    FROM added
)
SELECT a.namespace, a.saga, a."by", a.reason, a.since, pg_notify(%(channel)s::text, '')::text FROM added AS a
UNION ALL
SELECT p.namespace, p.saga, p."by", p.reason, p.since, '' FROM {schema}.pauses AS p
WHERE p.namespace = %(namespace)s::text AND p.saga = %(saga)s::text AND NOT EXISTS (SELECT FROM added);

-- name: end_pause
WITH ended AS (
    DELETE FROM {schema}.pauses WHERE namespace = %(namespace)s::text AND saga = %(saga)s::text
    RETURNING namespace, saga, "by", reason, since
), audited AS (
    INSERT INTO {schema}.audit (at, uid, "by", action, reason, detail)
    SELECT %(at)s::float8, %(uid)s::text, %(audit_by)s::text, %(action)s::text, %(audit_reason)s::text,
        %(detail)s::text
    FROM ended
)
SELECT e.namespace, e.saga, e."by", e.reason, e.since, pg_notify(%(channel)s::text, '')::text FROM ended AS e;

-- name: pauses
SELECT namespace, saga, "by", reason, since FROM {schema}.pauses
WHERE %(namespace)s::text = '' OR namespace = %(namespace)s::text
ORDER BY namespace, saga;
