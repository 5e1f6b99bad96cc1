//! Bad days and forms of balances and statements.

use super::{Cases, Landlord, NOTHING_ELSE, Nothing, Renter};
use crate::harness::{GET, Home};

pub(super) fn add(cases: &mut Cases, home: &Home<'_>) {
    let (balance, statement) =
        (format!("/api/v1/leases/{}/balance", home.lease), format!("/api/v1/leases/{}/statement", home.lease));
    for (text, code) in [
        ("yesterday", "malformed"),
        ("", "malformed"),
        ("2026-02-29", "malformed"),
        ("2026-3-1", "malformed"),
        ("2026-03-01T12:00:00Z", "malformed"),
        ("%00", "malformed"),
        ("1899-12-31", "out_of_range"),
        ("99999-01-01", "malformed"),
    ] {
        cases.query(Renter, &format!("{balance}?as_of={text}"), "as_of", code);
        cases.query(Landlord, &format!("{statement}?from={text}"), "from", code);
        cases.query(Renter, &format!("{statement}?to={text}&format=CSV"), "to", code);
    }
    cases.query(Renter, &format!("{balance}?as_of=2199-12-31"), "as_of", "in_the_future");
    cases.query(Renter, &format!("{balance}?as_of=2026-03-01&as_of=2026-03-02"), "query", "malformed");
    cases.query(Renter, &format!("{statement}?from=2026-03-02&to=2026-03-01"), "to", "before_from");
    for format in ["", "XML", "csv%00", "JSON,CSV", "PDF/A"] {
        cases.query(Renter, &format!("{statement}?format={format}"), "format", "unknown");
    }
    for path in ["balance", "statement", "statement?format=CSV", "statement?format=PDF"] {
        cases.add(Renter, GET, &format!("/api/v1/leases/{NOTHING_ELSE}/{path}"), Nothing, 404, "not_found");
        cases.add(Renter, GET, &format!("/api/v1/leases/x/{path}"), Nothing, 404, "not_found");
    }
}
