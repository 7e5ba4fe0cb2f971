-- The barrier's table and everything that is ever asked of it. Written in what SQLite (3.35) and PostgreSQL (9.5)
-- have in common. Each value is named once in a statement, so that any parameter style can carry it.

-- name: create_table
CREATE TABLE IF NOT EXISTS {table} (
    action text NOT NULL PRIMARY KEY,  -- what an action and its compensation have in common
    state text NOT NULL,               -- done, rejected, sealed, null, undone
    reply text,                        -- of the action, JSON; of a rejection: its message and details
    undo_reply text,                   -- of the compensation, JSON
    dos integer NOT NULL,              -- how often the action came
    undos integer NOT NULL,            -- how often its compensation came
    changed_at bigint NOT NULL         -- when the state changed: seconds since the epoch
);

-- name: create_index
CREATE INDEX IF NOT EXISTS {index} ON {table} (changed_at);

-- Whoever inserts first executes. Everyone else waits for that transaction on the unique key, then updates what it
-- left, which is how one statement both waits and reads: DO NOTHING would return nothing.
-- name: do
INSERT INTO {table} AS b (action, state, reply, dos, undos, changed_at)
VALUES (:action, :state, :reply, 1, 0, :now)
ON CONFLICT (action) DO UPDATE SET dos = b.dos + 1
RETURNING dos, state, reply;

-- The compensation of what never came leaves a row that the action will meet.
-- name: undo
INSERT INTO {table} AS b (action, state, dos, undos, changed_at)
VALUES (:action, 'null', 0, 1, :now)
ON CONFLICT (action) DO UPDATE SET
    undos = b.undos + 1,
    state = CASE b.state WHEN 'done' THEN 'undone' WHEN 'undone' THEN 'undone' ELSE 'null' END,
    undo_reply = CASE b.state WHEN 'done' THEN :reply ELSE b.undo_reply END,
    changed_at = CASE b.undos WHEN 0 THEN excluded.changed_at ELSE b.changed_at END
RETURNING undos, state, undo_reply;

-- name: store_reply
UPDATE {table} SET reply = :reply WHERE action = :action;

-- name: store_undo_reply
UPDATE {table} SET undo_reply = :reply WHERE action = :action;

-- name: probe
SELECT dos, state, reply FROM {table} WHERE action = :action;

-- name: seal
INSERT INTO {table} AS b (action, state, dos, undos, changed_at)
VALUES (:action, 'sealed', 0, 0, :now)
ON CONFLICT (action) DO UPDATE SET state = b.state
RETURNING dos, state, reply;

-- name: clean_up
DELETE FROM {table}
WHERE action IN (SELECT action FROM {table} WHERE changed_at < :before ORDER BY changed_at LIMIT :batch)
RETURNING 1;
