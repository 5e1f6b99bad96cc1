//! A statement on paper, for a landlord, a renter and whoever does their taxes.
//!
//! It is drawn with `krilla`, which puts the letters that are used into the file: names in any script that the typeface has are
//! shown, wherever the file is opened. The fourteen fonts that every reader of PDF brings along know the letters of Western
//! Europe only. The same statement made at the same moment is the same bytes.

mod letters;
mod sheet;

use directpay_domain::id::LeaseId;
use directpay_domain::money::{Currency, format_minor};
use directpay_domain::property::ZoneName;
use directpay_domain::statement::{self, Line, Statement, Stream};
use directpay_domain::time::Instant;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use krilla::Document;
use krilla::metadata::{DateTime, Metadata};

use self::letters::{Face, SetText};
use self::sheet::{HEIGHT, Ink, Length, POINT, Pen, WIDTH, page_settings};

/// What a statement says beside its lines.
#[derive(Debug, Clone)]
pub struct About {
    /// Which lease.
    pub lease_id: LeaseId,
    /// Who lets.
    pub landlord: String,
    /// Who rents.
    pub renters: Vec<String>,
    /// What is let, in one line.
    pub property: String,
    /// What all amounts are in.
    pub currency: Currency,
    /// When the statement is made.
    pub made_at: Instant,
    /// The zone of its dates.
    pub zone: ZoneName,
    /// The number of the last event in the history of the lease.
    pub last_event: i64,
}

/// Why there is no statement on paper.
#[derive(Debug, thiserror::Error)]
pub enum NoStatement {
    /// What is compiled in cannot be read.
    #[error("the typeface of statements cannot be read")]
    Typeface,
    /// The library refused what was drawn.
    #[error("a statement cannot be written as PDF: {0}")]
    Refused(String),
}

const MARGIN: Length = 54 * POINT;
const RIGHT: Length = WIDTH - MARGIN;
/// Where the columns begin, or for amounts end.
const DESCRIPTION: Length = MARGIN + 50 * POINT;
const EVENT: Length = DESCRIPTION + 212 * POINT;
const CHARGED: Length = RIGHT - 118 * POINT;
const CREDITED: Length = RIGHT - 59 * POINT;
/// How wide the columns are.
const DESCRIPTION_WIDTH: Length = EVENT - DESCRIPTION - 8 * POINT;
const AMOUNT_WIDTH: Length = 54 * POINT;
const EVENT_WIDTH: Length = CHARGED - AMOUNT_WIDTH - EVENT - 4 * POINT;

const TITLE: Length = 18 * POINT;
const BODY: Length = 8 * POINT;
const SMALL: Length = 6_500;
/// From one line of text to the next.
const LEADING: Length = 11 * POINT;
/// Above and below the text of a row together.
const PADDING: Length = 5 * POINT;
/// Where the table begins on a page that is not the first.
const TOP: Length = MARGIN + 24 * POINT;
/// What stands above the first row of a page.
const TABLE_HEAD: Length = 18 * POINT;
/// Where the table ends at the latest.
const BOTTOM: Length = HEIGHT - MARGIN - 16 * POINT;

/// Writes a statement as PDF.
pub fn statement_pdf(statement: &Statement, about: &About) -> Result<Vec<u8>, NoStatement> {
    let paper = Paper { statement, about, regular: Face::regular()?, bold: Face::bold()? };
    let heading = paper.heading();
    let pages = paginate(paper.rows(), paper.closing(), heading.end);
    let mut document = Document::new();
    document.set_metadata(paper.metadata());
    for (index, rows) in pages.iter().enumerate() {
        let settings = page_settings().ok_or_else(|| NoStatement::Refused("the size of a page".into()))?;
        let mut page = document.start_page_with(settings);
        let mut pen = Pen(page.surface());
        let table = if index == 0 {
            heading.draw(&mut pen);
            heading.end
        } else {
            paper.running_head(&mut pen);
            TOP
        };
        paper.table(&mut pen, rows, table);
        paper.footer(&mut pen, index + 1, pages.len());
        drop(pen);
        page.finish();
    }
    document.finish().map_err(|error| NoStatement::Refused(format!("{error:?}")))
}

/// A row of the table.
struct Row {
    date: Option<SetText>,
    description: Vec<SetText>,
    event: Option<SetText>,
    /// What is charged, what is credited, and the balance.
    amounts: [Option<SetText>; 3],
    ink: Ink,
}

impl Row {
    fn height(&self) -> Length {
        Length::try_from(self.description.len().max(1)).unwrap_or(1).saturating_mul(LEADING).saturating_add(PADDING)
    }
}

/// Which rows stand on which page. The last ones stay together; no page is empty but the first, where many names fill it.
fn paginate(rows: Vec<Row>, closing: Vec<Row>, heading_end: Length) -> Vec<Vec<Row>> {
    let mut pages = vec![Vec::new()];
    let mut down = heading_end + TABLE_HEAD;
    let groups = rows.into_iter().map(|row| vec![row]).chain([closing]);
    for group in groups {
        let height: Length = group.iter().map(Row::height).sum();
        let is_fresh = 1 < pages.len() && pages.last().is_some_and(Vec::is_empty);
        if BOTTOM < down + height && !is_fresh {
            pages.push(Vec::new());
            down = TOP + TABLE_HEAD;
        }
        down += height;
        if let Some(page) = pages.last_mut() {
            page.extend(group);
        }
    }
    pages
}

/// What stands above the table of the first page.
#[derive(Default)]
struct Heading {
    texts: Vec<(SetText, Ink, Length, Length)>,
    /// Where a line stands above the sum.
    rule: Length,
    /// Where the table begins.
    end: Length,
}

impl Heading {
    fn text(&mut self, text: SetText, ink: Ink, left: Length, down: Length) {
        self.texts.push((text, ink, left, down));
    }

    fn draw(&self, pen: &mut Pen<'_>) {
        for (text, ink, left, down) in &self.texts {
            pen.text(text, *ink, *left, *down);
        }
        pen.rule(Ink::Black, SUMMARY, RIGHT, self.rule);
    }
}

/// Where the figures that sum the statement up begin.
const SUMMARY: Length = RIGHT - 178 * POINT;

/// A statement that is being written.
struct Paper<'a> {
    statement: &'a Statement,
    about: &'a About,
    regular: &'static Face,
    bold: &'static Face,
}

impl Paper<'_> {
    fn money(&self, minor: i64) -> String {
        grouped(&format_minor(minor, self.about.currency))
    }

    fn made_on(&self) -> Date {
        self.about.made_at.timestamp().to_zoned(self.about.zone.to_time_zone()).date()
    }

    fn period(&self) -> String {
        let day = |date| statement::days(date, date);
        match (self.statement.from, self.statement.to) {
            (Some(from), Some(to)) => statement::days(from, to),
            (Some(from), None) => format!("From {}", day(from)),
            (None, Some(to)) => format!("From the beginning to {}", day(to)),
            (None, None) => format!("From the beginning to {}", day(self.made_on())),
        }
    }

    fn metadata(&self) -> Metadata {
        let made = self.about.made_at.timestamp().to_zoned(TimeZone::UTC);
        let small = |number: i8| u8::try_from(number).unwrap_or_default();
        let date = DateTime::new(u16::try_from(made.year()).unwrap_or_default())
            .month(small(made.month()))
            .day(small(made.day()))
            .hour(small(made.hour()))
            .minute(small(made.minute()))
            .second(small(made.second()))
            .utc_offset_hour(0);
        let title = format!("Statement of account: {}. {}", self.about.property, self.period());
        Metadata::new().title(title).language("en".into()).creator("DirectPay".into()).creation_date(date)
    }

    fn heading(&self) -> Heading {
        const LABEL: Length = 58 * POINT;
        let about = self.about;
        let mut heading = Heading::default();
        heading.text(self.bold.set("Statement of account", TITLE), Ink::Black, MARGIN, MARGIN + TITLE);
        let first = MARGIN + TITLE + 28 * POINT;
        let mut down = first;
        let renters = if about.renters.len() == 1 { "Renter" } else { "Renters" };
        for (label, value) in [
            ("Landlord", about.landlord.clone()),
            (renters, about.renters.join(", ")),
            ("Property", about.property.clone()),
            ("Period", self.period()),
            ("Currency", about.currency.code().to_owned()),
            ("Lease", about.lease_id.to_string()),
        ] {
            heading.text(self.regular.set(label, BODY), Ink::Grey, MARGIN, down);
            for line in self.regular.wrap(&value, BODY, SUMMARY - MARGIN - LABEL - 16 * POINT) {
                heading.text(line, Ink::Black, MARGIN + LABEL, down);
                down += LEADING;
            }
            down += 2 * POINT;
        }
        heading.end = down.max(self.sum_up(&mut heading, first)) + 14 * POINT;
        heading
    }

    /// Puts the figures beside the names, and says where they end.
    fn sum_up(&self, heading: &mut Heading, first: Length) -> Length {
        const STEP: Length = 15 * POINT;
        const LARGE: Length = 10 * POINT;
        let turnover = self.statement.turnover();
        let mut down = first;
        let mut put = |face: &'static Face, size: Length, label: &str, minor: i64, down: Length| {
            let amount = face.set(self.money(minor), size).fitting(86 * POINT);
            let left = RIGHT - amount.width();
            heading.text(face.set(label, size), Ink::Black, SUMMARY, down);
            heading.text(amount, Ink::Black, left, down);
        };
        for (label, minor) in [
            ("Opening balance", self.statement.opening_minor),
            ("Charges", turnover.charged_minor),
            ("Payments and credits", turnover.credited_minor.saturating_neg()),
        ] {
            put(self.regular, BODY, label, minor, down);
            down += STEP;
        }
        put(self.bold, LARGE, "Closing balance", self.statement.closing_minor, down + 3 * POINT);
        heading.rule = down - STEP + 5 * POINT;
        down + STEP
    }

    /// Which statement a page belongs to that is not the first.
    fn running_head(&self, pen: &mut Pen<'_>) {
        let text = format!("Statement of account. {}", self.period());
        pen.text(&self.bold.set(text, BODY), Ink::Black, MARGIN, MARGIN + BODY);
        let property = self.regular.set(self.about.property.as_str(), BODY).fitting(RIGHT - SUMMARY + 60 * POINT);
        pen.text_to(&property, Ink::Grey, RIGHT, MARGIN + BODY);
    }

    fn amount(&self, face: &'static Face, minor: i64) -> Option<SetText> {
        Some(face.set(self.money(minor), BODY).fitting(AMOUNT_WIDTH))
    }

    fn rows(&self) -> Vec<Row> {
        let opening = self.sum_row("Opening balance", [None, None, Some(self.statement.opening_minor)]);
        [opening].into_iter().chain(self.statement.lines.iter().map(|line| self.row(line))).collect()
    }

    fn row(&self, line: &Line) -> Row {
        let (charged, credited) = if line.amount_minor < 0 {
            (None, self.amount(self.regular, line.amount_minor.saturating_neg()))
        } else {
            (self.amount(self.regular, line.amount_minor), None)
        };
        Row {
            date: Some(self.regular.set(line.date.to_string(), BODY)),
            description: self.regular.wrap(&line.description, BODY, DESCRIPTION_WIDTH),
            event: Some(self.regular.set(event_of(line), SMALL).fitting(EVENT_WIDTH)),
            amounts: [charged, credited, self.amount(self.regular, line.balance_minor)],
            ink: Ink::Black,
        }
    }

    fn sum_row(&self, label: &str, amounts: [Option<i64>; 3]) -> Row {
        Row {
            date: None,
            description: vec![self.bold.set(label, BODY)],
            event: None,
            amounts: amounts.map(|minor| minor.and_then(|minor| self.amount(self.bold, minor))),
            ink: Ink::Black,
        }
    }

    /// What ends the table.
    fn closing(&self) -> Vec<Row> {
        let turnover = self.statement.turnover();
        let note = |text: &str| Row {
            date: None,
            description: self.regular.wrap(text, SMALL, RIGHT - DESCRIPTION),
            event: None,
            amounts: [None, None, None],
            ink: Ink::Grey,
        };
        vec![
            self.sum_row("Total", [Some(turnover.charged_minor), Some(turnover.credited_minor), None]),
            self.sum_row("Closing balance", [None, None, Some(self.statement.closing_minor)]),
            note(
                "A balance above zero is owed by the renters; below zero they are ahead. A charge counts from the day on which it \
                 is due, a payment from the day on which it is handed to the bank. A payment that comes back stands among the \
                 charges, a charge that is taken back or let off among the credits. The event is the number of the fact in the \
                 history of the lease, or of the payment whose id ends like this.",
            ),
        ]
    }

    fn table(&self, pen: &mut Pen<'_>, rows: &[Row], top: Length) {
        let down = top + BODY;
        for (label, left) in [("Date", MARGIN), ("Description", DESCRIPTION), ("Event", EVENT)] {
            pen.text(&self.bold.set(label, BODY), Ink::Black, left, down);
        }
        for (label, right) in [("Charges", CHARGED), ("Credits", CREDITED), ("Balance", RIGHT)] {
            pen.text_to(&self.bold.set(label, BODY), Ink::Black, right, down);
        }
        pen.rule(Ink::Black, MARGIN, RIGHT, top + TABLE_HEAD - 4 * POINT);
        let mut down = top + TABLE_HEAD;
        for row in rows {
            draw_row(pen, row, down);
            down += row.height();
        }
    }

    fn footer(&self, pen: &mut Pen<'_>, page: usize, pages: usize) {
        let down = HEIGHT - MARGIN + 6 * POINT;
        pen.rule(Ink::Pale, MARGIN, RIGHT, down - 12 * POINT);
        let made = self.about.made_at.timestamp().to_zoned(self.about.zone.to_time_zone());
        let made = format!(
            "Made {} at {}, up to event {} of the lease",
            statement::days(made.date(), made.date()),
            made.strftime("%H:%M %Z"),
            self.about.last_event
        );
        pen.text(&self.regular.set(made, SMALL), Ink::Grey, MARGIN, down);
        pen.text_to(&self.regular.set(format!("Page {page} of {pages}"), SMALL), Ink::Grey, RIGHT, down);
    }
}

fn draw_row(pen: &mut Pen<'_>, row: &Row, top: Length) {
    let first = top + BODY + PADDING / 2;
    if let Some(date) = &row.date {
        pen.text(date, row.ink, MARGIN, first);
    }
    let mut down = first;
    for line in &row.description {
        pen.text(line, row.ink, DESCRIPTION, down);
        down += LEADING;
    }
    if let Some(event) = &row.event {
        pen.text(event, Ink::Grey, EVENT, first);
    }
    for (amount, right) in row.amounts.iter().zip([CHARGED, CREDITED, RIGHT]) {
        if let Some(amount) = amount {
            pen.text_to(amount, row.ink, right, first);
        }
    }
    if row.ink == Ink::Black {
        pen.rule(Ink::Pale, MARGIN, RIGHT, top + row.height() - POINT);
    }
}

/// `lease 12`, or `payment …1a2b3c4d 2`: the last digits of a payment's id tell it from others.
fn event_of(line: &Line) -> String {
    match line.stream {
        Stream::Lease => format!("lease {}", line.sequence),
        Stream::Payment => {
            let id = line.stream_id.simple().to_string();
            format!("payment …{} {}", id.get(24..).unwrap_or_default(), line.sequence)
        }
    }
}

/// A decimal number with a comma before every three digits of its whole part: `-1,234,567.80`.
fn grouped(number: &str) -> String {
    let (sign, unsigned) = number.strip_prefix('-').map_or(("", number), |unsigned| ("-", unsigned));
    let (whole, decimals) = unsigned.split_at(unsigned.find('.').unwrap_or(unsigned.len()));
    let mut grouped = sign.to_owned();
    for (index, digit) in whole.chars().enumerate() {
        if 0 < index && (whole.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + decimals
}

#[cfg(test)]
mod tests;
