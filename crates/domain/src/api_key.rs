//! Keys by which programs act for a person: how they are written, and what each may do.

use std::fmt;

use crate::invalid::Invalid;
use crate::names::names;

/// Whether a deployment moves money. A key says for which of both it was made and is refused by the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Its bank is a simulator.
    Test,
    /// Its bank moves money.
    Live,
}

impl Mode {
    /// Both.
    pub const ALL: [Mode; 2] = [Mode::Test, Mode::Live];

    /// What its keys begin with.
    pub fn prefix(self) -> &'static str {
        match self {
            Mode::Test => "dp_test_",
            Mode::Live => "dp_live_",
        }
    }
}

/// An API key in full. A secret: it is shown once, and what is kept of it is a keyed hash. Debug shows nothing of it.
///
/// The prefix of its mode, 27 characters that hold 160 random bits, and six check characters: a number of 32 bits, the CRC-32 of
/// all before them. Both numbers stand in base 62, digits first, then upper and lower case. A key that was
/// mistyped is found without asking anybody, and so is one that stands in a file where it does not belong.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKeySecret {
    mode: Mode,
    text: String,
}

/// What every key begins with, of either mode.
const BEGINNING: &str = "dp_";
/// Enough for any number of 160 bits.
const RANDOM_DIGITS: usize = 27;
/// Enough for any number of 32 bits.
const CHECK_DIGITS: usize = 6;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

impl ApiKeySecret {
    /// Bytes that a new key is made of.
    pub const RANDOM_BYTES: usize = 20;

    /// The key that these random bytes make.
    pub fn from_random(mode: Mode, random: [u8; ApiKeySecret::RANDOM_BYTES]) -> ApiKeySecret {
        ApiKeySecret { mode, text: checked(mode.prefix(), random) }
    }

    /// Whether `text` wants to be an API key; access tokens never begin like one.
    pub fn is_meant_by(text: &str) -> bool {
        text.starts_with(BEGINNING)
    }

    /// Reads a key in full; none if it is mistyped, cut off or made up.
    pub fn parse(text: &str) -> Option<ApiKeySecret> {
        let mode = Mode::ALL.into_iter().find(|mode| is_checked(mode.prefix(), text))?;
        Some(ApiKeySecret { mode, text: text.to_owned() })
    }

    /// For which deployments it was made.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The whole key: for the one answer that shows it, and for its hash.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// The last four characters, by which its owner tells it from others. They leave 136 bits unknown.
    pub fn last4(&self) -> &str {
        // Keys are ASCII and longer.
        self.text.get(self.text.len().saturating_sub(4)..).unwrap_or_default()
    }
}

impl fmt::Debug for ApiKeySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKeySecret(…)")
    }
}

/// The prefix, the random number, and the check digits of both.
pub(crate) fn checked(prefix: &str, random: [u8; ApiKeySecret::RANDOM_BYTES]) -> String {
    let mut text = format!("{prefix}{}", base62(random, RANDOM_DIGITS));
    text.push_str(&check_digits(&text));
    text
}

/// Whether `text` is what [`checked`] makes with this prefix of some number.
pub(crate) fn is_checked(prefix: &str, text: &str) -> bool {
    let Some(rest) = text.strip_prefix(prefix) else { return false };
    let is_long_enough = rest.len() == RANDOM_DIGITS + CHECK_DIGITS;
    if !is_long_enough || !rest.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return false;
    }
    let parts = text.split_at_checked(text.len() - CHECK_DIGITS);
    parts.is_some_and(|(checked, check)| check_digits(checked) == check)
}

fn check_digits(text: &str) -> String {
    base62(crc32(text.as_bytes()).to_be_bytes(), CHECK_DIGITS)
}

/// A big-endian number in base 62, with leading zeros.
fn base62<const BYTES: usize>(mut number: [u8; BYTES], digits: usize) -> String {
    let mut text = vec![DIGITS[0]; digits];
    for digit in text.iter_mut().rev() {
        let mut remainder: u16 = 0;
        for byte in &mut number {
            let here = (remainder << 8) | u16::from(*byte);
            // A remainder below 62 leaves a quotient below 256.
            [_, *byte] = (here / 62).to_be_bytes();
            remainder = here % 62;
        }
        *digit = DIGITS[usize::from(remainder)];
    }
    text.into_iter().map(char::from).collect()
}

/// The CRC-32 of ISO-HDLC, as in Ethernet and zip: it finds every change of up to 32 bits in a row.
fn crc32(bytes: &[u8]) -> u32 {
    let mut register = u32::MAX;
    for byte in bytes {
        register ^= u32::from(*byte);
        for _ in 0..8 {
            let falls_out = register & 1 == 1;
            register >>= 1;
            if falls_out {
                register ^= 0xEDB8_8320;
            }
        }
    }
    !register
}

/// What a key may be made for. Whatever no scope opens is closed to keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The owner's profile, and those of people on common leases.
    UsersRead,
    /// The owner's linked accounts.
    BankAccountsRead,
    /// Links accounts, chooses the primary one, takes accounts out of use.
    BankAccountsWrite,
    /// What the owner lets.
    PropertiesRead,
    /// Adds properties.
    PropertiesWrite,
    /// Leases, what they charge, and their statements and histories.
    LeasesRead,
    /// Signs and changes leases, charges and lets off.
    LeasesWrite,
    /// Payments, their histories, and mandates.
    PaymentsRead,
    /// Moves money: payments, refunds, deposits, mandates.
    PaymentsWrite,
    /// The feed: all events of the owner's leases and payments.
    EventsRead,
    /// A landlord's reports.
    ReportsRead,
    /// Webhooks, and what was sent to them.
    WebhooksRead,
    /// Has the owner's events sent wherever it says.
    WebhooksWrite,
}

names!(Scope {
    UsersRead = "users:read",
    BankAccountsRead = "bank_accounts:read",
    BankAccountsWrite = "bank_accounts:write",
    PropertiesRead = "properties:read",
    PropertiesWrite = "properties:write",
    LeasesRead = "leases:read",
    LeasesWrite = "leases:write",
    PaymentsRead = "payments:read",
    PaymentsWrite = "payments:write",
    EventsRead = "events:read",
    ReportsRead = "reports:read",
    WebhooksRead = "webhooks:read",
    WebhooksWrite = "webhooks:write",
});

impl Scope {
    /// Whether only keys of one's own may have it, and no program of somebody else's: a webhook goes on when the program that made it has
    /// ended, and whoever changes webhooks changes those of others as well.
    pub fn is_for_keys_only(self) -> bool {
        self == Scope::WebhooksWrite
    }

    /// Those that programs of others may have.
    pub fn for_programs() -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(|scope| !scope.is_for_keys_only())
    }
}

/// What one key may do. None implies another: who writes does not therefore read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scopes {
    // Invariant: at least one, each once, in the order of `Scope::ALL`.
    scopes: Vec<Scope>,
}

impl Scopes {
    /// Reads their names: `required` without any, `unknown`, or `duplicate`.
    pub fn parse<T: AsRef<str>>(names: &[T]) -> Result<Scopes, Invalid> {
        let named = names.iter().map(|name| Scope::parse(name.as_ref())).collect::<Result<Vec<_>, _>>()?;
        let scopes: Vec<_> = Scope::ALL.into_iter().filter(|scope| named.contains(scope)).collect();
        if scopes.is_empty() {
            return Err(Invalid::new("required", "must name at least one scope"));
        }
        if scopes.len() < named.len() {
            return Err(Invalid::new("duplicate", "must name each scope once"));
        }
        Ok(Scopes { scopes })
    }

    /// Reads them as they are stored.
    pub fn from_text(text: &str) -> Result<Scopes, Invalid> {
        Scopes::parse(&text.split(' ').collect::<Vec<_>>())
    }

    /// As they are stored: their names with a space between.
    pub fn to_text(&self) -> String {
        self.names().join(" ")
    }

    /// Their names.
    pub fn names(&self) -> Vec<&'static str> {
        self.scopes.iter().map(|scope| scope.name()).collect()
    }

    /// Whether `scope` is one of them.
    pub fn contains(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    /// Whether each of them is one of `others`.
    pub fn are_within(&self, others: &Scopes) -> bool {
        self.scopes.iter().all(|scope| others.contains(*scope))
    }

    /// Those that are among `others`, too; none if there is none.
    pub fn common(&self, others: &Scopes) -> Option<Scopes> {
        let scopes: Vec<_> = self.iter().filter(|scope| others.contains(*scope)).collect();
        (!scopes.is_empty()).then_some(Scopes { scopes })
    }

    /// The same if programs of others may have them: `unfit` where one is for keys only.
    pub fn for_programs(self) -> Result<Scopes, Invalid> {
        if self.iter().any(Scope::is_for_keys_only) {
            return Err(Invalid::new("unfit", "webhooks:write is for API keys only"));
        }
        Ok(self)
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = Scope> {
        self.scopes.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("", 0)]
    #[case("123456789", 0xCBF4_3926)]
    #[case("The quick brown fox jumps over the lazy dog", 0x414F_A339)]
    fn the_checksum_is_the_one_that_everybody_has(#[case] text: &str, #[case] expected: u32) {
        assert_eq!(crc32(text.as_bytes()), expected);
    }

    #[rstest]
    #[case([0; 4], "000000")]
    #[case([0, 0, 0, 61], "00000z")]
    #[case([0, 0, 0, 62], "000010")]
    #[case([0xFF; 4], "4gfFC3")]
    fn a_number_is_written_in_base_62(#[case] number: [u8; 4], #[case] expected: &str) {
        assert_eq!(base62(number, 6), expected);
    }

    /// Computed independently; the form is for ever.
    #[rstest]
    #[case(Mode::Test, [0; 20], "dp_test_0000000000000000000000000002wfEOd")]
    #[case(Mode::Live, [0xFF; 20], "dp_live_aWgEPTl1tmebfsQzFP4bxwgy80V0ktOh8")]
    #[case(Mode::Test, std::array::from_fn(|at| u8::try_from(at).unwrap()), "dp_test_0029sS3yqsuDyR1vGFhTuuRAq1b1EPIH9")]
    fn a_key_is_prefix_number_and_check_digits(#[case] mode: Mode, #[case] random: [u8; 20], #[case] expected: &str) {
        let key = ApiKeySecret::from_random(mode, random);

        assert_eq!(key.expose(), expected);
        assert_eq!(ApiKeySecret::parse(expected), Some(key));
    }

    #[rstest]
    #[case("")]
    #[case("dp_")]
    #[case("dp_test_")]
    #[case("eyJhbGciOiJFZERTQSJ9.e30.c2ln")]
    #[case("dp_prod_000000000000000000000000000000000")]
    fn what_is_no_key_is_not_read(#[case] text: &str) {
        assert_eq!(ApiKeySecret::parse(text), None);
    }

    #[test]
    fn a_key_shows_only_its_end() {
        let key = ApiKeySecret::from_random(Mode::Test, [7; 20]);

        assert!(key.expose().ends_with(key.last4()) && key.last4().len() == 4);
        assert_eq!(format!("{key:?}"), "ApiKeySecret(…)");
    }

    #[rstest]
    #[case(&[], "required")]
    #[case(&["payments:read", "payments"], "unknown")]
    #[case(&["payments:read", "*"], "unknown")]
    #[case(&["payments:read", "leases:read", "payments:read"], "duplicate")]
    fn scopes_that_are_none_are_refused(#[case] names: &[&str], #[case] code: &str) {
        assert_eq!(Scopes::parse(names).unwrap_err().code, code);
    }

    #[test]
    fn scopes_stand_in_one_order_and_are_read_back() {
        let scopes = Scopes::parse(&["payments:write", "users:read"]).unwrap();

        assert_eq!(scopes.to_text(), "users:read payments:write");
        assert_eq!(Scopes::from_text(&scopes.to_text()), Ok(scopes.clone()));
        assert!(scopes.contains(Scope::PaymentsWrite) && !scopes.contains(Scope::PaymentsRead));
        let all = Scopes::parse(&Scope::ALL.map(Scope::name)).unwrap();
        assert!(Scope::ALL.into_iter().all(|scope| all.contains(scope)));
        assert!(scopes.are_within(&all) && !all.are_within(&scopes));
        assert_eq!(all.common(&scopes), Some(scopes.clone()));
        assert_eq!(scopes.common(&Scopes::parse(&["leases:read"]).unwrap()), None);
    }

    fn key() -> impl Strategy<Value = ApiKeySecret> {
        (prop::sample::select(&Mode::ALL[..]), any::<[u8; 20]>())
            .prop_map(|(mode, random)| ApiKeySecret::from_random(mode, random))
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_key_is_read_back(key in key()) {
            prop_assert_eq!(key.expose().len(), 41);
            prop_assert!(ApiKeySecret::is_meant_by(key.expose()));
            prop_assert_eq!(ApiKeySecret::parse(key.expose()), Some(key));
        }

        #[test]
        fn a_changed_character_is_always_found(key in key(), at in 0..41_usize, other in "[ -~]") {
            let mut text = key.expose().to_owned();
            prop_assume!(text[at..=at] != other);
            text.replace_range(at..=at, &other);
            prop_assert_eq!(ApiKeySecret::parse(&text), None);
        }

        #[test]
        fn two_characters_that_changed_places_are_always_found(key in key(), at in 0..40_usize) {
            let mut bytes = key.expose().as_bytes().to_vec();
            prop_assume!(bytes[at] != bytes[at + 1]);
            bytes.swap(at, at + 1);
            prop_assert_eq!(ApiKeySecret::parse(&String::from_utf8(bytes).unwrap()), None);
        }

        #[test]
        fn a_key_that_was_cut_or_has_grown_is_always_found(key in key(), length in 0..41_usize, more in "[0-9A-Za-z]{1,9}") {
            prop_assert_eq!(ApiKeySecret::parse(&key.expose()[..length]), None);
            prop_assert_eq!(ApiKeySecret::parse(&format!("{}{more}", key.expose())), None);
        }
    }
}
