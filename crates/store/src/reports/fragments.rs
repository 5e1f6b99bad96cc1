//! Pieces of SQL that the sums and their explanations share.
//!
//! A subquery on a row stays one on PostgreSQL: joined, its planner would rather read all allocations than those of a lease, of
//! whose size it knows nothing.
//!
//! `l` is a lease, `pr` its property, `d` the day where that lies, `c` a charge of the lease.

/// The leases of a landlord and their days; more tables may follow.
macro_rules! leases_and_days {
    ($engine:ident) => {
        concat!(
            " FROM leases l ",
            $crate::sql::part!($engine lookup(properties pr: "pr.id = l.property_id")),
            $crate::sql::part!($engine lookup(day d: "d.time_zone = pr.time_zone"))
        )
    };
}

/// Whether a charge can be owed on the day: it was posted, for no later day.
macro_rules! counts {
    () => {
        " c.posted_at IS NOT NULL AND c.due_date <= d.through "
    };
}

/// How much of a charge was owed at the end of the day, paid or not.
///
/// A charge is owed from its due date until it is voided. What was paid out comes and goes with the refund's events.
macro_rules! owed {
    () => {
        " CASE WHEN c.kind <> 'PAYOUT' THEN CASE WHEN c.voided_at IS NULL OR d.until <= c.voided_at THEN c.amount ELSE 0 END
               ELSE CASE WHEN c.voided_at IS NULL THEN c.amount ELSE 0 END
                    - CASE WHEN d.until = 9223372036854775807 THEN 0 ELSE COALESCE((
                          SELECT SUM(CASE WHEN o.debit LIKE 'receivable:%' THEN o.amount
                                          WHEN o.credit LIKE 'receivable:%' THEN -o.amount ELSE 0 END)
                          FROM events e JOIN postings o ON o.stream_id = e.stream_id AND o.sequence = e.sequence
                          WHERE e.stream_id = c.id AND d.until <= e.occurred_at), 0) END END "
    };
}

/// How much of that was neither paid nor on its way.
macro_rules! open {
    () => {
        concat!(
            " CAST(",
            owed!(),
            " - (c.applied - CASE WHEN d.until = 9223372036854775807 THEN 0 ELSE COALESCE((
                   SELECT SUM(a.amount) FROM allocations a
                   JOIN events e ON e.stream_id = a.stream_id AND e.sequence = a.sequence
                   WHERE a.charge_id = c.id AND d.until <= e.occurred_at), 0) END) AS BIGINT) "
        )
    };
}

/// What the credit of a lease at the end of the day was more than what was open: all that is applied and all credit now, less
/// what came in since, less what was owed then.
macro_rules! credit_less_open {
    () => {
        concat!(
            " CAST(COALESCE((SELECT SUM(k.amount) FROM credits k WHERE k.lease_id = l.id), 0)
                   + COALESCE((
                         SELECT SUM(c.applied - CASE WHEN c.due_date <= d.through THEN ",
            owed!(),
            " ELSE 0 END) FROM charges c WHERE c.lease_id = l.id AND c.posted_at IS NOT NULL), 0)
                   - CASE WHEN d.until = 9223372036854775807 THEN 0 ELSE
                         COALESCE((
                             SELECT SUM(CASE WHEN o.credit LIKE 'receivable:%' THEN o.amount
                                             WHEN o.debit LIKE 'receivable:%' THEN -o.amount ELSE 0 END)
                             FROM payments p JOIN events e ON e.stream_id = p.id
                             JOIN postings o ON o.stream_id = e.stream_id AND o.sequence = e.sequence
                             WHERE p.lease_id = l.id AND p.kind = 'RENT' AND d.until <= e.occurred_at
                               AND (p.status IN ('PENDING', 'PROCESSING') OR d.until <= p.processing_at
                                    OR d.until <= p.completed_at OR d.until <= p.failed_at OR d.until <= p.returned_at
                                    OR d.until <= p.cancelled_at)), 0)
                         + COALESCE((
                             SELECT SUM(o.amount)
                             FROM events e JOIN postings o ON o.stream_id = e.stream_id AND o.sequence = e.sequence
                             WHERE e.stream_id = l.id AND e.event_type <> 'charge_voided' AND o.credit LIKE 'receivable:%'
                               AND d.until <= e.occurred_at), 0) END AS BIGINT) "
        )
    };
}

/// What of an allocation `a` to a deposit, made by the event `e`, was there in money at the end of the day.
macro_rules! is_deposit_held {
    () => {
        " e.occurred_at < d.until AND 1 = (
              SELECT SUM(CASE WHEN s.event_type = 'payment_completed' THEN 1 ELSE -1 END) FROM events s
              WHERE s.stream_id = a.source_id AND s.event_type IN ('payment_completed', 'payment_returned')
                AND s.occurred_at < d.until) "
    };
}

/// Whether a posting `o` of the lease's own event `e` released a deposit by the end of the day.
macro_rules! is_release {
    () => {
        " o.debit LIKE 'deposit:%' AND e.event_type <> 'charge_voided' AND e.occurred_at < d.until "
    };
}

/// How much money a release, `o`, gave free: not what it let off of a deposit that was never paid.
macro_rules! released {
    () => {
        " CAST(o.amount - COALESCE((
              SELECT SUM((SELECT SUM(a.amount) FROM allocations a
                          WHERE a.charge_id = c.id AND a.stream_id = o.stream_id AND a.sequence = o.sequence))
              FROM charges c WHERE c.lease_id = l.id AND c.kind = 'DEPOSIT'), 0) AS BIGINT) "
    };
}

pub(super) use {counts, credit_less_open, is_deposit_held, is_release, leases_and_days, open, owed, released};
