//! The words of a text in hand, one after the other, and what the limits leave.

use crate::Limits;
use crate::error::{Error, What};
use crate::lex::{Kind, Lexer, Token};
use crate::tree::{At, Condition, Name, Operand, Path, Term, Test};

pub(crate) type Result<T> = std::result::Result<T, Error>;

/// Words that are no names unless they stand in back-ticks. The other keywords of D:3.1 mean
/// something only where the grammar expects them.
const RESERVED: &[&str] =
    &["and", "or", "not", "like", "in", "between", "is", "null", "true", "false", "as"];

/// Whether the word may not be a name without back-ticks.
pub(crate) fn is_reserved(word: &str) -> bool {
    RESERVED.iter().any(|it| it.eq_ignore_ascii_case(word))
}

/// The state of a parser: the word in hand, the one after it, and what the limits leave.
pub(crate) struct Parser<'t> {
    lexer: Lexer<'t>,
    pub now: Token<'t>,
    pub next: Token<'t>,
    limits: Limits,
    /// How deep it is nested here.
    depth: usize,
    conditions: usize,
    terms: usize,
    /// Whether `Count(x)` and the like may stand here.
    pub aggregates: bool,
}

impl<'t> Parser<'t> {
    /// Begins a text. Fails when it is too long.
    pub fn new(text: &'t str, limits: &Limits, aggregates: bool) -> Result<Self> {
        if text.len() > limits.bytes {
            return Err(Error::new(At(0), What::TooLong(limits.bytes)));
        }
        let mut lexer = Lexer::new(text);
        let (now, next) = (lexer.token(), lexer.token());
        let limits = *limits;
        Ok(Self { lexer, now, next, limits, depth: 0, conditions: 0, terms: 0, aggregates })
    }

    pub fn predicate(&mut self, at: At, test: Test) -> Result<Condition> {
        self.conditions += 1;
        if self.conditions > self.limits.conditions {
            return Err(Error::new(at, What::TooManyConditions(self.limits.conditions)));
        }
        Ok(Condition { at, test })
    }

    pub fn term(&mut self, at: At, term: Term) -> Result<Operand> {
        self.terms += 1;
        if self.terms > self.limits.terms {
            return Err(Error::new(at, What::TooManyTerms(self.limits.terms)));
        }
        Ok(Operand { at, term })
    }

    /// Fails if a list with so many entries cannot take another.
    pub fn room_for(&self, entries: usize) -> Result<()> {
        if entries < self.limits.items {
            return Ok(());
        }
        Err(Error::new(self.now.at, What::TooManyItems(self.limits.items)))
    }

    /// Runs `inside` one level deeper. This is where recursion ends.
    pub fn deeper<T>(&mut self, inside: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth == self.limits.depth {
            return Err(Error::new(self.now.at, What::TooDeep(self.limits.depth)));
        }
        self.depth += 1;
        let result = inside(self)?;
        self.depth -= 1;
        Ok(result)
    }

    pub fn bump(&mut self) {
        self.now = std::mem::replace(&mut self.next, self.lexer.token());
    }

    pub fn is_at_end(&self) -> bool {
        self.now.kind == Kind::End
    }

    pub fn takes_sign(&mut self, sign: &'static str) -> bool {
        let found = self.is_at_sign(sign);
        if found {
            self.bump();
        }
        found
    }

    pub fn is_at_sign(&self, sign: &'static str) -> bool {
        self.now.kind == Kind::Sign(sign)
    }

    /// A `*` at the beginning of an entry, where nothing can be multiplied yet.
    pub fn takes_star(&mut self) -> Option<At> {
        let at = self.now.at;
        self.takes_sign("*").then_some(at)
    }

    pub fn takes_word(&mut self, keyword: &str) -> bool {
        let found = is_word(self.now, keyword);
        if found {
            self.bump();
        }
        found
    }

    pub fn sign(&mut self, sign: &'static str, wanted: &'static str) -> Result<()> {
        if self.takes_sign(sign) { Ok(()) } else { Err(self.expected(wanted)) }
    }

    pub fn word(&mut self, keyword: &str, wanted: &'static str) -> Result<()> {
        if self.takes_word(keyword) { Ok(()) } else { Err(self.expected(wanted)) }
    }

    pub fn end(&self) -> Result<()> {
        if self.is_at_end() { Ok(()) } else { Err(self.expected("the end")) }
    }

    /// The error that something else belongs where the word in hand stands.
    pub fn expected(&self, wanted: &'static str) -> Error {
        let found = match self.now.kind {
            Kind::Bad(bad) => return Error::new(self.now.at, bad.into()),
            Kind::Word(it) | Kind::Number(it) => shortened(it),
            Kind::Sign(it) => it.to_owned(),
            Kind::Quoted(it) => format!("`{}`", shortened(it)),
            Kind::Text(it, quote) => format!("{quote}{}{quote}", shortened(it)),
            Kind::End => "the end".to_owned(),
        };
        Error::new(self.now.at, What::Expected { wanted, found })
    }

    /// The path after a bracket, which is a step over a relation itself.
    pub fn path_after_dot(&mut self) -> Result<Path> {
        self.sign(".", "a dot and a column")?;
        let path = self.path()?;
        if path.steps.len() < self.limits.steps {
            return Ok(path);
        }
        Err(Error::new(path.column.at, What::TooManySteps(self.limits.steps)))
    }

    /// Names with dots between them. After a dot every word is a name.
    pub fn path(&mut self) -> Result<Path> {
        let mut steps = Vec::new();
        let mut column = self.name()?;
        while self.takes_sign(".") {
            if steps.len() == self.limits.steps {
                return Err(Error::new(column.at, What::TooManySteps(self.limits.steps)));
            }
            steps.push(std::mem::replace(&mut column, self.any_name()?));
        }
        Ok(Path { steps, column })
    }

    pub fn is_name(&self) -> bool {
        match self.now.kind {
            Kind::Word(word) => !is_reserved(word),
            Kind::Quoted(_) => true,
            _ => false,
        }
    }

    pub fn name(&mut self) -> Result<Name> {
        if self.is_name() { self.any_name() } else { Err(self.expected("a name")) }
    }

    /// A name where no keyword can stand: after a dot, after `as`.
    pub fn any_name(&mut self) -> Result<Name> {
        let (Kind::Word(text) | Kind::Quoted(text)) = self.now.kind else {
            return Err(self.expected("a name"));
        };
        let name = Name { at: self.now.at, text: text.to_owned() };
        self.bump();
        Ok(name)
    }
}

pub(crate) fn is_word(token: Token<'_>, keyword: &str) -> bool {
    matches!(token.kind, Kind::Word(word) if word.eq_ignore_ascii_case(keyword))
}

/// As much of a client's text as a message needs.
pub(crate) fn shortened(text: &str) -> String {
    const MOST: usize = 40;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
