//! Who may pay whom, from where to where, how much and by which rail.

use rstest::rstest;
use serde_json::json;

use super::initiate::FieldError;
use super::*;

fn decide(
    request: &Initiation,
    lease: &LeaseParties,
    accounts: &[AccountStanding],
) -> Result<Payment, Vec<FieldError>> {
    let decided = request.decide(PAYMENT, Some(lease), None, accounts, at(start()), new_event(1, start()));
    decided.map(|(payment, _)| payment)
}

fn codes(answer: Result<Payment, Vec<FieldError>>) -> Vec<(&'static str, &'static str)> {
    answer.unwrap_err().into_iter().map(|(field, invalid)| (field, invalid.code)).collect()
}

fn refund() -> Initiation {
    Initiation { initiated_by: LANDLORD, ..initiation() }
}

fn notes(value: serde_json::Value) -> Metadata {
    Metadata::parse(value.as_object().cloned().unwrap()).unwrap()
}

fn eur() -> Currency {
    Currency::parse("EUR").unwrap()
}

/// Every optional field given, each with the value that its default would have had.
fn spelled_out() -> Initiation {
    Initiation {
        payer_account_id: Some(RENTERS_ACCOUNT),
        payee_account_id: Some(LANDLORDS_ACCOUNT),
        rail: Some(Rail::DEFAULT),
        currency: Some(Currency::USD),
        metadata: Some(Metadata::default()),
        ..initiation()
    }
}

#[test]
fn rent_goes_from_the_renters_primary_account_to_the_landlords() {
    let payment = decide(&initiation(), &lease(), &accounts()).unwrap();

    let terms = &payment.terms;
    assert_eq!((terms.kind, terms.initiated_by, terms.payee_id), (Kind::Rent, RENTER, LANDLORD));
    assert_eq!((terms.payer.account_id, terms.payee.account_id), (RENTERS_ACCOUNT, LANDLORDS_ACCOUNT));
    assert_eq!((payment.status, payment.version, payment.attempt), (Status::Pending, 1, 1));
}

#[test]
fn a_refund_goes_from_the_landlord_to_the_only_renter() {
    let payment = decide(&refund(), &lease(), &accounts()).unwrap();

    let terms = &payment.terms;
    assert_eq!((terms.kind, terms.initiated_by, terms.payee_id), (Kind::Refund, LANDLORD, RENTER));
    assert_eq!((terms.payer.account_id, terms.payee.account_id), (LANDLORDS_ACCOUNT, RENTERS_ACCOUNT));
    assert_eq!(terms.landlord_id, LANDLORD);
}

#[test]
fn a_refund_to_one_of_several_renters_names_the_renter_or_the_account() {
    let shared = LeaseParties { renter_ids: vec![RENTER, FLATMATE], ..lease() };
    assert_eq!(codes(decide(&refund(), &shared, &accounts())), [("payee_id", "required")]);

    let payee = |payee_id, payee_account_id| {
        let named = Initiation { payee_id, payee_account_id, ..refund() };
        decide(&named, &shared, &accounts())
            .map(|payment| (payment.terms.payee_id, payment.terms.payee.account_id))
            .map_err(|errors| (errors[0].0, errors[0].1.code))
    };

    let flatmate = Ok((FLATMATE, FLATMATES_ACCOUNT));
    assert_eq!(payee(Some(FLATMATE), None), flatmate);
    assert_eq!(payee(None, Some(FLATMATES_ACCOUNT)), flatmate);
    assert_eq!(payee(Some(FLATMATE), Some(FLATMATES_ACCOUNT)), flatmate);
    assert_eq!(payee(Some(FLATMATE), Some(RENTERS_ACCOUNT)), Err(("payee_account_id", "not_found")));
    assert_eq!(payee(Some(STRANGER), None), Err(("payee_id", "not_found")));
}

#[test]
fn rent_goes_to_the_leases_receiving_account_where_there_is_one() {
    let second = BankAccountId(Uuid::from_u128(0xE4));
    let receiving = LeaseParties { payee_account_id: Some(second), ..lease() };
    let mut accounts = accounts();
    accounts.push(AccountStanding { is_primary: false, ..account(LANDLORD, second, "2222") });

    let payee = |request: &Initiation| decide(request, &receiving, &accounts).map(|p| p.terms.payee.account_id);

    assert_eq!(payee(&initiation()), Ok(second));
    assert_eq!(payee(&Initiation { payee_account_id: Some(LANDLORDS_ACCOUNT), ..initiation() }), Ok(LANDLORDS_ACCOUNT));
    // A refund leaves from the landlord's primary account and goes to the renter.
    assert_eq!(payee(&refund()), Ok(RENTERS_ACCOUNT));
}

#[test]
fn a_deactivated_receiving_account_is_refused_and_never_replaced() {
    let receiving = LeaseParties { payee_account_id: Some(LANDLORDS_ACCOUNT), ..lease() };
    let mut accounts = accounts();
    accounts[2].is_active = false;
    accounts.push(account(LANDLORD, BankAccountId(Uuid::from_u128(0xE4)), "2222"));

    assert_eq!(codes(decide(&initiation(), &receiving, &accounts)), [("payee_account_id", "inactive")]);
}

#[rstest]
#[case::no_lease(None)]
#[case::somebody_elses(Some(LeaseParties { landlord_id: FLATMATE, renter_ids: vec![RENTER], ..lease() }))]
fn to_a_stranger_a_lease_does_not_exist(#[case] lease: Option<LeaseParties>) {
    let request = Initiation { initiated_by: STRANGER, amount: usd(i64::MAX), ..initiation() };

    let errors =
        request.decide(PAYMENT, lease.as_ref(), None, &accounts(), at(start()), new_event(1, start())).unwrap_err();

    assert_eq!(errors.len(), 1);
    assert_eq!((errors[0].0, errors[0].1.code), ("lease_id", "not_found"));
}

#[rstest]
#[case::unknown(BankAccountId(Uuid::from_u128(0xFF)))]
#[case::a_flatmates(FLATMATES_ACCOUNT)]
#[case::the_payees(LANDLORDS_ACCOUNT)]
fn only_ones_own_account_pays(#[case] payer: BankAccountId) {
    let request = Initiation { payer_account_id: Some(payer), ..initiation() };

    assert_eq!(codes(decide(&request, &lease(), &accounts())), [("payer_account_id", "not_found")]);
}

#[rstest]
#[case::rent(initiation(), FLATMATES_ACCOUNT)]
#[case::rent_to_oneself(initiation(), RENTERS_ACCOUNT)]
#[case::refund_to_no_renter(refund(), FLATMATES_ACCOUNT)]
#[case::refund_to_oneself(refund(), LANDLORDS_ACCOUNT)]
fn only_the_other_party_is_paid(#[case] request: Initiation, #[case] payee: BankAccountId) {
    let request = Initiation { payee_account_id: Some(payee), ..request };

    assert_eq!(codes(decide(&request, &lease(), &accounts())), [("payee_account_id", "not_found")]);
}

#[rstest]
#[case::payer(0, "payer_account_id")]
#[case::payee(2, "payee_account_id")]
fn an_account_must_be_active_and_usable(#[case] whose: usize, #[case] field: &'static str) {
    let refusal = |change: fn(&mut AccountStanding)| {
        let mut accounts = accounts();
        change(&mut accounts[whose]);
        [initiation(), spelled_out()].map(|request| codes(decide(&request, &lease(), &accounts)))
    };

    assert_eq!(refusal(|account| account.is_active = false), [[(field, "inactive")], [(field, "inactive")]]);
    let closed = refusal(|account| account.closed_by = Some("R02".into()));
    assert_eq!(closed, [[(field, "account_unusable")], [(field, "account_unusable")]]);
}

#[test]
fn without_a_primary_account_one_must_be_named() {
    let mut accounts = accounts();
    accounts[0].is_primary = false;
    accounts[2].is_primary = false;

    let refused = codes(decide(&initiation(), &lease(), &accounts));

    assert_eq!(refused, [("payer_account_id", "required"), ("payee_account_id", "required")]);
    assert!(decide(&spelled_out(), &lease(), &accounts).is_ok());
}

#[rstest]
#[case(Rail::Instant, 1_000_000_000)]
#[case(Rail::SameDayAch, 100_000_000)]
#[case(Rail::StandardAch, 9_999_999_999)]
#[case(Rail::Wire, 999_999_999_999)]
fn a_rail_carries_its_limit_and_no_cent_more(#[case] rail: Rail, #[case] limit: i64) {
    let of =
        |cents| decide(&Initiation { amount: usd(cents), rail: Some(rail), ..initiation() }, &lease(), &accounts());

    assert!(of(1).is_ok());
    assert!(of(limit).is_ok());
    assert_eq!(codes(of(limit + 1)), [("amount", "over_rail_limit")]);
}

#[test]
fn the_currency_is_the_leases_and_one_that_the_rail_carries() {
    let eur = eur();
    let in_eur = Initiation { amount: Amount::from_minor(100, eur).unwrap(), ..initiation() };
    let lease_in_eur = LeaseParties { currency: eur, ..lease() };

    assert_eq!(codes(decide(&in_eur, &lease(), &accounts())), [("currency", "differs_from_lease")]);
    assert_eq!(codes(decide(&in_eur, &lease_in_eur, &accounts())), [("currency", "currency_not_carried")]);
}

#[test]
fn all_broken_rules_come_at_once() {
    let mut accounts = accounts();
    accounts[0].is_active = false;
    accounts[2].closed_by = Some("R16".into());
    let request = Initiation { amount: usd(i64::MAX), rail: Some(Rail::Wire), ..initiation() };

    let refused = codes(decide(&request, &lease(), &accounts));

    let expected =
        [("amount", "over_rail_limit"), ("payer_account_id", "inactive"), ("payee_account_id", "account_unusable")];
    assert_eq!(refused, expected);
}

#[test]
fn the_same_request_is_a_replay_also_after_the_payment_moved_on() {
    for request in [initiation(), spelled_out(), Initiation { metadata: Some(notes(json!({"a": 1}))), ..initiation() }]
    {
        let mut life = Life::of(&request);
        assert!(request.is_repeated_by(&life.payment));
        life.submit();
        life.settle();
        assert!(request.is_repeated_by(&life.payment));
    }
}

#[rstest]
#[case::lease(Initiation { lease_id: LeaseId(Uuid::nil()), ..spelled_out() })]
#[case::amount(Initiation { amount: usd(150_001), ..spelled_out() })]
#[case::rail(Initiation { rail: Some(Rail::SameDayAch), ..spelled_out() })]
#[case::payer(Initiation { payer_account_id: Some(FLATMATES_ACCOUNT), ..spelled_out() })]
#[case::payee(Initiation { payee_account_id: Some(FLATMATES_ACCOUNT), ..spelled_out() })]
#[case::currency(Initiation { currency: Some(eur()), amount: Amount::from_minor(150_000, eur()).unwrap(), ..spelled_out() })]
#[case::metadata(Initiation { metadata: Some(notes(json!({"a": 1}))), ..spelled_out() })]
// An omitted field equals only itself omitted, whatever default took its place.
#[case::payer_omitted(Initiation { payer_account_id: None, ..spelled_out() })]
#[case::payee_omitted(Initiation { payee_account_id: None, ..spelled_out() })]
#[case::currency_omitted(Initiation { currency: None, ..spelled_out() })]
#[case::metadata_omitted(Initiation { metadata: None, ..spelled_out() })]
fn a_request_that_differs_in_any_field_is_another(#[case] other: Initiation) {
    assert!(!other.is_repeated_by(&Life::of(&spelled_out()).payment));
    // And the other way round, where the other can be made at all.
    if decide(&other, &lease(), &accounts()).is_ok() {
        assert!(!spelled_out().is_repeated_by(&Life::of(&other).payment));
    }
}

#[test]
fn an_omitted_rail_equals_the_default() {
    assert_eq!(Rail::DEFAULT, Rail::StandardAch);
    assert!(
        Initiation { rail: Some(Rail::StandardAch), ..initiation() }.is_repeated_by(&Life::of(&initiation()).payment)
    );
}

#[test]
fn the_first_event_holds_all_that_the_payment_is_rebuilt_from() {
    let life = Life::of(&spelled_out());

    assert_eq!(Payment::fold(&life.events), Ok(life.payment));
    assert_eq!(life.events[0].actor, Actor::user(RENTER));
}
