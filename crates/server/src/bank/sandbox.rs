//! Which account numbers make the simulated bank do what: a failure can be scripted by anybody who knows the table.

use directpay_domain::payment::Reason;

/// The table, as the documentation shows it.
const TABLE: &str = include_str!("sandbox_accounts.csv");

/// What an account number is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Script {
    /// All goes well; so with every number that is not in the table.
    Completes,
    /// Every attempt is refused for this reason, which on ACH may be re-presented.
    Fails(Reason),
    /// Settles and is taken back.
    CompletesThenReturns(Reason),
    /// The first attempt settles and is taken back, later ones settle.
    CompletesThenReturnsThenCompletes(Reason),
    /// "Not now" for the first two attempts.
    TransientTwice,
    /// "Not now" for ever.
    TransientAlways(Reason),
    /// The first attempt is accepted, but its answer is lost.
    AnswerLostOnce,
    /// Accepted and never settled.
    StaysInProcessing,
}

/// A row of the table.
#[derive(Debug, serde::Deserialize)]
struct Row {
    account_number: String,
    outcome: String,
    reason_code: String,
    reason: String,
    instant_wire_code: String,
}

/// The scripts of the table.
#[derive(Debug)]
pub struct Sandbox {
    rows: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    account_number: String,
    script: Script,
    /// On rails that are final a failure has an ISO 20022 reason, and a return does not exist.
    final_script: Script,
}

impl Sandbox {
    /// Reads the table; an unknown outcome is an error of the table.
    pub fn load() -> anyhow::Result<Sandbox> {
        let rows = csv::Reader::from_reader(TABLE.as_bytes())
            .into_deserialize::<Row>()
            .map(|row| entry(row?))
            .collect::<anyhow::Result<_>>()?;
        Ok(Sandbox { rows })
    }

    /// What the payer's account number makes the bank do, on rails that are final and on those that are not.
    pub fn script(&self, account_number: &str, rail_is_final: bool) -> Script {
        match self.rows.iter().find(|row| row.account_number == account_number) {
            None => Script::Completes,
            Some(row) if rail_is_final => row.final_script.clone(),
            Some(row) => row.script.clone(),
        }
    }
}

fn entry(row: Row) -> anyhow::Result<Entry> {
    let reason = Reason::new(row.reason_code, row.reason.clone());
    let final_failure = Script::Fails(Reason::new(row.instant_wire_code, row.reason));
    let (script, final_script) = match row.outcome.as_str() {
        "completes" => (Script::Completes, Script::Completes),
        "fails" | "fails after re-presentments" => (Script::Fails(reason), final_failure),
        "completes then returns" => (Script::CompletesThenReturns(reason), Script::Completes),
        "completes then returns then completes" => {
            (Script::CompletesThenReturnsThenCompletes(reason), Script::Completes)
        }
        "transient errors twice then completes" => (Script::TransientTwice, Script::TransientTwice),
        "transient errors until retries run out" => {
            let always = Script::TransientAlways(Reason::new(Reason::BANK_UNAVAILABLE, reason.text));
            (always.clone(), always)
        }
        "accepted by the bank but its answer is lost once" => (Script::AnswerLostOnce, Script::AnswerLostOnce),
        "stays in processing" => (Script::StaysInProcessing, Script::StaysInProcessing),
        unknown => anyhow::bail!("the sandbox table has an unknown outcome: {unknown}"),
    };
    Ok(Entry { account_number: row.account_number, script, final_script })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table_has_a_script() {
        let sandbox = Sandbox::load().unwrap();
        assert_eq!(sandbox.rows.len(), 12);
        let reason = |code, text| Reason::new(code, text);
        assert_eq!(sandbox.script("000222222227", false), Script::Fails(reason("R01", "Insufficient funds")));
        assert_eq!(sandbox.script("000222222227", true), Script::Fails(reason("AM04", "Insufficient funds")));
        assert_eq!(sandbox.script("000555555559", true), Script::Completes);
        assert_eq!(sandbox.script("1234", false), Script::Completes);
    }
}
