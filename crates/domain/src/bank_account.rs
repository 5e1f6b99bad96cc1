//! What names an account at a US bank.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::invalid::Invalid;

/// Whether money can move over an account: `inactive` where its owner deactivated it, `account_unusable` where a return with the
/// code `closed_by` told that it is closed.
pub fn check_usable(is_active: bool, closed_by: Option<&str>) -> Result<(), Invalid> {
    match (is_active, closed_by) {
        (false, _) => Err(Invalid::new("inactive", "is deactivated")),
        (true, Some(code)) => {
            Err(Invalid::new("account_unusable", format!("was closed by a return ({code}); link it anew")))
        }
        (true, None) => Ok(()),
    }
}

/// The nine digits that name a US bank (ABA routing number) with a valid check digit.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RoutingNumber(String);

impl RoutingNumber {
    /// The first two digits that the ABA gives out (ABA routing number policy): the US government, the twelve
    /// Federal Reserve districts, the same for thrifts (+20) and for electronic use (+60), and traveler's cheques.
    const PREFIXES: [(u8, u8); 4] = [(0, 12), (21, 32), (61, 72), (80, 80)];

    /// How much each digit weighs; the weighted sum is a multiple of ten.
    const WEIGHTS: [u32; 9] = [3, 7, 1, 3, 7, 1, 3, 7, 1];

    /// Checks nine bare digits: `malformed`, `bad_check_digit`, or `unknown` for a prefix that is not given out and
    /// for nine zeros.
    pub fn parse(text: &str) -> Result<RoutingNumber, Invalid> {
        let digits: Option<[u8; 9]> = text.as_bytes().try_into().ok();
        let Some(digits) = digits.filter(|digits| digits.iter().all(u8::is_ascii_digit)) else {
            return Err(Invalid::new("malformed", "must be nine digits"));
        };
        let digits = digits.map(|digit| digit - b'0');
        let sum: u32 =
            digits.iter().zip(RoutingNumber::WEIGHTS).map(|(digit, weight)| u32::from(*digit) * weight).sum();
        if !sum.is_multiple_of(10) {
            return Err(Invalid::new("bad_check_digit", "has a wrong check digit"));
        }
        let prefix = digits[0] * 10 + digits[1];
        let is_given_out = RoutingNumber::PREFIXES.iter().any(|(first, last)| (*first..=*last).contains(&prefix));
        if !is_given_out || sum == 0 {
            return Err(Invalid::new("unknown", "is not the routing number of a US bank"));
        }
        Ok(RoutingNumber(text.to_owned()))
    }

    /// The nine digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The full number of an account, 4 to 17 digits (the width of the field of an ACH entry).
///
/// A secret: it is kept encrypted and leaves only towards the bank. Debug shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct AccountNumber(String);

impl AccountNumber {
    /// The fewest digits.
    pub const DIGITS_MIN: usize = 4;
    /// The most digits.
    pub const DIGITS_MAX: usize = 17;

    /// Checks bare digits: `malformed`, `too_short` or `too_long`. Leading zeros are part of the number.
    pub fn parse(text: &str) -> Result<AccountNumber, Invalid> {
        if text.is_empty() {
            return Err(Invalid::new("required", "must not be empty"));
        }
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Invalid::new("malformed", "must be digits only"));
        }
        if text.len() < AccountNumber::DIGITS_MIN {
            return Err(Invalid::new("too_short", "must have at least 4 digits"));
        }
        if AccountNumber::DIGITS_MAX < text.len() {
            return Err(Invalid::new("too_long", "must have at most 17 digits"));
        }
        Ok(AccountNumber(text.to_owned()))
    }

    /// The full number, for the encrypted column and the bank connection and nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The last four digits, the part that may be shown.
    pub fn last4(&self) -> &str {
        // All characters are ASCII digits and there are at least four.
        self.0.get(self.0.len().saturating_sub(4)..).unwrap_or_default()
    }
}

impl fmt::Debug for AccountNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccountNumber(…)")
    }
}

/// What kind of account it is; ACH entries say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AccountType {
    /// A demand account.
    Checking,
    /// A savings account.
    Savings,
}

impl AccountType {
    /// Every type.
    pub const ALL: [AccountType; 2] = [AccountType::Checking, AccountType::Savings];

    /// The stored and written name.
    pub fn name(self) -> &'static str {
        match self {
            AccountType::Checking => "CHECKING",
            AccountType::Savings => "SAVINGS",
        }
    }

    /// Reads a name in any case; anything else is `unknown`.
    pub fn parse(text: &str) -> Result<AccountType, Invalid> {
        AccountType::ALL
            .into_iter()
            .find(|account_type| account_type.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| Invalid::new("unknown", "must be CHECKING or SAVINGS"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("021000021")]
    #[case("011401533")]
    #[case("091000019")]
    #[case("121000358")]
    #[case("322271627")]
    #[case("026009593")]
    #[case("011000015")]
    fn a_routing_number_of_a_bank_is_read(#[case] text: &str) {
        assert_eq!(RoutingNumber::parse(text).unwrap().as_str(), text);
    }

    #[rstest]
    #[case("", "malformed")]
    #[case("02100002", "malformed")]
    #[case("0210000210", "malformed")]
    #[case("02100002a", "malformed")]
    #[case(" 21000021", "malformed")]
    #[case("021-00021", "malformed")]
    #[case("02100002\u{661}", "malformed")]
    #[case("021000022", "bad_check_digit")]
    #[case("012000021", "bad_check_digit")]
    #[case("123456789", "bad_check_digit")]
    #[case("000000000", "unknown")]
    #[case("130000006", "unknown")]
    #[case("200000004", "unknown")]
    #[case("330000002", "unknown")]
    #[case("600000002", "unknown")]
    #[case("730000008", "unknown")]
    #[case("790000000", "unknown")]
    #[case("990000000", "unknown")]
    fn what_is_no_routing_number_is_refused(#[case] text: &str, #[case] code: &str) {
        // Put the right check digit in where the prefix alone is to be judged.
        let text = if code == "unknown" { with_check_digit(text) } else { text.to_owned() };

        assert_eq!(RoutingNumber::parse(&text).unwrap_err().code, code);
    }

    #[rstest]
    #[case(0, true)]
    #[case(12, true)]
    #[case(13, false)]
    #[case(20, false)]
    #[case(21, true)]
    #[case(32, true)]
    #[case(33, false)]
    #[case(60, false)]
    #[case(61, true)]
    #[case(72, true)]
    #[case(73, false)]
    #[case(79, false)]
    #[case(80, true)]
    #[case(81, false)]
    fn only_prefixes_that_are_given_out_pass(#[case] prefix: u32, #[case] passes: bool) {
        let text = with_check_digit(&format!("{prefix:02}1234560"));

        assert_eq!(RoutingNumber::parse(&text).is_ok(), passes);
    }

    /// Recomputes the last digit the long way, as the ABA's key book writes it.
    fn with_check_digit(text: &str) -> String {
        let digit: Vec<u32> = text.chars().map(|character| character.to_digit(10).unwrap()).collect();
        let sum = 3 * (digit[0] + digit[3] + digit[6]) + 7 * (digit[1] + digit[4] + digit[7]) + digit[2] + digit[5];
        format!("{}{}", &text[..8], (10 - sum % 10) % 10)
    }

    #[rstest]
    #[case("1234", "1234")]
    #[case("000123456789", "6789")]
    #[case("12345678901234567", "4567")]
    fn an_account_number_shows_only_its_end(#[case] text: &str, #[case] last4: &str) {
        let number = AccountNumber::parse(text).unwrap();

        assert_eq!(number.expose(), text);
        assert_eq!(number.last4(), last4);
        assert_eq!(format!("{number:?}"), "AccountNumber(…)");
    }

    #[rstest]
    #[case("", "required")]
    #[case("123", "too_short")]
    #[case("123456789012345678", "too_long")]
    #[case("12 34", "malformed")]
    #[case("12-34", "malformed")]
    #[case("１２３４", "malformed")]
    fn what_is_no_account_number_is_refused(#[case] text: &str, #[case] code: &str) {
        let invalid = AccountNumber::parse(text).unwrap_err();

        assert_eq!(invalid.code, code);
        assert!(text.is_empty() || !invalid.detail.contains(text));
    }

    #[test]
    fn an_account_type_is_its_upper_case_name() {
        for account_type in AccountType::ALL {
            assert_eq!(AccountType::parse(account_type.name()).unwrap(), account_type);
            assert_eq!(AccountType::parse(&account_type.name().to_lowercase()).unwrap(), account_type);
            assert_eq!(serde_json::to_value(account_type).unwrap(), account_type.name());
        }
        assert_eq!(AccountType::parse("MONEY_MARKET").unwrap_err().code, "unknown");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// The weights 3, 7 and 1 share no factor with ten, so that every single wrong digit shows.
        #[test]
        fn one_wrong_digit_is_always_caught(body in "0[1-9][0-9]{6}", at in 0..9_usize, shift in 1..10_u8) {
            let mut digits = with_check_digit(&format!("{body}0")).into_bytes();
            digits[at] = b'0' + (digits[at] - b'0' + shift) % 10;
            let text = String::from_utf8(digits).unwrap();

            prop_assert_eq!(RoutingNumber::parse(&text).unwrap_err().code, "bad_check_digit");
        }
    }
}
