-- For connections of the caller's, of any driver: values are written :name, each name once.

-- name: identify
SELECT file, EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'amends_executions')
FROM pragma_database_list WHERE name = 'main';

-- name: create
INSERT INTO amends_executions (
    uid, namespace, id, "partition", saga, version, status, cause, inbox_seq, wake_at,
    root, parent, parent_action, depth, deadline, created_at, updated_at, attributes, input
) VALUES (
    :uid, :namespace, :id, :partition, :saga, :version, 'running', '', 0, 0.0,
    :root, '', '', 0, :deadline, :created_at, :updated_at, :attributes, :input
)
ON CONFLICT DO NOTHING
RETURNING uid;

-- name: find
SELECT uid, id, saga, input FROM amends_executions WHERE namespace = :namespace AND id = :id;
