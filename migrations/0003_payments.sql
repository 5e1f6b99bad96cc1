-- Payments, their events, the ledger and the work that is due.

-- A projection of the events: it can be rebuilt from them at any time, and `directpay verify` does.
CREATE TABLE payments (
    id UUID NOT NULL PRIMARY KEY,
    lease_id UUID NOT NULL REFERENCES leases (id),
    landlord_id UUID NOT NULL REFERENCES users (id),
    kind TEXT NOT NULL,
    initiated_by UUID NOT NULL REFERENCES users (id),
    payee_id UUID NOT NULL REFERENCES users (id),
    payer_account_id UUID NOT NULL REFERENCES bank_accounts (id),
    payee_account_id UUID NOT NULL REFERENCES bank_accounts (id),
    amount BIGINT NOT NULL,
    currency TEXT NOT NULL,
    rail TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    metadata JSONB NOT NULL,
    -- One bit for each optional field that the request left out.
    omitted BIGINT NOT NULL,
    status TEXT NOT NULL,
    -- The sequence number of the last event.
    version BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    transient_retries BIGINT NOT NULL,
    representments BIGINT NOT NULL,
    failure_code TEXT,
    failure_text TEXT,
    initiated_at BIGINT NOT NULL,
    estimated_settlement_at BIGINT NOT NULL,
    first_processing_at BIGINT,
    processing_at BIGINT,
    completed_at BIGINT,
    failed_at BIGINT,
    returned_at BIGINT,
    cancelled_at BIGINT,
    -- Two clicks, one payment: for ever, and in the database.
    CONSTRAINT payments_one_per_key UNIQUE (initiated_by, idempotency_key),
    CONSTRAINT payments_amount CHECK (0 < amount),
    CONSTRAINT payments_currency CHECK (length(currency) = 3),
    CONSTRAINT payments_key CHECK (length(idempotency_key) BETWEEN 1 AND 255),
    CONSTRAINT payments_kind CHECK (kind IN ('RENT', 'REFUND')),
    CONSTRAINT payments_rail CHECK (rail IN ('INSTANT', 'SAME_DAY_ACH', 'STANDARD_ACH', 'WIRE')),
    CONSTRAINT payments_status
        CHECK (status IN ('PENDING', 'PROCESSING', 'COMPLETED', 'FAILED', 'RETURNED', 'CANCELLED')),
    CONSTRAINT payments_failure CHECK ((status IN ('FAILED', 'RETURNED')) = (failure_code IS NOT NULL)),
    CONSTRAINT payments_failure_text CHECK ((failure_code IS NULL) = (failure_text IS NULL)),
    CONSTRAINT payments_counts CHECK (0 < version AND 0 < attempt AND 0 <= transient_retries AND 0 <= representments)
) /*sqlite: WITHOUT ROWID */ /*postgres: WITH (fillfactor = 80) */;

CREATE INDEX payments_by_lease ON payments (lease_id, id);
CREATE INDEX payments_by_landlord ON payments (landlord_id, id);

-- Facts, in the order of each history. Append-only.
CREATE TABLE events (
    stream_id UUID NOT NULL,
    sequence BIGINT NOT NULL,
    stream TEXT NOT NULL,
    event_type TEXT NOT NULL,
    occurred_at BIGINT NOT NULL,
    -- The event, byte for byte as it was written.
    body TEXT NOT NULL,
    PRIMARY KEY (stream_id, sequence),
    CONSTRAINT events_sequence CHECK (0 < sequence),
    CONSTRAINT events_stream CHECK (stream IN ('PAYMENT', 'LEASE')),
    CONSTRAINT events_type CHECK (stream <> 'PAYMENT' OR event_type IN (
        'payment_initiated', 'payment_processing', 'payment_retry_scheduled', 'payment_retry_requested',
        'payment_completed', 'payment_failed', 'payment_returned', 'payment_cancelled'))
) /*sqlite: WITHOUT ROWID */;

-- Lines of the journal entry that an event caused. One line moves one amount from one account to another,
-- so that no entry can be out of balance. Append-only.
CREATE TABLE postings (
    stream_id UUID NOT NULL,
    sequence BIGINT NOT NULL,
    line BIGINT NOT NULL,
    landlord_id UUID NOT NULL,
    currency TEXT NOT NULL,
    debit TEXT NOT NULL,
    credit TEXT NOT NULL,
    amount BIGINT NOT NULL,
    PRIMARY KEY (stream_id, sequence, line),
    CONSTRAINT postings_event FOREIGN KEY (stream_id, sequence) REFERENCES events (stream_id, sequence),
    CONSTRAINT postings_amount CHECK (0 < amount),
    CONSTRAINT postings_accounts CHECK (debit <> credit)
) /*sqlite: WITHOUT ROWID */;

/*postgres:
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation'; END $$;
CREATE TRIGGER events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER postings_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON postings
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
*/
/*sqlite:
CREATE TRIGGER events_no_update BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'events is append-only'); END;
CREATE TRIGGER events_no_delete BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'events is append-only'); END;
CREATE TRIGGER postings_no_update BEFORE UPDATE ON postings BEGIN SELECT RAISE(ABORT, 'postings is append-only'); END;
CREATE TRIGGER postings_no_delete BEFORE DELETE ON postings BEGIN SELECT RAISE(ABORT, 'postings is append-only'); END;
*/

-- What the workers have to do: written with the fact that calls for it, gone when it is done.
CREATE TABLE due_work (
    payment_id UUID NOT NULL PRIMARY KEY REFERENCES payments (id),
    what TEXT NOT NULL,
    attempt BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    -- In process time; 0 while nobody holds it.
    claimed_until BIGINT NOT NULL,
    -- The process that holds or held it.
    claimed_by UUID,
    CONSTRAINT due_work_what CHECK (what IN ('SUBMIT', 'INQUIRE'))
) /*sqlite: WITHOUT ROWID */ /*postgres: WITH (fillfactor = 70) */;

CREATE INDEX due_work_by_time ON due_work (due_at, payment_id);

-- How far the outcomes of each bank connection have been recorded.
CREATE TABLE bank_cursors (
    connection TEXT NOT NULL PRIMARY KEY,
    position BIGINT NOT NULL
) /*sqlite: WITHOUT ROWID */;
