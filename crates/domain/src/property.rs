//! Where a property stands: its state, ZIP code and time zone.

use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::invalid::Invalid;
use crate::time::Instant;

/// A state of the United States, its capital's district or one of its territories, by its USPS code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UsState {
    // Invariant: a row of `STATES`.
    code: &'static str,
    zone: &'static str,
}

impl UsState {
    /// Reads a two-letter code in any case; anything but a state, DC, PR, GU, VI, AS or MP is `unknown`.
    pub fn parse(text: &str) -> Result<UsState, Invalid> {
        STATES
            .into_iter()
            .find(|state| state.code.eq_ignore_ascii_case(text))
            .ok_or_else(|| Invalid::new("unknown", "must be the two-letter code of a US state or territory"))
    }

    /// The two upper-case letters.
    pub fn code(self) -> &'static str {
        self.code
    }

    /// The IANA name of the time zone that most people of the state live in.
    pub fn main_time_zone(self) -> &'static str {
        self.zone
    }
}

/// A ZIP code, five digits or five and four.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ZipCode(String);

impl ZipCode {
    /// Trims `text` and checks for `12345` or `12345-6789`; anything else is `malformed`.
    pub fn parse(text: &str) -> Result<ZipCode, Invalid> {
        let text = text.trim();
        let is_zip = match text.split_once('-') {
            Some((area, add_on)) => is_digits(area, 5) && is_digits(add_on, 4),
            None => is_digits(text, 5),
        };
        if !is_zip {
            return Err(Invalid::new("malformed", "must be a ZIP code such as 12345 or 12345-6789"));
        }
        Ok(ZipCode(text.to_owned()))
    }

    /// The code as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A time zone of the IANA database that is compiled into the program, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneName {
    name: String,
    zone: TimeZone,
}

impl ZoneName {
    /// Finds a zone by its name in any case; anything that is not in the database is `unknown`.
    pub fn parse(text: &str) -> Result<ZoneName, Invalid> {
        let zone = ZONES.get(text).ok();
        let name = zone.as_ref().and_then(|zone| zone.iana_name()).map(str::to_owned);
        match (zone, name) {
            (Some(zone), Some(name)) => Ok(ZoneName { name, zone }),
            (_, _) => Err(Invalid::new("unknown", "must be an IANA time zone such as America/New_York")),
        }
    }

    /// The name as the database spells it. An old name such as `US/Eastern` stays what it is.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// The rules of the zone. Cheap: they are shared.
    pub fn to_time_zone(&self) -> TimeZone {
        self.zone.clone()
    }
}

/// The date that a calendar on the wall in `zone` shows at the instant `at`.
pub fn local_date(zone: &ZoneName, at: Timestamp) -> Date {
    zone.zone.to_datetime(at).date()
}

/// The instant at which `date` begins in `zone`.
pub fn day_begins(zone: &ZoneName, date: Date) -> Instant {
    let midnight = zone.zone.to_ambiguous_timestamp(date.to_datetime(Time::midnight()));
    Instant::from(midnight.compatible().unwrap_or(Timestamp::MAX))
}

/// The bundled database and no other: a date must not depend on what is installed on the machine.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

fn is_digits(text: &str, count: usize) -> bool {
    text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit())
}

const fn state(code: &'static str, zone: &'static str) -> UsState {
    UsState { code, zone }
}

/// Codes from USPS Publication 28, Appendix B. Zones by where most people live, where a state has two: Florida,
/// Indiana, Kentucky and Michigan keep Eastern, Kansas, Nebraska, the Dakotas, Tennessee and Texas Central, Idaho
/// Mountain and Oregon Pacific time.
const STATES: [UsState; 56] = [
    state("AK", "America/Anchorage"),
    state("AL", "America/Chicago"),
    state("AR", "America/Chicago"),
    state("AS", "Pacific/Pago_Pago"),
    state("AZ", "America/Phoenix"),
    state("CA", "America/Los_Angeles"),
    state("CO", "America/Denver"),
    state("CT", "America/New_York"),
    state("DC", "America/New_York"),
    state("DE", "America/New_York"),
    state("FL", "America/New_York"),
    state("GA", "America/New_York"),
    state("GU", "Pacific/Guam"),
    state("HI", "Pacific/Honolulu"),
    state("IA", "America/Chicago"),
    state("ID", "America/Boise"),
    state("IL", "America/Chicago"),
    state("IN", "America/Indiana/Indianapolis"),
    state("KS", "America/Chicago"),
    state("KY", "America/New_York"),
    state("LA", "America/Chicago"),
    state("MA", "America/New_York"),
    state("MD", "America/New_York"),
    state("ME", "America/New_York"),
    state("MI", "America/Detroit"),
    state("MN", "America/Chicago"),
    state("MO", "America/Chicago"),
    state("MP", "Pacific/Saipan"),
    state("MS", "America/Chicago"),
    state("MT", "America/Denver"),
    state("NC", "America/New_York"),
    state("ND", "America/Chicago"),
    state("NE", "America/Chicago"),
    state("NH", "America/New_York"),
    state("NJ", "America/New_York"),
    state("NM", "America/Denver"),
    state("NV", "America/Los_Angeles"),
    state("NY", "America/New_York"),
    state("OH", "America/New_York"),
    state("OK", "America/Chicago"),
    state("OR", "America/Los_Angeles"),
    state("PA", "America/New_York"),
    state("PR", "America/Puerto_Rico"),
    state("RI", "America/New_York"),
    state("SC", "America/New_York"),
    state("SD", "America/Chicago"),
    state("TN", "America/Chicago"),
    state("TX", "America/Chicago"),
    state("UT", "America/Denver"),
    state("VA", "America/New_York"),
    state("VI", "America/St_Thomas"),
    state("VT", "America/New_York"),
    state("WA", "America/Los_Angeles"),
    state("WI", "America/Chicago"),
    state("WV", "America/New_York"),
    state("WY", "America/Denver"),
];

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("NY", "NY", "America/New_York")]
    #[case("ca", "CA", "America/Los_Angeles")]
    #[case("Tx", "TX", "America/Chicago")]
    #[case("DC", "DC", "America/New_York")]
    #[case("AZ", "AZ", "America/Phoenix")]
    #[case("GU", "GU", "Pacific/Guam")]
    fn a_state_is_read_in_any_case(#[case] text: &str, #[case] code: &str, #[case] zone: &str) {
        let state = UsState::parse(text).unwrap();

        assert_eq!(state.code(), code);
        assert_eq!(state.main_time_zone(), zone);
    }

    #[rstest]
    #[case("")]
    #[case("XX")]
    #[case("N")]
    #[case("New York")]
    #[case(" NY")]
    #[case("AE")]
    fn what_is_no_state_is_unknown(#[case] text: &str) {
        assert_eq!(UsState::parse(text).unwrap_err().code, "unknown");
    }

    #[test]
    fn every_state_stands_once_and_has_a_zone_of_the_database() {
        assert!(STATES.is_sorted_by(|a, b| a.code < b.code));
        for state in STATES {
            assert_eq!(ZoneName::parse(state.zone).unwrap().as_str(), state.zone);
        }
    }

    #[rstest]
    #[case("10001", "10001")]
    #[case(" 10001-1234 ", "10001-1234")]
    #[case("00501", "00501")]
    fn a_zip_code_is_read(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(ZipCode::parse(text).unwrap().as_str(), expected);
    }

    #[rstest]
    #[case("")]
    #[case("1000")]
    #[case("100011")]
    #[case("10001-")]
    #[case("10001-123")]
    #[case("10001-12345")]
    #[case("10001 1234")]
    #[case("100011234")]
    #[case("1000a")]
    #[case("10001-1234-")]
    #[case("１0001")]
    fn what_is_no_zip_code_is_malformed(#[case] text: &str) {
        assert_eq!(ZipCode::parse(text).unwrap_err().code, "malformed");
    }

    #[rstest]
    #[case("America/New_York", "America/New_York")]
    #[case("america/new_york", "America/New_York")]
    #[case("AMERICA/INDIANA/INDIANAPOLIS", "America/Indiana/Indianapolis")]
    #[case("us/eastern", "US/Eastern")]
    fn a_zone_is_spelled_as_in_the_database(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(ZoneName::parse(text).unwrap().as_str(), expected);
    }

    #[rstest]
    #[case("")]
    #[case("America")]
    #[case("America/Nowhere")]
    #[case("../etc/passwd")]
    #[case("+05:00")]
    #[case("EST5EDT,M3.2.0,M11.1.0")]
    #[case("Etc/Unknown")]
    #[case(" America/New_York")]
    fn what_is_no_zone_is_unknown(#[case] text: &str) {
        assert_eq!(ZoneName::parse(text).unwrap_err().code, "unknown");
    }

    #[rstest]
    #[case("America/New_York", "2026-01-01T04:59:59Z", date(2025, 12, 31))]
    #[case("America/New_York", "2026-01-01T05:00:00Z", date(2026, 1, 1))]
    #[case("America/New_York", "2026-07-01T03:59:59Z", date(2026, 6, 30))]
    #[case("America/New_York", "2026-07-01T04:00:00Z", date(2026, 7, 1))]
    #[case("America/Phoenix", "2026-07-01T06:59:59Z", date(2026, 6, 30))]
    #[case("Pacific/Guam", "2026-06-30T14:00:00Z", date(2026, 7, 1))]
    #[case("Pacific/Pago_Pago", "2026-07-01T10:59:59Z", date(2026, 6, 30))]
    fn a_day_begins_at_local_midnight(#[case] zone: &str, #[case] at: Timestamp, #[case] expected: Date) {
        let zone = ZoneName::parse(zone).unwrap();

        assert_eq!(local_date(&zone, at), expected);
        assert_eq!(at.to_zoned(zone.to_time_zone()).date(), expected);
    }
}
