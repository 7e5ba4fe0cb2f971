-- name: add
INSERT INTO amends_keys (id, namespace, subject, wrapped, master, created_at) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING;

-- name: of
SELECT id, namespace, subject, wrapped, master, created_at, forgotten_at FROM amends_keys
WHERE namespace = ? AND subject = ? AND wrapped IS NOT NULL;

-- name: by_ids
SELECT id, namespace, subject, wrapped, master, created_at, forgotten_at FROM amends_keys
WHERE id IN (SELECT value FROM json_each(?2)) AND (?1 = '' OR namespace = ?1) AND id > ?3 ORDER BY id LIMIT ?4;

-- name: by_subjects
SELECT id, namespace, subject, wrapped, master, created_at, forgotten_at FROM amends_keys
WHERE namespace = ?1 AND subject IN (SELECT value FROM json_each(?2)) AND wrapped IS NOT NULL AND id > ?3
ORDER BY id LIMIT ?4;

-- Living ones of another master key than ?3; all living ones when that is empty.
-- name: living
SELECT id, namespace, subject, wrapped, master, created_at, forgotten_at FROM amends_keys
WHERE id > ?2 AND wrapped IS NOT NULL AND (?1 = '' OR namespace = ?1) AND master <> ?3 ORDER BY id LIMIT ?4;

-- name: every
SELECT id, namespace, subject, wrapped, master, created_at, forgotten_at FROM amends_keys
WHERE id > ?2 AND (?1 = '' OR namespace = ?1) ORDER BY id LIMIT ?3;

-- name: rewrap
UPDATE amends_keys SET wrapped = ?3, master = ?4 WHERE id = ?1 AND wrapped = ?2 RETURNING id;

-- name: forget
UPDATE amends_keys SET wrapped = NULL, master = '', subject = '', forgotten_at = ?2
WHERE id = ?1;
