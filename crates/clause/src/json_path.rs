//! Paths into JSON values, `$.address.city` and `$.colors[0]`; no wildcards.

use std::fmt;

/// A way from the root of a JSON value to a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonPath(pub Vec<JsonStep>);

/// One step of a [`JsonPath`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JsonStep {
    /// A key of an object.
    Key(String),
    /// An element of an array, counted from 0.
    Index(u32),
}

/// More steps than the deepest JSON value that may be stored lead to nothing.
const MOST_STEPS: usize = 64;

impl JsonPath {
    /// Reads a path; `None` if the text is none.
    ///
    /// A key is written plainly if it has no white space, control character or any of `.[]"*\`;
    /// any other in double quotes, where `\"` and `\\` stand for a quote and a backslash.
    pub fn parse(text: &str) -> Option<Self> {
        let mut rest = text.trim().strip_prefix('$')?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, after) = if let Some(inside) = rest.strip_prefix('[') {
                let (digits, after) = inside.split_once(']')?;
                let digits = digits.trim();
                let plain = !digits.is_empty() && digits.bytes().all(|it| it.is_ascii_digit());
                (JsonStep::Index(digits.parse().ok().filter(|_| plain)?), after)
            } else {
                let key = rest.strip_prefix('.')?;
                let (key, after) = match key.strip_prefix('"') {
                    Some(quoted) => quoted_key(quoted)?,
                    None => plain_key(key)?,
                };
                (JsonStep::Key(key), after)
            };
            steps.push(step);
            rest = after;
            if steps.len() > MOST_STEPS {
                return None;
            }
        }
        Some(Self(steps))
    }
}

fn is_plain(it: char) -> bool {
    !it.is_whitespace() && !it.is_control() && !r#".[]"*\"#.contains(it)
}

fn plain_key(text: &str) -> Option<(String, &str)> {
    let end = text.find(|it| !is_plain(it)).unwrap_or(text.len());
    let (key, after) = text.split_at(end);
    (!key.is_empty()).then(|| (key.to_owned(), after))
}

/// The key before the closing quote, and what comes after that.
fn quoted_key(text: &str) -> Option<(String, &str)> {
    let mut key = String::new();
    let mut characters = text.char_indices();
    while let Some((index, it)) = characters.next() {
        match it {
            '"' => return Some((key, &text[index + 1..])),
            '\\' => key.push(characters.next().map(|it| it.1).filter(|it| r#""\"#.contains(*it))?),
            it => key.push(it),
        }
    }
    None
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "$")?;
        for step in &self.0 {
            match step {
                JsonStep::Index(it) => write!(f, "[{it}]")?,
                JsonStep::Key(it) if !it.is_empty() && it.chars().all(is_plain) => {
                    write!(f, ".{it}")?;
                }
                JsonStep::Key(it) => {
                    let escaped = it.replace('\\', r"\\").replace('"', "\\\"");
                    write!(f, ".\"{escaped}\"")?;
                }
            }
        }
        Ok(())
    }
}
