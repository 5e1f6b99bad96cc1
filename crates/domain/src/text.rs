//! One line of text for people, such as a name or an address.

use crate::invalid::Invalid;

/// A line of 1 to 200 characters without spaces at its ends.
///
/// It holds no control character, line break, direction override or invisible character: what is read is what is there.
/// Joiners and plain direction marks are fine.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Line(String);

impl Line {
    /// The most characters (Unicode scalar values) that a line has after trimming.
    pub const LENGTH_MAX: usize = 200;

    /// Trims `text` and checks it: `required` if nothing is left, `too_long`, or `control_character`.
    pub fn parse(text: &str) -> Result<Line, Invalid> {
        let text = text.trim();
        if text.is_empty() {
            return Err(Invalid::new("required", "must not be empty"));
        }
        if text.chars().nth(Line::LENGTH_MAX).is_some() {
            return Err(Invalid::new("too_long", "must have at most 200 characters"));
        }
        if text.chars().any(is_deceptive) {
            return Err(control_character());
        }
        Ok(Line(text.to_owned()))
    }

    /// The line as it is.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The line as it is, without a copy.
    pub fn into_string(self) -> String {
        self.0
    }
}

/// Whether `character` has no place in a line: it controls, breaks the line, reorders what is shown, or is invisible.
///
/// Joiners (U+200C, U+200D) and the plain direction marks are fine: Persian, Hindi and Hebrew names need them.
pub(crate) fn is_deceptive(character: char) -> bool {
    let breaks_line = matches!(character, '\u{2028}' | '\u{2029}');
    let reorders = matches!(character, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    let is_invisible =
        matches!(character, '\u{200B}' | '\u{2060}'..='\u{2065}' | '\u{FEFF}' | '\u{E0000}'..='\u{E007F}');
    character.is_control() || breaks_line || reorders || is_invisible
}

/// The refusal of a character that [`is_deceptive`].
pub(crate) fn control_character() -> Invalid {
    Invalid::new("control_character", "must not contain control or invisible characters")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("Ada Lovelace", "Ada Lovelace")]
    #[case("  12 Main St.\n", "12 Main St.")]
    #[case("李小龍", "李小龍")]
    #[case("علی\u{200C}رضا", "علی\u{200C}رضا")]
    #[case("x", "x")]
    fn a_line_is_trimmed(#[case] text: &str, #[case] expected: &str) {
        let line = Line::parse(text).unwrap();

        assert_eq!(line.as_str(), expected);
        assert_eq!(line.into_string(), expected);
    }

    #[rstest]
    #[case("", "required")]
    #[case(" \t\n\u{A0}", "required")]
    #[case("a\nb", "control_character")]
    #[case("a\0b", "control_character")]
    #[case("a\u{7F}", "control_character")]
    #[case("a\u{9B}b", "control_character")]
    #[case("a\u{2028}b", "control_character")]
    #[case("a\u{202E}b", "control_character")]
    #[case("a\u{2066}b", "control_character")]
    #[case("\u{200B}", "control_character")]
    #[case("\u{FEFF}a", "control_character")]
    fn what_is_no_line_is_refused(#[case] text: &str, #[case] code: &str) {
        assert_eq!(Line::parse(text).unwrap_err().code, code);
    }

    #[rstest]
    #[case(200, None)]
    #[case(201, Some("too_long"))]
    fn characters_are_counted_after_trimming_not_bytes(#[case] count: usize, #[case] code: Option<&str>) {
        let result = Line::parse(&format!("  {}  ", "é".repeat(count)));

        assert_eq!(result.err().map(|invalid| invalid.code), code);
    }
}
