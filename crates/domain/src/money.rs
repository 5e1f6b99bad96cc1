//! Currencies and amounts: integer minor units, never a float.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::invalid::Invalid;

/// A currency that money can be held in: an active ISO 4217 code and its number of decimals.
///
/// Precious metals, test codes and supranational units of account are left out: ISO gives most of them no minor unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency {
    // Invariant: `code` stands in the table of `decimals`.
    code: &'static str,
    decimals: u32,
}

impl Currency {
    /// The dollar of the United States, the only currency that the present rails carry.
    pub const USD: Currency = Currency { code: "USD", decimals: 2 };

    /// Reads an alphabetic code in any case. Anything but an active code is `unknown`.
    pub fn parse(text: &str) -> Result<Currency, Invalid> {
        for (decimals, codes) in CODES_BY_DECIMALS {
            if let Some(code) = codes.iter().find(|code| code.eq_ignore_ascii_case(text)) {
                return Ok(Currency { code, decimals });
            }
        }
        Err(Invalid::new("unknown", "is not an active ISO 4217 currency code"))
    }

    /// The three upper-case letters.
    pub fn code(self) -> &'static str {
        self.code
    }

    /// How many decimals a minor unit is away from the major one: 2 for USD, 0 for JPY.
    pub fn decimals(self) -> u32 {
        self.decimals
    }

    /// How many minor units make one major unit: 100 for USD, 1 for JPY.
    pub fn minor_per_major(self) -> i64 {
        10_i64.pow(self.decimals)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code)
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code)
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Currency, D::Error> {
        let text = String::deserialize(deserializer)?;
        Currency::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// A positive sum of money in one currency.
///
/// It has no serde form of its own: how an amount looks outside is decided where it leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Amount {
    // Invariant: 0 < minor.
    minor: i64,
    currency: Currency,
}

impl Amount {
    /// The most parts that one amount is split into.
    pub const PARTS_MAX: usize = 10_000;

    /// An amount of `minor` units (cents for USD). Zero and less are `not_positive`.
    pub fn from_minor(minor: i64, currency: Currency) -> Result<Amount, Invalid> {
        if minor <= 0 {
            return Err(Invalid::new("not_positive", "must be more than zero"));
        }
        Ok(Amount { minor, currency })
    }

    /// Reads a decimal string such as `1500`, `1500.5` or `1500.00`: digits, then perhaps a point and more digits.
    ///
    /// `malformed` for anything else (a plus sign, an exponent, spaces, a bare point, `NaN`), `too_precise` for more
    /// decimals than the currency has, even if they are zeros, `too_large` for what no `i64` holds, and `not_positive`
    /// for zero and for numbers that would be fine but for their minus sign.
    pub fn parse(text: &str, currency: Currency) -> Result<Amount, Invalid> {
        let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
        let minor = parse_minor(digits, currency)?;
        Amount::from_minor(if negative { -minor } else { minor }, currency)
    }

    /// The sum in minor units: cents for USD.
    pub fn minor(self) -> i64 {
        self.minor
    }

    /// The currency of the sum.
    pub fn currency(self) -> Currency {
        self.currency
    }

    /// Divides the sum into `parts` that re-sum exactly, in minor units.
    ///
    /// By largest remainder: equal parts have equal remainders, so the first ones get the odd minor units. A part is
    /// zero if there are more parts than minor units. `None` for no parts or more than [`Amount::PARTS_MAX`].
    pub fn split(self, parts: usize) -> Option<Vec<i64>> {
        if Amount::PARTS_MAX < parts {
            return None;
        }
        let divisor = i64::try_from(parts).ok()?;
        let share = self.minor.checked_div(divisor)?;
        let odd = self.minor.checked_rem(divisor)?;
        Some((0..divisor).map(|part| if part < odd { share + 1 } else { share }).collect())
    }

    /// `numerator / denominator` of the sum in minor units, rounded once, half away from zero.
    ///
    /// `None` for a denominator of zero and for what no `i64` holds.
    pub fn fraction(self, numerator: i64, denominator: i64) -> Option<i64> {
        // Two factors of 64 bits always fit into 128, and so does twice the remainder of a 64-bit divisor.
        let product = i128::from(self.minor) * i128::from(numerator);
        let denominator = i128::from(denominator);
        let quotient = product.checked_div(denominator)?;
        let remainder = product.checked_rem(denominator)?;
        let away_from_zero = product.signum() * denominator.signum();
        let rounding = if denominator.abs() <= 2 * remainder.abs() { away_from_zero } else { 0 };
        i64::try_from(quotient + rounding).ok()
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_minor(self.minor, self.currency))
    }
}

/// An amount in an event, as text that people can read: `1500.00 USD`. For `#[serde(with = "money::text")]`.
pub mod text {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use super::{Amount, Currency};

    /// Writes it.
    pub fn serialize<S: Serializer>(amount: &Amount, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{amount} {}", amount.currency()))
    }

    /// Reads it.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Amount, D::Error> {
        let text = String::deserialize(deserializer)?;
        let (number, currency) =
            text.split_once(' ').ok_or_else(|| de::Error::custom("an amount without a currency"))?;
        let currency = Currency::parse(currency).map_err(de::Error::custom)?;
        Amount::parse(number, currency).map_err(de::Error::custom)
    }
}

/// `minor` units as a decimal string with all decimals of `currency`: `-0.05`, `1500.00`, JPY `1500`.
pub fn format_minor(minor: i64, currency: Currency) -> String {
    let sign = if minor < 0 { "-" } else { "" };
    // Not `abs`: the lowest `i64` has no positive counterpart.
    let magnitude = minor.unsigned_abs();
    let per_major = 10_u64.pow(currency.decimals);
    let major = magnitude / per_major;
    match usize::try_from(currency.decimals) {
        Ok(width) if 0 < width => format!("{sign}{major}.{:0width$}", magnitude % per_major),
        Ok(_) | Err(_) => format!("{sign}{major}"),
    }
}

/// Reads an unsigned decimal string into minor units; zero is fine here.
fn parse_minor(text: &str, currency: Currency) -> Result<i64, Invalid> {
    let (whole, decimals) = match text.split_once('.') {
        Some((whole, decimals)) => (whole, Some(decimals)),
        None => (text, None),
    };
    if !is_digits(whole) || !decimals.is_none_or(is_digits) {
        return Err(Invalid::new("malformed", "must be digits, perhaps with a point and decimals, such as 1500.00"));
    }
    let decimals = decimals.unwrap_or_default();
    let missing = usize::try_from(currency.decimals).unwrap_or_default().checked_sub(decimals.len());
    let Some(missing) = missing else {
        return Err(Invalid::new(
            "too_precise",
            format!("has more than the {} decimals of {currency}", currency.decimals),
        ));
    };
    let zeros = std::iter::repeat_n(b'0', missing);
    let digits = whole.bytes().chain(decimals.bytes()).chain(zeros);
    let minor =
        digits.into_iter().try_fold(0_i64, |minor, digit| minor.checked_mul(10)?.checked_add(i64::from(digit - b'0')));
    minor.ok_or_else(|| Invalid::new("too_large", "is larger than any amount that can be held"))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// ISO 4217 list one as of 2026-01-01 (six-group.com, maintenance agency), by number of decimals.
///
/// Since 2023 gone: ANG (now XCG), BGN (EUR), CUC, HRK (EUR), SLL (SLE), ZWL (ZWG).
const CODES_BY_DECIMALS: [(u32, &[&str]); 4] = [(2, DECIMALS_2), (0, DECIMALS_0), (3, DECIMALS_3), (4, DECIMALS_4)];

const DECIMALS_0: &[&str] = &[
    "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF",
    "XPF",
];

const DECIMALS_2: &[&str] = &[
    "AED", "AFN", "ALL", "AMD", "AOA", "ARS", "AUD", "AWG", "AZN", "BAM", "BBD", "BDT", "BMD", "BND", "BOB", "BOV",
    "BRL", "BSD", "BTN", "BWP", "BYN", "BZD", "CAD", "CDF", "CHE", "CHF", "CHW", "CNY", "COP", "COU", "CRC", "CUP",
    "CVE", "CZK", "DKK", "DOP", "DZD", "EGP", "ERN", "ETB", "EUR", "FJD", "FKP", "GBP", "GEL", "GHS", "GIP", "GMD",
    "GTQ", "GYD", "HKD", "HNL", "HTG", "HUF", "IDR", "ILS", "INR", "IRR", "JMD", "KES", "KGS", "KHR", "KPW", "KYD",
    "KZT", "LAK", "LBP", "LKR", "LRD", "LSL", "MAD", "MDL", "MGA", "MKD", "MMK", "MNT", "MOP", "MRU", "MUR", "MVR",
    "MWK", "MXN", "MXV", "MYR", "MZN", "NAD", "NGN", "NIO", "NOK", "NPR", "NZD", "PAB", "PEN", "PGK", "PHP", "PKR",
    "PLN", "QAR", "RON", "RSD", "RUB", "SAR", "SBD", "SCR", "SDG", "SEK", "SGD", "SHP", "SLE", "SOS", "SRD", "SSP",
    "STN", "SVC", "SYP", "SZL", "THB", "TJS", "TMT", "TOP", "TRY", "TTD", "TWD", "TZS", "UAH", "USD", "USN", "UYU",
    "UZS", "VED", "VES", "WST", "XCD", "XCG", "YER", "ZAR", "ZMW", "ZWG",
];

const DECIMALS_3: &[&str] = &["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"];

const DECIMALS_4: &[&str] = &["CLF", "UYW"];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn usd(minor: i64) -> Amount {
        Amount::from_minor(minor, Currency::USD).unwrap()
    }

    #[rstest]
    #[case("USD", 2)]
    #[case("usd", 2)]
    #[case("Jpy", 0)]
    #[case("BHD", 3)]
    #[case("CLF", 4)]
    #[case("XCG", 2)]
    fn a_currency_is_read_in_any_case(#[case] text: &str, #[case] decimals: u32) {
        let currency = Currency::parse(text).unwrap();

        assert_eq!(currency.code(), text.to_ascii_uppercase());
        assert_eq!(currency.to_string(), text.to_ascii_uppercase());
        assert_eq!(currency.decimals(), decimals);
    }

    #[rstest]
    #[case("")]
    #[case("US")]
    #[case("USDX")]
    #[case(" USD")]
    #[case("HRK")]
    #[case("BGN")]
    #[case("XAU")]
    #[case("XXX")]
    #[case("ſEK")]
    fn what_is_not_an_active_code_is_unknown(#[case] text: &str) {
        assert_eq!(Currency::parse(text).unwrap_err().code, "unknown");
    }

    #[test]
    fn the_table_is_three_upper_case_letters_each_once() {
        let all: Vec<&str> = CODES_BY_DECIMALS.iter().flat_map(|(_, codes)| codes.iter().copied()).collect();
        let once: std::collections::BTreeSet<&str> = all.iter().copied().collect();

        assert_eq!(all.len(), once.len());
        assert!(all.iter().all(|code| code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase())));
        assert_eq!(Currency::parse("USD").unwrap(), Currency::USD);
    }

    #[test]
    fn a_currency_travels_as_its_code() {
        assert_eq!(serde_json::to_string(&Currency::USD).unwrap(), "\"USD\"");
        assert_eq!(serde_json::from_str::<Currency>("\"usd\"").unwrap(), Currency::USD);
        assert!(serde_json::from_str::<Currency>("\"nope\"").is_err());
    }

    #[rstest]
    #[case("1500", "USD", 150_000, "1500.00")]
    #[case("1500.5", "USD", 150_050, "1500.50")]
    #[case("1500.00", "USD", 150_000, "1500.00")]
    #[case("0.01", "USD", 1, "0.01")]
    #[case("007.5", "USD", 750, "7.50")]
    #[case("1500", "JPY", 1_500, "1500")]
    #[case("1.234", "BHD", 1_234, "1.234")]
    #[case("1500", "BHD", 1_500_000, "1500.000")]
    #[case("0.0001", "CLF", 1, "0.0001")]
    #[case("92233720368547758.07", "USD", i64::MAX, "92233720368547758.07")]
    fn an_amount_is_read_and_written_with_its_decimals(
        #[case] text: &str,
        #[case] currency: &str,
        #[case] minor: i64,
        #[case] written: &str,
    ) {
        let amount = Amount::parse(text, Currency::parse(currency).unwrap()).unwrap();

        assert_eq!(amount.minor(), minor);
        assert_eq!(amount.currency().code(), currency);
        assert_eq!(amount.to_string(), written);
    }

    #[rstest]
    #[case("", "malformed")]
    #[case("NaN", "malformed")]
    #[case("1e3", "malformed")]
    #[case("+5", "malformed")]
    #[case("-", "malformed")]
    #[case("--5", "malformed")]
    #[case("-abc", "malformed")]
    #[case(".5", "malformed")]
    #[case("5.", "malformed")]
    #[case(".", "malformed")]
    #[case("1.2.3", "malformed")]
    #[case("1,500", "malformed")]
    #[case(" 5", "malformed")]
    #[case("5 ", "malformed")]
    #[case("0x10", "malformed")]
    #[case("١٥", "malformed")]
    #[case("1.+5", "malformed")]
    #[case("1.234", "too_precise")]
    #[case("1.230", "too_precise")]
    #[case("0", "not_positive")]
    #[case("0.00", "not_positive")]
    #[case("-5", "not_positive")]
    #[case("-0.01", "not_positive")]
    #[case("92233720368547758.08", "too_large")]
    #[case("-92233720368547758.08", "too_large")]
    #[case("99999999999999999999999999", "too_large")]
    fn what_is_no_positive_decimal_is_refused(#[case] text: &str, #[case] code: &str) {
        assert_eq!(Amount::parse(text, Currency::USD).unwrap_err().code, code);
    }

    #[test]
    fn a_currency_without_decimals_takes_none() {
        let yen = Currency::parse("JPY").unwrap();

        assert_eq!(Amount::parse("1.0", yen).unwrap_err().code, "too_precise");
        assert_eq!(Amount::parse("1.", yen).unwrap_err().code, "malformed");
    }

    #[rstest]
    #[case(0)]
    #[case(-1)]
    #[case(i64::MIN)]
    fn minor_units_must_be_positive(#[case] minor: i64) {
        assert_eq!(Amount::from_minor(minor, Currency::USD).unwrap_err().code, "not_positive");
    }

    #[rstest]
    #[case(100_000, 3, vec![33_334, 33_333, 33_333])]
    #[case(100_001, 3, vec![33_334, 33_334, 33_333])]
    #[case(2, 3, vec![1, 1, 0])]
    #[case(5, 1, vec![5])]
    fn parts_re_sum_and_the_first_take_the_odd_cents(
        #[case] minor: i64,
        #[case] parts: usize,
        #[case] expected: Vec<i64>,
    ) {
        assert_eq!(usd(minor).split(parts).unwrap(), expected);
    }

    #[test]
    fn an_amount_is_not_split_into_no_or_too_many_parts() {
        assert_eq!(usd(100).split(0), None);
        assert_eq!(usd(100).split(Amount::PARTS_MAX + 1), None);
        assert_eq!(usd(100).split(Amount::PARTS_MAX).unwrap().len(), Amount::PARTS_MAX);
    }

    #[rstest]
    #[case(150_000, 15, 31, Some(72_581))]
    #[case(1, 1, 2, Some(1))]
    #[case(3, 1, 2, Some(2))]
    #[case(1, 49, 100, Some(0))]
    #[case(1, -1, 2, Some(-1))]
    #[case(1, 1, -2, Some(-1))]
    #[case(1, -49, 100, Some(0))]
    #[case(100, 0, 7, Some(0))]
    #[case(100, 1, 0, None)]
    #[case(i64::MAX, 2, 1, None)]
    #[case(i64::MAX, i64::MAX, i64::MAX, Some(i64::MAX))]
    #[case(i64::MAX, i64::MIN, i64::MIN, Some(i64::MAX))]
    fn a_fraction_is_rounded_once_half_away_from_zero(
        #[case] minor: i64,
        #[case] numerator: i64,
        #[case] denominator: i64,
        #[case] expected: Option<i64>,
    ) {
        assert_eq!(usd(minor).fraction(numerator, denominator), expected);
    }

    #[rstest]
    #[case(-5, "USD", "-0.05")]
    #[case(-150_000, "USD", "-1500.00")]
    #[case(0, "USD", "0.00")]
    #[case(-7, "JPY", "-7")]
    #[case(i64::MIN, "USD", "-92233720368547758.08")]
    fn a_ledger_sum_may_be_negative(#[case] minor: i64, #[case] currency: &str, #[case] written: &str) {
        assert_eq!(format_minor(minor, Currency::parse(currency).unwrap()), written);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_written_reads_back(
            minor in 1..=i64::MAX,
            code in prop::sample::select(vec!["USD", "JPY", "BHD", "CLF"]),
        ) {
            let amount = Amount::from_minor(minor, Currency::parse(code).unwrap()).unwrap();

            prop_assert_eq!(Amount::parse(&amount.to_string(), amount.currency()).unwrap(), amount);
        }

        #[test]
        fn any_split_re_sums_and_no_two_parts_differ_by_more_than_one(minor in 1..=i64::MAX, parts in 1..200_usize) {
            let split = usd(minor).split(parts).unwrap();

            prop_assert_eq!(split.len(), parts);
            prop_assert_eq!(split.iter().sum::<i64>(), minor);
            prop_assert!(split.iter().max().unwrap() - split.iter().min().unwrap() <= 1);
            prop_assert!(split.is_sorted_by(|a, b| b <= a));
        }

        #[test]
        fn no_text_makes_the_parser_fail_over(text in "\\PC{0,30}|[-0-9.]{0,30}") {
            let _ = Amount::parse(&text, Currency::USD);
        }
    }
}
