-- `{header}` are the columns of HEADER in reading.py.

-- A header with its journal and its inbox, all from one snapshot.
-- name: history
SELECT {header}, e.num, j.positions, j.nows, j.events, j.commands, j.checksums, i.seqs, i.events, i.keys
FROM {schema}.executions AS e
CROSS JOIN LATERAL (
    SELECT array_agg(r."position") AS positions, array_agg(r.now) AS nows, array_agg(r.events) AS events,
        array_agg(r.commands) AS commands, array_agg(r.checksum) AS checksums
    FROM (SELECT * FROM {schema}.journal WHERE execution = e.num ORDER BY "position") AS r
) AS j
CROSS JOIN LATERAL (
    SELECT array_agg(m.seq) AS seqs, array_agg(m.event) AS events, array_agg(m.key) AS keys
    FROM (SELECT * FROM {schema}.inbox WHERE execution = e.num ORDER BY seq) AS m
) AS i;

-- name: load
{history} WHERE e.num = ANY (%(nums)s::bigint[]);

-- name: load_one
{history} WHERE e.uid = %(uid)s::text;

-- name: by_id
SELECT {header} FROM {schema}.executions AS e WHERE e.namespace = %(namespace)s::text AND e.id = %(id)s::text;

-- name: num
SELECT num FROM {schema}.executions WHERE uid = %(uid)s::text;

-- Found by the owner that the message was addressed to; executions that were given up since are left out.
-- name: news
SELECT e.uid, i.seq, i.event, i.key
FROM {schema}.inbox AS i JOIN {schema}.executions AS e ON e.num = i.execution
WHERE i.owner = %(me)s::bigint AND e.owner = %(me)s::bigint
ORDER BY i.seq;

-- name: audited
SELECT at, uid, "by", action, reason, detail FROM {schema}.audit WHERE uid = %(uid)s::text ORDER BY seq;

-- name: server
SELECT current_setting('server_version_num')::integer, current_setting('synchronous_commit'), current_setting('fsync'),
    current_setting('full_page_writes'), current_setting('server_encoding'), pg_is_in_recovery(),
    coalesce(current_setting('amends.heard', true), '') = 'on';
