//! Second attempts: who gets one, when, and who is told what to do instead.

use rstest::rstest;

use super::*;
use crate::time::SECOND_US;

fn refused_for(rail: Rail, code: &str) -> Life {
    let mut life = Life::by(rail);
    life.submit();
    life.refuse(code);
    life
}

fn advice(life: &mut Life) -> &'static str {
    match life.tries(&Command::Retry) {
        Err(Rejection::NotRetryable { advice, .. }) => advice,
        answer => panic!("{answer:?}"),
    }
}

#[rstest]
#[case("R02", "never again to this account")]
#[case("R03", "correct and send anew")]
#[case("R10", "only with new authorization")]
#[case("R24", "stop")]
#[case("R31", "bank matter")]
#[case("AM04", "start a new payment")]
#[case("R99", "start a new payment")]
fn a_person_is_told_what_to_do_instead_of_a_retry(#[case] code: &str, #[case] expected: &str) {
    assert_eq!(advice(&mut refused_for(Rail::StandardAch, code)), expected);
}

#[test]
fn the_advice_is_that_of_the_shared_table_of_return_codes() {
    // code,title,window,what to do: a copy of what the payments industry publishes.
    for code in ["R01", "R05", "R06", "R07", "R08", "R11", "R12", "R13", "R14", "R15", "R16", "R17", "R20", "R29"] {
        let reason = reason(code);
        let known = reason.return_code().unwrap();
        assert_eq!(known.code, code);
        assert_eq!(reason.advice(), known.what_to_do);
        assert!(!known.title.is_empty() && !known.return_window.is_empty());
    }
    assert_eq!(reason("r01").return_code(), None);
}

#[rstest]
#[case("R01", true)]
#[case("R09", true)]
#[case("R02", false)]
#[case("R10", false)]
#[case("AM04", false)]
#[case(Reason::BANK_UNAVAILABLE, false)]
fn only_r01_and_r09_go_out_again_by_themselves_and_only_by_ach(#[case] code: &str, #[case] expected: bool) {
    for rail in Rail::ALL {
        let again = refused_for(rail, code).payment.status == Status::Pending;

        assert_eq!(again, expected && rail.is_returnable(), "{code} {rail}");
    }
}

#[rstest]
#[case("R02", true)]
#[case("R03", true)]
#[case("R04", true)]
#[case("R14", true)]
#[case("R15", true)]
#[case("R16", true)]
#[case("R20", true)]
#[case("R01", false)]
#[case("R10", false)]
#[case("AC04", false)]
fn these_codes_close_the_account(#[case] code: &str, #[case] expected: bool) {
    assert_eq!(reason(code).closes_account(), expected);
}

#[test]
fn a_debit_goes_out_three_times_in_all() {
    let mut life = Life::by(Rail::SameDayAch);
    for _ in 0..2 {
        life.submit();
        assert_eq!(life.refuse("R01"), [EventType::RetryScheduled]);
    }
    life.submit();

    assert_eq!(life.refuse("R09"), [EventType::Failed]);

    assert_eq!(life.payment.attempt, 3);
    assert_eq!(advice(&mut life), "its re-presentments are used up; start a new payment");
}

#[test]
fn returns_after_settlement_and_refusals_share_one_budget() {
    let mut life = Life::by(Rail::StandardAch);
    life.submit();
    life.refuse("R01");
    life.submit();
    life.settle();
    assert_eq!(life.return_for("R09"), [EventType::Returned, EventType::RetryScheduled]);
    life.submit();
    life.settle();

    assert_eq!(life.return_for("R01"), [EventType::Returned]);

    assert_eq!(life.payment.failure, Some(reason("R01")));
    assert_eq!(life.payment.returned_at, Some(start()));
}

#[rstest]
#[case::on_the_last_moment_of_day_180(180 * DAY_US, Status::Pending)]
#[case::after_it(180 * DAY_US + 1, Status::Failed)]
fn a_debit_goes_out_again_within_180_days_of_the_first_hand_over(#[case] later_us: i64, #[case] expected: Status) {
    let mut life = Life::by(Rail::StandardAch);
    life.waits(DAY_US);
    life.submit();
    life.waits(later_us);

    life.refuse("R01");

    assert_eq!(life.payment.status, expected);
}

#[test]
fn a_representment_waits_a_minute_at_the_simulators_scale() {
    let life = refused_for(Rail::StandardAch, "R01");

    let work = life.payment.next_work(life.last_change(), life.at.now).unwrap();

    assert_eq!(work, Work { what: WorkKind::Submit, due_at: start().plus_micros(60 * SECOND_US) });
    assert_eq!(life.payment.representments, 1);
}

#[test]
fn five_transient_errors_are_tried_again_and_the_sixth_fails_with_its_reason() {
    let mut life = Life::by(Rail::Instant);

    life.exhausts_retries();

    assert_eq!(life.payment.retry_count(), 5);
    assert_eq!(life.payment.failure, Some(reason(Reason::BANK_UNAVAILABLE)));
}

#[test]
fn a_persons_retry_starts_a_new_budget_and_goes_on_counting() {
    let mut life = Life::by(Rail::Wire);
    life.exhausts_retries();

    assert_eq!(life.does(&Command::Retry), [EventType::RetryRequested]);

    assert_eq!((life.payment.transient_retries, life.payment.retry_count()), (0, 6));
    assert_eq!(life.payment.failure, None);
    let work = life.payment.next_work(life.last_change(), life.at.now).unwrap();
    assert_eq!(work, Work { what: WorkKind::Submit, due_at: start() });
    life.exhausts_retries();
    assert_eq!(life.payment.retry_count(), 11);
}

#[test]
fn a_persons_retry_leaves_the_representments_as_they_were() {
    let mut life = refused_for(Rail::StandardAch, "R01");
    life.submit();
    life.refuse("R01");
    life.exhausts_retries();
    life.does(&Command::Retry);
    life.submit();

    assert_eq!(life.refuse("R01"), [EventType::Failed]);
}

#[rstest]
#[case(0, 5, 10)]
#[case(1, 10, 20)]
#[case(2, 20, 40)]
#[case(3, 40, 80)]
#[case(4, 80, 160)]
fn back_off_doubles_and_spreads_between_half_and_the_whole(
    #[case] earlier: i64,
    #[case] shortest_s: i64,
    #[case] longest_s: i64,
) {
    for (jitter, expected_us) in [
        (0, shortest_s * SECOND_US),
        (500, (shortest_s + longest_s) * SECOND_US / 2),
        (1000, longest_s * SECOND_US),
        (-1, shortest_s * SECOND_US),
        (1001, longest_s * SECOND_US),
    ] {
        let mut life = Life::by(Rail::Wire);
        for _ in 0..earlier {
            life.submit();
            life.not_now();
        }
        life.submit();
        life.at.jitter = jitter;

        life.not_now();

        let work = life.payment.next_work(life.last_change(), life.at.now).unwrap();
        assert_eq!(work.due_at, start().plus_micros(expected_us), "jitter {jitter}");
    }
}

#[test]
fn every_delay_is_scaled() {
    let mut life = Life::by(Rail::StandardAch);
    life.at.scale = DelayScale::AT_ONCE;
    life.submit();
    assert_eq!(life.payment.estimated_settlement_at, start());
    life.not_now();
    assert_eq!(life.payment.next_work(life.last_change(), start()).unwrap().due_at, start());
    life.submit();
    life.refuse("R01");
    assert_eq!(life.payment.next_work(life.last_change(), start()).unwrap().due_at, start());
    assert_eq!(life.payment.estimated_settlement_at, start());
}

#[test]
fn the_estimate_is_what_the_simulator_will_do_with_the_next_attempt() {
    let mut life = Life::by(Rail::StandardAch);
    let delay = |attempt| Rail::StandardAch.simulated_delay_us(PAYMENT, attempt, DelayScale::AS_IT_IS);
    assert_eq!(life.payment.estimated_settlement_at, start().plus_micros(delay(1)));
    life.waits(SECOND_US);
    life.submit();
    assert_eq!(life.payment.estimated_settlement_at, life.at.now.plus_micros(delay(1)));
    life.refuse("R01");
    let due_at = life.at.now.plus_micros(60 * SECOND_US);
    assert_eq!(life.payment.estimated_settlement_at, due_at.plus_micros(delay(2)));
    life.exhausts_retries();
    life.does(&Command::Retry);
    assert_eq!(life.payment.estimated_settlement_at, life.at.now.plus_micros(delay(life.attempt())));
}

#[test]
fn the_first_hand_over_is_remembered_beside_the_latest() {
    let mut life = refused_for(Rail::StandardAch, "R01");
    life.waits(DAY_US);
    life.submit();

    assert_eq!(life.payment.first_processing_at, Some(start()));
    assert_eq!(life.payment.processing_at, Some(start().plus_micros(DAY_US)));
}

#[rstest]
#[case(Status::Pending, true)]
#[case(Status::Processing, true)]
#[case(Status::Completed, true)]
#[case(Status::Failed, false)]
#[case(Status::Returned, false)]
#[case(Status::Cancelled, false)]
fn money_under_way_or_arrived_is_returnable_for_60_days(#[case] status: Status, #[case] is_returnable: bool) {
    let payment = Life::to(status).payment;
    let settlement = payment.completed_at.unwrap_or(payment.estimated_settlement_at);

    let expected = is_returnable.then(|| settlement.plus_micros(60 * DAY_US));

    assert_eq!(payment.returnable_until(), expected);
}

#[rstest]
#[case(Rail::Instant)]
#[case(Rail::Wire)]
fn a_credit_transfer_is_final(#[case] rail: Rail) {
    let mut life = Life::by(rail);
    assert_eq!(life.payment.returnable_until(), None);
    life.submit();
    life.settle();
    assert_eq!(life.payment.returnable_until(), None);
}
