-- What stands still (see store/pausing.py): a saga, or all of a namespace where none is named.
CREATE TABLE amends_pauses (
    namespace TEXT NOT NULL,
    saga      TEXT NOT NULL,
    "by"      TEXT NOT NULL,
    reason    TEXT NOT NULL,
    since     REAL NOT NULL,
    PRIMARY KEY (namespace, saga)
) STRICT;

-- Claims go by saga, so that what stands still is passed over whole.
DROP INDEX amends_executions_due;
CREATE INDEX amends_executions_due ON amends_executions (namespace, saga, wake_at)
WHERE owner IS NULL AND wake_at IS NOT NULL;
