//! Letters: the glyphs that a text is set in, in the order in which they stand, and how wide that is.
//!
//! The typeface is DejaVu Sans Condensed, which is compiled in. It has the Latin letters of all languages, Greek, Cyrillic,
//! Armenian, Georgian, Hebrew, Arabic and more. What it does not have, Chinese for one, shows as boxes; the text behind them is
//! whole, so that it can be searched for and copied.

use std::ops::Range;
use std::sync::LazyLock;

use krilla::geom::Point;
use krilla::surface::Surface;
use krilla::text::{Font, GlyphId, KrillaGlyph};
use rustybuzz::{Direction, ShapePlan, UnicodeBuffer, script};
use unicode_bidi::{BidiInfo, Level};

use super::NoStatement;
use super::sheet::{Length, ratio};

/// A weight of the typeface.
pub(super) struct Face {
    font: Font,
    shaper: rustybuzz::Face<'static>,
    /// How Latin letters and numbers are shaped: to find that out anew for each text would take almost as long as to shape it.
    latin: ShapePlan,
    missing: Missing,
}

/// What stands for a letter that the typeface does not have.
///
/// The first glyph of a typeface is meant for that, but readers take it for nothing, and the text behind it is lost.
#[derive(Debug, Clone, Copy)]
struct Missing {
    glyph_id: u32,
    advance: i32,
}

static REGULAR: LazyLock<Option<Face>> = LazyLock::new(|| Face::read(dejavu::sans_condensed::regular()));
static BOLD: LazyLock<Option<Face>> = LazyLock::new(|| Face::read(dejavu::sans_condensed::bold()));

impl Face {
    fn read(file: &'static [u8]) -> Option<Face> {
        let shaper = rustybuzz::Face::from_slice(file, 0)?;
        let square = shaper.glyph_index('\u{25A1}')?;
        let advance = shaper.glyph_hor_advance(square)?;
        let missing = Missing { glyph_id: square.0.into(), advance: advance.into() };
        let latin = ShapePlan::new(&shaper, Direction::LeftToRight, Some(script::LATIN), None, &[]);
        Some(Face { font: Font::new(file.into(), 0)?, shaper, latin, missing })
    }

    /// The weight of most of the text.
    pub(super) fn regular() -> Result<&'static Face, NoStatement> {
        REGULAR.as_ref().ok_or(NoStatement::Typeface)
    }

    /// The weight of what stands out.
    pub(super) fn bold() -> Result<&'static Face, NoStatement> {
        BOLD.as_ref().ok_or(NoStatement::Typeface)
    }

    /// Sets a text in one line.
    pub(super) fn set(&'static self, text: impl Into<String>, size: Length) -> SetText {
        let text = text.into();
        let mut runs = Vec::new();
        let bidi = BidiInfo::new(&text, Some(Level::ltr()));
        for paragraph in &bidi.paragraphs {
            let (levels, visual) = bidi.visual_runs(paragraph, paragraph.range.clone());
            for range in visual {
                let is_rtl = levels.get(range.start).is_some_and(Level::is_rtl);
                let direction = if is_rtl { Direction::RightToLeft } else { Direction::LeftToRight };
                runs.push(self.shape(&text, range, direction));
            }
        }
        SetText { face: self, text, size, runs }
    }

    fn shape(&self, text: &str, range: Range<usize>, direction: Direction) -> Run {
        let mut buffer = UnicodeBuffer::new();
        buffer.push_str(text.get(range.clone()).unwrap_or_default());
        buffer.guess_segment_properties();
        buffer.set_direction(direction);
        let is_latin =
            direction == Direction::LeftToRight && [script::LATIN, script::UNKNOWN].contains(&buffer.script());
        let shaped = if is_latin {
            buffer.set_script(script::LATIN);
            rustybuzz::shape_with_plan(&self.shaper, &self.latin, buffer)
        } else {
            rustybuzz::shape(&self.shaper, &[], buffer)
        };
        let place = |cluster: u32| range.start + usize::try_from(cluster).unwrap_or_default();
        let mut starts: Vec<usize> = shaped.glyph_infos().iter().map(|info| place(info.cluster)).collect();
        starts.sort_unstable();
        let em = self.shaper.units_per_em();
        let (mut glyphs, mut units) = (Vec::with_capacity(starts.len()), 0);
        for (info, position) in shaped.glyph_infos().iter().zip(shaped.glyph_positions()) {
            let start = place(info.cluster);
            // What a glyph stands for ends where the next begins.
            let end = starts.get(starts.partition_point(|other| *other <= start)).copied().unwrap_or(range.end);
            let (glyph_id, advance) = match info.glyph_id {
                0 => (self.missing.glyph_id, self.missing.advance),
                known => (known, position.x_advance),
            };
            units += advance;
            glyphs.push(KrillaGlyph::new(
                GlyphId::new(glyph_id),
                ratio(advance, em),
                ratio(position.x_offset, em),
                ratio(position.y_offset, em),
                ratio(position.y_advance, em),
                start..end,
                None,
            ));
        }
        Run { glyphs, units }
    }

    /// Sets a text in as many lines as it takes in `width`: broken at spaces, and inside a word only where that alone is wider.
    pub(super) fn wrap(&'static self, text: &str, size: Length, width: Length) -> Vec<SetText> {
        let whole = self.set(text, size);
        if whole.width() <= width {
            return vec![whole];
        }
        let width_of = |text: &str| self.set(text, size).width();
        let space = width_of(" ");
        let (mut lines, mut line, mut filled) = (Vec::new(), String::new(), 0);
        for word in text.split(' ') {
            for part in self.parts(word, size, width) {
                let part_width = width_of(part);
                // Parts of one word do not fit behind each other, or they would be one.
                if !line.is_empty() && width < filled + space + part_width {
                    lines.push(std::mem::take(&mut line));
                    filled = 0;
                }
                if !line.is_empty() {
                    line.push(' ');
                    filled += space;
                }
                line.push_str(part);
                filled += part_width;
            }
        }
        lines.push(line);
        lines.into_iter().map(|line| self.set(line, size)).collect()
    }

    /// A word, or the parts of it that each fit in `width`.
    fn parts<'a>(&'static self, word: &'a str, size: Length, width: Length) -> Vec<&'a str> {
        if self.set(word, size).width() <= width {
            return vec![word];
        }
        let (mut parts, mut start, mut filled) = (Vec::new(), 0, 0);
        for (at, character) in word.char_indices() {
            let wide = self.set(character, size).width();
            if start < at && width < filled + wide {
                parts.extend(word.get(start..at));
                (start, filled) = (at, 0);
            }
            filled += wide;
        }
        parts.extend(word.get(start..));
        parts
    }
}

/// Glyphs that stand behind each other, from left to right.
struct Run {
    glyphs: Vec<KrillaGlyph>,
    /// How wide they are together, in the units of the typeface.
    units: i32,
}

/// A text in one line, in a size.
pub(super) struct SetText {
    face: &'static Face,
    text: String,
    size: Length,
    runs: Vec<Run>,
}

impl SetText {
    #[cfg(test)]
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// How wide it is.
    pub(super) fn width(&self) -> Length {
        let units = self.runs.iter().fold(0_i32, |sum, run| sum.saturating_add(run.units));
        scaled(units, self.size, self.face.shaper.units_per_em())
    }

    /// The same, smaller where it does not fit in `width`.
    pub(super) fn fitting(self, width: Length) -> SetText {
        let wide = self.width();
        if wide <= width { self } else { SetText { size: scaled(self.size, width, wide), ..self } }
    }

    /// Draws it, beginning `left` from the left edge of the page, on a line that is `down` from the upper edge.
    pub(super) fn draw(&self, surface: &mut Surface<'_>, left: Length, down: Length) {
        let mut left = left;
        for run in &self.runs {
            let start = Point::from_xy(ratio(left, super::sheet::POINT), ratio(down, super::sheet::POINT));
            let size = ratio(self.size, super::sheet::POINT);
            surface.draw_glyphs(start, &run.glyphs, self.face.font.clone(), &self.text, size, false);
            left += scaled(run.units, self.size, self.face.shaper.units_per_em());
        }
    }
}

/// `length` times `numerator`, divided by `denominator`.
fn scaled(length: i32, numerator: i32, denominator: i32) -> Length {
    let scaled = i64::from(length) * i64::from(numerator) / i64::from(denominator.max(1));
    Length::try_from(scaled).unwrap_or(Length::MAX)
}
