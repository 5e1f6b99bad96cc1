//! The state table of the domain rules, every status against every command.

use rstest::rstest;

use super::*;

/// From, to, by which event: all legal transitions, as the domain rules list them.
pub(super) const LEGAL: [(Option<Status>, Status, EventType); 10] = [
    (None, Status::Pending, EventType::Initiated),
    (Some(Status::Pending), Status::Processing, EventType::Processing),
    (Some(Status::Pending), Status::Cancelled, EventType::Cancelled),
    (Some(Status::Processing), Status::Completed, EventType::Completed),
    (Some(Status::Processing), Status::Failed, EventType::Failed),
    (Some(Status::Processing), Status::Pending, EventType::RetryScheduled),
    (Some(Status::Completed), Status::Returned, EventType::Returned),
    (Some(Status::Returned), Status::Pending, EventType::RetryScheduled),
    (Some(Status::Failed), Status::Pending, EventType::RetryRequested),
    (Some(Status::Returned), Status::Pending, EventType::RetryRequested),
];

/// What a command to the present attempt, with reason R10, leads to.
enum Expected {
    Facts(&'static [EventType]),
    AlreadyRecorded,
    WrongStatus,
    NotRetryable,
}
use Expected::*;

fn commands() -> [Command; 7] {
    let reason = || reason("R10");
    [
        Command::Submit,
        Command::Cancel(None),
        Command::Retry,
        Command::NotNow { attempt: 1, reason: reason() },
        Command::Settle { attempt: 1 },
        Command::Refuse { attempt: 1, reason: reason() },
        Command::Return { attempt: 1, reason: reason() },
    ]
}

/// In the order of [`commands`]: submit, cancel, retry, not now, settle, refuse, return.
fn expected(status: Status) -> [Expected; 7] {
    use EventType as E;
    const NO: Expected = WrongStatus;
    const AGAIN: Expected = AlreadyRecorded;
    match status {
        Status::Pending => [Facts(&[E::Processing]), Facts(&[E::Cancelled]), NO, NO, NO, NO, NO],
        Status::Processing => {
            [NO, NO, NO, Facts(&[E::RetryScheduled]), Facts(&[E::Completed]), Facts(&[E::Failed]), NO]
        }
        Status::Completed => [NO, NO, NO, NO, AGAIN, NO, Facts(&[E::Returned])],
        Status::Failed => [NO, NO, NotRetryable, AGAIN, NO, AGAIN, NO],
        Status::Returned => [NO, NO, NotRetryable, NO, AGAIN, NO, AGAIN],
        Status::Cancelled => [NO, NO, NO, NO, NO, NO, NO],
    }
}

#[test]
fn every_status_answers_every_command_as_the_table_says() {
    for status in Status::ALL {
        for (command, expected) in commands().iter().zip(expected(status)) {
            let mut life = Life::to(status);
            let before = life.payment.clone();

            let answer = life.tries(command);

            let case = format!("{status} {command:?}");
            match (answer, expected) {
                (Ok(types), Facts(facts)) => assert_eq!(types, facts, "{case}"),
                (Ok(types), AlreadyRecorded) => {
                    assert_eq!(types, [], "{case}");
                    assert_eq!(life.payment, before, "{case}");
                }
                (Err(rejection @ Rejection::WrongStatus { .. }), WrongStatus)
                | (Err(rejection @ Rejection::NotRetryable { .. }), NotRetryable) => {
                    assert_eq!(rejection.status(), status, "{case}");
                    assert_eq!(life.payment, before, "{case}");
                }
                (answer, _) => panic!("{case} gave {answer:?}"),
            }
        }
    }
}

#[rstest]
#[case::of_an_earlier_attempt(-1, true)]
#[case::of_an_attempt_that_never_was(1, false)]
fn what_the_bank_says_of_another_attempt_changes_nothing(#[case] offset: i64, #[case] is_known: bool) {
    let mut life = Life::by(Rail::StandardAch);
    life.submit();
    life.not_now();
    life.submit();
    let attempt = life.attempt() + offset;
    let reason = || reason("R01");
    for command in [
        Command::NotNow { attempt, reason: reason() },
        Command::Settle { attempt },
        Command::Refuse { attempt, reason: reason() },
        Command::Return { attempt, reason: reason() },
    ] {
        let before = life.payment.clone();

        let answer = life.tries(&command);

        assert_eq!(answer.is_ok(), is_known, "{command:?}");
        assert_eq!(answer.unwrap_or_default(), []);
        assert_eq!(life.payment, before);
    }
}

#[test]
fn a_cancellation_may_carry_the_reason_of_a_rule() {
    let mut life = Life::to(Status::Pending);

    life.does(&Command::Cancel(Some(reason("account_inactive"))));

    assert_eq!(life.events[1].reason, Some(reason("account_inactive")));
    assert_eq!(life.payment.cancelled_at, Some(start()));
}

#[rstest]
#[case::gap(|events: &mut Vec<Event>| { events.remove(1); })]
#[case::no_beginning(|events: &mut Vec<Event>| { events.remove(0); })]
#[case::nothing(|events: &mut Vec<Event>| events.clear())]
#[case::doubled(|events: &mut Vec<Event>| events.push(events[2].clone()))]
#[case::swapped(|events: &mut Vec<Event>| events.swap(1, 2))]
#[case::another_status(|events: &mut Vec<Event>| events[1].status = Status::Failed)]
#[case::another_previous_status(|events: &mut Vec<Event>| events[2].previous_status = Some(Status::Pending))]
#[case::another_payment(|events: &mut Vec<Event>| events[1].payment_id = PaymentId(Uuid::nil()))]
#[case::first_with_a_past(|events: &mut Vec<Event>| events[0].previous_status = Some(Status::Pending))]
#[case::first_not_numbered_one(|events: &mut Vec<Event>| events[0].sequence = 0)]
fn a_damaged_history_is_refused(#[case] damage: fn(&mut Vec<Event>)) {
    let mut events = Life::to(Status::Completed).events;
    assert!(Payment::fold(&events).is_ok());

    damage(&mut events);

    assert!(Payment::fold(&events).is_err());
}
