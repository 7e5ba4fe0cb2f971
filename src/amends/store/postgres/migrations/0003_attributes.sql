-- The attributes that can be asked for (what they are is said in store/where/terms.py). Kept by a trigger, so that no
-- release that does not know of them leaves them behind. The indexes stand in the order of lists.
CREATE TABLE {schema}.attributes (
    execution_uid text COLLATE "C" NOT NULL,
    name          text COLLATE "C" NOT NULL,
    word          text COLLATE "C",
    number        double precision
);

CREATE INDEX attributes_execution ON {schema}.attributes (execution_uid, name);
CREATE INDEX attributes_word ON {schema}.attributes (name, word, execution_uid) WHERE word IS NOT NULL;
CREATE INDEX attributes_number ON {schema}.attributes (name, number, execution_uid) WHERE number IS NOT NULL;

-- What is no JSON object has none. (Not in the trigger: a block that catches errors would begin a subtransaction.)
CREATE FUNCTION {schema}.attributes_of(given text) RETURNS TABLE (name text, word text, number double precision)
LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF position('\u0000' in given) > 0 THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT f.key, f.said, CASE f.kind
        WHEN 'number' THEN CASE WHEN f.token::numeric BETWEEN -1e300 AND 1e300 THEN f.token::double precision END
        WHEN 'boolean' THEN CASE f.token WHEN 'true' THEN 1.0 ELSE 0.0 END::double precision
    END
    FROM (
        SELECT j.key, json_typeof(j.value) AS kind, j.value::text AS token,
            CASE json_typeof(j.value) WHEN 'string' THEN j.value #>> '{}' END AS said
        FROM json_each(given::json) AS j
    ) AS f
    WHERE length(f.key) <= 100 AND CASE f.kind
        WHEN 'string' THEN length(f.said) <= 500
        WHEN 'number' THEN f.token::numeric BETWEEN -1e300 AND 1e300
        ELSE f.kind = 'boolean'
    END;
EXCEPTION WHEN data_exception THEN
    RETURN;
END
$$;

CREATE FUNCTION {schema}.attributes_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO {schema}.attributes SELECT NEW.uid, a.* FROM {schema}.attributes_of(NEW.attributes) AS a;
    RETURN NULL;
END
$$;

CREATE TRIGGER executions_attributes AFTER INSERT ON {schema}.executions
FOR EACH ROW WHEN (NEW.attributes <> '{}') EXECUTE FUNCTION {schema}.attributes_kept();

INSERT INTO {schema}.attributes
SELECT e.uid, a.* FROM {schema}.executions AS e CROSS JOIN LATERAL {schema}.attributes_of(e.attributes) AS a
WHERE e.attributes <> '{}';
