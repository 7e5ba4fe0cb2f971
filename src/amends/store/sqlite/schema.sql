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
    parked        TEXT, lost_by INTEGER,
    UNIQUE (namespace, id)
) STRICT;

-- `lost_by`: whose loss `lost` tells of (its place is where SQLite put it when it was added).
--
-- None by saga alone (schedules are found by how their ids begin), and none by `finished_at`: whoever clears away looks
-- through what began early enough, which takes less than a tenth of a second for 100,000 rows, at most once a minute; an
-- index would be written at the end of each execution.
CREATE INDEX amends_executions_due ON amends_executions (namespace, saga, wake_at)
WHERE owner IS NULL AND wake_at IS NOT NULL;
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

-- The attributes that can be asked for (what they are is said in store/where/terms.py). Kept by a trigger, so that no
-- release that does not know of them leaves them behind. The indexes stand in the order of lists.
CREATE TABLE amends_attributes (
    execution_uid TEXT NOT NULL,
    name          TEXT NOT NULL,
    word          TEXT,
    number        REAL
) STRICT;

CREATE INDEX amends_attributes_execution ON amends_attributes (execution_uid, name);
CREATE INDEX amends_attributes_word ON amends_attributes (name, word, execution_uid) WHERE word IS NOT NULL;
CREATE INDEX amends_attributes_number ON amends_attributes (name, number, execution_uid) WHERE number IS NOT NULL;

CREATE VIEW amends_attributes_of AS
SELECT e.uid AS execution_uid, j.key AS name, iif(j.type = 'text', j.value, NULL) AS word,
    iif(j.type = 'text', NULL, j.value) AS number
FROM amends_executions AS e,
    json_each(iif(json_valid(e.attributes) AND json_type(e.attributes) = 'object', e.attributes, '{}')) AS j
WHERE instr(e.attributes, '\u0000') = 0 AND length(j.key) <= 100 AND CASE
    WHEN j.type = 'text' THEN length(j.value) <= 500
    WHEN j.type IN ('integer', 'real', 'true', 'false') THEN j.value BETWEEN -1e300 AND 1e300
    ELSE 0
END;

CREATE TRIGGER amends_executions_attributes AFTER INSERT ON amends_executions WHEN NEW.attributes <> '{}' BEGIN
    INSERT INTO amends_attributes SELECT * FROM amends_attributes_of WHERE execution_uid = NEW.uid;
END;

-- Data keys of subjects, each wrapped by a master key that is not here (see amends/encryption). A key that is forgotten
-- keeps its id and the time, and nothing else.
CREATE TABLE amends_keys (
    id           TEXT PRIMARY KEY NOT NULL,
    namespace    TEXT NOT NULL,
    subject      TEXT NOT NULL,
    wrapped      BLOB,
    master       TEXT NOT NULL,
    created_at   REAL NOT NULL,
    forgotten_at REAL
) STRICT;

CREATE UNIQUE INDEX amends_keys_subject ON amends_keys (namespace, subject) WHERE wrapped IS NOT NULL;

-- Attempts that are run by whoever serves their queue (see store/queueing.py). A number is never given twice.
CREATE TABLE amends_tasks (
    num       INTEGER PRIMARY KEY AUTOINCREMENT,
    uid       TEXT    NOT NULL,
    action    TEXT    NOT NULL,
    direction TEXT    NOT NULL,
    namespace TEXT    NOT NULL,
    queue     TEXT    NOT NULL,
    step      TEXT    NOT NULL,
    call      TEXT    NOT NULL,
    attempt   INTEGER NOT NULL,
    key       TEXT    NOT NULL,
    pool      TEXT    NOT NULL,
    priority  INTEGER NOT NULL,
    state     TEXT    NOT NULL,
    -- When it may be taken; of one that is leased, when that ends.
    due       REAL    NOT NULL,
    tries     INTEGER NOT NULL DEFAULT 0,
    lapses    INTEGER NOT NULL DEFAULT 0,
    lapsed_at REAL    NOT NULL DEFAULT 0,
    cancelled INTEGER NOT NULL DEFAULT 0,
    holder    TEXT    NOT NULL DEFAULT '',
    progress  TEXT,
    UNIQUE (uid, action, direction)
) STRICT;

CREATE INDEX amends_tasks_turn ON amends_tasks (namespace, queue, state, priority DESC, num);
CREATE INDEX amends_tasks_due ON amends_tasks (namespace, queue, state, due);
CREATE INDEX amends_tasks_pool ON amends_tasks (namespace, pool, state) WHERE pool <> '';

-- What is said of a queue: whether it rests, its limits (JSON), and what its rate has saved up as of a time.
CREATE TABLE amends_queues (
    namespace TEXT    NOT NULL,
    name      TEXT    NOT NULL,
    paused    INTEGER NOT NULL DEFAULT 0,
    limits    TEXT    NOT NULL DEFAULT '{}',
    tokens    REAL,
    filled_at REAL,
    PRIMARY KEY (namespace, name)
) STRICT;

-- What stands still (see store/pausing.py): a saga, or all of a namespace where none is named.
CREATE TABLE amends_pauses (
    namespace TEXT NOT NULL,
    saga      TEXT NOT NULL,
    "by"      TEXT NOT NULL,
    reason    TEXT NOT NULL,
    since     REAL NOT NULL,
    PRIMARY KEY (namespace, saga)
) STRICT;
