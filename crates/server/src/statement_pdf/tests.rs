use std::ops::Range;

use directpay_domain::id::{ChargeId, PaymentId};
use jiff::ToSpan;
use jiff::civil::date;
use rstest::rstest;
use uuid::Uuid;

use super::*;

fn about() -> About {
    About {
        lease_id: LeaseId(Uuid::from_u128(0x0193_5af0_7c1e_7d5a_9d2e_0a1b_2c3d_4e5f)),
        landlord: "Alice Archer".into(),
        renters: vec!["Bob Baker".into(), "Łukasz Żółć".into()],
        property: "12 Maple Street, 2B, Portland, OR 97205".into(),
        currency: Currency::USD,
        made_at: Instant::parse("2026-03-06T19:05:00Z").unwrap(),
        zone: ZoneName::parse("America/Los_Angeles").unwrap(),
        last_event: 42,
    }
}

fn line(number: i64, amount_minor: i64, description: &str) -> Line {
    let is_charge = 0 < amount_minor;
    Line {
        date: date(2016, 1, 1).saturating_add(number.weeks()),
        occurred_at: Instant::parse("2026-03-01T12:00:00Z").unwrap(),
        description: description.into(),
        stream: if is_charge { Stream::Lease } else { Stream::Payment },
        stream_id: Uuid::from_u128(0xABCD_0123),
        sequence: number + 1,
        charge_id: is_charge.then_some(ChargeId(Uuid::nil())),
        payment_id: (!is_charge).then_some(PaymentId(Uuid::nil())),
        amount_minor,
        balance_minor: 0,
    }
}

/// A statement of so many lines: rents, each followed by most of its payment.
fn statement(count: i64) -> Statement {
    let mut balance_minor = 0;
    let lines = (0..count).map(|number| {
        let (amount_minor, what) = if number % 2 == 0 { (150_000, "Rent") } else { (-120_050, "Payment") };
        balance_minor += amount_minor;
        Line { balance_minor, ..line(number, amount_minor, &format!("{what} number {number}.")) }
    });
    Statement::of(lines.collect(), None, None)
}

/// What stands on each page, as a reader finds it.
fn read(bytes: &[u8]) -> Vec<String> {
    let document = lopdf::Document::load_mem(bytes).unwrap();
    document.get_pages().keys().map(|page| document.extract_text(&[*page]).unwrap()).collect()
}

#[rstest]
#[case(0, 1)]
#[case(1, 1)]
#[case(40, 2)]
#[case(500, 14)]
fn every_line_is_on_paper_once_and_every_page_says_which_it_is(#[case] count: i64, #[case] pages: usize) {
    let statement = statement(count);

    let read = read(&statement_pdf(&statement, &about()).unwrap());

    assert_eq!(read.len(), pages);
    for (index, page) in read.iter().enumerate() {
        for said in ["Date", "Description", "Charges", "Credits", "Balance", "Statement of account"] {
            assert!(page.contains(said), "{said} is not on page {index}: {page}");
        }
        assert!(page.contains(&format!("Page {} of {pages}", index + 1)), "{page}");
        assert!(page.contains("Made 6 March 2026 at 11:05 PST, up to event 42 of the lease"), "{page}");
    }
    let whole = read.concat();
    let mut from = 0;
    for line in &statement.lines {
        let at = whole[from..].find(&line.description).unwrap_or_else(|| panic!("{} is missing", line.description));
        from += at + line.description.len();
        assert_eq!(whole.matches(&line.description).count(), 1);
    }
    assert!(whole[from..].contains(&paper_money(statement.closing_minor)), "{}", &whole[from..]);
}

fn paper_money(minor: i64) -> String {
    grouped(&format_minor(minor, Currency::USD))
}

#[test]
fn a_page_tells_the_parties_the_period_and_what_is_owed() {
    let lines = vec![
        Line { balance_minor: 150_000, ..line(0, 150_000, "Rent 1 January to 31 January 2016") },
        Line { balance_minor: -1_000_050, ..line(1, -1_150_050, "Payment by INSTANT") },
        Line { balance_minor: -850_050, ..line(5, 150_000, "Rent 1 February to 29 February 2016") },
    ];
    let statement = Statement::of(lines, Some(date(2016, 1, 5)), Some(date(2016, 1, 31)));

    let read = read(&statement_pdf(&statement, &about()).unwrap());

    let words = read[0].split_whitespace().collect::<Vec<_>>().join(" ");
    let (told, _) = words.split_once(" A balance above zero").unwrap();
    insta::assert_snapshot!(told, @"Statement of account Landlord Alice Archer Renters Bob Baker, Łukasz Żółć Property 12 Maple Street, 2B, Portland, OR 97205 Period 5 January to 31 January 2016 Currency USD Lease 01935af0-7c1e-7d5a-9d2e-0a1b2c3d4e5f Opening balance 1,500.00 Charges 0.00 Payments and credits -11,500.50 Closing balance -10,000.50 Date Description Event Charges Credits Balance Opening balance 1,500.00 2016-01-08 Payment by INSTANT payment …abcd0123 2 11,500.50 -10,000.50 Total 0.00 11,500.50 Closing balance -10,000.50");
}

#[test]
fn the_same_statement_is_the_same_bytes() {
    let write = |about: &About| statement_pdf(&statement(3), about).unwrap();
    assert_eq!(write(&about()), write(&about()));
    let later = About { made_at: Instant::parse("2026-03-06T19:06:00Z").unwrap(), ..about() };
    assert_ne!(write(&about()), write(&later));
}

#[test]
fn any_name_is_written() {
    let renters =
        ["Nguyễn Thị Minh Khai", "陳大文", "محمد علي", "שלום כהן", "Ελένη", "Анна", "👩‍👩‍👧", "हिन्दी", "\u{301}x"];
    let about = About { renters: renters.map(str::to_owned).to_vec(), landlord: "字".repeat(200), ..about() };
    let mut odd = statement(2);
    odd.lines[0].description = format!("({}) {}", renters.join(" "), "W".repeat(500));
    odd.lines[1].amount_minor = i64::MIN;
    odd.lines[1].balance_minor = i64::MAX;

    let read = read(&statement_pdf(&odd, &about).unwrap());

    for name in ["Nguyễn Thị Minh Khai", "Ελένη", "Анна"] {
        assert!(read[0].contains(name), "{name} is not in {}", read[0]);
    }
}

#[rstest]
#[case("Rent")]
#[case("Rent for a flat, with a place for a car, a bicycle and two boats, for the days from 1 March to 31 March 2026")]
#[case("Two  spaces, and a word thatismuchlongerthanonelineofthiscolumncanbe,whichisbrokenwhereitmustbe. Then more")]
#[case("")]
fn what_is_wrapped_fits_and_loses_nothing(#[case] text: &str) {
    let width = 120 * POINT;

    let lines = Face::regular().unwrap().wrap(text, BODY, width);

    assert!(lines.iter().all(|line| line.width() <= width));
    let letters = |text: &str| text.chars().filter(|letter| *letter != ' ').collect::<String>();
    assert_eq!(letters(&lines.iter().map(SetText::text).collect::<String>()), letters(text));
    assert_eq!(1 < lines.len(), 20 < text.len());
}

#[test]
fn no_page_is_too_full_and_the_end_stays_together() {
    let row = |lines: usize| Row {
        date: None,
        description: (0..lines).map(|_| Face::regular().unwrap().set("", BODY)).collect(),
        event: None,
        amounts: [None, None, None],
        ink: Ink::Black,
    };
    let heading_end = 200 * POINT;
    for count in 0..120 {
        let rows = (0..count).map(|number| row(1 + number % 3)).collect();

        let pages = paginate(rows, vec![row(1), row(1), row(3)], heading_end);

        assert_eq!(pages.iter().map(Vec::len).sum::<usize>(), count + 3);
        assert!(3 <= pages.last().unwrap().len(), "{count}");
        for (index, page) in pages.iter().enumerate() {
            let Range { start, end } = if index == 0 { heading_end..BOTTOM } else { TOP..BOTTOM };
            assert!(start + TABLE_HEAD + page.iter().map(Row::height).sum::<Length>() <= end, "{count}");
        }
    }
}

#[test]
fn where_names_fill_the_first_page_the_table_stands_on_the_next() {
    let about = About { renters: vec!["A name that is long".repeat(10); 20], ..about() };

    let read = read(&statement_pdf(&statement(1), &about).unwrap());

    assert_eq!(read.len(), 2);
    assert!(!read[0].contains("Rent number 0.") && read[1].contains("Rent number 0."));
}

#[rstest]
#[case("0.00", "0.00")]
#[case("-999.99", "-999.99")]
#[case("1000", "1,000")]
#[case("-1234567.80", "-1,234,567.80")]
fn thousands_are_told_apart(#[case] number: &str, #[case] expected: &str) {
    assert_eq!(grouped(number), expected);
}
