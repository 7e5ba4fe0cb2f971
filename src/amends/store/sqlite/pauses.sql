-- name: add
INSERT INTO amends_pauses (namespace, saga, "by", reason, since) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
RETURNING 1;

-- name: one
SELECT namespace, saga, "by", reason, since FROM amends_pauses WHERE namespace = ? AND saga = ?;

-- name: end
DELETE FROM amends_pauses WHERE namespace = ? AND saga = ? RETURNING namespace, saga, "by", reason, since;

-- name: every
SELECT namespace, saga, "by", reason, since FROM amends_pauses WHERE ?1 = '' OR namespace = ?1 ORDER BY namespace, saga;
