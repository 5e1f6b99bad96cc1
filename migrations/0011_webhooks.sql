-- Webhooks: who is told of events, and what is on its way to whom. All times are process time.

CREATE TABLE webhooks (
    id UUID NOT NULL PRIMARY KEY,
    -- Whose it is: it is told what that person may see.
    user_id UUID NOT NULL REFERENCES users (id),
    url TEXT NOT NULL,
    description TEXT NOT NULL,
    -- Names with a space between; empty for all.
    event_types TEXT NOT NULL,
    status TEXT NOT NULL,
    -- Why it is DISABLED.
    disabled_because TEXT,
    -- Positions up to here are none of its business.
    begins_after BIGINT NOT NULL,
    -- How far the feed is told, where that is not as far as for all others; it catches up as soon as it is ENABLED.
    behind_at BIGINT,
    -- What signs, and since the last rotation what signs as well for a while. The secrets are sealed.
    sealed_secret TEXT NOT NULL,
    key_id TEXT NOT NULL,
    public_key TEXT NOT NULL,
    previous_sealed_secret TEXT,
    previous_key_id TEXT,
    previous_public_key TEXT,
    previous_until BIGINT,
    -- Since when nothing was delivered although it was tried.
    failing_since BIGINT,
    created_at BIGINT NOT NULL,
    -- Nobody sees it any more; what hangs on it is removed bit by bit.
    deleted_at BIGINT,
    CONSTRAINT webhooks_status CHECK (status IN ('ENABLED', 'PAUSED', 'DISABLED')),
    CONSTRAINT webhooks_disabled CHECK ((status = 'DISABLED') = (disabled_because IS NOT NULL)),
    CONSTRAINT webhooks_behind CHECK (status = 'ENABLED' OR behind_at IS NOT NULL),
    CONSTRAINT webhooks_previous CHECK (
        (previous_until IS NULL) = (previous_sealed_secret IS NULL)
        AND (previous_until IS NULL) = (previous_key_id IS NULL)
        AND (previous_until IS NULL) = (previous_public_key IS NULL))
) /*sqlite: WITHOUT ROWID */;

CREATE INDEX webhooks_by_user ON webhooks (user_id, id);
CREATE INDEX webhooks_behind ON webhooks (id) WHERE behind_at IS NOT NULL AND status = 'ENABLED' AND deleted_at IS NULL;
CREATE INDEX webhooks_by_key ON webhooks (key_id, id) WHERE sealed_secret <> '';
CREATE INDEX webhooks_by_previous_key ON webhooks (previous_key_id, id) WHERE previous_sealed_secret <> '';
CREATE INDEX webhooks_deleted ON webhooks (id) WHERE deleted_at IS NOT NULL;

-- How far the feed is told to all who are not behind. Whoever joins them changes the version: what was read of them before
-- does not hold any more.
CREATE TABLE webhook_cursor (
    id BIGINT NOT NULL PRIMARY KEY,
    position BIGINT NOT NULL,
    version BIGINT NOT NULL,
    CONSTRAINT webhook_cursor_single CHECK (id = 1)
) /*sqlite: WITHOUT ROWID */;

INSERT INTO webhook_cursor (id, position, version) VALUES (1, 0, 0);

-- What each webhook is told: one row for it and an event, with the bytes that are sent, whenever that is.
CREATE TABLE webhook_deliveries (
    id UUID NOT NULL PRIMARY KEY,
    webhook_id UUID NOT NULL REFERENCES webhooks (id),
    -- Where the event stands in the feed; none for a test.
    position BIGINT,
    -- The payment or the lease whose history is told in order; a test is a history of its own.
    stream_id UUID NOT NULL,
    event_type TEXT NOT NULL,
    body TEXT NOT NULL,
    status TEXT NOT NULL,
    -- Of all times, and since it was last put on its way.
    attempts BIGINT NOT NULL,
    step BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    -- When it was delivered or given up.
    ended_at BIGINT,
    CONSTRAINT webhook_deliveries_status CHECK (status IN ('WAITING', 'DELIVERED', 'GIVEN_UP')),
    CONSTRAINT webhook_deliveries_ended CHECK ((status = 'WAITING') = (ended_at IS NULL)),
    CONSTRAINT webhook_deliveries_once UNIQUE (webhook_id, position)
) /*postgres: WITH (fillfactor = 80) */;

CREATE INDEX webhook_deliveries_list ON webhook_deliveries (webhook_id, id);
CREATE INDEX webhook_deliveries_waiting ON webhook_deliveries (webhook_id, stream_id, position) WHERE status = 'WAITING';
CREATE INDEX webhook_deliveries_ended ON webhook_deliveries (ended_at) WHERE ended_at IS NOT NULL;

-- The queue: a row for each webhook and history of which something waits. Only the first of it is ever on its way, so that
-- the order holds. Who sends takes the row by putting `due_at` ahead; a taker that dies is followed up by then.
CREATE TABLE webhook_lanes (
    webhook_id UUID NOT NULL REFERENCES webhooks (id),
    stream_id UUID NOT NULL,
    waiting BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    -- By which taking; each has a name of its own.
    taking UUID,
    CONSTRAINT webhook_lanes_key PRIMARY KEY (webhook_id, stream_id),
    CONSTRAINT webhook_lanes_waiting CHECK (0 <= waiting)
) /*sqlite: WITHOUT ROWID */ /*postgres: WITH (fillfactor = 70) */;

CREATE INDEX webhook_lanes_due ON webhook_lanes (webhook_id, due_at, stream_id);

-- What became of each attempt.
CREATE TABLE webhook_attempts (
    id UUID NOT NULL PRIMARY KEY,
    delivery_id UUID NOT NULL,
    outcome TEXT NOT NULL,
    -- What the receiver answered, where it did.
    status_code BIGINT,
    -- The beginning of its answer, or why there was none.
    detail TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    duration_us BIGINT NOT NULL,
    CONSTRAINT webhook_attempts_outcome CHECK (outcome IN ('DELIVERED', 'REFUSED', 'TIMED_OUT', 'UNREACHABLE', 'FORBIDDEN'))
) /*sqlite: WITHOUT ROWID */;

CREATE INDEX webhook_attempts_by_delivery ON webhook_attempts (delivery_id, id);
