-- name: register
INSERT INTO amends_fences (started_at) VALUES (?) RETURNING incarnation;

-- name: retire_all
UPDATE amends_fences SET retired = 1 WHERE retired = 0;

-- name: retire
UPDATE amends_fences SET retired = 1 WHERE incarnation = ?;

-- All that is owned is owned by the dead. A head is the position of the next row; `deaths` counts owners that died at
-- the same head in a row.
-- name: bury
WITH h (num, head) AS (
    SELECT e.num, coalesce((SELECT max(position) + 1 FROM amends_journal WHERE execution = e.num), 0)
    FROM amends_executions AS e
    WHERE e.owner IS NOT NULL
)
UPDATE amends_executions AS e
SET owner = NULL, wake_at = ?, lost = 1, lost_by = e.owner, death_head = h.head,
    deaths = iif(e.death_head = h.head, e.deaths, 0) + 1
FROM h
WHERE e.num = h.num;

-- name: hand_back
UPDATE amends_executions
SET owner = NULL, wake_at = 0.0, lost = uid NOT IN (SELECT value FROM json_each(?2)), lost_by = owner,
    death_head = max(death_head, 0)
WHERE owner = ?1;

-- name: state
SELECT num, owner, parked FROM amends_executions WHERE uid = ?;

-- `lost`, because the open commands of a parked execution may have been dispatched before it was parked.
-- name: park
UPDATE amends_executions
SET parked = json_array(status, cause, detail), status = 'attention', cause = ?2, detail = ?3, updated_at = ?4,
    owner = NULL, wake_at = NULL, lost = 1, lost_by = owner, death_head = max(death_head, 0)
WHERE num = ?1;

-- name: unpark
UPDATE amends_executions
SET status = parked ->> 0, cause = parked ->> 1, detail = parked ->> 2, updated_at = ?2, parked = NULL, wake_at = 0.0,
    deaths = 0
WHERE num = ?1;

-- What was parked for want of a definition that there is now: ?1 are pairs of a name and a version.
-- name: unpark_defined
UPDATE amends_executions
SET status = parked ->> 0, cause = parked ->> 1, detail = parked ->> 2, parked = NULL, wake_at = 0.0, deaths = 0
WHERE status = 'attention' AND parked IS NOT NULL AND cause = 'missing_definition'
  AND EXISTS (SELECT 1 FROM json_each(?1) AS d WHERE d.value ->> 0 = saga AND d.value ->> 1 = version);

-- name: audit [6]
INSERT INTO amends_audit (at, uid, "by", action, reason, detail) VALUES {rows};

-- Roots with all that is nested in them, and which of them are over.
-- name: trees
SELECT num, uid, root, parent,
    owner IS NULL AND status IN (SELECT value FROM json_each(?2)) AND coalesce(finished_at, ?3) < ?3
FROM amends_executions
WHERE uid IN (SELECT value FROM json_each(?1)) OR (parent <> '' AND root IN (SELECT value FROM json_each(?1)));

-- name: prune_journal
DELETE FROM amends_journal WHERE execution IN (SELECT value FROM json_each(?));

-- name: prune_inbox
DELETE FROM amends_inbox WHERE execution IN (SELECT value FROM json_each(?));

-- name: prune_attributes
DELETE FROM amends_attributes WHERE execution_uid IN (SELECT value FROM json_each(?));

-- name: prune_audit
DELETE FROM amends_audit WHERE uid IN (SELECT value FROM json_each(?));

-- name: prune_executions
DELETE FROM amends_executions WHERE num IN (SELECT value FROM json_each(?));

-- name: lose
UPDATE amends_executions SET lost = 1 WHERE uid IN (SELECT value FROM json_each(?));
