-- What each lease owes, and which money pays for it.

CREATE TABLE lease_accounts (
    lease_id UUID NOT NULL PRIMARY KEY REFERENCES leases (id),
    -- The number of the lease's last event. Whoever changes what the lease owes holds this row meanwhile.
    version BIGINT NOT NULL,
    -- And its hash; zeros before the first.
    head BYTEA NOT NULL,
    -- The day, where the property lies, through which the daily pass has gone.
    passed_on BIGINT NOT NULL,
    -- When the day after it begins there.
    next_pass_at BIGINT NOT NULL,
    CONSTRAINT lease_accounts_version CHECK (0 <= version)
) /*sqlite: WITHOUT ROWID */ /*postgres: WITH (fillfactor = 70) */;

CREATE INDEX lease_accounts_by_pass ON lease_accounts (next_pass_at, lease_id);

-- What is left of a payment, or of what the landlord let off, when nothing more is open.
CREATE TABLE credits (
    lease_id UUID NOT NULL REFERENCES lease_accounts (lease_id),
    -- The payment, or the credit that the landlord gave.
    source_id UUID NOT NULL,
    amount BIGINT NOT NULL,
    PRIMARY KEY (lease_id, source_id),
    CONSTRAINT credits_amount CHECK (0 < amount)
) /*sqlite: WITHOUT ROWID */;

-- Which source pays how much for which charge, and by which event; less than zero where it was taken back. Append-only.
CREATE TABLE allocations (
    source_id UUID NOT NULL,
    charge_id UUID NOT NULL,
    stream_id UUID NOT NULL,
    sequence BIGINT NOT NULL,
    amount BIGINT NOT NULL,
    PRIMARY KEY (source_id, charge_id, stream_id, sequence),
    CONSTRAINT allocations_event FOREIGN KEY (stream_id, sequence) REFERENCES events (stream_id, sequence),
    CONSTRAINT allocations_charge FOREIGN KEY (charge_id) REFERENCES charges (id),
    CONSTRAINT allocations_amount CHECK (amount <> 0)
) /*sqlite: WITHOUT ROWID */;

CREATE INDEX allocations_by_charge ON allocations (charge_id);

/*postgres:
CREATE TRIGGER allocations_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON allocations
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
*/
/*sqlite:
CREATE TRIGGER allocations_no_update BEFORE UPDATE ON allocations BEGIN SELECT RAISE(ABORT, 'allocations is append-only'); END;
CREATE TRIGGER allocations_no_delete BEFORE DELETE ON allocations BEGIN SELECT RAISE(ABORT, 'allocations is append-only'); END;
*/

-- Requests that made a fact about a lease's money: one key, one fact, for ever.
CREATE TABLE lease_requests (
    initiated_by UUID NOT NULL REFERENCES users (id),
    idempotency_key TEXT NOT NULL,
    -- SHA-256 of what was asked, and where.
    request_hash TEXT NOT NULL,
    -- What it made.
    made_id UUID NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (initiated_by, idempotency_key),
    CONSTRAINT lease_requests_key CHECK (length(idempotency_key) BETWEEN 1 AND 255)
) /*sqlite: WITHOUT ROWID */;
