-- Data keys of subjects, each wrapped by a master key that is not here (see amends/encryption). A key that is forgotten
-- keeps its id and the time, and nothing else.
CREATE TABLE amends_keys (
    id           TEXT PRIMARY KEY NOT NULL,
    namespace    TEXT NOT NULL,
    subject      TEXT NOT NULL,
    wrapped      BLOB,
    master       TEXT NOT NULL,
    created_at   REAL NOT NULL,
    forgotten_at REAL
) STRICT;

CREATE UNIQUE INDEX amends_keys_subject ON amends_keys (namespace, subject) WHERE wrapped IS NOT NULL;
