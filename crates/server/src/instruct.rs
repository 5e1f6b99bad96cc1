//! Commands to payments, with what the server adds to each: ids, times, randomness, origin.

use directpay_domain::id::PaymentId;
use directpay_domain::payment::{Actor, Command, NewEvent};
use directpay_store::payments::Instructed;

use crate::app::App;
use crate::clock;

/// `command` to a payment, as of now.
pub fn payment(
    app: &App,
    payment_id: PaymentId,
    command: Command,
    actor: Actor,
    request_id: Option<String>,
) -> Instructed {
    let at = app.clock.circumstances(app.scale);
    let event = || NewEvent {
        id: clock::new_id().into(),
        occurred_at: at.now,
        actor: actor.clone(),
        request_id: request_id.clone(),
    };
    Instructed { payment_id, command, events: [event(), event()], at }
}

/// A component of the system as the one who acts.
pub fn system(component: &str) -> Actor {
    Actor::System(component.to_owned())
}
