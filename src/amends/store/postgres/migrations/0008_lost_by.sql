-- Whose loss `lost` tells of: an attempt that runs on in a process whose worker lost it is another one than that of a
-- worker that had the execution since, and died. NULL: not known.
ALTER TABLE {schema}.executions ADD COLUMN lost_by bigint;
