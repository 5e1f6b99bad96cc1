//! Moments, to the microsecond, as the databases keep them.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;

use crate::invalid::Invalid;

/// Microseconds in a second.
pub const SECOND_US: i64 = 1_000_000;
/// Microseconds in a day of 24 hours.
pub const DAY_US: i64 = 86_400 * SECOND_US;

/// A moment: microseconds since 1970-01-01T00:00:00Z. Shown as RFC 3339 in UTC with six decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(i64);

impl Instant {
    /// The moment `micros` microseconds after the epoch, which must lie within the years 1 to 9999.
    pub fn from_micros(micros: i64) -> Result<Instant, Invalid> {
        Timestamp::from_microsecond(micros)
            .map(|_| Instant(micros))
            .map_err(|_| Invalid::new("out_of_range", "lies outside of the years 1 to 9999"))
    }

    /// Microseconds since the epoch.
    pub fn micros(self) -> i64 {
        self.0
    }

    /// This moment moved by `micros`; stops at the ends of the calendar.
    pub fn plus_micros(self, micros: i64) -> Instant {
        let moved = self.0.saturating_add(micros);
        Instant(moved.clamp(Timestamp::MIN.as_microsecond(), Timestamp::MAX.as_microsecond()))
    }

    /// The same moment for the calendar.
    pub fn timestamp(self) -> Timestamp {
        Timestamp::from_microsecond(self.0).unwrap_or(Timestamp::MAX)
    }

    /// Reads RFC 3339 with any offset and up to nine decimals; what is finer than a microsecond is cut off.
    pub fn parse(text: &str) -> Result<Instant, Invalid> {
        let timestamp: Timestamp =
            text.parse().map_err(|_| Invalid::new("malformed", "must be a time as in 2026-03-01T12:00:00Z"))?;
        Ok(Instant(timestamp.as_microsecond()))
    }
}

impl From<Timestamp> for Instant {
    fn from(timestamp: Timestamp) -> Instant {
        Instant(timestamp.as_microsecond())
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}", self.timestamp())
    }
}

impl FromStr for Instant {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Instant, Invalid> {
        Instant::parse(text)
    }
}

impl serde::Serialize for Instant {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Instant {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Instant, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Instant::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_shown_with_six_decimals_and_read_back() {
        let moment = Instant::parse("2026-03-01T12:00:00.5+01:00").unwrap();
        assert_eq!(moment.to_string(), "2026-03-01T11:00:00.500000Z");
        assert_eq!(Instant::parse(&moment.to_string()), Ok(moment));
    }

    #[test]
    fn a_civil_time_without_an_offset_is_not_a_moment() {
        assert_eq!(Instant::parse("2026-03-01T12:00:00").unwrap_err().code, "malformed");
    }
}
