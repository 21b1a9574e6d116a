//! Words to a tree (D:3.2): conditions and what they compare. A Pratt parser: operators are joined
//! by how tightly they bind, so that every word is looked at once and nothing is tried twice.

use crate::cursor::{Parser, Result};
use crate::error::{Error, What};
use crate::lex::{Kind, unquoted};
use crate::terms::number;
use crate::tree::{
    Add, Among, At, Comparison, Condition, Inverse, Literal, Multiply, Name, Operand, Subquery,
    Term, Test,
};

/// How tightly an operator binds; what comes first binds least. Where a part binds less tightly than
/// its place asks for, the printer writes parentheses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Bind {
    Or,
    And,
    Not,
    Test,
    Sum,
    Product,
    Factor,
}

/// What a part of a text turns out to be: a parenthesis may hold either, `(a = 1)` or `(a + 1)`.
enum Node {
    Condition(Condition),
    Operand(Operand),
}

impl Parser<'_> {
    /// A whole text that is a condition.
    pub fn whole_condition(mut self) -> Result<Condition> {
        self.not_empty()?;
        let condition = self.condition()?;
        self.end()?;
        Ok(condition)
    }

    /// A whole text that is an expression.
    pub fn whole_operand(mut self) -> Result<Operand> {
        self.not_empty()?;
        let operand = self.operand()?;
        self.end()?;
        Ok(operand)
    }

    fn not_empty(&self) -> Result<()> {
        if self.now.kind == Kind::End { Err(Error::new(At(0), What::Empty)) } else { Ok(()) }
    }

    pub fn condition(&mut self) -> Result<Condition> {
        let node = self.expression(Bind::Or)?;
        self.as_condition(node)
    }

    /// An expression, up to whatever cannot belong to it.
    pub fn operand(&mut self) -> Result<Operand> {
        let node = self.expression(Bind::Sum)?;
        as_operand(node)
    }

    /// A single value, or what parentheses make one.
    pub fn factor(&mut self) -> Result<Operand> {
        let node = self.expression(Bind::Factor)?;
        as_operand(node)
    }

    /// Whatever begins here and is held together by operators that bind at least so tightly.
    fn expression(&mut self, least: Bind) -> Result<Node> {
        let first = self.first(least)?;
        self.joined(first, least)
    }

    /// `left`, with all that operators bind to it.
    fn joined(&mut self, mut left: Node, least: Bind) -> Result<Node> {
        while let Some(bind) = self.operator().filter(|it| *it >= least) {
            left = match bind {
                Bind::Or | Bind::And => Node::Condition(self.logic(left, bind)?),
                Bind::Sum => Node::Operand(self.sum(left)?),
                Bind::Product => Node::Operand(self.product(left)?),
                Bind::Not | Bind::Test | Bind::Factor => Node::Condition(self.test(left)?),
            };
        }
        Ok(left)
    }

    /// How tightly the word in hand binds, if it joins what is before it with what is after it.
    fn operator(&self) -> Option<Bind> {
        let bind = match self.now.kind {
            Kind::Sign("+" | "-") => Bind::Sum,
            Kind::Sign("*" | "/" | "%") => Bind::Product,
            Kind::Sign(sign) if comparison(sign).is_some() => Bind::Test,
            Kind::Word(word) if word.eq_ignore_ascii_case("or") => Bind::Or,
            Kind::Word(word) if word.eq_ignore_ascii_case("and") => Bind::And,
            Kind::Word(word) => {
                let tests = ["not", "like", "in", "between", "is", "after", "before", "at"];
                tests.iter().find(|it| it.eq_ignore_ascii_case(word))?;
                Bind::Test
            }
            _ => return None,
        };
        Some(bind)
    }

    fn logic(&mut self, left: Node, bind: Bind) -> Result<Condition> {
        let first = self.as_condition(left)?;
        let (at, mut parts) = (first.at, vec![first]);
        let (word, tighter) = if bind == Bind::Or { ("or", Bind::And) } else { ("and", Bind::Not) };
        while self.takes_word(word) {
            let part = self.expression(tighter)?;
            parts.push(self.as_condition(part)?);
        }
        let test = if bind == Bind::Or { Test::Or(parts) } else { Test::And(parts) };
        Ok(Condition { at, test })
    }

    fn sum(&mut self, left: Node) -> Result<Operand> {
        let first = as_operand(left)?;
        let (at, mut rest) = (first.at, Vec::new());
        loop {
            let sign = match self.now.kind {
                Kind::Sign("+") => Add::Plus,
                Kind::Sign("-") => Add::Minus,
                _ => break,
            };
            self.bump();
            rest.push((sign, as_operand(self.expression(Bind::Product)?)?));
        }
        self.term(at, Term::Sum { first: Box::new(first), rest })
    }

    fn product(&mut self, left: Node) -> Result<Operand> {
        let first = as_operand(left)?;
        let (at, mut rest) = (first.at, Vec::new());
        loop {
            let sign = match self.now.kind {
                Kind::Sign("*") => Multiply::Times,
                Kind::Sign("/") => Multiply::Over,
                Kind::Sign("%") => Multiply::Modulo,
                _ => break,
            };
            self.bump();
            rest.push((sign, self.factor()?));
        }
        self.term(at, Term::Product { first: Box::new(first), rest })
    }

    /// A comparison, `LIKE`, `IN`, `BETWEEN` or `IS NULL` of what stands before it.
    fn test(&mut self, left: Node) -> Result<Condition> {
        let operand = as_operand(left)?;
        let at = operand.at;
        let negated = self.takes_word("not");
        let test = if self.takes_word("like") {
            Test::Like { negated, operand, pattern: self.operand()? }
        } else if self.takes_word("in") {
            Test::In { negated, operand, among: self.among()? }
        } else if self.takes_word("between") {
            let low = self.operand()?;
            self.word("and", "AND and the upper end")?;
            Test::Between { negated, operand, low, high: self.operand()? }
        } else if negated {
            return Err(self.expected("LIKE, IN or BETWEEN"));
        } else if self.takes_word("is") {
            let negated = self.takes_word("not");
            self.word("null", "NULL")?;
            Test::IsNull { negated, operand }
        } else {
            let comparison = self.comparison()?;
            compared(comparison, operand, self.operand()?)
        };
        self.predicate(at, test)
    }

    fn comparison(&mut self) -> Result<Comparison> {
        if let Kind::Sign(sign) = self.now.kind
            && let Some(found) = comparison(sign)
        {
            self.bump();
            return Ok(found);
        }
        let at = self.takes_word("at");
        if at {
            self.word("or", "OR")?;
        }
        if self.takes_word("after") {
            Ok(if at { Comparison::AtOrAfter } else { Comparison::After })
        } else if self.takes_word("before") {
            Ok(if at { Comparison::AtOrBefore } else { Comparison::Before })
        } else {
            Err(self.expected("AFTER or BEFORE"))
        }
    }

    /// What stands in the parentheses after `IN`.
    fn among(&mut self) -> Result<Among> {
        self.sign("(", "an opening parenthesis")?;
        if self.takes_sign(")") {
            return Ok(Among::List(Vec::new()));
        }
        let among = self.deeper(Self::query_or_list)?;
        self.sign(")", "a comma or a closing parenthesis")?;
        Ok(among)
    }

    /// `Table[…].path` and `Table.path` are a subquery if nothing else stands in the parentheses.
    fn query_or_list(&mut self) -> Result<Among> {
        let alone = |it: &Self| it.now.kind == Kind::Sign(")");
        let first = if self.is_name() && self.next.kind == Kind::Sign("[") {
            let (at, table, condition) = self.bracketed()?;
            let path = self.path_after_dot()?;
            if alone(self) {
                let subquery = Subquery { table, condition: Some(condition), path };
                return Ok(Among::Query(Box::new(subquery)));
            }
            let relation = single_name(condition)?;
            let inverse = Inverse { table, relation, path };
            let inverse = self.term(at, Term::Inverse(Box::new(inverse)))?;
            as_operand(self.joined(Node::Operand(inverse), Bind::Sum)?)?
        } else {
            let dotted = self.is_name() && self.next.kind == Kind::Sign(".");
            let first = self.operand()?;
            match first.term {
                Term::Column(mut path) if dotted && alone(self) && !path.steps.is_empty() => {
                    let table = path.steps.remove(0);
                    let subquery = Subquery { table, condition: None, path };
                    return Ok(Among::Query(Box::new(subquery)));
                }
                term => Operand { at: first.at, term },
            }
        };
        let mut list = vec![first];
        while self.takes_sign(",") {
            self.room_for(list.len())?;
            list.push(self.operand()?);
        }
        Ok(Among::List(list))
    }

    /// `Table[condition]`.
    fn bracketed(&mut self) -> Result<(At, Name, Condition)> {
        let table = self.name()?;
        self.sign("[", "an opening bracket")?;
        let outer = std::mem::replace(&mut self.aggregates, false);
        let condition = self.deeper(Self::condition)?;
        self.aggregates = outer;
        self.sign("]", "a closing bracket")?;
        Ok((table.at, table, condition))
    }

    /// The beginning of an expression: a value, or what is in parentheses.
    fn first(&mut self, least: Bind) -> Result<Node> {
        let at = self.now.at;
        let term = match self.now.kind {
            Kind::Sign("(") => return self.parenthesis(),
            Kind::Sign("-") => self.negative()?,
            Kind::Number(digits) => {
                self.bump();
                number(at, digits)?
            }
            Kind::Text(raw, quote) => {
                self.bump();
                Term::Literal(Literal::Text(unquoted(raw, quote)))
            }
            Kind::Word(word) => {
                if least <= Bind::Not && word.eq_ignore_ascii_case("not") {
                    return self.not();
                }
                self.word_or_name(word)?
            }
            Kind::Quoted(_) => self.named()?,
            _ => return Err(self.expected("a value or a column")),
        };
        self.term(at, term).map(Node::Operand)
    }

    fn parenthesis(&mut self) -> Result<Node> {
        self.bump();
        let node = self.deeper(|it| it.expression(Bind::Or))?;
        self.sign(")", "a closing parenthesis")?;
        Ok(node)
    }

    fn not(&mut self) -> Result<Node> {
        let at = self.now.at;
        self.bump();
        let inner = self.deeper(|it| it.expression(Bind::Test))?;
        let inner = Box::new(self.as_condition(inner)?);
        Ok(Node::Condition(Condition { at, test: Test::Not(inner) }))
    }

    fn as_condition(&mut self, node: Node) -> Result<Condition> {
        match node {
            Node::Condition(it) => Ok(it),
            Node::Operand(it) => self.predicate(it.at, Test::Truth(it)),
        }
    }
}

fn as_operand(node: Node) -> Result<Operand> {
    match node {
        Node::Operand(it) => Ok(it),
        Node::Condition(it) => Err(Error::new(it.at, What::ConditionAsValue)),
    }
}

fn comparison(sign: &str) -> Option<Comparison> {
    Some(match sign {
        "=" => Comparison::Equal,
        "!=" | "<>" => Comparison::NotEqual,
        "<" => Comparison::Less,
        "<=" | "=<" => Comparison::LessOrEqual,
        ">" => Comparison::Greater,
        ">=" | "=>" => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

/// A comparison. To be equal to NULL is to be NULL: clients send `objectId != NULL` for "all".
fn compared(comparison: Comparison, left: Operand, right: Operand) -> Test {
    let is_null = |it: &Operand| it.term == Term::Literal(Literal::Null);
    let negated = comparison == Comparison::NotEqual;
    if !negated && comparison != Comparison::Equal {
        return Test::Compare { comparison, left, right };
    }
    if is_null(&right) {
        Test::IsNull { negated, operand: left }
    } else if is_null(&left) {
        Test::IsNull { negated, operand: right }
    } else {
        Test::Compare { comparison, left, right }
    }
}

/// The name that a bracket holds when it is that of an inverse relation.
fn single_name(condition: Condition) -> Result<Name> {
    if let Test::Truth(Operand { term: Term::Column(path), .. }) = condition.test
        && path.steps.is_empty()
    {
        return Ok(path.column);
    }
    let (wanted, found) = ("the name of a relation in the brackets", "a condition".to_owned());
    Err(Error::new(condition.at, What::Expected { wanted, found }))
}
