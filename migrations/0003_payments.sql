-- Payments, their events, the ledger and the work that is due.
--
-- Names are compared one by one: for a list SQLite builds a table each time it checks a row.

-- A projection of the events: it can be rebuilt from them at any time, and `directpay verify` does.
CREATE TABLE payments (
    id UUID NOT NULL PRIMARY KEY,
    lease_id UUID NOT NULL,
    landlord_id UUID NOT NULL,
    kind TEXT NOT NULL,
    -- The payment whose money a refund gives back, if it names one.
    refund_of UUID,
    initiated_by UUID NOT NULL,
    payee_id UUID NOT NULL,
    payer_account_id UUID NOT NULL,
    payee_account_id UUID NOT NULL,
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
    -- The hash of the last event.
    head BYTEA NOT NULL,
    -- Two clicks, one payment: for ever, and in the database.
    CONSTRAINT payments_one_per_key UNIQUE (initiated_by, idempotency_key),
    -- The lease is that landlord's, each account that person's; with them lease, accounts and people exist.
    CONSTRAINT payments_lease FOREIGN KEY (lease_id, landlord_id) REFERENCES leases (id, landlord_id),
    CONSTRAINT payments_payer FOREIGN KEY (payer_account_id, initiated_by) REFERENCES bank_accounts (id, user_id),
    CONSTRAINT payments_payee FOREIGN KEY (payee_account_id, payee_id) REFERENCES bank_accounts (id, user_id),
    CONSTRAINT payments_refund_of FOREIGN KEY (refund_of) REFERENCES payments (id),
    CONSTRAINT payments_only_refunds CHECK (refund_of IS NULL OR kind = 'REFUND'),
    CONSTRAINT payments_amount CHECK (0 < amount),
    CONSTRAINT payments_currency CHECK (length(currency) = 3),
    CONSTRAINT payments_key CHECK (length(idempotency_key) BETWEEN 1 AND 255),
    CONSTRAINT payments_kind CHECK (kind IN ('RENT', 'REFUND')),
    CONSTRAINT payments_rail CHECK (rail = 'INSTANT' OR rail = 'SAME_DAY_ACH' OR rail = 'STANDARD_ACH' OR rail = 'WIRE'),
    CONSTRAINT payments_status
        CHECK (status = 'PENDING' OR status = 'PROCESSING' OR status = 'COMPLETED' OR status = 'FAILED'
        OR status = 'RETURNED' OR status = 'CANCELLED'),
    CONSTRAINT payments_failure CHECK ((status IN ('FAILED', 'RETURNED')) = (failure_code IS NOT NULL)),
    CONSTRAINT payments_failure_text CHECK ((failure_code IS NULL) = (failure_text IS NULL)),
    CONSTRAINT payments_counts CHECK (0 < version AND 0 < attempt AND 0 <= transient_retries AND 0 <= representments)
) /*sqlite: WITHOUT ROWID */
-- Room in each page for the two changes that every payment goes through, so that no index has to be touched for them.
/*postgres: WITH (fillfactor = 45) */;

CREATE INDEX payments_by_lease ON payments (lease_id, id);
CREATE INDEX payments_by_landlord ON payments (landlord_id, id);

-- Facts, append-only. On SQLite they lie in the order in which they were written, with an index by history: clustered by
-- history every new fact would go into the middle of a full page, and a large one into a page of its own.
CREATE TABLE events (
    /*sqlite:
    -- Its place among all events: 1, 2, 3 … in the order of their commits. There is one writer, and no row ever goes.
    position INTEGER PRIMARY KEY,
    */
    stream_id UUID NOT NULL,
    sequence BIGINT NOT NULL,
    stream TEXT NOT NULL,
    event_type TEXT NOT NULL,
    occurred_at BIGINT NOT NULL,
    -- The event, byte for byte as it was written.
    body TEXT NOT NULL,
    -- SHA-256 of all columns above but its place, and of the hash of the event before it in its history.
    hash BYTEA NOT NULL,
    /*postgres: PRIMARY KEY */ /*sqlite: UNIQUE */ (stream_id, sequence),
    CONSTRAINT events_sequence CHECK (0 < sequence),
    CONSTRAINT events_stream CHECK (stream IN ('PAYMENT', 'LEASE')),
    CONSTRAINT events_type CHECK (stream <> 'PAYMENT' OR event_type = 'payment_initiated' OR event_type = 'payment_processing'
        OR event_type = 'payment_retry_scheduled' OR event_type = 'payment_retry_requested'
        OR event_type = 'payment_completed' OR event_type = 'payment_failed' OR event_type = 'payment_returned'
        OR event_type = 'payment_cancelled'),
    CONSTRAINT events_lease_type CHECK (stream <> 'LEASE' OR event_type IN ('lease_entered', 'lease_terminated',
        'rent_changed', 'shares_changed', 'extra_added', 'extra_ended', 'payment_policy_changed', 'late_fee_rule_changed',
        'charge_notice_changed', 'charge_added', 'charge_posted', 'charge_voided', 'credit_granted', 'deposit_released',
        'mandate_changed', 'draw_announced', 'draw_made', 'draw_missed', 'draw_failed'))
);

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
CREATE TRIGGER payments_never_go BEFORE DELETE OR TRUNCATE ON payments
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
*/
/*sqlite:
CREATE TRIGGER events_no_update BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'events is append-only'); END;
CREATE TRIGGER events_no_delete BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'events is append-only'); END;
CREATE TRIGGER postings_no_update BEFORE UPDATE ON postings BEGIN SELECT RAISE(ABORT, 'postings is append-only'); END;
CREATE TRIGGER payments_never_go BEFORE DELETE ON payments BEGIN SELECT RAISE(ABORT, 'payments are never deleted'); END;
CREATE TRIGGER postings_no_delete BEFORE DELETE ON postings BEGIN SELECT RAISE(ABORT, 'postings is append-only'); END;
*/

-- What the workers have to do: written with the fact that calls for it, gone when it is done. No foreign key: a payment is
-- never deleted, the two statements that write here come with one that writes the payment, and `directpay verify` looks.
CREATE TABLE due_work (
    payment_id UUID NOT NULL PRIMARY KEY,
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

-- What the bank is known to have and has said nothing of yet, for whoever watches over it: the row comes when the payment's work goes
-- away, and is gone with the bank's word. A table and not an index of `payments`, which would cost every change of each.
CREATE TABLE awaited_payments (
    payment_id UUID NOT NULL PRIMARY KEY,
    since BIGINT NOT NULL
) /*sqlite: WITHOUT ROWID */;

CREATE INDEX awaited_payments_by_time ON awaited_payments (since);

-- How far the outcomes of each bank connection have been recorded.
CREATE TABLE bank_cursors (
    connection TEXT NOT NULL PRIMARY KEY,
    position BIGINT NOT NULL
) /*sqlite: WITHOUT ROWID */;
