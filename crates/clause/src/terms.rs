//! Single values (D:3.2, `factor`): literals, columns, functions, `CASE`.

use crate::cursor::{Parser, Result, is_reserved, is_word, shortened};
use crate::error::{Error, What};
use crate::functions::{Aggregate, Function, Shift, Unit};
use crate::json_path::JsonPath;
use crate::lex::{Kind, unquoted};
use crate::tree::{At, Inverse, Literal, Number, Operand, Term};

impl Parser<'_> {
    /// `-5` is a number, `-a` and `-(5)` a calculation.
    pub fn negative(&mut self) -> Result<Term> {
        let at = self.now.at;
        self.bump();
        if let Kind::Number(digits) = self.now.kind {
            self.bump();
            return number(at, &format!("-{digits}"));
        }
        let of = self.deeper(Self::factor)?;
        Ok(Term::Negated(Box::new(of)))
    }

    pub fn word_or_name(&mut self, word: &str) -> Result<Term> {
        for (keyword, literal) in [
            ("null", Literal::Null),
            ("true", Literal::Bool(true)),
            ("false", Literal::Bool(false)),
        ] {
            if self.takes_word(keyword) {
                return Ok(Term::Literal(literal));
            }
        }
        if is_reserved(word) {
            return Err(self.expected("a value or a column"));
        }
        if word.eq_ignore_ascii_case("case") && is_word(self.next, "when") {
            self.bump();
            return self.deeper(Self::case);
        }
        if self.next.kind == Kind::Sign("(") {
            return self.function(word);
        }
        self.named()
    }

    /// A column, a part of a JSON column, or a column over an inverse relation.
    pub fn named(&mut self) -> Result<Term> {
        if self.next.kind == Kind::Sign("[") {
            let table = self.name()?;
            self.bump();
            let relation = self.name()?;
            self.sign("]", "a closing bracket")?;
            let path = self.path_after_dot()?;
            return Ok(Term::Inverse(Box::new(Inverse { table, relation, path })));
        }
        let path = self.path()?;
        if !self.takes_sign("->") {
            return Ok(Term::Column(path));
        }
        let Kind::Text(raw, quote) = self.now.kind else {
            return Err(self.expected("a JSON path in quotes"));
        };
        let json = JsonPath::parse(&unquoted(raw, quote));
        let json = json.ok_or_else(|| Error::new(self.now.at, What::JsonPath))?;
        self.bump();
        Ok(Term::Json(path, json))
    }

    fn case(&mut self) -> Result<Term> {
        let mut when = Vec::new();
        while self.takes_word("when") {
            let condition = self.condition()?;
            self.word("then", "THEN")?;
            when.push((condition, self.operand()?));
        }
        let otherwise =
            if self.takes_word("else") { Some(Box::new(self.operand()?)) } else { None };
        self.word("end", "END")?;
        Ok(Term::Case { when, otherwise })
    }

    fn function(&mut self, word: &str) -> Result<Term> {
        let at = self.now.at;
        if let Some(shift) = Shift::by_name(word) {
            self.bump();
            self.bump();
            return self.deeper(|it| it.shifted(shift));
        }
        if let Some(aggregate) = Aggregate::by_name(word) {
            if !std::mem::replace(&mut self.aggregates, false) {
                return Err(Error::new(at, What::Aggregate));
            }
            self.bump();
            self.bump();
            let of = self.deeper(Self::operand)?;
            self.aggregates = true;
            self.sign(")", "a closing parenthesis")?;
            return Ok(Term::Aggregate(aggregate, Box::new(of)));
        }
        let unknown = || Error::new(at, What::UnknownFunction(shortened(word)));
        let function = Function::by_name(word).ok_or_else(unknown)?;
        self.bump();
        self.bump();
        let arguments = self.deeper(Self::arguments)?;
        if !function.takes(arguments.len()) {
            return Err(Error::new(at, What::Arguments(function)));
        }
        Ok(Term::Call(function, arguments))
    }

    fn arguments(&mut self) -> Result<Vec<Operand>> {
        let mut arguments = Vec::new();
        if self.takes_sign(")") {
            return Ok(arguments);
        }
        loop {
            self.room_for(arguments.len())?;
            arguments.push(self.operand()?);
            if !self.takes_sign(",") {
                self.sign(")", "a comma or a closing parenthesis")?;
                return Ok(arguments);
            }
        }
    }

    /// `(from, INTERVAL amount unit)` or `(from, amount, 'unit')`, from the first argument on.
    fn shifted(&mut self, shift: Shift) -> Result<Term> {
        let from = Box::new(self.operand()?);
        self.sign(",", "a comma and the time to add or subtract")?;
        let keyword = is_word(self.now, "interval")
            && !matches!(self.next.kind, Kind::Sign("," | "." | ")" | "->"));
        if keyword {
            self.bump();
        }
        let amount = Box::new(self.operand()?);
        if !keyword {
            self.sign(",", "a comma and the unit of time")?;
        }
        let unit = match self.now.kind {
            Kind::Word(word) | Kind::Text(word, _) => Unit::by_name(word),
            _ => None,
        };
        let unit = unit.ok_or_else(|| {
            self.expected("SECOND, MINUTE, HOUR, DAY, WEEK, MONTH, QUARTER or YEAR")
        })?;
        self.bump();
        self.sign(")", "a closing parenthesis")?;
        Ok(Term::Shifted { shift, from, amount, unit })
    }
}

pub(crate) fn number(at: At, text: &str) -> Result<Term> {
    let number = Number::new(text).ok_or(Error::new(at, What::Number))?;
    Ok(Term::Literal(Literal::Number(number)))
}
