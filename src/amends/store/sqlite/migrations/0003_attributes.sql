-- The attributes that can be asked for (what they are is said in store/where/terms.py). Kept by a trigger, so that no
-- release that does not know of them leaves them behind. The indexes stand in the order of lists.
CREATE TABLE amends_attributes (
    execution_uid TEXT NOT NULL,
    name          TEXT NOT NULL,
    word          TEXT,
    number        REAL
) STRICT;

CREATE INDEX amends_attributes_execution ON amends_attributes (execution_uid, name);
CREATE INDEX amends_attributes_word ON amends_attributes (name, word, execution_uid) WHERE word IS NOT NULL;
CREATE INDEX amends_attributes_number ON amends_attributes (name, number, execution_uid) WHERE number IS NOT NULL;

CREATE VIEW amends_attributes_of AS
SELECT e.uid AS execution_uid, j.key AS name, iif(j.type = 'text', j.value, NULL) AS word,
    iif(j.type = 'text', NULL, j.value) AS number
FROM amends_executions AS e,
    json_each(iif(json_valid(e.attributes) AND json_type(e.attributes) = 'object', e.attributes, '{}')) AS j
WHERE instr(e.attributes, '\u0000') = 0 AND length(j.key) <= 100 AND CASE
    WHEN j.type = 'text' THEN length(j.value) <= 500
    WHEN j.type IN ('integer', 'real', 'true', 'false') THEN j.value BETWEEN -1e300 AND 1e300
    ELSE 0
END;

CREATE TRIGGER amends_executions_attributes AFTER INSERT ON amends_executions WHEN NEW.attributes <> '{}' BEGIN
    INSERT INTO amends_attributes SELECT * FROM amends_attributes_of WHERE execution_uid = NEW.uid;
END;

INSERT INTO amends_attributes SELECT * FROM amends_attributes_of WHERE execution_uid IN (
    SELECT uid FROM amends_executions WHERE attributes <> '{}'
);
