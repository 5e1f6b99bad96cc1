//! Who uses the system: roles, e-mail addresses, passwords and phone numbers.

use std::fmt;

use email_address::{EmailAddress, Options};
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use crate::invalid::Invalid;
use crate::text::{control_character, is_deceptive};

/// What a user is in the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Role {
    /// Lets properties and receives rent.
    Landlord,
    /// Rents and pays.
    Renter,
    /// Runs the system. Nobody signs up as one.
    Admin,
}

impl Role {
    /// Every role.
    pub const ALL: [Role; 3] = [Role::Landlord, Role::Renter, Role::Admin];

    /// The stored and written name.
    pub fn name(self) -> &'static str {
        match self {
            Role::Landlord => "LANDLORD",
            Role::Renter => "RENTER",
            Role::Admin => "ADMIN",
        }
    }

    /// Reads a name in any case; anything else is `unknown`.
    pub fn parse(text: &str) -> Result<Role, Invalid> {
        Role::ALL
            .into_iter()
            .find(|role| role.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| Invalid::new("unknown", "must be LANDLORD, RENTER or ADMIN"))
    }

    /// Reads a role that a person may sign up as; anything but a landlord or a renter is `unknown`.
    pub fn parse_sign_up(text: &str) -> Result<Role, Invalid> {
        let unknown = || Invalid::new("unknown", "must be LANDLORD or RENTER");
        match Role::parse(text).map_err(|_| unknown())? {
            role @ (Role::Landlord | Role::Renter) => Ok(role),
            Role::Admin => Err(unknown()),
        }
    }
}

/// An e-mail address as its owner writes it, in NFC, with a dot in its domain.
///
/// Compare by [`Email::key`]: two addresses that differ only in case are one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Email(String);

impl Email {
    /// The most characters that an address has (RFC 5321 §4.5.3.1.3, less the brackets of the path).
    pub const LENGTH_MAX: usize = 254;

    /// Trims and normalizes `text` and checks its syntax (RFC 5321, 6531): `required`, `too_long` or `malformed`.
    pub fn parse(text: &str) -> Result<Email, Invalid> {
        // One character more than allowed is enough to know, however long the text is.
        let address: String = text.trim().nfc().take(Email::LENGTH_MAX + 1).collect();
        if address.is_empty() {
            return Err(Invalid::new("required", "must not be empty"));
        }
        if Email::LENGTH_MAX < address.chars().count() {
            return Err(Invalid::new("too_long", "must have at most 254 characters"));
        }
        if address.chars().any(is_deceptive) || !is_address(&address) {
            return Err(Invalid::new("malformed", "must be an e-mail address such as name@example.com"));
        }
        Ok(Email(address))
    }

    /// The address as its owner writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What is unique among users: the address in lower case.
    pub fn key(&self) -> String {
        self.0.to_lowercase().nfc().collect()
    }
}

/// A password that a person chose, in NFC so that every keyboard gives the same one. Never shown, not even by Debug.
#[derive(Clone)]
pub struct Password(String);

impl Password {
    /// The fewest characters of a password that is the only factor (NIST SP 800-63B-4 §3.1.1.2).
    pub const LENGTH_MIN: usize = 15;
    /// The most characters; a longer one is refused, never cut.
    pub const LENGTH_MAX: usize = 128;

    /// Normalizes `text` and counts its characters: `too_short`, `too_long`, or `control_character` (NUL among them).
    ///
    /// Spaces count, also at the ends. Whether it is a common password is judged elsewhere.
    pub fn parse(text: &str) -> Result<Password, Invalid> {
        let password: String = text.nfc().take(Password::LENGTH_MAX + 1).collect();
        let length = password.chars().count();
        if length < Password::LENGTH_MIN {
            return Err(Invalid::new("too_short", "must have at least 15 characters"));
        }
        if Password::LENGTH_MAX < length {
            return Err(Invalid::new("too_long", "must have at most 128 characters"));
        }
        if password.chars().any(char::is_control) {
            return Err(control_character());
        }
        Ok(Password(password))
    }

    /// The password itself, for hashing and nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// A phone number: 7 to 15 digits (ITU-T E.164), perhaps after a plus sign, without separators.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Phone(String);

impl Phone {
    /// The fewest digits of a number.
    pub const DIGITS_MIN: usize = 7;
    /// The most digits of a number.
    pub const DIGITS_MAX: usize = 15;

    /// Drops spaces, hyphens, parentheses and dots, then checks: `required`, `malformed`, `too_short` or `too_long`.
    pub fn parse(text: &str) -> Result<Phone, Invalid> {
        let number: String = text.trim().chars().filter(|character| !" -().".contains(*character)).collect();
        if number.is_empty() {
            return Err(Invalid::new("required", "must not be empty"));
        }
        let digits = number.strip_prefix('+').unwrap_or(&number);
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Invalid::new(
                "malformed",
                "must be digits, perhaps after a plus sign, such as +1 555 010 0100",
            ));
        }
        if digits.len() < Phone::DIGITS_MIN {
            return Err(Invalid::new("too_short", "must have at least 7 digits"));
        }
        if Phone::DIGITS_MAX < digits.len() {
            return Err(Invalid::new("too_long", "must have at most 15 digits"));
        }
        Ok(Phone(number))
    }

    /// The number without separators, such as `+15550100100`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether `text` is a bare address whose domain has a dot and holds nothing but letters, digits and hyphens.
fn is_address(text: &str) -> bool {
    let syntax = Options::default().without_display_text().without_domain_literal().with_required_tld();
    // The crate lets a domain have all that a local part may have, such as `a!b.com`.
    let is_of_domain = |character: char| character.is_alphanumeric() || matches!(character, '-' | '.');
    EmailAddress::parse_with_options(text, syntax).is_ok_and(|address| address.domain().chars().all(is_of_domain))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn a_role_is_its_upper_case_name() {
        for role in Role::ALL {
            assert_eq!(Role::parse(role.name()).unwrap(), role);
            assert_eq!(Role::parse(&role.name().to_lowercase()).unwrap(), role);
            assert_eq!(serde_json::to_value(role).unwrap(), role.name());
        }
        assert_eq!(Role::parse("TENANT").unwrap_err().code, "unknown");
    }

    #[test]
    fn nobody_signs_up_as_admin() {
        assert_eq!(Role::parse_sign_up("landlord").unwrap(), Role::Landlord);
        assert_eq!(Role::parse_sign_up("Renter").unwrap(), Role::Renter);
        assert_eq!(Role::parse_sign_up("ADMIN").unwrap_err().code, "unknown");
        assert_eq!(Role::parse_sign_up("").unwrap_err().code, "unknown");
    }

    #[rstest]
    #[case(" Ada@Example.com ", "Ada@Example.com", "ada@example.com")]
    #[case("a.b+c@x.co.uk", "a.b+c@x.co.uk", "a.b+c@x.co.uk")]
    #[case("JOSE\u{301}@example.com", "JOS\u{C9}@example.com", "jos\u{E9}@example.com")]
    #[case("\"a da\"@example.com", "\"a da\"@example.com", "\"a da\"@example.com")]
    #[case("用户@例子.广告", "用户@例子.广告", "用户@例子.广告")]
    fn an_address_is_kept_as_written_and_unique_in_lower_case(
        #[case] text: &str,
        #[case] written: &str,
        #[case] key: &str,
    ) {
        let email = Email::parse(text).unwrap();

        assert_eq!(email.as_str(), written);
        assert_eq!(email.key(), key);
    }

    #[rstest]
    #[case("", "required")]
    #[case("   ", "required")]
    #[case("ada", "malformed")]
    #[case("ada@", "malformed")]
    #[case("@example.com", "malformed")]
    #[case("ada@localhost", "malformed")]
    #[case("ada@[127.0.0.1]", "malformed")]
    #[case("Ada <ada@example.com>", "malformed")]
    #[case("<ada@example.com>", "malformed")]
    #[case("a da@example.com", "malformed")]
    #[case("ada@exam ple.com", "malformed")]
    #[case("ada@example..com", "malformed")]
    #[case("ada@example.com.", "malformed")]
    #[case("ada@.example.com", "malformed")]
    #[case("ada\n@example.com", "malformed")]
    #[case("ada\u{202E}@example.com", "malformed")]
    #[case("ada\u{202E}b@example.com", "malformed")]
    #[case("ada@exam\u{200B}ple.com", "malformed")]
    #[case("\"a\tda\"@example.com", "malformed")]
    #[case("ada@ex!ample.com", "malformed")]
    #[case("ada@ex_ample.com", "malformed")]
    #[case("ada@-example.com", "malformed")]
    #[case("ada@example.com,eve@example.com", "malformed")]
    #[case("a@b@example.com", "malformed")]
    fn what_is_no_address_is_refused(#[case] text: &str, #[case] code: &str) {
        assert_eq!(Email::parse(text).unwrap_err().code, code);
    }

    #[test]
    fn an_address_has_at_most_254_characters() {
        let label = "d".repeat(61);
        let domain = format!("{label}.{label}.{label}.com");
        let local = "l".repeat(Email::LENGTH_MAX - domain.len() - 1);

        assert!(Email::parse(&format!("{local}@{domain}")).is_ok());
        assert_eq!(Email::parse(&format!("l{local}@{domain}")).unwrap_err().code, "too_long");
        assert_eq!(Email::parse(&"x".repeat(100_000)).unwrap_err().code, "too_long");
    }

    #[rstest]
    #[case(14, Some("too_short"))]
    #[case(15, None)]
    #[case(128, None)]
    #[case(129, Some("too_long"))]
    #[case(100_000, Some("too_long"))]
    fn a_password_is_counted_in_characters(#[case] count: usize, #[case] code: Option<&str>) {
        let result = Password::parse(&"ж".repeat(count));

        assert_eq!(result.err().map(|invalid| invalid.code), code);
    }

    #[test]
    fn a_password_is_normalized_before_it_is_counted_and_never_trimmed() {
        let decomposed = Password::parse(&"e\u{301}".repeat(15)).unwrap();

        assert_eq!(decomposed.expose(), "\u{E9}".repeat(15));
        assert_eq!(Password::parse(&"e\u{301}".repeat(14)).unwrap_err().code, "too_short");
        assert_eq!(Password::parse("  thirteen chr ").unwrap().expose(), "  thirteen chr ");
    }

    #[test]
    fn a_password_holds_no_control_character_and_shows_nothing() {
        assert_eq!(Password::parse("correct horse\0battery").unwrap_err().code, "control_character");
        assert_eq!(format!("{:?}", Password::parse("correct horse battery").unwrap()), "Password(…)");
    }

    #[rstest]
    #[case("+1 (555) 010-0100", "+15550100100")]
    #[case("555.010.0100", "5550100100")]
    #[case(" 5550100 ", "5550100")]
    #[case("+123456789012345", "+123456789012345")]
    fn a_phone_number_loses_its_separators(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(Phone::parse(text).unwrap().as_str(), expected);
    }

    #[rstest]
    #[case("", "required")]
    #[case(" - ", "required")]
    #[case("+", "too_short")]
    #[case("555010", "too_short")]
    #[case("1234567890123456", "too_long")]
    #[case("1+5550100100", "malformed")]
    #[case("++15550100100", "malformed")]
    #[case("555-CALL-NOW", "malformed")]
    #[case("555 010 0100 x12", "malformed")]
    #[case("٠١٢٣٤٥٦٧٨", "malformed")]
    fn what_is_no_phone_number_is_refused(#[case] text: &str, #[case] code: &str) {
        assert_eq!(Phone::parse(text).unwrap_err().code, code);
    }
}
