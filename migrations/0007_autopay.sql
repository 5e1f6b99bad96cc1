-- Autopay: what renters signed, and what was drawn by it.

CREATE TABLE mandates (
    id UUID NOT NULL PRIMARY KEY,
    lease_id UUID NOT NULL,
    renter_id UUID NOT NULL,
    -- Signed as it is: a new primary account changes nothing.
    account_id UUID NOT NULL,
    rail TEXT NOT NULL,
    cap BIGINT NOT NULL,
    currency TEXT NOT NULL,
    lead_days BIGINT NOT NULL,
    notice TEXT NOT NULL,
    -- What is usual, where the renter wants to be told of what is not.
    usual_min BIGINT,
    usual_max BIGINT,
    -- Where the property lies.
    signed_on BIGINT NOT NULL,
    signed_at BIGINT NOT NULL,
    -- The copy that the renter got, byte for byte.
    document TEXT NOT NULL,
    status TEXT NOT NULL,
    -- When its draws are looked after next; never, once it is over and none of them can come back any more.
    next_look_at BIGINT,
    CONSTRAINT mandates_renter FOREIGN KEY (lease_id, renter_id) REFERENCES lease_renters (lease_id, renter_id),
    CONSTRAINT mandates_account FOREIGN KEY (account_id, renter_id) REFERENCES bank_accounts (id, user_id),
    CONSTRAINT mandates_cap CHECK (0 < cap),
    CONSTRAINT mandates_lead CHECK (lead_days BETWEEN 0 AND 10),
    CONSTRAINT mandates_rail CHECK (rail IN ('INSTANT', 'SAME_DAY_ACH', 'STANDARD_ACH', 'WIRE')),
    CONSTRAINT mandates_notice CHECK (notice IN ('OUTSIDE_RANGE', 'ANY_CHANGE')),
    CONSTRAINT mandates_range CHECK ((notice = 'OUTSIDE_RANGE') = (usual_min IS NOT NULL AND usual_max IS NOT NULL)
        AND (usual_min IS NULL OR 0 <= usual_min AND usual_min <= usual_max AND 0 < usual_max AND usual_max <= cap)),
    CONSTRAINT mandates_status CHECK (status IN ('ACTIVE', 'PAUSED', 'SUSPENDED', 'REVOKED'))
) /*sqlite: WITHOUT ROWID */;

-- A renter has one mandate on a lease.
CREATE UNIQUE INDEX mandates_one_each ON mandates (lease_id, renter_id) WHERE status <> 'REVOKED';
CREATE INDEX mandates_by_lease ON mandates (lease_id, id);
CREATE INDEX mandates_by_look ON mandates (next_look_at, id) WHERE next_look_at IS NOT NULL;

-- One attempt for each charge date, whatever crashes or runs twice.
CREATE TABLE draws (
    mandate_id UUID NOT NULL REFERENCES mandates (id),
    due_date BIGINT NOT NULL,
    status TEXT NOT NULL,
    -- What the renter was told last, and on which day.
    announced_amount BIGINT,
    announced_on BIGINT,
    -- The payment that was made.
    payment_id UUID,
    -- Why there is none, or none that stands.
    reason_code TEXT,
    reason_text TEXT,
    PRIMARY KEY (mandate_id, due_date),
    CONSTRAINT draws_payment UNIQUE (payment_id),
    CONSTRAINT draws_paid FOREIGN KEY (payment_id) REFERENCES payments (id),
    CONSTRAINT draws_status CHECK (status IN ('ANNOUNCED', 'DRAWN', 'SKIPPED', 'MISSED', 'FAILED')),
    CONSTRAINT draws_made CHECK (CASE WHEN payment_id IS NULL THEN status NOT IN ('DRAWN', 'FAILED')
        ELSE status IN ('DRAWN', 'FAILED', 'SKIPPED') END),
    CONSTRAINT draws_announced CHECK ((announced_amount IS NULL) = (announced_on IS NULL)),
    CONSTRAINT draws_reason CHECK ((reason_code IS NULL) = (reason_text IS NULL)
        AND (reason_code IS NOT NULL) = (status IN ('SKIPPED', 'MISSED', 'FAILED')))
) /*sqlite: WITHOUT ROWID */;

/*postgres:
CREATE TRIGGER mandates_as_signed BEFORE UPDATE OF lease_id, renter_id, account_id, rail, cap, currency, lead_days, notice,
    usual_min, usual_max, signed_on, signed_at, document ON mandates FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER mandates_never_go BEFORE DELETE OR TRUNCATE ON mandates FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
*/
/*sqlite:
CREATE TRIGGER mandates_as_signed BEFORE UPDATE OF lease_id, renter_id, account_id, rail, cap, currency, lead_days, notice,
    usual_min, usual_max, signed_on, signed_at, document ON mandates
BEGIN SELECT RAISE(ABORT, 'mandates stay as they were signed'); END;
CREATE TRIGGER mandates_never_go BEFORE DELETE ON mandates BEGIN SELECT RAISE(ABORT, 'mandates are never deleted'); END;
*/
