-- Which partitions this server holds, where a store is on several (see store/places); no row: it is alone, and holds all.
-- `family` is the same on all servers of one store. `complete`: each of them has its row.
CREATE TABLE {schema}.placement (
    one      boolean PRIMARY KEY DEFAULT true CHECK (one),
    family   text COLLATE "C" NOT NULL,
    number   integer NOT NULL,
    count    integer NOT NULL,
    first    integer NOT NULL,
    past     integer NOT NULL,
    complete boolean NOT NULL DEFAULT false
);
