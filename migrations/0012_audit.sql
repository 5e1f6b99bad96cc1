-- What proves that nothing of the logs was changed: complete parts of their trees, and signed roots.

-- The roots of complete subtrees over 256 leaves, over 256 of those, and so on: with them and the newest leaves any root and
-- any proof is made from a few hundred hashes. Append-only.
CREATE TABLE log_tiles (
    -- EVENTS: all events. TRAIL: who did what from where.
    log TEXT NOT NULL,
    level BIGINT NOT NULL,
    number BIGINT NOT NULL,
    root BYTEA NOT NULL,
    PRIMARY KEY (log, level, number),
    CONSTRAINT log_tiles_log CHECK (log IN ('EVENTS', 'TRAIL')),
    CONSTRAINT log_tiles_place CHECK (0 < level AND 0 <= number)
) /*sqlite: WITHOUT ROWID */;

-- Signed roots. Append-only.
CREATE TABLE log_checkpoints (
    log TEXT NOT NULL,
    -- How many events or entries there were.
    size BIGINT NOT NULL,
    root BYTEA NOT NULL,
    -- In process time.
    made_at BIGINT NOT NULL,
    -- The signed text, which says the same.
    note TEXT NOT NULL,
    PRIMARY KEY (log, size),
    CONSTRAINT log_checkpoints_log CHECK (log IN ('EVENTS', 'TRAIL')),
    CONSTRAINT log_checkpoints_size CHECK (0 < size)
) /*sqlite: WITHOUT ROWID */;

/*postgres:
CREATE TRIGGER log_tiles_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON log_tiles
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER log_checkpoints_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON log_checkpoints
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
*/
/*sqlite:
CREATE TRIGGER log_tiles_no_update BEFORE UPDATE ON log_tiles BEGIN SELECT RAISE(ABORT, 'log_tiles is append-only'); END;
CREATE TRIGGER log_tiles_no_delete BEFORE DELETE ON log_tiles BEGIN SELECT RAISE(ABORT, 'log_tiles is append-only'); END;
CREATE TRIGGER log_checkpoints_no_update BEFORE UPDATE ON log_checkpoints
BEGIN SELECT RAISE(ABORT, 'log_checkpoints is append-only'); END;
CREATE TRIGGER log_checkpoints_no_delete BEFORE DELETE ON log_checkpoints
BEGIN SELECT RAISE(ABORT, 'log_checkpoints is append-only'); END;
*/
