-- Claims go by namespace.
DROP INDEX amends_executions_due;
CREATE INDEX amends_executions_due ON amends_executions (namespace, wake_at) WHERE owner IS NULL AND wake_at IS NOT NULL;
