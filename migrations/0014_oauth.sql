-- Programs of others that act for people who let them, and sessions of browsers. All times are process time.

CREATE TABLE oauth_clients (
    -- What the protocol calls client_id.
    id UUID NOT NULL PRIMARY KEY,
    -- Who registered it; by client credentials it acts for this person.
    user_id UUID NOT NULL REFERENCES users (id),
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    -- Keyed hash of the secret, which is kept nowhere.
    secret_hash TEXT,
    secret_last4 TEXT,
    -- The most that it may ask for; names with a space between, as in the two below.
    scopes TEXT NOT NULL,
    grants TEXT NOT NULL,
    redirect_uris TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    -- Histories name clients by id: the row stays.
    deleted_at BIGINT,
    CONSTRAINT oauth_clients_kind CHECK (kind IN ('CONFIDENTIAL', 'PUBLIC')),
    CONSTRAINT oauth_clients_secret CHECK ((kind = 'CONFIDENTIAL') = (secret_hash IS NOT NULL)
                                           AND (secret_hash IS NULL) = (secret_last4 IS NULL))
) /*sqlite: WITHOUT ROWID */;

CREATE INDEX oauth_clients_by_user ON oauth_clients (user_id, id);

/*postgres:
CREATE TRIGGER oauth_clients_as_made BEFORE UPDATE OF id, user_id, kind, created_at
    ON oauth_clients FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER oauth_clients_stay_deleted BEFORE UPDATE ON oauth_clients FOR EACH ROW
    WHEN (OLD.deleted_at IS NOT NULL) EXECUTE FUNCTION refuse_change();
CREATE TRIGGER oauth_clients_never_go BEFORE DELETE OR TRUNCATE ON oauth_clients
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
*/
/*sqlite:
CREATE TRIGGER oauth_clients_as_made BEFORE UPDATE OF id, user_id, kind, created_at
    ON oauth_clients BEGIN SELECT RAISE(ABORT, 'clients stay whose and what they are'); END;
CREATE TRIGGER oauth_clients_stay_deleted BEFORE UPDATE ON oauth_clients WHEN OLD.deleted_at IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'deleted clients stay deleted'); END;
CREATE TRIGGER oauth_clients_never_go BEFORE DELETE ON oauth_clients
BEGIN SELECT RAISE(ABORT, 'histories name clients'); END;
*/

-- A person's word that a client may act for the person, and all tokens that follow from it.
CREATE TABLE oauth_authorizations (
    id UUID NOT NULL PRIMARY KEY,
    client_id UUID NOT NULL REFERENCES oauth_clients (id),
    user_id UUID NOT NULL REFERENCES users (id),
    scopes TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    -- When the last token that can follow from it is over.
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT
) /*sqlite: WITHOUT ROWID */;

CREATE INDEX oauth_authorizations_by_user ON oauth_authorizations (user_id, id);
CREATE INDEX oauth_authorizations_by_client ON oauth_authorizations (client_id);
CREATE INDEX oauth_authorizations_by_expiry ON oauth_authorizations (expires_at);

CREATE TABLE oauth_codes (
    -- Keyed hash.
    code_hash TEXT NOT NULL PRIMARY KEY,
    -- The authorization that comes of it when it is used.
    authorization_id UUID NOT NULL,
    client_id UUID NOT NULL REFERENCES oauth_clients (id),
    user_id UUID NOT NULL REFERENCES users (id),
    -- The session of the browser in which the person agreed: a code dies with it.
    session_id UUID NOT NULL,
    redirect_uri TEXT NOT NULL,
    -- SHA-256 of the verifier (RFC 7636).
    challenge TEXT NOT NULL,
    scopes TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    -- A code that comes a second time is known by it.
    used_at BIGINT
) /*sqlite: WITHOUT ROWID */;

CREATE INDEX oauth_codes_by_expiry ON oauth_codes (expires_at);

CREATE TABLE oauth_refresh_tokens (
    -- Keyed hash.
    token_hash TEXT NOT NULL PRIMARY KEY,
    authorization_id UUID NOT NULL REFERENCES oauth_authorizations (id) ON DELETE CASCADE,
    issued_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    -- One that comes a second time ends its authorization.
    used_at BIGINT
) /*sqlite: WITHOUT ROWID */;

CREATE INDEX oauth_refresh_tokens_by_authorization ON oauth_refresh_tokens (authorization_id);
CREATE INDEX oauth_refresh_tokens_by_expiry ON oauth_refresh_tokens (expires_at);

CREATE TABLE oauth_access_tokens (
    -- Keyed hash.
    token_hash TEXT NOT NULL PRIMARY KEY,
    client_id UUID NOT NULL REFERENCES oauth_clients (id),
    -- For whom the client acts by it.
    user_id UUID NOT NULL REFERENCES users (id),
    -- None for one that the client got by its own credentials.
    authorization_id UUID REFERENCES oauth_authorizations (id) ON DELETE CASCADE,
    scopes TEXT NOT NULL,
    issued_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
) /*sqlite: WITHOUT ROWID */;

CREATE INDEX oauth_access_tokens_by_authorization ON oauth_access_tokens (authorization_id);
CREATE INDEX oauth_access_tokens_by_client ON oauth_access_tokens (client_id);
CREATE INDEX oauth_access_tokens_by_expiry ON oauth_access_tokens (expires_at);

-- What the cookie of a browser stands for: a sign-in, which ends with its family.
CREATE TABLE browser_sessions (
    -- Keyed hash of the cookie.
    token_hash TEXT NOT NULL PRIMARY KEY,
    family_id UUID NOT NULL REFERENCES refresh_families (id) ON DELETE CASCADE,
    expires_at BIGINT NOT NULL
) /*sqlite: WITHOUT ROWID */;

CREATE INDEX browser_sessions_by_family ON browser_sessions (family_id);
CREATE INDEX browser_sessions_by_expiry ON browser_sessions (expires_at);
