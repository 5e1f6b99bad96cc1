//! Refunds that name a payment: what may be given back, to whom, how, and never too much.

use proptest::prelude::*;
use rstest::rstest;

use super::initiate::FieldError;
use super::*;

/// All that was paid, to where it came from.
pub(super) fn refund() -> Initiation {
    Initiation { initiated_by: LANDLORD, refund_of: Some(RENT_PAID), payee_id: Some(RENTER), ..initiation() }
}

fn decide(request: &Initiation, refunded: Option<&Refundable>) -> Result<Payment, Vec<FieldError>> {
    decide_with(request, refunded, &accounts())
}

fn decide_with(
    request: &Initiation,
    refunded: Option<&Refundable>,
    accounts: &[AccountStanding],
) -> Result<Payment, Vec<FieldError>> {
    let decided = request.decide(PAYMENT, Some(&lease()), refunded, accounts, at(start()), new_event(1, start()));
    decided.map(|(payment, _)| payment)
}

fn codes(answer: Result<Payment, Vec<FieldError>>) -> Vec<(&'static str, &'static str)> {
    answer.unwrap_err().into_iter().map(|(field, invalid)| (field, invalid.code)).collect()
}

#[test]
fn a_refund_goes_back_to_where_the_money_came_from_by_the_same_rail() {
    let mut accounts = accounts();
    accounts[0].is_primary = false;
    accounts.push(account(RENTER, BankAccountId(Uuid::from_u128(0xE9)), "9999"));

    let payment = decide_with(&refund(), Some(&rent_paid()), &accounts).unwrap();

    let terms = &payment.terms;
    assert_eq!((terms.kind, terms.refund_of, terms.rail), (Kind::Refund, Some(RENT_PAID), Rail::Wire));
    assert_eq!((terms.payee_id, terms.payee.account_id), (RENTER, RENTERS_ACCOUNT));
}

#[rstest]
#[case::inactive(|account: &mut AccountStanding| account.is_active = false, "inactive")]
#[case::closed(|account: &mut AccountStanding| account.closed_by = Some("R02".into()), "account_unusable")]
fn an_account_that_cannot_be_used_is_refused_and_never_replaced(
    #[case] change: fn(&mut AccountStanding),
    #[case] code: &'static str,
) {
    let mut accounts = accounts();
    change(&mut accounts[0]);
    let other = BankAccountId(Uuid::from_u128(0xE9));
    accounts.push(account(RENTER, other, "9999"));

    assert_eq!(codes(decide_with(&refund(), Some(&rent_paid()), &accounts)), [("payee_account_id", code)]);
    let named = Initiation { payee_account_id: Some(other), ..refund() };
    assert_eq!(decide_with(&named, Some(&rent_paid()), &accounts).unwrap().terms.payee.account_id, other);
}

#[rstest]
#[case::more(Initiation { amount: usd(150_001), ..refund() }, "amount", "more_than_refundable")]
#[case::to_another(Initiation { payee_id: Some(FLATMATE), ..refund() }, "payee_id", "differs_from_payment")]
#[case::to_anothers_account(Initiation { payee_account_id: Some(FLATMATES_ACCOUNT), ..refund() }, "payee_account_id", "not_found")]
#[case::of_nothing(Initiation { refund_of: Some(PAYMENT), ..refund() }, "refund_of", "not_found")]
#[case::by_a_renter(Initiation { initiated_by: RENTER, payee_id: None, ..refund() }, "refund_of", "only_for_refunds")]
#[case::rent_to_a_payee(Initiation { payee_id: Some(LANDLORD), ..initiation() }, "payee_id", "only_for_refunds")]
fn what_is_no_refund_of_that_payment_is_refused(
    #[case] request: Initiation,
    #[case] field: &'static str,
    #[case] code: &'static str,
) {
    assert_eq!(codes(decide(&request, Some(&rent_paid())))[0], (field, code));
}

#[rstest]
#[case::of_nothing(None, "not_found")]
#[case::of_another_lease(Some(Refundable { lease_id: LeaseId(Uuid::nil()), ..rent_paid() }), "not_found")]
#[case::of_a_refund(Some(Refundable { kind: Kind::Refund, ..rent_paid() }), "not_rent")]
#[case::returned(Some(Refundable { status: Status::Returned, ..rent_paid() }), "not_settled")]
#[case::on_its_way(Some(Refundable { status: Status::Processing, ..rent_paid() }), "not_settled")]
fn only_settled_rent_of_the_lease_is_refunded(#[case] refunded: Option<Refundable>, #[case] code: &'static str) {
    assert_eq!(codes(decide(&refund(), refunded.as_ref())), [("refund_of", code)]);
}

#[test]
fn what_was_promised_before_is_not_promised_again() {
    let refunded = Refundable { promised_minor: 100_000, ..rent_paid() };
    let of = |minor| decide(&Initiation { amount: usd(minor), ..refund() }, Some(&refunded));

    assert!(of(50_000).is_ok());
    let errors = of(50_001).unwrap_err();
    assert_eq!(errors[0].1.detail, "is more than the 500.00 that can still be refunded");
}

#[test]
fn another_rail_is_fine_if_it_carries_the_money() {
    let by = |rail| Initiation { rail: Some(rail), ..refund() };
    let large = Refundable { settled: usd(100_000_001), ..rent_paid() };

    assert_eq!(decide(&by(Rail::Instant), Some(&rent_paid())).unwrap().terms.rail, Rail::Instant);
    let too_large = Initiation { amount: usd(100_000_001), ..by(Rail::SameDayAch) };
    assert_eq!(codes(decide(&too_large, Some(&large))), [("amount", "over_rail_limit")]);
}

#[rstest]
#[case::payment(Initiation { refund_of: Some(PAYMENT), ..refund() })]
#[case::no_payment(Initiation { refund_of: None, ..refund() })]
#[case::payee(Initiation { payee_id: Some(FLATMATE), ..refund() })]
#[case::payee_omitted(Initiation { payee_id: None, ..refund() })]
#[case::rail(Initiation { rail: Some(Rail::Instant), ..refund() })]
// What the default is depends on the payment: here, too, an omitted field equals only itself omitted.
#[case::rail_given(Initiation { rail: Some(Rail::Wire), ..refund() })]
fn a_refund_that_differs_in_any_field_is_another(#[case] other: Initiation) {
    let payment = decide(&refund(), Some(&rent_paid())).unwrap();

    assert!(refund().is_repeated_by(&payment));
    assert!(!other.is_repeated_by(&payment));
    if let Ok(payment) = decide(&other, Some(&rent_paid())) {
        assert!(other.is_repeated_by(&payment) && !refund().is_repeated_by(&payment));
    }
}

#[test]
fn a_refund_is_rebuilt_from_its_events() {
    let life = Life::of(&refund());

    assert_eq!(Payment::fold(&life.events), Ok(life.payment));
}

/// A step of a random life of one payment's refunds.
#[derive(Debug, Clone)]
enum Step {
    Asks(i64),
    /// The refund of this number, counted round, is told this.
    Tells(usize, Command),
    /// Somebody tries it again.
    Retries(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let told = prop_oneof![
        3 => Just(Command::Submit),
        2 => Just(Command::Settle { attempt: 0 }),
        1 => Just(Command::Cancel(None)),
        2 => Just(Command::Refuse { attempt: 0, reason: reason(Reason::BANK_UNAVAILABLE) }),
        1 => Just(Command::Return { attempt: 0, reason: reason("R01") }),
        1 => Just(Command::Return { attempt: 0, reason: reason("R10") }),
    ];
    let step = prop_oneof![
        3 => (1..90_000_i64).prop_map(Step::Asks),
        8 => (0..20_usize, told).prop_map(|(of, command)| Step::Tells(of, command)),
        2 => (0..20_usize).prop_map(Step::Retries),
    ];
    prop::collection::vec(step, 1..60)
}

/// The same command to the present attempt.
fn now(command: Command, attempt: i64) -> Command {
    match command {
        Command::Settle { .. } => Command::Settle { attempt },
        Command::Refuse { reason, .. } => Command::Refuse { attempt, reason },
        Command::Return { reason, .. } => Command::Return { attempt, reason },
        Command::Submit | Command::Cancel(_) | Command::Retry | Command::NotNow { .. } => command,
    }
}

/// Does what is allowed and counts what is promised as the store does it: from fact to fact.
fn tell(life: &mut Life, command: &Command, refunded: &mut Refundable) {
    let Ok(Decision::Record(facts)) = life.payment.decide(command, life.at) else { return };
    for (change, reason) in facts {
        refunded.promised_minor += life.payment.promises(&change);
        let new = new_event(u128::try_from(life.payment.version + 1).unwrap(), life.at.now);
        life.events.push(Event::next(&mut life.payment, change, reason, new));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn refunds_never_come_to_more_than_the_payment_settled(steps in steps()) {
        let mut refunded = Refundable { rail: Rail::StandardAch, ..rent_paid() };
        let mut lives: Vec<Life> = Vec::new();
        for step in steps {
            match step {
                Step::Asks(minor) => {
                    let request = Initiation { amount: usd(minor), ..refund() };
                    let decided = request.decide(
                        PAYMENT, Some(&lease()), Some(&refunded), &accounts(), at(start()), new_event(1, start()),
                    );
                    if let Ok((payment, event)) = decided {
                        refunded.promised_minor += payment.promises(&event.change);
                        lives.push(Life { payment, events: vec![event], at: at(start()) });
                    }
                }
                Step::Tells(of, command) if !lives.is_empty() => {
                    let of = of % lives.len();
                    let command = now(command, lives[of].attempt());
                    tell(&mut lives[of], &command, &mut refunded);
                }
                Step::Retries(of) if !lives.is_empty() => {
                    let of = of % lives.len();
                    let covered = refunded.clone().promise(lives[of].payment.terms.amount).is_ok();
                    if covered {
                        tell(&mut lives[of], &Command::Retry, &mut refunded);
                    }
                }
                Step::Tells(..) | Step::Retries(_) => {}
            }
            let promised = lives.iter().filter(|life| life.payment.status.is_promised());
            let promised: i64 = promised.map(|life| life.payment.terms.amount.minor()).sum();
            prop_assert_eq!(refunded.promised_minor, promised);
            prop_assert!(promised <= refunded.settled.minor());
        }
    }
}
