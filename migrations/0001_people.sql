-- People, how they sign in, and their bank accounts.
-- One history for both databases: what only one engine understands stands in a comment addressed to it.
-- Instants are microseconds since 1970 (UTC), dates are numbers YYYYMMDD, amounts are minor units.

CREATE TABLE users (
    id UUID NOT NULL PRIMARY KEY,
    email TEXT NOT NULL,
    -- The address in lower case: one person, one address.
    email_key TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    full_name TEXT NOT NULL,
    phone TEXT,
    role TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    -- When a link that was sent to the address was opened; process time.
    email_verified_at BIGINT,
    CONSTRAINT users_email UNIQUE (email_key),
    CONSTRAINT users_role CHECK (role IN ('LANDLORD', 'RENTER', 'ADMIN'))
) /*sqlite: WITHOUT ROWID */;

CREATE INDEX users_by_role ON users (role, id);

-- One sign-in and all the refresh tokens that follow from it.
CREATE TABLE refresh_families (
    id UUID NOT NULL PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES users (id),
    -- Keyed hash of the network address of the sign-in.
    address_key TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT
) /*sqlite: WITHOUT ROWID */;

CREATE INDEX refresh_families_by_user ON refresh_families (user_id, address_key);
CREATE INDEX refresh_families_by_expiry ON refresh_families (expires_at);

CREATE TABLE refresh_tokens (
    -- SHA-256 of the token, which is random and so needs no slow hash.
    token_hash TEXT NOT NULL PRIMARY KEY,
    family_id UUID NOT NULL REFERENCES refresh_families (id) ON DELETE CASCADE,
    issued_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT
) /*sqlite: WITHOUT ROWID */;

CREATE INDEX refresh_tokens_by_family ON refresh_tokens (family_id);
CREATE INDEX refresh_tokens_by_expiry ON refresh_tokens (expires_at);

-- Failed sign-ins per e-mail, per address and per pair of them; the keys are keyed hashes.
CREATE TABLE sign_in_failures (
    subject TEXT NOT NULL PRIMARY KEY,
    failures BIGINT NOT NULL,
    last_failed_at BIGINT NOT NULL,
    CONSTRAINT sign_in_failures_counted CHECK (0 < failures)
) /*sqlite: WITHOUT ROWID */;

CREATE INDEX sign_in_failures_by_age ON sign_in_failures (last_failed_at);

CREATE TABLE bank_accounts (
    id UUID NOT NULL PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES users (id),
    token TEXT NOT NULL,
    bank_name TEXT NOT NULL,
    account_type TEXT NOT NULL,
    account_holder_name TEXT NOT NULL,
    routing_number TEXT NOT NULL,
    last4 TEXT NOT NULL,
    -- XChaCha20-Poly1305 under the key named by key_id, bound to this row's id.
    sealed_number TEXT NOT NULL,
    key_id TEXT NOT NULL,
    -- Keyed hash of routing and account number.
    fingerprint TEXT NOT NULL,
    is_primary BOOLEAN NOT NULL,
    is_active BOOLEAN NOT NULL,
    -- The return code that closed it to new payments.
    closed_by TEXT,
    created_at BIGINT NOT NULL,
    CONSTRAINT bank_accounts_token UNIQUE (token),
    CONSTRAINT bank_accounts_type CHECK (account_type IN ('CHECKING', 'SAVINGS')),
    CONSTRAINT bank_accounts_last4 CHECK (length(last4) = 4),
    CONSTRAINT bank_accounts_primary_active CHECK (is_active OR NOT is_primary)
) /*sqlite: WITHOUT ROWID */;

CREATE UNIQUE INDEX bank_accounts_by_user ON bank_accounts (user_id, id);
-- An account is linked once while its link can be used.
CREATE UNIQUE INDEX bank_accounts_linked_once ON bank_accounts (user_id, fingerprint)
    WHERE is_active AND closed_by IS NULL;
CREATE UNIQUE INDEX bank_accounts_one_primary ON bank_accounts (user_id) WHERE is_primary;
-- What stands under a key, for sealing it by another.
CREATE INDEX bank_accounts_by_key ON bank_accounts (key_id, id) WHERE sealed_number <> '';
