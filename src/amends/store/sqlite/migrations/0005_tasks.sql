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
