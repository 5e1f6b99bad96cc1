//! Why a payment failed, was returned or is tried again.

use crate::rail::Rail;

/// A code of the field's own (R01, AM04, …) or of ours, and its text.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Reason {
    /// Stable.
    pub code: String,
    /// For people.
    pub text: String,
}

/// The most re-presentments of one payment (Nacha Operating Rules: two more after the first entry).
pub(super) const REPRESENTMENTS_MAX: i64 = 2;

impl Reason {
    /// The bank could not be reached or said "not now" until retries ran out.
    pub const BANK_UNAVAILABLE: &'static str = "BANK_UNAVAILABLE";

    /// A reason under its `code`.
    pub fn new(code: impl Into<String>, text: impl Into<String>) -> Reason {
        Reason { code: code.into(), text: text.into() }
    }

    /// Its ACH return code, if it is one that we know.
    pub fn return_code(&self) -> Option<&'static ReturnCode> {
        RETURN_CODES.iter().find(|known| known.code == self.code)
    }

    /// Whether the same debit may be presented once more on `rail`: R01 and R09 on the two ACH rails.
    pub fn is_representable(&self, rail: Rail) -> bool {
        rail.is_returnable() && matches!(self.code.as_str(), "R01" | "R09")
    }

    /// Whether no new payment may draw on the payer's account after this, until it is linked anew.
    pub fn closes_account(&self) -> bool {
        matches!(self.code.as_str(), "R02" | "R03" | "R04" | "R14" | "R15" | "R16" | "R20")
    }

    /// What to do instead of another attempt.
    pub fn advice(&self) -> &'static str {
        self.return_code().map_or("start a new payment", |known| known.what_to_do)
    }
}

/// An ACH return code.
#[derive(Debug, PartialEq, Eq)]
pub struct ReturnCode {
    /// `R` and two digits.
    pub code: &'static str,
    /// What it means.
    pub title: &'static str,
    /// Until when the receiving bank may send it.
    pub return_window: &'static str,
    /// What the sender does about it.
    pub what_to_do: &'static str,
}

const fn row(
    code: &'static str,
    title: &'static str,
    return_window: &'static str,
    what_to_do: &'static str,
) -> ReturnCode {
    ReturnCode { code, title, return_window, what_to_do }
}

const TWO_DAYS: &str = "2 banking days";
const SIXTY_DAYS: &str = "60 calendar days";
const ANEW: &str = "correct and send anew";
const NEVER: &str = "never again to this account";
const AUTHORIZE: &str = "only with new authorization";
const REPRESENT: &str = "re-present (at most 2)";

/// The return codes of the Nacha Operating Rules that concern consumer and corporate debits, as of 2026.
#[rustfmt::skip]
const RETURN_CODES: [ReturnCode; 24] = [
    row("R01", "Insufficient funds", TWO_DAYS, REPRESENT),
    row("R02", "Account closed", TWO_DAYS, NEVER),
    row("R03", "No account or unable to locate account", TWO_DAYS, ANEW),
    row("R04", "Invalid account number", TWO_DAYS, ANEW),
    row("R05", "Unauthorized debit to consumer account using corporate SEC code", SIXTY_DAYS, AUTHORIZE),
    row("R06", "Returned per ODFI's request", "agreed", "bank matter"),
    row("R07", "Authorization revoked by customer", SIXTY_DAYS, AUTHORIZE),
    row("R08", "Payment stopped", TWO_DAYS, AUTHORIZE),
    row("R09", "Uncollected funds", TWO_DAYS, REPRESENT),
    row("R10", "Customer advises originator is not authorized", SIXTY_DAYS, AUTHORIZE),
    row("R11", "Entry not in accordance with the terms of the authorization", SIXTY_DAYS, ANEW),
    row("R12", "Account sold to another DFI", TWO_DAYS, ANEW),
    row("R13", "Invalid ACH routing number", "next file", ANEW),
    row("R14", "Representative payee deceased", TWO_DAYS, NEVER),
    row("R15", "Beneficiary or account holder deceased", TWO_DAYS, NEVER),
    row("R16", "Account frozen", TWO_DAYS, NEVER),
    row("R17", "File record edit criteria or questionable transaction", TWO_DAYS, "review"),
    row("R20", "Non-transaction account", TWO_DAYS, NEVER),
    row("R21", "Invalid company identification", TWO_DAYS, ANEW),
    row("R22", "Invalid individual ID number", TWO_DAYS, ANEW),
    row("R23", "Credit entry refused by receiver", "on refusal", AUTHORIZE),
    row("R24", "Duplicate entry", TWO_DAYS, "stop"),
    row("R29", "Corporate customer advises not authorized", TWO_DAYS, AUTHORIZE),
    row("R31", "Permissible return entry (CCD and CTX)", "agreed", "bank matter"),
];
