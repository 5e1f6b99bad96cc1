//! Counts what the test runners report, so that the last line can say it.

use std::fmt;

/// How many tests passed and failed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    passed: u64,
    failed: u64,
}

impl Tally {
    /// Understands the closing lines of `cargo nextest run` and of `cargo test`; all others say nothing.
    pub(super) fn read(&mut self, line: &str) {
        let line = without_color(line);
        // Indented, the latter is what nextest repeats of a test that failed.
        if line.trim_start().starts_with("Summary [") || line.starts_with("test result: ") {
            self.passed += number_before(&line, "passed");
            // nextest calls a test that ran out of time by a name of its own.
            self.failed += number_before(&line, "failed") + number_before(&line, "timed");
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Tally::default() {
            return f.write_str("no test was run");
        }
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// The number that stands directly before `word`, or 0.
fn number_before(line: &str, word: &str) -> u64 {
    let words: Vec<&str> = line.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty()).collect();
    words.windows(2).find(|pair| pair[1] == word).and_then(|pair| pair[0].parse().ok()).unwrap_or(0)
}

/// The line without terminal escape sequences.
fn without_color(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut inside = false;
    for c in line.chars() {
        match c {
            '\u{1b}' => inside = true,
            'a'..='z' | 'A'..='Z' if inside => inside = false,
            _ if inside => {}
            other => plain.push(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::Tally;

    fn tally_of(lines: &[&str]) -> Tally {
        let mut tally = Tally::default();
        lines.iter().for_each(|line| tally.read(line));
        tally
    }

    #[test]
    fn a_nextest_summary_is_counted_in_color_too() {
        let colored = "\u{1b}[31;1m     Summary\u{1b}[0m [   1.224s] \u{1b}[1m13\u{1b}[0m tests run: \u{1b}[1m9\u{1b}[0m \
                       \u{1b}[32;1mpassed\u{1b}[0m (1 slow), 3 \u{1b}[31;1mfailed\u{1b}[0m, 1 timed out, 2 skipped";
        assert_eq!(tally_of(&[colored]), Tally { passed: 9, failed: 4 });
    }

    #[test]
    fn results_of_several_test_binaries_add_up() {
        let one = "test result: ok. 4 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.00s";
        let other = "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out";
        let repeated = "    test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 1 filtered out";
        assert_eq!(tally_of(&[one, "running 4 tests", other, repeated]), Tally { passed: 6, failed: 1 });
    }
}
