//! References, omitted fields and names: what is written must be read back.

use proptest::prelude::*;
use rstest::rstest;

use super::*;

#[test]
fn a_reference_is_the_payment_and_the_attempt() {
    let reference = Reference { payment_id: PAYMENT, attempt: 2 };

    assert_eq!(reference.to_string(), "019000000000700080000123456789ab-2");
    assert_eq!(serde_json::to_value(reference).unwrap(), reference.to_string());
    assert_eq!(Life::by(Rail::Wire).payment.reference(), Reference { payment_id: PAYMENT, attempt: 1 });
}

#[rstest]
#[case("")]
#[case("0190000000007000800001234567 89ab")]
#[case("019000000000700080000123456789ab")]
#[case("019000000000700080000123456789ab-")]
#[case("019000000000700080000123456789ab-0")]
#[case("019000000000700080000123456789ab--1")]
#[case("019000000000700080000123456789ab-99999999999999999999")]
#[case("not-1")]
// What `Display` never writes would be a second name for one attempt.
#[case("019000000000700080000123456789AB-1")]
#[case("019000000000700080000123456789ab-01")]
#[case("019000000000700080000123456789ab-+1")]
#[case("{01900000-0000-7000-8000-0123456789ab}-1")]
fn what_is_no_reference_of_ours_is_refused(#[case] text: &str) {
    assert_eq!(text.parse::<Reference>().unwrap_err().code, "malformed");
}

#[test]
fn omitted_fields_are_kept_as_bits() {
    for bits in 0..64 {
        assert_eq!(Omitted::from_bits(bits).to_bits(), bits);
    }
    assert_eq!(Omitted { payer_account_id: true, ..Omitted::default() }.to_bits(), 1);
    assert_eq!(Omitted { payee_account_id: true, ..Omitted::default() }.to_bits(), 2);
    assert_eq!(Omitted { currency: true, ..Omitted::default() }.to_bits(), 4);
    assert_eq!(Omitted { metadata: true, ..Omitted::default() }.to_bits(), 8);
    assert_eq!(Omitted { payee_id: true, ..Omitted::default() }.to_bits(), 16);
    assert_eq!(Omitted { rail: true, ..Omitted::default() }.to_bits(), 32);
}

#[test]
fn names_are_read_in_any_case_and_serialized_as_they_are() {
    for status in Status::ALL {
        assert_eq!(Status::parse(&status.name().to_lowercase()), Ok(status));
        assert_eq!(serde_json::to_value(status).unwrap(), status.name());
    }
    for kind in Kind::ALL {
        assert_eq!(Kind::parse(kind.name()), Ok(kind));
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
    }
    for event_type in EventType::ALL {
        assert_eq!(EventType::parse(&event_type.to_string()), Ok(event_type));
    }
    for what in WorkKind::ALL {
        assert_eq!(WorkKind::parse(what.name()), Ok(what));
    }
    assert_eq!(Status::parse("DONE").unwrap_err().code, "unknown");
}

#[test]
fn an_event_names_its_actor_by_id_only() {
    let mut event = Life::by(Rail::Wire).events.remove(0);
    assert_eq!((event.acting_user(), event.actor_id()), (Some(RENTER), RENTER.to_string()));
    event.actor = Actor::system("submit-worker");
    assert_eq!((event.acting_user(), event.actor_id()), (None, "submit-worker".into()));
}

#[test]
fn a_snapshot_names_the_bank_reference_once_the_attempt_was_handed_over() {
    let mut life = Life::by(Rail::StandardAch);
    life.submit();
    life.refuse("R01");
    life.submit();
    let references: Vec<_> = life.events.iter().map(|event| event.metadata.bank_reference).collect();
    let attempt = |attempt| Some(Reference { payment_id: PAYMENT, attempt });
    assert_eq!(references, [None, attempt(1), None, attempt(2)]);
    let attempts: Vec<_> = life.events.iter().map(|event| event.metadata.attempt).collect();
    assert_eq!(attempts, [1, 1, 2, 2]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_reference_is_read_back(id in any::<u128>(), attempt in 1..=i64::MAX) {
        let reference = Reference { payment_id: PaymentId(Uuid::from_u128(id)), attempt };
        prop_assert_eq!(reference.to_string().parse(), Ok(reference));
        let json = serde_json::to_string(&reference).unwrap();
        prop_assert_eq!(serde_json::from_str::<Reference>(&json).unwrap(), reference);
    }
}
