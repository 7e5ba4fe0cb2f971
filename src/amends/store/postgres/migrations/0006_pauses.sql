-- What stands still (see store/pausing.py): a saga, or all of a namespace where none is named.
CREATE TABLE {schema}.pauses (
    namespace text COLLATE "C" NOT NULL,
    saga      text COLLATE "C" NOT NULL,
    "by"      text COLLATE "C" NOT NULL,
    reason    text COLLATE "C" NOT NULL,
    since     double precision NOT NULL,
    PRIMARY KEY (namespace, saga)
);
