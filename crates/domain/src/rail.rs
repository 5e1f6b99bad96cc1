//! The four ways by which money moves, and what each promises.

use std::fmt;

use crate::id::PaymentId;
use crate::invalid::Invalid;
use crate::money::{Amount, Currency};
use crate::time::SECOND_US;

/// A payment rail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Rail {
    /// Credit transfer by RTP or FedNow: around the clock, final.
    Instant,
    /// Debit of the payer in one of the day's three windows.
    SameDayAch,
    /// Debit of the payer, settled on the next banking day.
    StandardAch,
    /// Credit transfer by Fedwire on banking days, final.
    Wire,
}

impl Rail {
    /// Every rail.
    pub const ALL: [Rail; 4] = [Rail::Instant, Rail::SameDayAch, Rail::StandardAch, Rail::Wire];

    /// What a payment takes that names no rail.
    pub const DEFAULT: Rail = Rail::StandardAch;

    /// The name on the wire and in the database.
    pub fn name(self) -> &'static str {
        match self {
            Rail::Instant => "INSTANT",
            Rail::SameDayAch => "SAME_DAY_ACH",
            Rail::StandardAch => "STANDARD_ACH",
            Rail::Wire => "WIRE",
        }
    }

    /// Reads a rail's name in any case.
    pub fn parse(text: &str) -> Result<Rail, Invalid> {
        Rail::ALL
            .into_iter()
            .find(|rail| rail.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| Invalid::new("unknown", "must be INSTANT, SAME_DAY_ACH, STANDARD_ACH or WIRE"))
    }

    /// The most that one payment may carry, in cents.
    ///
    /// RTP and FedNow: 10 million dollars (2025). Same Day ACH: one million (Nacha, 2022). Standard ACH: the ten digits of
    /// the entry's amount field. Wire: the twelve digits of Fedwire's amount field.
    pub fn limit_cents(self) -> i64 {
        match self {
            Rail::Instant => 1_000_000_000,
            Rail::SameDayAch => 100_000_000,
            Rail::StandardAch => 9_999_999_999,
            Rail::Wire => 999_999_999_999,
        }
    }

    /// Whether one payment on this rail may carry `amount`; its currency must be carried.
    pub fn allows(self, amount: Amount) -> bool {
        amount.minor() <= self.limit_cents()
    }

    /// Whether this rail moves money of `currency`: all four are rails of the United States.
    pub fn carries(self, currency: Currency) -> bool {
        currency == Currency::USD
    }

    /// Whether the payer's bank can take the money back after settlement.
    pub fn is_returnable(self) -> bool {
        match self {
            Rail::SameDayAch | Rail::StandardAch => true,
            Rail::Instant | Rail::Wire => false,
        }
    }

    /// From the hand-over to settlement in simulation at scale 1: shortest and longest, in microseconds.
    fn simulated_delay_range_us(self) -> (i64, i64) {
        let (shortest, longest) = match self {
            Rail::Instant => (1, 2),
            Rail::SameDayAch => (30, 60),
            Rail::StandardAch => (120, 180),
            Rail::Wire => (5, 10),
        };
        (shortest * SECOND_US, longest * SECOND_US)
    }

    /// How long the simulator takes to settle one attempt, in microseconds.
    ///
    /// Within the rail's range and always the same for the same attempt, so that the estimate shown to people is what the
    /// simulator will do, and a run can be repeated.
    pub fn simulated_delay_us(self, payment: PaymentId, attempt: i64, scale: DelayScale) -> i64 {
        let (shortest, longest) = self.simulated_delay_range_us();
        // The last bytes of a version 7 UUID are random; any spread will do.
        let tail = payment.0.as_bytes()[10..].iter().fold(0_i64, |sum, byte| sum * 251 + i64::from(*byte));
        let within = (tail + attempt * 7_919).rem_euclid(longest - shortest + 1);
        scale.apply(shortest + within)
    }
}

impl fmt::Display for Rail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What all of the simulator's delays are multiplied by, in thousandths: 0 is at once, 1000 as the rails are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DelayScale {
    thousandths: i64,
}

impl DelayScale {
    /// No delay at all.
    pub const AT_ONCE: DelayScale = DelayScale { thousandths: 0 };
    /// Delays as the rails have them.
    pub const AS_IT_IS: DelayScale = DelayScale { thousandths: 1000 };

    /// Reads a decimal number from 0 to 1000 with at most three decimals, such as `0`, `0.05` or `1`.
    pub fn parse(text: &str) -> Result<DelayScale, Invalid> {
        let malformed = || Invalid::new("malformed", "must be a number from 0 to 1000 with at most three decimals");
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !all_digits(whole) || !all_digits(decimals) || 3 < decimals.len() || 4 < whole.len() {
            return Err(malformed());
        }
        let whole: i64 = whole.parse().map_err(|_| malformed())?;
        let decimals: i64 = format!("{decimals:0<3}").parse().map_err(|_| malformed())?;
        let thousandths = whole * 1000 + decimals;
        if 1_000_000 < thousandths {
            return Err(malformed());
        }
        Ok(DelayScale { thousandths })
    }

    /// `micros` at this scale.
    pub fn apply(self, micros: i64) -> i64 {
        micros.saturating_mul(self.thousandths) / 1000
    }
}

impl fmt::Display for DelayScale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.thousandths / 1000, self.thousandths % 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_simulated_delay_lies_in_the_range_of_its_rail_and_repeats() {
        for rail in Rail::ALL {
            let (shortest, longest) = rail.simulated_delay_range_us();
            for n in 0..500_u128 {
                let payment = PaymentId(Uuid::from_u128(n * 0x9E37_79B9_7F4A_7C15));
                let delay = rail.simulated_delay_us(payment, 1, DelayScale::AS_IT_IS);
                assert!((shortest..=longest).contains(&delay), "{rail} {delay}");
                assert_eq!(delay, rail.simulated_delay_us(payment, 1, DelayScale::AS_IT_IS));
                assert_eq!(rail.simulated_delay_us(payment, 1, DelayScale::AT_ONCE), 0);
            }
        }
    }

    #[test]
    fn a_scale_is_read_without_a_float() {
        assert_eq!(DelayScale::parse("0"), Ok(DelayScale::AT_ONCE));
        assert_eq!(DelayScale::parse("1"), Ok(DelayScale::AS_IT_IS));
        assert_eq!(DelayScale::parse("0.05").unwrap().apply(SECOND_US), 50_000);
        for bad in ["", ".5", "1.", "-1", "1e3", "0.0001", "1001", "NaN"] {
            assert!(DelayScale::parse(bad).is_err(), "{bad}");
        }
    }
}
