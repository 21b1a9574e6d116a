//! Text to words and signs (D:3.1), one after the other, each looked at once.

use crate::error::What;
use crate::tree::At;

/// A word or sign, and where it stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Token<'t> {
    pub at: At,
    pub kind: Kind<'t>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind<'t> {
    /// A word without quotes: a keyword or a name.
    Word(&'t str),
    /// A name in back-ticks, without them.
    Quoted(&'t str),
    /// What stands between the quotes of a text, and which quotes they are.
    Text(&'t str, char),
    /// Digits, without a sign.
    Number(&'t str),
    /// A sign, as it was written.
    Sign(&'static str),
    /// Something that is none of these.
    Bad(Bad),
    /// Nothing comes any more.
    End,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Bad {
    Character(char),
    OpenText,
    OpenName,
    EmptyName,
    Number,
}

impl From<Bad> for What {
    fn from(bad: Bad) -> Self {
        match bad {
            Bad::Character(it) => Self::Character(it),
            Bad::OpenText => Self::OpenText,
            Bad::OpenName => Self::OpenName,
            Bad::EmptyName => Self::EmptyName,
            Bad::Number => Self::Number,
        }
    }
}

/// Signs, longer ones before those they begin with.
const SIGNS: &[&str] = &[
    "->", "!=", "<>", "<=", ">=", "=>", "=<", "=", "<", ">", "(", ")", "[", "]", ",", ".", "+",
    "-", "*", "/", "%",
];

/// The words of a text, from left to right.
#[derive(Debug, Clone)]
pub(crate) struct Lexer<'t> {
    rest: &'t str,
    /// Characters before `rest`.
    at: u32,
}

impl<'t> Lexer<'t> {
    pub fn new(text: &'t str) -> Self {
        Self { rest: text, at: 0 }
    }

    /// The next word or sign. After the end, and after something unreadable, it is the end.
    pub fn token(&mut self) -> Token<'t> {
        let blank = self.rest.len() - self.rest.trim_start().len();
        self.take(blank);
        let at = At(self.at);
        let Some(first) = self.rest.chars().next() else { return Token { at, kind: Kind::End } };
        let kind = match first {
            '\'' | '"' => self.text(first),
            '`' => self.name(),
            it if it.is_ascii_digit() => self.number(),
            it if begins_name(it) => {
                let end = self.rest.find(|it| !continues_name(it)).unwrap_or(self.rest.len());
                Kind::Word(self.take(end))
            }
            it => match SIGNS.iter().find(|it| self.rest.starts_with(**it)) {
                Some(sign) => {
                    self.take(sign.len());
                    Kind::Sign(sign)
                }
                None => self.bad(Bad::Character(it)),
            },
        };
        Token { at, kind }
    }

    /// Takes so many bytes.
    fn take(&mut self, bytes: usize) -> &'t str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        self.at = self.at.saturating_add(u32::try_from(taken.chars().count()).unwrap_or(u32::MAX));
        taken
    }

    /// Nothing is read after what is unreadable: the error is the last thing anybody asks for.
    fn bad(&mut self, bad: Bad) -> Kind<'t> {
        self.rest = "";
        Kind::Bad(bad)
    }

    fn text(&mut self, quote: char) -> Kind<'t> {
        let mut end = 1;
        loop {
            let Some(next) = self.rest[end..].find([quote, '\0']) else {
                return self.bad(Bad::OpenText);
            };
            end += next;
            if self.rest[end..].starts_with('\0') {
                self.take(end);
                return self.bad(Bad::Character('\0')); // PostgreSQL has no text with it
            }
            if !self.rest[end + 1..].starts_with(quote) {
                break;
            }
            end += 2; // a doubled quote belongs to the text
        }
        Kind::Text(&self.take(end + 1)[1..end], quote)
    }

    fn name(&mut self) -> Kind<'t> {
        match self.rest[1..].find(['`', '\0']) {
            Some(0) => self.bad(Bad::EmptyName),
            Some(length) if self.rest[1 + length..].starts_with('`') => {
                Kind::Quoted(&self.take(length + 2)[1..=length])
            }
            _ => self.bad(Bad::OpenName),
        }
    }

    fn number(&mut self) -> Kind<'t> {
        let digits = |from: usize| {
            let rest = &self.rest[from..];
            rest.find(|it: char| !it.is_ascii_digit()).unwrap_or(rest.len())
        };
        let mut end = digits(0);
        if self.rest[end..].starts_with('.') {
            let decimals = digits(end + 1);
            end += 1 + decimals;
            if decimals == 0 {
                return self.bad(Bad::Number);
            }
        }
        if self.rest[end..].starts_with(['e', 'E']) {
            let sign = usize::from(self.rest[end + 1..].starts_with(['+', '-']));
            let power = digits(end + 1 + sign);
            end += 1 + sign + power;
            if power == 0 {
                return self.bad(Bad::Number);
            }
        }
        if self.rest[end..].starts_with(|it| continues_name(it) || it == '.') {
            return self.bad(Bad::Number);
        }
        Kind::Number(self.take(end))
    }
}

/// Whether a name without back-ticks may begin so.
pub(crate) fn begins_name(it: char) -> bool {
    it.is_alphabetic() || it == '_'
}

/// Whether a name without back-ticks may go on so.
pub(crate) fn continues_name(it: char) -> bool {
    it.is_alphanumeric() || it == '_'
}

/// What a text between quotes means: doubled quotes are one, a backslash is a backslash.
pub(crate) fn unquoted(raw: &str, quote: char) -> String {
    let (one, two) = (quote.to_string(), format!("{quote}{quote}"));
    raw.replace(&two, &one)
}
