//! Conditions: from their text to what the store makes SQL of. Pure: text and table in, condition and
//! values out.
//!
//! Wire: data-api 3. Relations, inverse relations, subqueries and aggregates answer 1017 "not
//! available yet" with the position.

use clause::{
    Among, Clause, Comparison, Condition, Limits, Operand, Split as _, Term, Test, Value,
};
use engine::Calc;

use super::given::{not_yet, refused};
use super::operands::{Compiler, Side, What};
use crate::error::{Error, Result};
use crate::store::conditions::{Cond, Expr, Sign, Type};

/// Reads a condition and takes its values out of it; `None` if there is none. Fails with 1017.
pub fn read(text: &str, values: &mut Vec<Value>) -> Result<Option<Clause>> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    let mut clause = clause::parse(text, &Limits::default()).map_err(|it| unreadable(&it))?;
    pad(&mut clause.condition);
    clause.split(values);
    Ok(Some(clause))
}

fn unreadable(error: &clause::Error) -> Error {
    Error::where_clause(format!("Invalid where clause: {error}")).at_character(error.offset())
}

/// Lists of values come in all lengths. The last value is repeated until there are 1, 2, 4, 8 … of
/// them: what is found is the same, and there are fewer plans.
fn pad(condition: &mut Condition) {
    match &mut condition.test {
        Test::Or(parts) | Test::And(parts) => parts.iter_mut().for_each(pad),
        Test::Not(inner) => pad(inner),
        Test::In { among: Among::List(list), .. } => {
            let plain = |it: &Operand| matches!(it.term, Term::Literal(_));
            if let Some(last) = list.last().filter(|_| list.iter().all(plain)).cloned() {
                list.resize(list.len().next_power_of_two(), last);
            }
        }
        _ => {}
    }
}

impl Compiler<'_> {
    /// The condition of a tree.
    pub fn condition(&mut self, condition: &Condition) -> Result<Cond> {
        Ok(self.deep_condition(condition)?.0)
    }

    /// The same, and how deep it is.
    pub fn deep_condition(&mut self, condition: &Condition) -> Result<(Cond, usize)> {
        let (cond, depth) = self.test(condition)?;
        Ok((cond, Self::bounded(depth, condition.at)?))
    }

    fn test(&mut self, condition: &Condition) -> Result<(Cond, usize)> {
        let at = condition.at;
        Ok(match &condition.test {
            Test::Or(parts) => {
                let (parts, depth) = self.conditions(parts)?;
                (Cond::Or(parts), depth)
            }
            Test::And(parts) => {
                let (parts, depth) = self.conditions(parts)?;
                (Cond::And(parts), depth)
            }
            Test::Not(inner) => negate(self.deep_condition(inner)?, true),
            Test::Compare { comparison, left, right } => {
                let sides = [self.side(left)?, self.side(right)?];
                let sign = sign(*comparison);
                if comparison.is_of_dates() {
                    return self.dates(sides, sign);
                }
                let of = self.target(&sides, at)?;
                let [left, right] = sides;
                compare(self.fit(left, of)?, sign, self.fit(right, of)?)
            }
            Test::Like { negated, operand, pattern } => {
                let value = self.side(operand)?;
                let (value, depth) = self.as_text(value)?;
                let like = match self.pattern(pattern)? {
                    Some(pattern) => (Cond::Like(value, pattern), depth + 1),
                    None => compare((value, depth), Sign::Equal, (Expr::Null(Type::Text), 1)),
                };
                negate(like, *negated)
            }
            Test::In { among: Among::Query(query), .. } => {
                return Err(not_yet("A list from another table", query.table.at));
            }
            Test::In { negated, operand, among: Among::List(list) } => {
                let mut sides = vec![self.side(operand)?];
                for one in list {
                    sides.push(self.side(one)?);
                }
                if list.is_empty() {
                    return Ok((Cond::Always(*negated), 1));
                }
                let (all, depth) = self.fitted(sides, at)?;
                let mut all = all.into_iter();
                let value = all.next().ok_or_else(|| Error::internal("a list without a value"))?;
                negate((Cond::In(value, all.collect()), depth + 1), *negated)
            }
            Test::Between { negated, operand, low, high } => {
                let sides = vec![self.side(operand)?, self.side(low)?, self.side(high)?];
                let (all, depth) = self.fitted(sides, at)?;
                let [value, low, high] = <[Expr; 3]>::try_from(all)
                    .map_err(|_| Error::internal("a range without its ends"))?;
                negate((Cond::Between(value, low, high), depth + 1), *negated)
            }
            Test::IsNull { negated, operand } => {
                let (value, depth) = match self.side(operand)? {
                    Side { what: What::Json(part), .. } => {
                        (Expr::Call(Calc::JsonSet, vec![part]), 3)
                    }
                    side => {
                        let of = self.target(std::slice::from_ref(&side), at)?;
                        self.fit(side, of)?
                    }
                };
                negate((Cond::IsNull(value), depth + 1), *negated)
            }
            Test::Truth(operand) => {
                let side = self.side(operand)?;
                let of = match &side.what {
                    What::Typed(_, of, _) => *of,
                    What::Literal(_) => self.target(std::slice::from_ref(&side), at)?,
                    What::Null | What::Json(_) => Type::Bool,
                };
                if of != Type::Bool {
                    return Err(refused(
                        "a value alone is no condition, unless it is true or false",
                        at,
                    ));
                }
                let (value, depth) = self.fit(side, Type::Bool)?;
                (Cond::Truth(value), depth)
            }
        })
    }

    fn conditions(&mut self, parts: &[Condition]) -> Result<(Vec<Cond>, usize)> {
        let mut all = Vec::with_capacity(parts.len());
        let mut deepest = 0;
        for part in parts {
            let (cond, depth) = self.deep_condition(part)?;
            deepest = deepest.max(depth);
            all.push(cond);
        }
        // They are written as a balanced tree.
        let levels = parts.len().next_power_of_two().ilog2() as usize;
        Ok((all, deepest + levels))
    }

    fn fitted(&mut self, sides: Vec<Side>, at: clause::At) -> Result<(Vec<Expr>, usize)> {
        let of = self.target(&sides, at)?;
        let mut all = Vec::with_capacity(sides.len());
        let mut deepest = 0;
        for side in sides {
            let (expr, depth) = self.fit(side, of)?;
            deepest = deepest.max(depth);
            all.push(expr);
        }
        Ok((all, deepest))
    }

    /// The date words compare as times, whatever the two sides look like: a number is milliseconds.
    fn dates(&mut self, sides: [Side; 2], sign: Sign) -> Result<(Cond, usize)> {
        let mut of = Type::Time;
        for side in &sides {
            match side.what {
                What::Typed(_, Type::Time | Type::Day | Type::Whole, _)
                | What::Literal(_)
                | What::Null => {}
                What::Typed(_, Type::Number, _) | What::Json(_) => of = Type::Number,
                What::Typed(..) => return Err(refused("expected a date", side.at)),
            }
        }
        let [left, right] = sides;
        Ok(compare(self.fit_time(left, of)?, sign, self.fit_time(right, of)?))
    }
}

fn negate((condition, depth): (Cond, usize), negated: bool) -> (Cond, usize) {
    if negated { (Cond::Not(Box::new(condition)), depth + 1) } else { (condition, depth) }
}

fn compare(left: (Expr, usize), sign: Sign, right: (Expr, usize)) -> (Cond, usize) {
    (Cond::Compare(left.0, sign, right.0), left.1.max(right.1) + 1)
}

fn sign(comparison: Comparison) -> Sign {
    match comparison {
        Comparison::Equal => Sign::Equal,
        Comparison::NotEqual => Sign::NotEqual,
        Comparison::Less | Comparison::Before => Sign::Less,
        Comparison::LessOrEqual | Comparison::AtOrBefore => Sign::LessOrEqual,
        Comparison::Greater | Comparison::After => Sign::Greater,
        Comparison::GreaterOrEqual | Comparison::AtOrAfter => Sign::GreaterOrEqual,
    }
}
