-- The feed: all events in one order, in which none ever appears before one that was seen already.

/*sqlite:
-- There is one writer, so that the order in which events are written is that in which they are committed: nothing is
-- written for the feed. What an event belongs to is looked up when somebody reads.
CREATE VIEW feed AS
    SELECT e.position, e.stream_id, e.sequence, COALESCE(p.lease_id, l.id) AS lease_id,
           COALESCE(p.landlord_id, l.landlord_id) AS landlord_id
    FROM events e LEFT JOIN payments p ON e.stream = 'PAYMENT' AND p.id = e.stream_id
    LEFT JOIN leases l ON e.stream = 'LEASE' AND l.id = e.stream_id;
*/

/*postgres:
-- Positions are given after the commit, by one at a time, and never change. No foreign keys: `directpay verify` looks.
CREATE TABLE feed (
    position BIGINT NOT NULL PRIMARY KEY,
    stream_id UUID NOT NULL,
    sequence BIGINT NOT NULL,
    -- Whose it is. None for an event of nobody, which is damage: it stops the feed for nobody else.
    lease_id UUID,
    landlord_id UUID,
    CONSTRAINT feed_position CHECK (0 < position)
);

CREATE TRIGGER feed_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON feed
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Events that have no position yet: a row for each statement that wrote some, committed with them and gone when they have
-- one. However late a transaction commits, its rows are found.
CREATE TABLE feed_waiting (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream_ids UUID[] NOT NULL,
    sequences BIGINT[] NOT NULL
);

-- Random bytes do not get shorter, and trying takes time.
ALTER TABLE feed_waiting ALTER COLUMN stream_ids SET STORAGE EXTERNAL, ALTER COLUMN sequences SET STORAGE EXTERNAL;

-- The database itself sees to it, so that no writer can forget it, nor one that was started before this migration.
CREATE FUNCTION note_for_feed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO feed_waiting (stream_ids, sequences)
        SELECT array_agg(stream_id), array_agg(sequence) FROM fresh HAVING 0 < COUNT(*);
    RETURN NULL;
END $$;
CREATE TRIGGER events_wait_for_feed AFTER INSERT ON events REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION note_for_feed();

-- How far the events from before this migration have a position; the row is gone when all of them do. The events that wait
-- come after them.
CREATE TABLE feed_before (
    id BIGINT NOT NULL PRIMARY KEY,
    stream_id UUID NOT NULL,
    sequence BIGINT NOT NULL,
    CONSTRAINT feed_before_single CHECK (id = 1)
);

INSERT INTO feed_before (id, stream_id, sequence)
    SELECT 1, '00000000-0000-0000-0000-000000000000', 0 WHERE EXISTS (SELECT 1 FROM events);
*/
