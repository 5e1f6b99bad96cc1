//! A sheet of letter paper, and what is drawn on it.

use krilla::color::luma;
use krilla::geom::{PathBuilder, Rect};
use krilla::num::NormalizedF32;
use krilla::page::PageSettings;
use krilla::paint::{Fill, FillRule};
use krilla::surface::Surface;

use super::letters::SetText;

/// A length in thousandths of a point: whole numbers, so that sums of them are exact.
pub(super) type Length = i32;

/// A point: the 72nd part of an inch.
pub(super) const POINT: Length = 1_000;
/// Letter paper.
pub(super) const WIDTH: Length = 612 * POINT;
/// Letter paper.
pub(super) const HEIGHT: Length = 792 * POINT;

/// A number as the library takes it.
#[expect(clippy::float_arithmetic, clippy::cast_precision_loss, reason = "places on paper, never money")]
pub(super) fn ratio(length: i32, whole: i32) -> f32 {
    length as f32 / whole as f32
}

/// What a page is like.
pub(super) fn page_settings() -> Option<PageSettings> {
    PageSettings::from_wh(ratio(WIDTH, POINT), ratio(HEIGHT, POINT))
}

/// How dark something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    Black,
    /// For what explains the rest.
    Grey,
    /// For lines between rows.
    Pale,
}

impl Ink {
    fn fill(self) -> Fill {
        let shade = match self {
            Ink::Black => 0,
            Ink::Grey => 95,
            Ink::Pale => 205,
        };
        Fill { paint: luma::Color::new(shade).into(), opacity: NormalizedF32::ONE, rule: FillRule::NonZero }
    }
}

/// Draws on a sheet. Places are told from its upper left corner.
pub(super) struct Pen<'a>(pub(super) Surface<'a>);

impl Pen<'_> {
    /// A text that begins at `left`.
    pub(super) fn text(&mut self, text: &SetText, ink: Ink, left: Length, down: Length) {
        self.0.set_fill(Some(ink.fill()));
        text.draw(&mut self.0, left, down);
    }

    /// A text that ends at `right`.
    pub(super) fn text_to(&mut self, text: &SetText, ink: Ink, right: Length, down: Length) {
        self.text(text, ink, right - text.width(), down);
    }

    /// A line across.
    pub(super) fn rule(&mut self, ink: Ink, left: Length, right: Length, down: Length) {
        const THICKNESS: Length = POINT / 2;
        let [x, y, wide, high] = [left, down, right - left, THICKNESS].map(|length| ratio(length, POINT));
        let mut path = PathBuilder::new();
        if let Some(rect) = Rect::from_xywh(x, y, wide, high) {
            path.push_rect(rect);
        }
        if let Some(path) = path.finish() {
            self.0.set_fill(Some(ink.fill()));
            self.0.draw_path(&path);
        }
    }
}
