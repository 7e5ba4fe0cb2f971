-- The schema as it stands after all migrations (a test compares). To change it, add a migration and edit this file.
-- Tables carry a prefix because the tables of transactional steps live in the same file.

CREATE TABLE amends_executions (
    -- A short key of the store's own: the journal repeats it in every row and index entry.
    num           INTEGER PRIMARY KEY,
    uid           TEXT    NOT NULL UNIQUE,
    namespace     TEXT    NOT NULL,
    id            TEXT    NOT NULL,
    "partition"   INTEGER NOT NULL,
    saga          TEXT    NOT NULL,
    version       TEXT    NOT NULL,
    status        TEXT    NOT NULL,
    cause         TEXT    NOT NULL,
    owner         INTEGER,
    inbox_seq     INTEGER NOT NULL,
    wake_at       REAL,
    lost          INTEGER NOT NULL DEFAULT 0,
    deaths        INTEGER NOT NULL DEFAULT 0,
    death_head    INTEGER NOT NULL DEFAULT 0,
    root          TEXT    NOT NULL,
    parent        TEXT    NOT NULL,
    parent_action TEXT    NOT NULL,
    depth         INTEGER NOT NULL,
    deadline      REAL,
    created_at    REAL    NOT NULL,
    updated_at    REAL    NOT NULL,
    finished_at   REAL,
    attributes    TEXT    NOT NULL,
    input         TEXT    NOT NULL,
    result        TEXT,
    detail        TEXT,
    -- While parked: a JSON array of the status, cause and detail before.
    parked        TEXT,
    UNIQUE (namespace, id)
) STRICT;

CREATE INDEX amends_executions_due ON amends_executions (namespace, wake_at) WHERE owner IS NULL AND wake_at IS NOT NULL;
CREATE INDEX amends_executions_owner ON amends_executions (owner) WHERE owner IS NOT NULL;
CREATE INDEX amends_executions_parent ON amends_executions (parent) WHERE parent <> '';
CREATE INDEX amends_executions_root ON amends_executions (root) WHERE parent <> '';
CREATE INDEX amends_executions_attention ON amends_executions (uid) WHERE status = 'attention';

-- A rowid table with an index, not WITHOUT ROWID: rows of a thousand executions in turn then land on the last pages
-- instead of on a thousand (measured: a third of the CPU and a fifth of the bytes per row at that width).
CREATE TABLE amends_journal (
    execution INTEGER NOT NULL,
    position  INTEGER NOT NULL,
    now       REAL    NOT NULL,
    events    TEXT    NOT NULL,
    commands  TEXT    NOT NULL,
    checksum  INTEGER NOT NULL,
    UNIQUE (execution, position)
) STRICT;

-- `key` is NULL when the message has none: such messages never collide.
CREATE TABLE amends_inbox (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    execution INTEGER NOT NULL,
    key       TEXT,
    event     TEXT    NOT NULL,
    UNIQUE (execution, key)
) STRICT;

CREATE TABLE amends_fences (
    incarnation INTEGER PRIMARY KEY AUTOINCREMENT,
    started_at  REAL    NOT NULL,
    retired     INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE amends_audit (
    seq    INTEGER PRIMARY KEY,
    uid    TEXT NOT NULL,
    at     REAL NOT NULL,
    "by"   TEXT NOT NULL,
    action TEXT NOT NULL,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;

CREATE INDEX amends_audit_uid ON amends_audit (uid);
