//! When money arrives that is handed to a bank, and why then: the calendars of the real rails.
//!
//! Times of day are Eastern Time, as the rails publish them, with daylight saving. They are the networks' own
//! deadlines: a bank that wants its files earlier, or a caller who wants a margin, hands over earlier. A payment handed
//! over at the very moment of a cut-off is in time.
//!
//! | rail | handed over on a banking day until | arrives |
//! |---|---|---|
//! | INSTANT | any moment of any day | at once |
//! | WIRE | 18:45 | at once, not before 09:00 |
//! | `SAME_DAY_ACH` | 10:30, 14:45, 16:45 | 13:00, 17:00, 18:00 the same day |
//! | `STANDARD_ACH` | 02:15 of the next morning | 08:30 on the next banking day |
//!
//! What misses the last cut-off of a banking day, or is handed over on a closed day, is taken as if handed over when the
//! next banking day begins. Banking days are those of [`crate::banking_day`]; far outside of the years 1900 to 2199
//! moments saturate at the ends of the calendar.
//!
//! Sources: Federal Reserve Bank Services, FedACH processing schedule (windows and settlement times; its processing day
//! ends at 02:15 of the following calendar day) and Fedwire Funds Service operating hours (transfers for third parties
//! until 18:45); RTP and FedNow operating rules (around the clock).

use std::fmt;
use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time, time};
use jiff::tz::TimeZone;

use crate::banking_day::{self, Closing, Holiday};
use crate::calendar::{day_after, day_before};
use crate::property::ZoneName;
use crate::rail::Rail;
use crate::time::Instant;

/// When money arrives, and why then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// The moment of settlement.
    pub at: Instant,
    /// What led there, in the order of time; never empty.
    pub reasons: Vec<Reason>,
}

/// One link in the explanation of an [`Arrival`]. All dates and times of day are Eastern Time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The rail moves money at any moment of any day.
    AroundTheClock,
    /// It was handed over after the last cut-off of its day.
    AfterCutOff {
        /// The cut-off that it missed.
        cut_off: DateTime,
    },
    /// It waits over a Saturday or a Sunday.
    Weekend {
        /// The closed day.
        day: Date,
    },
    /// It waits over a holiday.
    Holiday {
        /// The closed day: for a holiday on a Sunday the Monday after.
        day: Date,
        /// Which holiday is kept.
        holiday: Holiday,
    },
    /// It waits for the rail to open.
    BeforeOpening {
        /// When it opens.
        opens: DateTime,
    },
    /// It goes out with a banking day's payments.
    GoesOut {
        /// The banking day that it counts to.
        day: Date,
        /// The cut-off that it meets; the last one of a day may lie in the next morning.
        cut_off: DateTime,
    },
}

/// When money arrives that is handed over to the bank at `handed_over_at`.
///
/// Never before the hand-over, and never earlier for a later hand-over. What moves at once is there at the moment of
/// hand-over; the seconds that it takes are not counted.
pub fn arrival(rail: Rail, handed_over_at: Instant) -> Arrival {
    match bank_rail(rail) {
        None => Arrival { at: handed_over_at, reasons: vec![Reason::AroundTheClock] },
        Some(rail) => {
            let window = rail.window_taking(handed_over_at);
            let at = window.arrival_of(handed_over_at);
            Arrival { at, reasons: rail.reasons(window, handed_over_at) }
        }
    }
}

/// The last moment to hand a payment over so that its money is there on `count_on` or before, by the calendar on the
/// wall in `zone`.
///
/// The greatest moment whose [`arrival`] is not after that day: one microsecond later the money comes too late. It is the
/// networks' deadline; whoever draws by it leaves a margin for the way there.
pub fn latest_hand_over(rail: Rail, count_on: Date, zone: &ZoneName) -> Instant {
    let day_ends = moment(&zone.to_time_zone(), day_after(count_on).to_datetime(Time::midnight())).plus_micros(-1);
    match bank_rail(rail) {
        None => day_ends,
        Some(rail) => match rail.window_paid_by(day_ends) {
            Some(window) => eastern_moment(window.cut_off).min(day_ends),
            None => Instant::from(Timestamp::MIN),
        },
    }
}

impl fmt::Display for Arrival {
    /// The reasons and the moment, such as "handed over after the 16:45 ET cut-off; …; settles Tuesday 2026-09-08 at
    /// 13:00 ET".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for reason in &self.reasons {
            write!(f, "{reason}; ")?;
        }
        let at = eastern(self.at);
        write!(f, "settles {} at {}", day_text(at.date()), time_text(at))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::AroundTheClock => f.write_str("moves at once at any time of any day"),
            Reason::AfterCutOff { cut_off } => write!(f, "handed over after the {} cut-off", time_text(*cut_off)),
            Reason::Weekend { day } => write!(f, "{} is no banking day", day_text(*day)),
            Reason::Holiday { day, holiday } if holiday.falls_on(*day) => write!(f, "{} is {holiday}", day_text(*day)),
            Reason::Holiday { day, holiday } => write!(f, "{} is {holiday} (observed)", day_text(*day)),
            Reason::BeforeOpening { opens } => write!(f, "waits for the {} opening", time_text(*opens)),
            Reason::GoesOut { day, cut_off } if cut_off.date() == *day => {
                write!(f, "goes out {} by the {} cut-off", day_text(*day), time_text(*cut_off))
            }
            Reason::GoesOut { day, cut_off } => {
                write!(f, "goes out {} by the {} cut-off of the next morning", day_text(*day), time_text(*cut_off))
            }
        }
    }
}

/// The rails that keep banking days.
#[derive(Clone, Copy, PartialEq, Eq)]
enum BankRail {
    Wire,
    SameDayAch,
    StandardAch,
}

/// One cut-off of a banking day. What makes it is paid at `pays_from`, or at its hand-over if that is later.
///
/// Of two windows of a rail the later one has both the later cut-off and the later pay: that makes arrivals monotone.
#[derive(Clone, Copy)]
struct Window {
    day: Date,
    cut_off: DateTime,
    pays_from: DateTime,
}

/// Until when Fedwire takes transfers for third parties (Fedwire Funds Service operating hours).
const WIRE_CUT_OFF: Time = time(18, 45, 0, 0);

/// From when a wire is promised.
///
/// Fedwire itself opens at 21:00 of the evening before, but a wire between customers takes the staff of two banks: we
/// promise nothing for the night.
const WIRE_OPENS: Time = time(9, 0, 0, 0);

/// Cut-off and settlement of the same-day windows (FedACH processing schedule).
const SAME_DAY_WINDOWS: [(Time, Time); 3] = [
    (time(10, 30, 0, 0), time(13, 0, 0, 0)),
    (time(14, 45, 0, 0), time(17, 0, 0, 0)),
    (time(16, 45, 0, 0), time(18, 0, 0, 0)),
];

/// When the processing day of a banking day ends, in the next morning (FedACH processing schedule).
const NEXT_DAY_CUT_OFF: Time = time(2, 15, 0, 0);

/// When debits of the previous processing day settle (FedACH processing schedule).
const NEXT_DAY_SETTLES: Time = time(8, 30, 0, 0);

/// The rails' own zone. It is in the bundled database; a test holds on to that.
static EASTERN: LazyLock<TimeZone> =
    LazyLock::new(|| ZoneName::parse("America/New_York").map_or(TimeZone::UTC, |zone| zone.to_time_zone()));

fn bank_rail(rail: Rail) -> Option<BankRail> {
    match rail {
        Rail::Instant => None,
        Rail::Wire => Some(BankRail::Wire),
        Rail::SameDayAch => Some(BankRail::SameDayAch),
        Rail::StandardAch => Some(BankRail::StandardAch),
    }
}

impl BankRail {
    /// The windows of the banking day `day`, in the order of time; at least one.
    fn windows(self, day: Date) -> Vec<Window> {
        match self {
            BankRail::Wire => {
                vec![Window { day, cut_off: day.to_datetime(WIRE_CUT_OFF), pays_from: day.to_datetime(WIRE_OPENS) }]
            }
            BankRail::SameDayAch => SAME_DAY_WINDOWS
                .into_iter()
                .map(|(cut_off, pays)| Window {
                    day,
                    cut_off: day.to_datetime(cut_off),
                    pays_from: day.to_datetime(pays),
                })
                .collect(),
            BankRail::StandardAch => vec![Window {
                day,
                cut_off: day_after(day).to_datetime(NEXT_DAY_CUT_OFF),
                pays_from: banking_day::next_banking_day(day).to_datetime(NEXT_DAY_SETTLES),
            }],
        }
    }

    /// The first window whose cut-off `handed_over_at` makes.
    ///
    /// It ends: moments saturate, so that the last day's cut-off is after everything.
    fn window_taking(self, handed_over_at: Instant) -> Window {
        let is_made = |window: &Window| handed_over_at <= eastern_moment(window.cut_off);
        // The cut-off of a day may lie in the next morning.
        let mut day = banking_day::banking_day_on_or_after(day_before(eastern(handed_over_at).date()));
        loop {
            if let Some(window) = self.windows(day).into_iter().find(is_made) {
                return window;
            }
            day = banking_day::next_banking_day(day);
        }
    }

    /// The last window that pays by the moment `by`; none at the beginning of the calendar.
    fn window_paid_by(self, by: Instant) -> Option<Window> {
        let last = banking_day::previous_banking_day(day_after(eastern(by).date()));
        let earlier = |day: &Date| Some(banking_day::previous_banking_day(*day)).filter(|previous| previous < day);
        std::iter::successors(Some(last), earlier)
            .flat_map(|day| self.windows(day).into_iter().rev())
            .find(|window| eastern_moment(window.pays_from) <= by)
    }

    /// The last cut-off of the calendar day `day`: that of the banking day itself, or of the one the evening before.
    fn last_cut_off_on(self, day: Date) -> Option<DateTime> {
        [day, day_before(day)]
            .into_iter()
            .filter(|candidate| banking_day::is_banking_day(*candidate))
            .flat_map(|banking_day| self.windows(banking_day))
            .map(|window| window.cut_off)
            .filter(|cut_off| cut_off.date() == day)
            .max()
    }

    /// Why what is handed over at `handed_over_at` goes with `window` and arrives when it does.
    fn reasons(self, window: Window, handed_over_at: Instant) -> Vec<Reason> {
        let handed_over_on = eastern(handed_over_at).date();
        let mut reasons = Vec::new();
        if handed_over_on < window.day {
            let missed = self.last_cut_off_on(handed_over_on);
            reasons.extend(missed.map(|cut_off| Reason::AfterCutOff { cut_off }));
        }
        reasons.extend(closed_days(handed_over_on, window.day));
        // Only a wire is paid while its window is still open.
        if window.pays_from < window.cut_off && handed_over_at < eastern_moment(window.pays_from) {
            reasons.push(Reason::BeforeOpening { opens: window.pays_from });
        }
        reasons.push(Reason::GoesOut { day: window.day, cut_off: window.cut_off });
        reasons.extend(closed_days(day_after(window.day), window.pays_from.date()));
        reasons
    }
}

impl Window {
    fn arrival_of(self, handed_over_at: Instant) -> Instant {
        handed_over_at.max(eastern_moment(self.pays_from))
    }
}

/// The closed days from `first` up to, but not including, `end`; none if that is not later.
fn closed_days(first: Date, end: Date) -> impl Iterator<Item = Reason> {
    std::iter::successors(Some(first), |day| Some(day_after(*day))).take_while(move |day| *day < end).filter_map(
        |day| match banking_day::closing(day)? {
            Closing::Weekend => Some(Reason::Weekend { day }),
            Closing::Holiday(holiday) => Some(Reason::Holiday { day, holiday }),
        },
    )
}

/// What clocks and calendars show in Eastern Time.
fn eastern(at: Instant) -> DateTime {
    EASTERN.to_datetime(at.timestamp())
}

fn eastern_moment(local: DateTime) -> Instant {
    moment(&EASTERN, local)
}

/// The moment of a civil time in `zone`: the first of two, the later side of a gap; saturates.
fn moment(zone: &TimeZone, local: DateTime) -> Instant {
    let end = if local.year() < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Instant::from(zone.to_timestamp(local).unwrap_or(end))
}

fn day_text(day: Date) -> impl fmt::Display {
    day.strftime("%A %Y-%m-%d")
}

fn time_text(at: DateTime) -> impl fmt::Display {
    at.strftime("%H:%M ET")
}

#[cfg(test)]
mod tests;
