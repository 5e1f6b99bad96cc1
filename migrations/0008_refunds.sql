-- What was promised back of payments: a row for each that a refund names.

-- Every refund that names a payment holds this row while it is accepted, tried again or falls away: however many come at the
-- same time, from however many processes, together they never come to more than the payment settled.
CREATE TABLE refunded_payments (
    payment_id UUID NOT NULL PRIMARY KEY REFERENCES payments (id),
    -- What the payment settled.
    settled BIGINT NOT NULL,
    -- What its refunds on their way or settled come to.
    promised BIGINT NOT NULL,
    CONSTRAINT refunded_payments_promised CHECK (0 <= promised AND promised <= settled)
) /*sqlite: WITHOUT ROWID */ /*postgres: WITH (fillfactor = 70) */;

-- Only refunds that name a payment stand in it: other payments pay nothing for it.
CREATE INDEX payments_by_refunded ON payments (refund_of) WHERE refund_of IS NOT NULL;

-- The releases of deposits: each is a source that pays for charges, and an event of its lease, which says the rest.
CREATE TABLE deposit_returns (
    id UUID NOT NULL PRIMARY KEY,
    lease_id UUID NOT NULL REFERENCES lease_accounts (lease_id),
    sequence BIGINT NOT NULL,
    CONSTRAINT deposit_returns_event FOREIGN KEY (lease_id, sequence) REFERENCES events (stream_id, sequence),
    CONSTRAINT deposit_returns_one_per_event UNIQUE (lease_id, sequence)
) /*sqlite: WITHOUT ROWID */;
