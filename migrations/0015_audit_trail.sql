-- The trail: who did what from where. Append-only; all times are process time.

CREATE TABLE trail (
    -- Its place among all entries: 1, 2, 3 …
    position /*sqlite: INTEGER */ /*postgres: BIGINT NOT NULL */ PRIMARY KEY,
    id UUID NOT NULL,
    -- When it was done; of what was folded, the last and the first time, and how often.
    occurred_at BIGINT NOT NULL,
    since BIGINT NOT NULL,
    times BIGINT NOT NULL,
    actor TEXT NOT NULL,
    actor_id UUID,
    -- What was shown to prove it.
    credential TEXT,
    credential_id UUID,
    -- Whom it concerns, and who may read it: whoever acted, or, where an administrator acts on somebody, that person.
    person_id UUID,
    action TEXT NOT NULL,
    subject TEXT,
    subject_id UUID,
    address TEXT,
    user_agent TEXT,
    request_id TEXT,
    -- JSON, byte for byte as it was written. Nothing secret stands in it.
    details TEXT,
    -- SHA-256 of all columns above but its place, and of the hash of the entry before it.
    hash BYTEA NOT NULL,
    CONSTRAINT trail_id UNIQUE (id),
    CONSTRAINT trail_position CHECK (0 < position),
    CONSTRAINT trail_times CHECK (0 < times AND since <= occurred_at),
    CONSTRAINT trail_actor CHECK (
        actor IN ('USER', 'ADMIN', 'NOBODY', 'COMMAND') AND (actor IN ('USER', 'ADMIN')) = (actor_id IS NOT NULL)),
    CONSTRAINT trail_credential CHECK ((credential IS NULL) = (credential_id IS NULL)),
    CONSTRAINT trail_subject CHECK ((subject IS NULL) = (subject_id IS NULL))
);

CREATE INDEX trail_by_person ON trail (person_id, id);
CREATE INDEX trail_by_actor ON trail (actor_id, id);
CREATE INDEX trail_by_credential ON trail (credential_id, id);
CREATE INDEX trail_by_subject ON trail (subject_id, id);
CREATE INDEX trail_by_action ON trail (action, id);

/*postgres:
CREATE TRIGGER trail_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON trail
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Entries that have no position yet, committed with what they tell of. One process at a time moves them over, a tenth of a second
-- later; however late a transaction commits, its entries are found. What could not stand there may not wait for it either: it would
-- hold up all others.
CREATE TABLE trail_waiting (
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id UUID NOT NULL,
    occurred_at BIGINT NOT NULL,
    since BIGINT NOT NULL,
    times BIGINT NOT NULL,
    actor TEXT NOT NULL,
    actor_id UUID,
    credential TEXT,
    credential_id UUID,
    person_id UUID,
    action TEXT NOT NULL,
    subject TEXT,
    subject_id UUID,
    address TEXT,
    user_agent TEXT,
    request_id TEXT,
    details TEXT,
    CONSTRAINT trail_waiting_id UNIQUE (id),
    CONSTRAINT trail_waiting_times CHECK (0 < times AND since <= occurred_at),
    CONSTRAINT trail_waiting_actor CHECK (
        actor IN ('USER', 'ADMIN', 'NOBODY', 'COMMAND') AND (actor IN ('USER', 'ADMIN')) = (actor_id IS NOT NULL)),
    CONSTRAINT trail_waiting_credential CHECK ((credential IS NULL) = (credential_id IS NULL)),
    CONSTRAINT trail_waiting_subject CHECK ((subject IS NULL) = (subject_id IS NULL))
);
CREATE TRIGGER trail_waiting_stays BEFORE UPDATE OR TRUNCATE ON trail_waiting
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
*/
/*sqlite:
CREATE TRIGGER trail_no_update BEFORE UPDATE ON trail BEGIN SELECT RAISE(ABORT, 'trail is append-only'); END;
CREATE TRIGGER trail_no_delete BEFORE DELETE ON trail BEGIN SELECT RAISE(ABORT, 'trail is append-only'); END;
*/
