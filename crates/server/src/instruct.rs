//! Commands to payments, with what the server adds to each: ids, times, randomness, origin.

use directpay_domain::id::PaymentId;
use directpay_domain::payment::{Actor, Circumstances, Command, NewEvent};
use directpay_store::payments::Instructed;

use crate::app::App;
use crate::clock::{self, Clock};

/// What a new event is made with, as of now.
pub fn new_event(app: &App, actor: Actor, request_id: Option<String>) -> (NewEvent, Circumstances) {
    let at = app.clock.circumstances(app.scale);
    (NewEvent { id: clock::new_id().into(), occurred_at: at.now, actor, request_id }, at)
}

/// What a new event is made with that nobody asked for: a component of the system acts by itself.
pub fn by_itself(clock: &Clock, component: &str) -> NewEvent {
    NewEvent {
        id: clock::new_id().into(),
        occurred_at: clock.business(),
        actor: Actor::system(component),
        request_id: None,
    }
}

/// `command` to a payment, as of now.
pub fn payment(
    app: &App,
    payment_id: PaymentId,
    command: Command,
    actor: Actor,
    request_id: Option<String>,
) -> Instructed {
    let (first, at) = new_event(app, actor, request_id);
    let second = NewEvent { id: clock::new_id().into(), ..first.clone() };
    Instructed { payment_id, command, events: [first, second], at }
}
