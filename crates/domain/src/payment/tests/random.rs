//! Whatever anybody says in whatever order, the rules hold.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::table::LEGAL;
use super::*;
use crate::time::DAY_US;

/// A command with an attempt relative to the present one, and the time that passes before it.
#[derive(Debug, Clone)]
struct Step {
    what: What,
    offset: i64,
    code: &'static str,
    passes_us: i64,
    jitter: i64,
}

#[derive(Debug, Clone, Copy)]
enum What {
    Submit,
    Cancel,
    Retry,
    NotNow,
    Settle,
    Refuse,
    Return,
}

impl Step {
    fn command(&self, present: i64) -> Command {
        let attempt = present + self.offset;
        let reason = reason(self.code);
        match self.what {
            What::Submit => Command::Submit,
            What::Cancel => Command::Cancel(None),
            What::Retry => Command::Retry,
            What::NotNow => Command::NotNow { attempt, reason: super::reason(Reason::BANK_UNAVAILABLE) },
            What::Settle => Command::Settle { attempt },
            What::Refuse => Command::Refuse { attempt, reason },
            What::Return => Command::Return { attempt, reason },
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let what = prop_oneof![
        10 => Just(What::Submit),
        1 => Just(What::Cancel),
        4 => Just(What::Retry),
        8 => Just(What::NotNow),
        5 => Just(What::Settle),
        4 => Just(What::Refuse),
        4 => Just(What::Return),
    ];
    let offset = prop_oneof![10 => Just(0_i64), 1 => -2_i64..=2];
    let code = prop::sample::select(vec!["R01", "R02", "R09", "R10", "AM04", Reason::BANK_UNAVAILABLE]);
    let passes = prop_oneof![4 => 0..DAY_US, 1 => 0..100 * DAY_US];
    let step = (what, offset, code, passes, 0_i64..=1000).prop_map(|(what, offset, code, passes_us, jitter)| Step {
        what,
        offset,
        code,
        passes_us,
        jitter,
    });
    prop::collection::vec(step, 1..60)
}

fn notes() -> impl Strategy<Value = Option<Metadata>> {
    let number = (any::<i64>(), -280..280_i32).prop_map(|(digits, exponent)| format!("{digits}e{exponent}"));
    let value = prop_oneof![
        number.prop_map(|number| serde_json::from_str::<Value>(&number).unwrap()),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        "[^\0]{0,20}".prop_map(Value::from),
        Just(json!({"deep": [null, true, {}]})),
    ];
    let object = prop::collection::btree_map("[a-z]{1,5}", value, 0..6);
    prop::option::of(object.prop_map(|entries| Metadata::parse(entries.into_iter().collect::<Map<_, _>>()).unwrap()))
}

fn requests() -> impl Strategy<Value = Initiation> {
    let money = 1_i64..=100_000_000;
    (prop::sample::select(Rail::ALL.to_vec()), any::<bool>(), money, notes(), any::<[bool; 3]>()).prop_map(
        |(rail, is_refund, cents, metadata, [names_payer, names_payee, names_currency])| {
            let (payer, payee) = match is_refund {
                true => (LANDLORDS_ACCOUNT, RENTERS_ACCOUNT),
                false => (RENTERS_ACCOUNT, LANDLORDS_ACCOUNT),
            };
            Initiation {
                initiated_by: if is_refund { LANDLORD } else { RENTER },
                amount: usd(cents),
                rail: Some(rail),
                payer_account_id: names_payer.then_some(payer),
                payee_account_id: names_payee.then_some(payee),
                currency: names_currency.then_some(Currency::USD),
                metadata,
                ..initiation()
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_order_of_commands_breaks_a_rule(request in requests(), steps in steps()) {
        let mut life = Life::of(&request);
        assert_rules(&life);
        prop_assert!(request.is_repeated_by(&life.payment));
        for step in steps {
            life.waits(step.passes_us);
            life.at.jitter = step.jitter;
            let before = (life.payment.clone(), life.events.len());
            let command = step.command(life.attempt());

            let answer = life.tries(&command);

            let speaks_of_another = !matches!(step.what, What::Submit | What::Cancel | What::Retry) && step.offset != 0;
            if answer.is_err() || answer == Ok(vec![]) || speaks_of_another {
                prop_assert_eq!(&before, &(life.payment.clone(), life.events.len()), "{:?}", command);
            }
            assert_rules(&life);
        }
        prop_assert!(request.is_repeated_by(&life.payment), "a replay is known for ever");
    }
}

fn assert_rules(life: &Life) {
    assert_history(life);
    assert_money(life);
    assert_budgets(life);
    assert_work(life);
}

fn assert_history(life: &Life) {
    let mut previous = None;
    for (event, sequence) in life.events.iter().zip(1..) {
        assert_eq!(event.sequence, sequence);
        assert_eq!(event.previous_status, previous);
        let transition = (previous, event.status, event.change.event_type());
        assert!(LEGAL.contains(&transition), "{transition:?} is not in the table");
        previous = Some(event.status);
    }
    // One command adds two at most; the others were here before.
    life.events.iter().rev().take(2).for_each(assert_survives_storage);
    assert_eq!(Payment::fold(&life.events).as_ref(), Ok(&life.payment));
    assert_eq!(life.payment.failure.is_some(), matches!(life.payment.status, Status::Failed | Status::Returned));
    assert_eq!(life.payment.retry_count(), life.payment.attempt - 1);
}

fn assert_survives_storage(event: &Event) {
    let text = serde_json::to_string(event).unwrap();
    let parsed: Event = serde_json::from_str(&text).unwrap();
    assert_eq!(parsed, *event);
    assert_eq!(serde_json::to_string(&parsed).unwrap(), text, "not the same bytes");
}

/// "Ledger" in the domain rules: what is on its way stands in clearing, what arrived in cash, both credited to the lease.
fn assert_money(life: &Life) {
    let terms = &life.payment.terms;
    let (sign, landlords) = match terms.kind {
        Kind::Rent => (1, terms.payee.account_id),
        Kind::Refund => (-1, terms.payer.account_id),
    };
    let amount = sign * terms.amount.minor();
    let balances = life.balances();
    let balance = |account| balances.get(&account).copied().unwrap_or_default();
    let clearing = balance(ledger::Account::Clearing(terms.rail));
    let cash = balance(ledger::Account::Cash(landlords));
    let receivable = balance(ledger::Account::Receivable(terms.lease_id));
    assert_eq!(clearing, if life.payment.status == Status::Processing { amount } else { 0 });
    assert_eq!(cash, if life.payment.status == Status::Completed { amount } else { 0 });
    assert_eq!(receivable, -clearing - cash);
}

fn assert_budgets(life: &Life) {
    let mut in_a_row = 0;
    let (mut representments, mut settled) = (0, 0);
    for event in &life.events {
        match &event.change {
            Change::RetryScheduled { retry: Retry::Transient, .. } => in_a_row += 1,
            Change::RetryScheduled { retry: Retry::Representment, .. } => representments += 1,
            Change::RetryRequested { retry, .. } => {
                in_a_row = 0;
                representments += i64::from(*retry == Retry::Representment);
            }
            Change::Completed => settled += 1,
            Change::Returned => settled -= 1,
            Change::Initiated(_) | Change::Processing { .. } | Change::Failed | Change::Cancelled => {}
        }
        assert!(in_a_row <= TRANSIENT_RETRIES_MAX);
        assert!(representments <= 2);
        assert!((0..=1).contains(&settled), "{settled} settlements were not taken back");
    }
    assert_eq!((life.payment.transient_retries, life.payment.representments), (in_a_row, representments));
}

fn assert_work(life: &Life) {
    let work = life.payment.next_work(life.last_change(), life.at.now);
    let wanted = match life.payment.status {
        Status::Pending => Some(WorkKind::Submit),
        Status::Processing => Some(WorkKind::Inquire),
        Status::Completed | Status::Failed | Status::Returned | Status::Cancelled => None,
    };
    assert_eq!(work.map(|work| work.what), wanted);
}
