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
