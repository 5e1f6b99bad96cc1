//! What the database itself refuses, whoever writes.

use directpay_domain::payment::Command;
use rstest::rstest;

use crate::harness::on_both_engines;
use crate::world::rent;

#[rstest]
#[case("UPDATE events SET body = '{}'")]
#[case("UPDATE events SET occurred_at = 0 WHERE sequence = 1")]
#[case("DELETE FROM events WHERE sequence = 2")]
#[case("UPDATE postings SET amount = 1")]
#[case("DELETE FROM postings")]
fn facts_and_postings_are_never_changed_or_deleted(#[case] sql: &'static str) {
    on_both_engines(async |world| {
        let house = world.house().await;
        let id = world.pays(rent(&house, "k1")).await;
        world.does(id, Command::Submit).await;

        let error = world.fail(async |tx| tx.execute(sql, ()).await).await;

        assert!(error.to_string().contains("is append-only"), "{error}");
    });
}

#[rstest]
#[case("UPDATE payments SET status = 'DONE'")]
#[case("UPDATE payments SET status = 'FAILED'")]
#[case("UPDATE payments SET failure_code = 'R01', failure_text = ''")]
#[case("UPDATE payments SET status = 'FAILED', failure_code = 'R01'")]
#[case("UPDATE payments SET amount = 0")]
#[case("UPDATE payments SET amount = NULL")]
#[case("UPDATE payments SET kind = 'GIFT'")]
#[case("UPDATE payments SET rail = 'CHEQUE'")]
#[case("UPDATE payments SET version = 0")]
#[case("UPDATE payments SET attempt = 0")]
#[case("UPDATE payments SET transient_retries = -1")]
#[case("UPDATE payments SET idempotency_key = ''")]
#[case("UPDATE payments SET idempotency_key = 'k2' WHERE idempotency_key = 'k1'")]
#[case("DELETE FROM payments")]
#[case("UPDATE due_work SET what = 'REST'")]
#[case("UPDATE users SET role = 'KING'")]
#[case("UPDATE bank_accounts SET account_type = 'PIGGY'")]
#[case("UPDATE bank_accounts SET is_active = FALSE")]
#[case("UPDATE bank_accounts SET last4 = '12345'")]
#[case("UPDATE leases SET rent_amount = 0")]
#[case("UPDATE leases SET payment_due_day = 32")]
#[case("UPDATE leases SET ends_on = 20251231")]
#[case(
    "INSERT INTO events (stream_id, sequence, stream, event_type, occurred_at, body, hash)
        SELECT id, 1, 'PAYMENT', 'payment_processing', 0, '{}', (SELECT head FROM lease_accounts LIMIT 1) FROM payments"
)]
#[case(
    "INSERT INTO events (stream_id, sequence, stream, event_type, occurred_at, body, hash)
        SELECT id, 2, 'PAYMENT', 'payment_forgotten', 0, '{}', (SELECT head FROM lease_accounts LIMIT 1) FROM payments"
)]
#[case(
    "INSERT INTO events (stream_id, sequence, stream, event_type, occurred_at, body, hash)
        SELECT id, 2, 'DIARY', 'payment_failed', 0, '{}', (SELECT head FROM lease_accounts LIMIT 1) FROM payments"
)]
#[case(
    "INSERT INTO postings (stream_id, sequence, line, landlord_id, currency, debit, credit, amount)
        SELECT id, 9, 1, landlord_id, 'USD', 'a', 'b', 1 FROM payments"
)]
#[case(
    "INSERT INTO postings (stream_id, sequence, line, landlord_id, currency, debit, credit, amount)
        SELECT id, 1, 1, landlord_id, 'USD', 'a', 'a', 1 FROM payments"
)]
#[case(
    "INSERT INTO postings (stream_id, sequence, line, landlord_id, currency, debit, credit, amount)
        SELECT id, 1, 1, landlord_id, 'USD', 'a', 'b', 0 FROM payments"
)]
#[case("INSERT INTO bank_counter (id, position) VALUES (2, 0)")]
#[case("INSERT INTO sandbox_clock (id, ahead_us) VALUES (2, 0)")]
#[case("UPDATE sandbox_clock SET ahead_us = -1")]
fn what_cannot_be_true_cannot_be_written(#[case] sql: &'static str) {
    on_both_engines(async |world| {
        let house = world.house().await;
        world.pays(rent(&house, "k1")).await;
        world.pays(rent(&house, "k2")).await;

        world.fail(async |tx| tx.execute(sql, ()).await).await;
    });
}
