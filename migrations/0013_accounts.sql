-- Mail on its way, links in mails, second factors. All times are process time.

-- A row is written with what causes the mail and gone when it is sent, or given up.
CREATE TABLE outgoing_mail (
    id UUID NOT NULL PRIMARY KEY,
    -- Address, subject and text under the key named by key_id, bound to this row's id: a link in it is as good as a password.
    sealed_letter TEXT NOT NULL,
    key_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    -- From then on it is of no use to anybody.
    expires_at BIGINT NOT NULL,
    -- Whoever takes it moves this on, so that nobody else takes it, and whoever dies is followed up.
    due_at BIGINT NOT NULL,
    -- How often it was taken; who was too slow must not speak for it any more.
    tries BIGINT NOT NULL,
    CONSTRAINT outgoing_mail_tries CHECK (0 <= tries)
) /*sqlite: WITHOUT ROWID */;

CREATE INDEX outgoing_mail_by_due ON outgoing_mail (due_at);
CREATE INDEX outgoing_mail_by_key ON outgoing_mail (key_id, id) WHERE sealed_letter <> '';

-- Links in mails: each good once, until it expires.
CREATE TABLE mail_links (
    -- SHA-256 of the token, which is random and so needs no slow hash.
    token_hash TEXT NOT NULL PRIMARY KEY,
    purpose TEXT NOT NULL,
    -- None where nobody has the address that was given: what is asked for in vain costs the same.
    user_id UUID REFERENCES users (id),
    -- The address that it proves, where that is what it is for.
    email TEXT,
    created_at BIGINT NOT NULL,
    -- 0 when it was used, or another took its place.
    expires_at BIGINT NOT NULL,
    CONSTRAINT mail_links_purpose CHECK (purpose IN ('PASSWORD_RESET', 'EMAIL')),
    CONSTRAINT mail_links_email CHECK ((purpose = 'EMAIL') = (email IS NOT NULL))
) /*sqlite: WITHOUT ROWID */;

CREATE INDEX mail_links_by_user ON mail_links (user_id, purpose, created_at);
CREATE INDEX mail_links_by_age ON mail_links (created_at);

-- Time-based one-time codes (RFC 6238): one for each person who wants it.
CREATE TABLE second_factors (
    user_id UUID NOT NULL PRIMARY KEY REFERENCES users (id),
    -- Under the key named by key_id, bound to the person.
    sealed_secret TEXT NOT NULL,
    key_id TEXT NOT NULL,
    -- Since when codes are asked for; before that it is only being set up.
    confirmed_at BIGINT,
    -- The time step of the last code that was accepted: none is accepted twice, nor an earlier one.
    last_step BIGINT NOT NULL
) /*sqlite: WITHOUT ROWID */;

CREATE INDEX second_factors_by_key ON second_factors (key_id, user_id) WHERE sealed_secret <> '';

-- What takes the place of a code where the device is lost: each good once.
CREATE TABLE recovery_codes (
    user_id UUID NOT NULL REFERENCES second_factors (user_id) ON DELETE CASCADE,
    -- Keyed hash.
    code_hash TEXT NOT NULL,
    CONSTRAINT recovery_codes_key PRIMARY KEY (user_id, code_hash)
) /*sqlite: WITHOUT ROWID */;
