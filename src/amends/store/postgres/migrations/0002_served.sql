-- Which definitions each living worker has the code of. `adopted`: of what no living worker has, one that takes it
-- nevertheless, to end it from its journal or to park it.
CREATE TABLE {schema}.served (
    incarnation bigint NOT NULL,
    saga        text COLLATE "C" NOT NULL,
    version     text COLLATE "C" NOT NULL,
    adopted     boolean NOT NULL DEFAULT false,
    PRIMARY KEY (incarnation, saga, version)
);

-- `declared`: false for a worker that has not said what it serves (an earlier release never does): it takes anything.
ALTER TABLE {schema}.leases ADD COLUMN declared boolean NOT NULL DEFAULT false;

-- How many executions it owned at its last look.
ALTER TABLE {schema}.leases ADD COLUMN owned bigint NOT NULL DEFAULT 0;

-- Claims go by namespace, saga and version.
DROP INDEX {schema}.executions_due;
CREATE INDEX executions_due ON {schema}.executions (namespace, saga, version, wake_at, num)
    WHERE owner IS NULL AND wake_at IS NOT NULL;
