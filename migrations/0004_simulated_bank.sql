-- The simulated bank's own book, in the bank's words. No foreign key to our tables and no account number:
-- an independent witness of what moved.

CREATE TABLE bank_instructions (
    reference TEXT NOT NULL PRIMARY KEY,
    rail TEXT NOT NULL,
    amount BIGINT NOT NULL,
    currency TEXT NOT NULL,
    -- Tokens of the accounts.
    payer TEXT NOT NULL,
    payee TEXT NOT NULL,
    state TEXT NOT NULL,
    accepted_at BIGINT NOT NULL,
    -- What happens to it next, when, and why.
    next_state TEXT,
    next_at BIGINT,
    reason_code TEXT,
    reason_text TEXT,
    -- Microseconds from settlement to return, if it will be returned.
    return_after BIGINT,
    CONSTRAINT bank_instructions_amount CHECK (0 < amount),
    CONSTRAINT bank_instructions_state CHECK (state = 'ACCEPTED' OR state = 'SETTLED' OR state = 'REFUSED' OR state = 'RETURNED'),
    CONSTRAINT bank_instructions_next CHECK (next_state = 'SETTLED' OR next_state = 'REFUSED' OR next_state = 'RETURNED'),
    CONSTRAINT bank_instructions_next_at CHECK ((next_state IS NULL) = (next_at IS NULL))
) /*sqlite: WITHOUT ROWID */ /*postgres: WITH (fillfactor = 80) */;

CREATE INDEX bank_instructions_next ON bank_instructions (next_at) WHERE next_at IS NOT NULL;

-- What the bank tells, in the order in which it tells it.
CREATE TABLE bank_outcomes (
    position BIGINT NOT NULL PRIMARY KEY,
    reference TEXT NOT NULL,
    state TEXT NOT NULL,
    reason_code TEXT,
    reason_text TEXT,
    occurred_at BIGINT NOT NULL,
    CONSTRAINT bank_outcomes_once UNIQUE (reference, state),
    CONSTRAINT bank_outcomes_state CHECK (state = 'SETTLED' OR state = 'REFUSED' OR state = 'RETURNED')
) /*sqlite: WITHOUT ROWID */;

-- The last position given out; whoever adds outcomes holds this row, so that none becomes visible out of order.
CREATE TABLE bank_counter (
    id BIGINT NOT NULL PRIMARY KEY,
    position BIGINT NOT NULL,
    CONSTRAINT bank_counter_single CHECK (id = 1)
) /*sqlite: WITHOUT ROWID */;

INSERT INTO bank_counter (id, position) VALUES (1, 0);
