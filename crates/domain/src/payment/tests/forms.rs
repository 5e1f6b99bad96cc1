//! The stored form of every event, frozen: what was written once must be read for ever.

use serde_json::json;

use super::initiate::Initiation;
use super::*;
use crate::id::{ApiKeyId, OAuthClientId};

const FROZEN: &str = include_str!("../../../tests/event_forms.txt");

fn notes() -> Metadata {
    let object = json!({"unit": "3b", "nested": {"list": [1, -2, 0.5, true, null]}});
    Metadata::parse(object.as_object().cloned().unwrap()).unwrap()
}

/// One history with every type of event, the first events of two refunds, and one that a program caused.
fn events() -> Vec<Event> {
    let mut life = Life::of(&Initiation { metadata: Some(notes()), currency: Some(Currency::USD), ..initiation() });
    life.submit();
    life.not_now();
    life.submit();
    life.refuse("R01");
    life.submit();
    life.settle();
    life.return_for("R09");
    life.exhausts_retries();
    life.does(&Command::Retry);
    life.does(&Command::Cancel(Some(reason("account_inactive"))));
    let mut events = one_of_each(life.events);
    events.extend(Life::of(&Initiation { initiated_by: LANDLORD, rail: Some(Rail::Wire), ..initiation() }).events);
    events.extend(Life::of(&super::refunds::refund()).events);
    for event in events.iter_mut().skip(1).step_by(2) {
        event.actor = Actor::user(RENTER);
        event.request_id = Some("0190-request".into());
    }
    let by = |api_key_id, oauth_client_id| Actor::User { id: RENTER, api_key_id, oauth_client_id };
    let key = by(Some(ApiKeyId(Uuid::from_u128(0xe1))), None);
    let program = by(None, Some(OAuthClientId(Uuid::from_u128(0xe2))));
    for actor in [key, program] {
        events.extend(events.last().cloned().map(|event| Event { actor, ..event }));
    }
    events
}

/// The first of each type, and of the retries one on each budget.
fn one_of_each(events: Vec<Event>) -> Vec<Event> {
    let mut seen = Vec::new();
    events
        .into_iter()
        .filter(|event| {
            let budget = if let Change::RetryScheduled { retry, .. } = event.change { Some(retry) } else { None };
            let name = (event.change.event_type(), budget);
            let is_new = !seen.contains(&name);
            seen.push(name);
            is_new
        })
        .collect()
}

#[test]
fn every_type_of_event_has_a_frozen_form() {
    for event_type in EventType::ALL {
        let name = format!(r#""event_type":"{}""#, event_type.name());
        assert!(FROZEN.contains(&name), "{event_type}");
    }
}

#[test]
fn events_are_written_as_ever() {
    let written: Vec<_> = events().iter().map(|event| serde_json::to_string(event).unwrap()).collect();

    let frozen: Vec<_> = FROZEN.lines().collect();

    assert_eq!(written.len(), frozen.len(), "\n{}", written.join("\n"));
    for (written, frozen) in written.iter().zip(frozen) {
        assert_eq!(
            written, frozen,
            "\n\nA stored form changed. Events that were written before could no longer be read."
        );
    }
}

#[test]
fn events_are_read_as_ever_and_written_back_byte_for_byte() {
    for (line, expected) in FROZEN.lines().zip(events()) {
        let event: Event = serde_json::from_str(line).unwrap();

        assert_eq!(event, expected);
        assert_eq!(serde_json::to_string(&event).unwrap(), line);
    }
}
