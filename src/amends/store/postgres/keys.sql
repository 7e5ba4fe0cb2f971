-- name: add_key
INSERT INTO {schema}.keys (id, namespace, subject, wrapped, master, created_at)
VALUES (%(id)s::text, %(namespace)s::text, %(subject)s::text, decode(%(wrapped)s::text, 'hex'), %(master)s::text,
    %(created_at)s::float8)
ON CONFLICT DO NOTHING;

-- name: keys_by_ids
SELECT id, namespace, subject, encode(wrapped, 'hex'), master, created_at, forgotten_at FROM {schema}.keys
WHERE id = ANY (%(names)s::text[]) AND (%(namespace)s::text = '' OR namespace = %(namespace)s::text)
    AND id > %(after)s::text
ORDER BY id LIMIT %(limit)s::bigint;

-- name: keys_by_subjects
SELECT id, namespace, subject, encode(wrapped, 'hex'), master, created_at, forgotten_at FROM {schema}.keys
WHERE namespace = %(namespace)s::text AND subject = ANY (%(names)s::text[]) AND wrapped IS NOT NULL
    AND id > %(after)s::text
ORDER BY id LIMIT %(limit)s::bigint;

-- Living ones of another master key; all living ones when none is named.
-- name: keys_living
SELECT id, namespace, subject, encode(wrapped, 'hex'), master, created_at, forgotten_at FROM {schema}.keys
WHERE id > %(after)s::text AND wrapped IS NOT NULL AND master <> %(master_not)s::text
    AND (%(namespace)s::text = '' OR namespace = %(namespace)s::text)
ORDER BY id LIMIT %(limit)s::bigint;

-- name: keys_every
SELECT id, namespace, subject, encode(wrapped, 'hex'), master, created_at, forgotten_at FROM {schema}.keys
WHERE id > %(after)s::text AND (%(namespace)s::text = '' OR namespace = %(namespace)s::text)
ORDER BY id LIMIT %(limit)s::bigint;

-- name: rewrap_keys
WITH locked AS MATERIALIZED (
    SELECT k.id, v.wrapped, v.master
    FROM unnest(%(ids)s::text[], %(was)s::text[], %(wrapped)s::text[], %(masters)s::text[])
        AS v (id, was, wrapped, master)
        JOIN {schema}.keys AS k ON k.id = v.id AND k.wrapped = decode(v.was, 'hex')
    ORDER BY k.id
    FOR NO KEY UPDATE OF k
)
UPDATE {schema}.keys AS k SET wrapped = decode(l.wrapped, 'hex'), master = l.master
FROM locked AS l
WHERE k.id = l.id
RETURNING k.id;

-- name: forget_key
WITH forgotten AS (
    UPDATE {schema}.keys SET wrapped = NULL, master = '', subject = '', forgotten_at = %(at)s::float8
    WHERE namespace = %(namespace)s::text AND subject = %(subject)s::text AND wrapped IS NOT NULL
    RETURNING id
), audited AS (
    INSERT INTO {schema}.audit (at, uid, "by", action, reason, detail)
    SELECT %(at)s::float8, 'key ' || id, %(by)s::text, %(action)s::text, %(reason)s::text, %(detail)s::text
    FROM forgotten
)
SELECT id FROM forgotten;
