-- Attempts that are run by whoever serves their queue (see store/queueing.py). A number is never given twice.
CREATE TABLE {schema}.tasks (
    num       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uid       text COLLATE "C" NOT NULL,
    action    text COLLATE "C" NOT NULL,
    direction text COLLATE "C" NOT NULL,
    namespace text COLLATE "C" NOT NULL,
    queue     text COLLATE "C" NOT NULL,
    step      text COLLATE "C" NOT NULL,
    call      text COLLATE "C" NOT NULL,
    attempt   bigint NOT NULL,
    key       text COLLATE "C" NOT NULL,
    pool      text COLLATE "C" NOT NULL,
    priority  bigint NOT NULL,
    state     text COLLATE "C" NOT NULL,
    -- When it may be taken; of one that is leased, when that ends. Seconds since the epoch, by this server's clock.
    due       double precision NOT NULL,
    tries     bigint NOT NULL DEFAULT 0,
    lapses    bigint NOT NULL DEFAULT 0,
    lapsed_at double precision NOT NULL DEFAULT 0,
    cancelled boolean NOT NULL DEFAULT false,
    holder    text COLLATE "C" NOT NULL DEFAULT '',
    progress  text COLLATE "C",
    UNIQUE (uid, action, direction)
);

CREATE INDEX tasks_turn ON {schema}.tasks (namespace, queue, state, priority DESC, num);
CREATE INDEX tasks_due ON {schema}.tasks (namespace, queue, state, due);
CREATE INDEX tasks_pool ON {schema}.tasks (namespace, pool, state) WHERE pool <> '';

-- What is said of a queue: whether it rests, its limits (JSON), and what its rate has saved up as of a time.
CREATE TABLE {schema}.queues (
    namespace text COLLATE "C" NOT NULL,
    name      text COLLATE "C" NOT NULL,
    paused    boolean NOT NULL DEFAULT false,
    limits    text COLLATE "C" NOT NULL DEFAULT '{}',
    tokens    double precision,
    filled_at double precision,
    PRIMARY KEY (namespace, name)
);
