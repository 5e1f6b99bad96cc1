//! Bad days, months, forms and names in reports.

use super::{Cases, Landlord, NOTHING_ELSE, Nothing};
use crate::harness::{GET, Home};

pub(super) fn add(cases: &mut Cases, home: &Home<'_>) {
    let path = |rest: &str| format!("/api/v1/reports/{rest}");
    let lease = home.lease.as_str();
    let mut bad = |rest: &str, field, code| cases.query(Landlord, &path(rest), field, code);
    for report in ["rent-roll", "arrears"] {
        for (day, code) in [
            ("yesterday", "malformed"),
            ("", "malformed"),
            ("1899-12-31", "out_of_range"),
            ("2199-12-31", "in_the_future"),
        ] {
            bad(&format!("{report}?as_of={day}"), "as_of", code);
            bad(&format!("{report}?as_of={day}&format=CSV"), "as_of", code);
            bad(&format!("{report}/details?lease_id={lease}&column=OPEN&as_of={day}"), "as_of", code);
        }
        bad(&format!("{report}?format=XML"), "format", "unknown");
        bad(&format!("{report}/details?lease_id={lease}&column=OPEN&format=XML"), "format", "unknown");
        bad(&format!("{report}/details?column=OPEN"), "lease_id", "required");
        bad(&format!("{report}/details?column=OPEN&lease_id=x"), "lease_id", "malformed");
    }
    bad(&format!("rent-roll/details?lease_id={lease}"), "column", "required");
    bad(&format!("rent-roll/details?lease_id={lease}&column=LATE"), "column", "unknown");
    bad(&format!("arrears/details?lease_id={lease}&age=OLD"), "age", "unknown");
    for (month, code) in
        [("march", "malformed"), ("2026-13", "malformed"), ("2026", "malformed"), ("2200-01", "out_of_range")]
    {
        bad(&format!("month?month={month}"), "month", code);
        bad(&format!("month/details?lease_id={lease}&column=OPEN&month={month}"), "month", code);
        bad(&format!("income/details?property_id={}&month={month}", home.property), "month", code);
    }
    bad("month", "month", "required");
    bad(&format!("month/details?lease_id={lease}&column=CREDIT&month=2026-02"), "column", "unknown");
    bad("payments?from=2026-03-02&to=2026-03-01", "to", "before_from");
    bad("payments?from=x", "from", "malformed");
    bad("payments?to=x&format=CSV", "to", "malformed");
    bad("income", "year", "required");
    bad("income?year=26", "year", "malformed");
    bad("income?year=2026-01", "year", "malformed");
    bad("income?year=2200", "year", "out_of_range");
    bad("income?year=2026&basis=TAX", "basis", "unknown");
    bad("income/details?month=2026-02", "property_id", "required");
    let of_property = format!("income/details?property_id={}&month=2026-02", home.property);
    bad(&format!("{of_property}&part=MONEY"), "part", "unknown");
    bad(&format!("{of_property}&currency=DOLLARS"), "currency", "unknown");
    for report in ["rent-roll?", "arrears?", "month?month=2026-02&", "payments?", "income?year=2026&"] {
        bad(&format!("{report}limit=0"), "limit", "out_of_range");
        bad(&format!("{report}cursor=x"), "cursor", "malformed");
        bad(&format!("{report}landlord_id=x"), "landlord_id", "malformed");
    }
    for report in ["rent-roll", "arrears", "month", "income"] {
        let query = format!("lease_id={NOTHING_ELSE}&property_id={NOTHING_ELSE}&column=OPEN&month=2026-02");
        let path = path(&format!("{report}/details?{query}"));
        cases.add(Landlord, GET, &path, Nothing, 404, "not_found");
    }
}
