-- Keys by which programs act for people. All times are process time.

CREATE TABLE api_keys (
    id UUID NOT NULL PRIMARY KEY,
    -- For whom it acts.
    user_id UUID NOT NULL REFERENCES users (id),
    name TEXT NOT NULL,
    -- Keyed hash of the whole key, which is kept nowhere.
    key_hash TEXT NOT NULL,
    last4 TEXT NOT NULL,
    -- Names with a space between.
    scopes TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    -- Written once a minute at most.
    last_used_at BIGINT,
    revoked_at BIGINT,
    CONSTRAINT api_keys_hash UNIQUE (key_hash),
    CONSTRAINT api_keys_last4 CHECK (length(last4) = 4),
    CONSTRAINT api_keys_expiry CHECK (expires_at IS NULL OR created_at < expires_at)
) /*sqlite: WITHOUT ROWID */;

CREATE INDEX api_keys_by_user ON api_keys (user_id, id);

-- Histories name keys by id, and nobody gets another key or more scopes than were asked for.
/*postgres:
CREATE TRIGGER api_keys_as_made BEFORE UPDATE OF id, user_id, name, key_hash, last4, scopes, created_at, expires_at
    ON api_keys FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER api_keys_stay_revoked BEFORE UPDATE OF revoked_at ON api_keys FOR EACH ROW
    WHEN (OLD.revoked_at IS NOT NULL) EXECUTE FUNCTION refuse_change();
CREATE TRIGGER api_keys_never_go BEFORE DELETE OR TRUNCATE ON api_keys FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
*/
/*sqlite:
CREATE TRIGGER api_keys_as_made BEFORE UPDATE OF id, user_id, name, key_hash, last4, scopes, created_at, expires_at
    ON api_keys BEGIN SELECT RAISE(ABORT, 'keys stay as they were made'); END;
CREATE TRIGGER api_keys_stay_revoked BEFORE UPDATE OF revoked_at ON api_keys WHEN OLD.revoked_at IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'revoked keys stay revoked'); END;
CREATE TRIGGER api_keys_never_go BEFORE DELETE ON api_keys BEGIN SELECT RAISE(ABORT, 'keys are never deleted'); END;
*/
