-- Which partitions a server holds (see store/places).

-- name: placement_known
SELECT to_regclass('{schema}.placement') IS NOT NULL;

-- name: placement
SELECT family, number, count, complete, first, past FROM {schema}.placement;

-- Only a server that nobody has used may become one of several: what it holds would be sought elsewhere.
-- name: placement_used
SELECT EXISTS (SELECT FROM {schema}.executions) OR EXISTS (SELECT FROM {schema}.leases)
    OR EXISTS (SELECT FROM {schema}.keys) OR EXISTS (SELECT FROM {schema}.queues);

-- name: placement_begin
INSERT INTO {schema}.placement (family, number, count, first, past)
VALUES (%(family)s::text, %(number)s::integer, %(count)s::integer, %(first)s::integer, %(past)s::integer)
ON CONFLICT DO NOTHING;

-- name: placement_complete
UPDATE {schema}.placement SET complete = true WHERE family = %(family)s::text AND NOT complete;
