-- Properties, leases and their schedules.

/*postgres: CREATE EXTENSION IF NOT EXISTS btree_gist; */

CREATE TABLE properties (
    id UUID NOT NULL PRIMARY KEY,
    landlord_id UUID NOT NULL REFERENCES users (id),
    name TEXT,
    address TEXT NOT NULL,
    unit TEXT,
    city TEXT NOT NULL,
    state TEXT NOT NULL,
    zip_code TEXT NOT NULL,
    time_zone TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    CONSTRAINT properties_state CHECK (length(state) = 2)
) /*sqlite: WITHOUT ROWID */;

CREATE INDEX properties_by_landlord ON properties (landlord_id, id);

CREATE TABLE leases (
    id UUID NOT NULL PRIMARY KEY,
    property_id UUID NOT NULL REFERENCES properties (id),
    landlord_id UUID NOT NULL REFERENCES users (id),
    starts_on BIGINT NOT NULL,
    -- Inclusive, like the start; none while the lease runs from month to month.
    ends_on BIGINT,
    rent_amount BIGINT NOT NULL,
    currency TEXT NOT NULL,
    payment_due_day BIGINT NOT NULL,
    first_period TEXT NOT NULL,
    last_period TEXT NOT NULL,
    proration TEXT NOT NULL,
    payee_account_id UUID REFERENCES bank_accounts (id),
    -- Which payments are taken, and on which days that holds.
    policy TEXT NOT NULL,
    policy_from BIGINT,
    policy_until BIGINT,
    -- So many days before its due date a charge is shown as one of those to be paid.
    charge_notice_days BIGINT NOT NULL,
    terminated_at BIGINT,
    created_at BIGINT NOT NULL,
    CONSTRAINT leases_dates CHECK (ends_on IS NULL OR starts_on <= ends_on),
    CONSTRAINT leases_rent CHECK (0 < rent_amount),
    CONSTRAINT leases_currency CHECK (length(currency) = 3),
    CONSTRAINT leases_due_day CHECK (payment_due_day BETWEEN 1 AND 31),
    CONSTRAINT leases_first_period CHECK (first_period IN ('PRORATE', 'FULL', 'NONE')),
    CONSTRAINT leases_last_period CHECK (last_period IN ('PRORATE', 'FULL')),
    CONSTRAINT leases_proration CHECK (proration IN ('ACTUAL', 'THIRTY_DAY', 'ANNUAL')),
    CONSTRAINT leases_policy CHECK (policy IN ('ANY', 'FULL_BALANCE', 'BLOCK_ALL')),
    CONSTRAINT leases_charge_notice CHECK (charge_notice_days BETWEEN 0 AND 90)
    /*postgres: , CONSTRAINT leases_overlap
        EXCLUDE USING gist (property_id WITH =, int8range(starts_on, ends_on, '[]') WITH &&) */
) /*sqlite: WITHOUT ROWID */;

CREATE UNIQUE INDEX leases_by_landlord ON leases (landlord_id, id);
CREATE INDEX leases_by_property ON leases (property_id, id);

/*sqlite:
CREATE TRIGGER leases_overlap_insert BEFORE INSERT ON leases
WHEN EXISTS (SELECT 1 FROM leases WHERE property_id = NEW.property_id
             AND starts_on <= COALESCE(NEW.ends_on, 99999999) AND NEW.starts_on <= COALESCE(ends_on, 99999999))
BEGIN SELECT RAISE(ABORT, 'leases_overlap'); END;
CREATE TRIGGER leases_overlap_update BEFORE UPDATE OF property_id, starts_on, ends_on ON leases
WHEN EXISTS (SELECT 1 FROM leases WHERE property_id = NEW.property_id AND id <> OLD.id
             AND starts_on <= COALESCE(NEW.ends_on, 99999999) AND NEW.starts_on <= COALESCE(ends_on, 99999999))
BEGIN SELECT RAISE(ABORT, 'leases_overlap'); END;
*/

CREATE TABLE lease_renters (
    lease_id UUID NOT NULL REFERENCES leases (id),
    renter_id UUID NOT NULL REFERENCES users (id),
    PRIMARY KEY (lease_id, renter_id)
) /*sqlite: WITHOUT ROWID */;

CREATE UNIQUE INDEX lease_renters_by_renter ON lease_renters (renter_id, lease_id);

-- What the renters have agreed to pay of charges that are due on this day or later; equal shares without it.
CREATE TABLE lease_shares (
    lease_id UUID NOT NULL REFERENCES leases (id),
    effective_on BIGINT NOT NULL,
    -- As the event says it.
    shares TEXT NOT NULL,
    PRIMARY KEY (lease_id, effective_on)
) /*sqlite: WITHOUT ROWID */;

-- Rents that replace the first one, for the periods that begin on their day or later.
CREATE TABLE rent_changes (
    lease_id UUID NOT NULL REFERENCES leases (id),
    effective_on BIGINT NOT NULL,
    rent_amount BIGINT NOT NULL,
    PRIMARY KEY (lease_id, effective_on),
    CONSTRAINT rent_changes_rent CHECK (0 < rent_amount)
) /*sqlite: WITHOUT ROWID */;

-- What late rent costs that falls due on this day or later, until another rule takes over; nothing where there is no rule.
CREATE TABLE late_fee_rules (
    lease_id UUID NOT NULL REFERENCES leases (id),
    effective_on BIGINT NOT NULL,
    -- As the event says it.
    rule TEXT,
    PRIMARY KEY (lease_id, effective_on)
) /*sqlite: WITHOUT ROWID */;

-- What is charged with the rent: parking, a pet.
CREATE TABLE extras (
    id UUID NOT NULL PRIMARY KEY,
    lease_id UUID NOT NULL REFERENCES leases (id),
    description TEXT NOT NULL,
    amount BIGINT NOT NULL,
    starts_on BIGINT NOT NULL,
    ends_on BIGINT,
    CONSTRAINT extras_amount CHECK (0 < amount)
) /*sqlite: WITHOUT ROWID */;

CREATE INDEX extras_by_lease ON extras (lease_id);

-- A row of a schedule is a charge that is not yet posted.
CREATE TABLE charges (
    id UUID NOT NULL,
    lease_id UUID NOT NULL REFERENCES leases (id),
    kind TEXT NOT NULL,
    -- What it follows from: the lease for its rent, the extra, the late charge, the refund; or it stands for itself.
    origin_id UUID NOT NULL,
    period_start BIGINT NOT NULL,
    period_end BIGINT NOT NULL,
    due_date BIGINT NOT NULL,
    amount BIGINT NOT NULL,
    currency TEXT NOT NULL,
    description TEXT,
    -- Since when it is owed; none while it only stands in the schedule.
    posted_at BIGINT,
    voided_at BIGINT,
    -- How much of it is paid or on its way: the sum of its allocations.
    applied BIGINT NOT NULL,
    -- How much of it the landlord gave back because it was not owed.
    corrected BIGINT NOT NULL,
    PRIMARY KEY (lease_id, kind, origin_id, period_start),
    CONSTRAINT charges_id UNIQUE (id),
    CONSTRAINT charges_kind CHECK (kind IN ('PAYOUT', 'RENT', 'EXTRA', 'ONE_OFF', 'DEPOSIT', 'LATE_FEE')),
    CONSTRAINT charges_period CHECK (period_start <= period_end),
    CONSTRAINT charges_amount CHECK (0 < amount),
    CONSTRAINT charges_applied CHECK (0 <= applied AND applied <= amount),
    CONSTRAINT charges_corrected CHECK (0 <= corrected AND corrected <= amount),
    CONSTRAINT charges_only_posted CHECK (posted_at IS NOT NULL OR applied = 0),
    CONSTRAINT charges_voided CHECK (voided_at IS NULL OR applied = 0)
) /*sqlite: WITHOUT ROWID */;
