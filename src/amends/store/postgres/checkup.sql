-- What a person wants to know about a server and the store in it; nothing is changed.

-- name: about_server
SELECT current_setting('server_version'), current_setting('server_version_num')::integer, pg_is_in_recovery(),
    current_setting('server_encoding'), extract(epoch FROM clock_timestamp())::float8;

-- name: settings
SELECT name, setting FROM pg_settings WHERE name IN (
    'fsync', 'full_page_writes', 'synchronous_commit', 'synchronous_standby_names', 'max_connections',
    'superuser_reserved_connections', 'reserved_connections'
);

-- name: connections
SELECT count(*), count(*) FILTER (WHERE application_name LIKE 'amends%%')
FROM pg_stat_activity WHERE backend_type = 'client backend';

-- name: workers
SELECT l.incarnation, l.place, extract(epoch FROM l.expires_at - clock_timestamp())::float8,
    extract(epoch FROM clock_timestamp() - l.started_at)::float8, coalesce(f.retired, true), l.declared, l.owned
FROM {schema}.leases AS l LEFT JOIN {schema}.fences AS f ON f.incarnation = l.incarnation
WHERE l.expires_at > '-infinity'
ORDER BY l.incarnation;

-- At most a thousand are counted: it must stay quick in the middle of trouble.
-- name: due
WITH RECURSIVE {groups}
SELECT coalesce(sum(n.due), 0)::bigint, min(n.since)
FROM groups AS g CROSS JOIN LATERAL (
    SELECT count(*) AS due, min(d.since) AS since
    FROM (
        SELECT greatest(e.wake_at, e.updated_at) AS since
        FROM {schema}.executions AS e
        WHERE e.owner IS NULL AND e.wake_at IS NOT NULL AND e.wake_at <= %(now)s::float8
          AND e.namespace = g.namespace AND e.saga = g.saga AND e.version = g.version
        ORDER BY e.wake_at
        LIMIT 1000
    ) AS d
) AS n
WHERE NOT EXISTS (SELECT FROM {schema}.pauses AS p WHERE p.namespace = g.namespace AND p.saga IN ('', g.saga));

-- name: attention
SELECT count(*) FROM (SELECT FROM {schema}.executions WHERE status = 'attention' LIMIT 1000) AS a;
