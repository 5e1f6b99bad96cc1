//! As much of Rust as the rules need: what is code, what is a comment, what stands in string literals.

/// A string literal and the line it starts on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Literal {
    pub(crate) line: usize,
    /// Its text, all white space run together.
    pub(crate) text: String,
}

/// A Rust file, taken apart.
pub(crate) struct Rust {
    /// The file without comments and without what stands in quotes; as many lines as the file.
    pub(crate) code: String,
    pub(crate) literals: Vec<Literal>,
}

impl Rust {
    pub(crate) fn read(text: &str) -> Rust {
        let mut reader =
            Reader { rest: text.chars().collect(), at: 0, line: 1, code: String::new(), literals: Vec::new() };
        reader.read();
        Rust { code: reader.code, literals: reader.literals }
    }

    /// The same without what stands under `#[cfg(test)]`.
    pub(crate) fn without_tests(self) -> Rust {
        let Rust { mut code, mut literals } = self;
        while let Some(start) = code.find("#[cfg(test)]") {
            let end = end_of_item(&code, start);
            let lines = line_of(&code, start)..=line_of(&code, end);
            literals.retain(|literal| !lines.contains(&literal.line));
            let blank: String = code[start..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
            code.replace_range(start..end, &blank);
        }
        Rust { code, literals }
    }

    /// The names in `#[cfg(test)] mod name;`.
    pub(crate) fn test_module_names(&self) -> Vec<String> {
        let after = self.code.split("#[cfg(test)]").skip(1);
        let modules = after.filter_map(|rest| rest.trim_start().trim_start_matches("pub ").strip_prefix("mod "));
        modules
            .filter_map(|rest| Some(rest.split_once(';')?.0.trim().to_owned()))
            .filter(|name| is_name(name))
            .collect()
    }

    /// The lines on which `needle` stands in code, as a word of its own where it starts or ends like one.
    pub(crate) fn lines_with(&self, needle: &str) -> Vec<usize> {
        let lines = self.code.lines().enumerate();
        lines.filter(|(_, line)| has_word(line, needle)).map(|(index, _)| index + 1).collect()
    }
}

/// Whether `needle` stands in `text` and is not a part of a longer word there.
pub(crate) fn has_word(text: &str, needle: &str) -> bool {
    text.match_indices(needle).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + needle.len()..].chars().next();
        let starts = !needle.starts_with(is_word) || !before.is_some_and(is_word);
        let ends = !needle.ends_with(is_word) || !after.is_some_and(is_word);
        starts && ends
    })
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_word)
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// Where the item that starts at `start` ends: at its semicolon or at the brace that closes its first one.
fn end_of_item(code: &str, start: usize) -> usize {
    let mut depth = 0usize;
    for (at, c) in code[start..].char_indices() {
        match c {
            ';' if depth == 0 => return start + at + 1,
            '{' => depth += 1,
            '}' if depth <= 1 => return start + at + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

struct Reader {
    rest: Vec<char>,
    at: usize,
    line: usize,
    code: String,
    literals: Vec<Literal>,
}

impl Reader {
    fn read(&mut self) {
        while let Some(c) = self.peek(0) {
            match (c, self.peek(1)) {
                ('/', Some('/')) => self.skip_while(|reader| reader.peek(0) != Some('\n')),
                ('/', Some('*')) => self.block_comment(),
                ('"', _) => self.string(),
                ('\'', Some(next)) if next == '\\' || self.peek(2) == Some('\'') => self.character(),
                ('r', Some('"' | '#')) if self.raw_marks().is_some() => self.raw_string(),
                _ => self.keep(),
            }
        }
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.rest.get(self.at + ahead).copied()
    }

    /// Takes one character into the code.
    fn keep(&mut self) {
        if let Some(c) = self.peek(0) {
            self.code.push(c);
            self.step();
        }
    }

    /// Drops one character from the code; lines stay lines.
    fn drop_one(&mut self) {
        if self.peek(0) == Some('\n') {
            self.code.push('\n');
        }
        self.step();
    }

    fn step(&mut self) {
        if self.peek(0) == Some('\n') {
            self.line += 1;
        }
        self.at += 1;
    }

    fn skip_while(&mut self, goes_on: impl Fn(&Reader) -> bool) {
        while self.peek(0).is_some() && goes_on(self) {
            self.drop_one();
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0usize;
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some('/'), Some('*')) => depth += 1,
                (Some('*'), Some('/')) => depth -= 1,
                (None, _) => return,
                _ => {
                    self.drop_one();
                    continue;
                }
            }
            self.drop_one();
            self.drop_one();
            if depth == 0 {
                return;
            }
        }
    }

    fn character(&mut self) {
        self.keep();
        while let Some(c) = self.peek(0).filter(|c| *c != '\'') {
            self.drop_one();
            if c == '\\' {
                self.drop_one();
            }
        }
        self.keep();
    }

    fn string(&mut self) {
        let line = self.line;
        let mut text = String::new();
        self.keep();
        while let Some(c) = self.peek(0).filter(|c| *c != '"') {
            if c == '\\' {
                self.drop_one();
                text.push(' ');
            } else {
                text.push(c);
            }
            self.drop_one();
        }
        self.keep();
        self.remember(line, &text);
    }

    /// How many `#` a raw string has that starts here, if one does.
    fn raw_marks(&self) -> Option<usize> {
        let before = self.at.checked_sub(1).and_then(|at| self.rest.get(at)).copied();
        if before.is_some_and(|c| is_word(c) && c != 'b' && c != 'c') {
            return None;
        }
        let marks = self.rest[self.at + 1..].iter().take_while(|c| **c == '#').count();
        (self.peek(1 + marks) == Some('"')).then_some(marks)
    }

    fn raw_string(&mut self) {
        let line = self.line;
        let marks = self.raw_marks().unwrap_or(0);
        let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', marks)).collect();
        (0..marks + 2).for_each(|_| self.keep());
        let start = self.at;
        self.skip_while(|reader| !reader.rest[reader.at..].starts_with(&end));
        let text: String = self.rest[start..self.at].iter().collect();
        end.iter().for_each(|_| self.keep());
        self.remember(line, &text);
    }

    fn remember(&mut self, line: usize, text: &str) {
        self.literals.push(Literal { line, text: text.split_whitespace().collect::<Vec<_>>().join(" ") });
    }
}

#[test]
fn comments_and_quotes_are_told_from_code() {
    let rust = Rust::read(
        "let a = 'x'; // f64\nlet b: &'static str = r#\"say \"f32\"\"#; /* f64 /* f64 */ */ let c = \"\\\"f64\n two\";",
    );
    assert!(["f32", "f64"].iter().all(|word| rust.lines_with(word).is_empty()), "{}", rust.code);
    assert_eq!(rust.lines_with("let"), [1, 2]);
    let texts: Vec<&str> = rust.literals.iter().map(|literal| literal.text.as_str()).collect();
    assert_eq!(texts, ["say \"f32\"", "f64 two"]);
}

#[test]
fn code_under_cfg_test_is_not_production() {
    let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n fn f() { x.unwrap(); \"SELECT 1\" }\n}\nfn b() { y.unwrap() }\n#[cfg(test)]\nmod story;\n";
    let rust = Rust::read(text);
    assert_eq!(rust.test_module_names(), ["story"]);
    let production = rust.without_tests();
    assert_eq!(production.lines_with(".unwrap()"), [6]);
    assert!(production.literals.is_empty());
    assert_eq!(production.code.lines().count(), text.lines().count());
}
