-- The schema as it stands after all migrations (a test compares). To change it, add a migration and edit this file.
-- {schema} is the schema that the store was given, "amends" unless told otherwise.  Texts are compared by code points,
-- whatever the database's locale, so that all stores agree on order and prefixes.

CREATE TABLE {schema}.executions (
    -- A short key of the store's own: the journal repeats it in every row and index entry.
    num           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uid           text COLLATE "C" NOT NULL UNIQUE,
    namespace     text COLLATE "C" NOT NULL,
    id            text COLLATE "C" NOT NULL,
    "partition"   bigint NOT NULL,
    saga          text COLLATE "C" NOT NULL,
    version       text COLLATE "C" NOT NULL,
    status        text COLLATE "C" NOT NULL,
    cause         text COLLATE "C" NOT NULL,
    owner         bigint,
    inbox_seq     bigint NOT NULL,
    wake_at       double precision,
    lost          boolean NOT NULL DEFAULT false,
    deaths        integer NOT NULL DEFAULT 0,
    death_head    integer NOT NULL DEFAULT 0,
    root          text COLLATE "C" NOT NULL,
    parent        text COLLATE "C" NOT NULL,
    parent_action text COLLATE "C" NOT NULL,
    depth         bigint NOT NULL,
    deadline      double precision,
    created_at    double precision NOT NULL,
    updated_at    double precision NOT NULL,
    finished_at   double precision,
    attributes    text COLLATE "C" NOT NULL,
    input         text COLLATE "C" NOT NULL,
    result        text COLLATE "C",
    detail        text COLLATE "C",
    -- While parked: the status, cause and detail before.
    parked        text[] COLLATE "C",
    -- Whose loss `lost` tells of.
    lost_by       bigint,
    UNIQUE (namespace, id)
);

-- None by saga alone (schedules are found by how their ids begin), and none by `finished_at`: whoever clears away looks
-- through what began early enough, which takes less than a tenth of a second for 100,000 rows, at most once a minute; an
-- index would be written at the end of each execution.
--
-- Claims go by namespace, saga and version.
CREATE INDEX executions_due ON {schema}.executions (namespace, saga, version, wake_at, num)
    WHERE owner IS NULL AND wake_at IS NOT NULL;
CREATE INDEX executions_owner ON {schema}.executions (owner, num) WHERE owner IS NOT NULL;
CREATE INDEX executions_parent ON {schema}.executions (parent) WHERE parent <> '';
CREATE INDEX executions_root ON {schema}.executions (root) WHERE parent <> '';
CREATE INDEX executions_attention ON {schema}.executions (uid) WHERE status = 'attention';

-- Numbers first: no gaps for alignment.
CREATE TABLE {schema}.journal (
    execution bigint NOT NULL,
    now       double precision NOT NULL,
    checksum  bigint NOT NULL,
    "position" integer NOT NULL,
    events    text COLLATE "C" NOT NULL,
    commands  text COLLATE "C" NOT NULL,
    PRIMARY KEY (execution, "position")
);

CREATE SEQUENCE {schema}.inbox_seq;

-- `owner`: who owned the execution when the message came or when it was claimed; `news` finds by it what to tell a worker.
-- `key` is NULL when the message has none: such messages never collide.
CREATE TABLE {schema}.inbox (
    execution bigint NOT NULL,
    seq       bigint NOT NULL DEFAULT nextval('{schema}.inbox_seq'),
    owner     bigint,
    key       text COLLATE "C",
    event     text COLLATE "C" NOT NULL,
    PRIMARY KEY (execution, seq),
    UNIQUE (execution, key)
);

CREATE INDEX inbox_owner ON {schema}.inbox (owner, seq) WHERE owner IS NOT NULL;

-- One row for each worker incarnation. It never changes until the incarnation is retired: commits lock it FOR SHARE.
-- `epoch` is the timeline of the database at registration: a server that was promoted knows no living incarnation.
CREATE TABLE {schema}.fences (
    incarnation bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    epoch       text NOT NULL,
    retired     boolean NOT NULL DEFAULT false
);

-- One row for each incarnation that is alive, or whose executions have not all been given to others yet.
-- No commit touches it.
CREATE TABLE {schema}.leases (
    incarnation bigint PRIMARY KEY,
    expires_at  timestamptz NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT now(),
    place       text NOT NULL,
    -- False for a worker that has not said what it serves (an earlier release never does): it takes anything.
    declared    boolean NOT NULL DEFAULT false,
    -- How many executions it owned at its last look.
    owned       bigint NOT NULL DEFAULT 0
);

-- Which definitions each living worker has the code of. `adopted`: of what no living worker has, one that takes it
-- nevertheless, to end it from its journal or to park it.
CREATE TABLE {schema}.served (
    incarnation bigint NOT NULL,
    saga        text COLLATE "C" NOT NULL,
    version     text COLLATE "C" NOT NULL,
    adopted     boolean NOT NULL DEFAULT false,
    PRIMARY KEY (incarnation, saga, version)
);

CREATE TABLE {schema}.audit (
    seq    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uid    text COLLATE "C" NOT NULL,
    at     double precision NOT NULL,
    "by"   text COLLATE "C" NOT NULL,
    action text COLLATE "C" NOT NULL,
    reason text COLLATE "C" NOT NULL,
    detail text COLLATE "C" NOT NULL
);

CREATE INDEX audit_uid ON {schema}.audit (uid, seq);

-- The attributes that can be asked for (what they are is said in store/where/terms.py). Kept by a trigger, so that no
-- release that does not know of them leaves them behind. The indexes stand in the order of lists.
CREATE TABLE {schema}.attributes (
    execution_uid text COLLATE "C" NOT NULL,
    name          text COLLATE "C" NOT NULL,
    word          text COLLATE "C",
    number        double precision
);

CREATE INDEX attributes_execution ON {schema}.attributes (execution_uid, name);
CREATE INDEX attributes_word ON {schema}.attributes (name, word, execution_uid) WHERE word IS NOT NULL;
CREATE INDEX attributes_number ON {schema}.attributes (name, number, execution_uid) WHERE number IS NOT NULL;

-- What is no JSON object has none. (Not in the trigger: a block that catches errors would begin a subtransaction.)
CREATE FUNCTION {schema}.attributes_of(given text) RETURNS TABLE (name text, word text, number double precision)
LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF position('\u0000' in given) > 0 THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT f.key, f.said, CASE f.kind
        WHEN 'number' THEN CASE WHEN f.token::numeric BETWEEN -1e300 AND 1e300 THEN f.token::double precision END
        WHEN 'boolean' THEN CASE f.token WHEN 'true' THEN 1.0 ELSE 0.0 END::double precision
    END
    FROM (
        SELECT j.key, json_typeof(j.value) AS kind, j.value::text AS token,
            CASE json_typeof(j.value) WHEN 'string' THEN j.value #>> '{}' END AS said
        FROM json_each(given::json) AS j
    ) AS f
    WHERE length(f.key) <= 100 AND CASE f.kind
        WHEN 'string' THEN length(f.said) <= 500
        WHEN 'number' THEN f.token::numeric BETWEEN -1e300 AND 1e300
        ELSE f.kind = 'boolean'
    END;
EXCEPTION WHEN data_exception THEN
    RETURN;
END
$$;

CREATE FUNCTION {schema}.attributes_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO {schema}.attributes SELECT NEW.uid, a.* FROM {schema}.attributes_of(NEW.attributes) AS a;
    RETURN NULL;
END
$$;

CREATE TRIGGER executions_attributes AFTER INSERT ON {schema}.executions
FOR EACH ROW WHEN (NEW.attributes <> '{}') EXECUTE FUNCTION {schema}.attributes_kept();

-- Data keys of subjects, each wrapped by a master key that is not here (see amends/encryption). A key that is forgotten
-- keeps its id and the time, and nothing else; the vacuum shall come for what was deleted as soon as it looks.
CREATE TABLE {schema}.keys (
    id           text COLLATE "C" PRIMARY KEY,
    namespace    text COLLATE "C" NOT NULL,
    subject      text COLLATE "C" NOT NULL,
    wrapped      bytea,
    master       text COLLATE "C" NOT NULL,
    created_at   double precision NOT NULL,
    forgotten_at double precision
) WITH (autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0);

CREATE UNIQUE INDEX keys_subject ON {schema}.keys (namespace, subject) WHERE wrapped IS NOT NULL;

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

-- What stands still (see store/pausing.py): a saga, or all of a namespace where none is named.
CREATE TABLE {schema}.pauses (
    namespace text COLLATE "C" NOT NULL,
    saga      text COLLATE "C" NOT NULL,
    "by"      text COLLATE "C" NOT NULL,
    reason    text COLLATE "C" NOT NULL,
    since     double precision NOT NULL,
    PRIMARY KEY (namespace, saga)
);

-- Which partitions this server holds, where a store is on several (see store/places); no row: it is alone, and holds all.
-- `family` is the same on all servers of one store. `complete`: each of them has its row.
CREATE TABLE {schema}.placement (
    one      boolean PRIMARY KEY DEFAULT true CHECK (one),
    family   text COLLATE "C" NOT NULL,
    number   integer NOT NULL,
    count    integer NOT NULL,
    first    integer NOT NULL,
    past     integer NOT NULL,
    complete boolean NOT NULL DEFAULT false
);
