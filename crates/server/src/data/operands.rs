//! What stands on the sides of comparisons, in `props` and in `sortBy`: literals, columns,
//! calculations, functions.
//!
//! Wire: data-api 3.4 to 3.7. The types of columns decide what literals are; what has no type of
//! its own waits until the other side is known.

use std::collections::HashMap;

use clause::{
    Add, Aggregate, At, Function, JsonPath, JsonStep, Literal, Multiply, Operand, Path, Shift,
    Term, Unit, Value,
};
use engine::{Calc, Wanted};

use super::given::{self, Looks, not_yet, refused};
use crate::error::{Error, Result};
use crate::schema::{Kind, Table};
use crate::store::conditions::{Expr, Type};
use crate::store::query::Recipe;

/// The most calculations inside each other: SQLite takes a depth of 1,000, PostgreSQL has a stack.
const DEEPEST: usize = 200;

/// The most values, columns and calculations of a query, of all its lists together: SQLite takes
/// 32,766 values, PostgreSQL 65,535.
const TERMS: usize = 20_000;

/// A query that is being compiled for a table.
pub struct Compiler<'a> {
    /// The table.
    pub table: &'a Table,
    /// What the client gave.
    pub values: &'a [Value],
    /// Where the values of the statement come from.
    pub recipes: Vec<Recipe>,
    /// The places of those that serve more than once.
    shared: HashMap<Recipe, usize>,
    terms: usize,
}

/// One side of a comparison.
#[derive(Clone, Debug)]
pub struct Side {
    /// Where it stands.
    pub at: At,
    /// What it is.
    pub what: What,
}

/// What one side of a comparison is.
#[derive(Clone, Debug)]
pub enum What {
    /// It has a type; with how deep it is nested.
    Typed(Expr, Type, usize),
    /// A value of the client: its index.
    Literal(usize),
    /// NULL.
    Null,
    /// A part of a JSON column.
    Json(Expr),
}

impl<'a> Compiler<'a> {
    /// A compiler of what names columns of this table and has these values.
    pub fn new(table: &'a Table, values: &'a [Value]) -> Self {
        Self { table, values, recipes: Vec::new(), shared: HashMap::new(), terms: 0 }
    }

    /// The place of a column that clients may name. Fails with 1006: a hidden one is not there.
    pub fn column(&self, path: &Path) -> Result<usize> {
        if let Some(step) = path.steps.first() {
            return Err(not_yet("A path over relations", step.at));
        }
        let name = &path.column.text;
        let missing =
            || Error::no_such_column(name, &self.table.name).at_character(path.column.at.0);
        self.table.shown(name).ok_or_else(missing)
    }

    fn recipe(&mut self, recipe: Recipe) -> usize {
        let place = self.recipes.len();
        if !matches!(recipe, Recipe::Client(..)) {
            if let Some(known) = self.shared.get(&recipe) {
                return *known;
            }
            self.shared.insert(recipe.clone(), place);
        }
        self.recipes.push(recipe);
        place
    }

    fn count(&mut self, terms: usize, at: At) -> Result<()> {
        self.terms += terms;
        if self.terms > TERMS {
            return Err(refused(&format!("the query has more than {TERMS} values"), at));
        }
        Ok(())
    }

    /// The depth of what stands there. Fails with 1017 if it is too deep.
    pub fn bounded(depth: usize, at: At) -> Result<usize> {
        if depth > DEEPEST {
            return Err(refused(&format!("it is calculated more than {DEEPEST} deep"), at));
        }
        Ok(depth)
    }

    /// What an operand is.
    pub fn side(&mut self, operand: &Operand) -> Result<Side> {
        let at = operand.at;
        self.count(1, at)?;
        let what = match &operand.term {
            Term::Literal(Literal::Null) => What::Null,
            Term::Literal(_) => return Err(Error::internal("a value was not taken out")),
            Term::Parameter(it) => What::Literal(it.index),
            Term::Column(path) => self.named(path)?,
            Term::Json(path, json) => self.part(path, json)?,
            Term::Inverse(_) => return Err(not_yet("A column over an inverse relation", at)),
            Term::Aggregate(aggregate, _) => return Err(aggregated(*aggregate, at)),
            Term::Call(function, arguments) => self.call(*function, arguments, at)?,
            Term::Shifted { shift, from, amount, unit } => {
                self.shifted(*shift, from, amount, *unit)?
            }
            Term::Sum { first, rest } => {
                let rest = rest.iter().map(|(sign, it)| match sign {
                    Add::Plus => (Calc::Add, it),
                    Add::Minus => (Calc::Subtract, it),
                });
                self.chain(first, rest)?
            }
            Term::Product { first, rest } => {
                let rest = rest.iter().map(|(sign, it)| match sign {
                    Multiply::Times => (Calc::Multiply, it),
                    Multiply::Over => (Calc::Divide, it),
                    Multiply::Modulo => (Calc::Modulo, it),
                });
                self.chain(first, rest)?
            }
            Term::Negated(of) => {
                let (of, depth) = self.number(of)?;
                typed(Expr::Call(Calc::Negate, vec![of]), Type::Number, depth + 1)
            }
            Term::Case { when, otherwise } => self.case(when, otherwise.as_deref(), at)?,
        };
        if let What::Typed(_, _, depth) = what {
            Self::bounded(depth, at)?;
        }
        Ok(Side { at, what })
    }

    fn named(&mut self, path: &Path) -> Result<What> {
        let column = &self.table.columns[self.column(path)?];
        let expr = Expr::Column(column.physical.clone());
        let of = match column.kind {
            Kind::StringId | Kind::String | Kind::Text | Kind::FileRef => Type::Text,
            Kind::Int => Type::Whole,
            Kind::Double => Type::Number,
            Kind::Boolean => Type::Bool,
            Kind::DateTime => Type::Time,
            Kind::Json => return Ok(What::Json(Expr::Json(column.physical.clone(), Vec::new()))),
        };
        Ok(typed(expr, of, 1))
    }

    fn part(&mut self, path: &Path, json: &JsonPath) -> Result<What> {
        let column = &self.table.columns[self.column(path)?];
        if column.kind != Kind::Json {
            let what = format!("{} is no JSON column", column.name);
            return Err(refused(&what, path.column.at));
        }
        let physical = column.physical.clone();
        self.count(json.0.len(), path.column.at)?;
        let step = |it: &JsonStep| match it {
            JsonStep::Key(key) => (self.recipe(Recipe::Key(key.clone())), Wanted::Key),
            JsonStep::Index(index) => (self.recipe(Recipe::Index(*index)), Wanted::Index),
        };
        let steps = json.0.iter().map(step).collect();
        Ok(What::Json(Expr::Json(physical, steps)))
    }

    fn chain<'o>(
        &mut self,
        first: &Operand,
        rest: impl Iterator<Item = (Calc, &'o Operand)>,
    ) -> Result<What> {
        let (mut sum, mut deepest) = self.number(first)?;
        for (calc, operand) in rest {
            let (operand, depth) = self.number(operand)?;
            sum = Expr::Call(calc, vec![sum, operand]);
            deepest = deepest.max(depth) + 1;
        }
        Ok(typed(sum, Type::Number, deepest))
    }

    fn number(&mut self, operand: &Operand) -> Result<(Expr, usize)> {
        let side = self.side(operand)?;
        if let What::Typed(_, Type::Text | Type::Bool, _) = side.what {
            return Err(refused("expected a number to calculate with", side.at));
        }
        self.fit(side, Type::Number)
    }

    fn time(&mut self, operand: &Operand) -> Result<(Expr, usize)> {
        let side = self.side(operand)?;
        match side.what {
            What::Typed(_, Type::Time | Type::Day, _) | What::Literal(_) | What::Null => {
                self.fit(side, Type::Time)
            }
            _ => Err(refused("expected a date", side.at)),
        }
    }

    fn text(&mut self, operand: &Operand) -> Result<(Expr, usize)> {
        let side = self.side(operand)?;
        self.as_text(side)
    }

    /// The text of anything but true and false: numbers in digits, times as 2023-11-14 22:13:20.
    pub fn as_text(&mut self, side: Side) -> Result<(Expr, usize)> {
        let at = side.at;
        let What::Typed(expr, of, depth) = side.what else { return self.fit(side, Type::Text) };
        let calc = match of {
            Type::Text => return Ok((expr, depth)),
            Type::Whole => Calc::WholeText,
            Type::Number => Calc::NumberText,
            Type::Time | Type::Day => Calc::TimeText,
            Type::Bool => return Err(refused("true and false have no text", at)),
        };
        Ok((Expr::Call(calc, vec![expr]), depth + 1))
    }

    fn call(&mut self, function: Function, arguments: &[Operand], at: At) -> Result<What> {
        if let Some((calc, of)) = of_time(function).filter(|_| !arguments.is_empty()) {
            let (expr, depth) = self.time(&arguments[0])?;
            if function == Function::Week {
                return self.week(expr, depth, arguments.get(1));
            }
            return Ok(typed(Expr::Call(calc, vec![expr]), of, depth + 1));
        }
        let text = match function {
            Function::Upper => Some((Calc::Upper, Type::Text)),
            Function::Lower => Some((Calc::Lower, Type::Text)),
            Function::Trim => Some((Calc::Trim, Type::Text)),
            Function::TrimStart => Some((Calc::TrimStart, Type::Text)),
            Function::TrimEnd => Some((Calc::TrimEnd, Type::Text)),
            Function::Length | Function::CharLength => Some((Calc::Length, Type::Number)),
            _ => None,
        };
        if let Some((calc, of)) = text {
            let (expr, depth) = self.text(&arguments[0])?;
            return Ok(typed(Expr::Call(calc, vec![expr]), of, depth + 1));
        }
        let number = match function {
            Function::Abs => Some(Calc::Abs),
            Function::Ceil => Some(Calc::Ceil),
            Function::Floor => Some(Calc::Floor),
            Function::Mod => Some(Calc::Modulo),
            _ => None,
        };
        if let Some(calc) = number {
            let numbers = arguments.iter().map(|it| self.number(it)).collect::<Result<Vec<_>>>()?;
            let depth = numbers.iter().map(|it| it.1).max().unwrap_or(0) + 1;
            let numbers = numbers.into_iter().map(|it| it.0).collect();
            return Ok(typed(Expr::Call(calc, numbers), Type::Number, depth));
        }
        match function {
            Function::Now => Ok(typed(self.now(), Type::Time, 1)),
            Function::UnixTimestamp => {
                Ok(typed(Expr::Call(Calc::Seconds, vec![self.now()]), Type::Number, 2))
            }
            Function::DateDiff => {
                let (one, other) = (self.time(&arguments[0])?, self.time(&arguments[1])?);
                let depth = one.1.max(other.1) + 1;
                Ok(typed(Expr::Call(Calc::DayDiff, vec![one.0, other.0]), Type::Number, depth))
            }
            Function::Concat => {
                let (mut joined, mut deepest) = self.text(&arguments[0])?;
                for argument in &arguments[1..] {
                    let (text, depth) = self.text(argument)?;
                    joined = Expr::Call(Calc::Join, vec![joined, text]);
                    deepest = deepest.max(depth) + 1;
                }
                Ok(typed(joined, Type::Text, deepest))
            }
            other => Err(not_yet(&format!("The function {}", other.name()), at)),
        }
    }

    fn now(&mut self) -> Expr {
        Expr::Bound(self.recipe(Recipe::Now), Type::Time)
    }

    fn week(&mut self, expr: Expr, depth: usize, mode: Option<&Operand>) -> Result<What> {
        let mode = mode.map(|it| (it.at, self.constant(it)));
        let calc = match mode {
            None => Calc::SundayWeek,
            Some((at, Some(_) | None)) => {
                return Err(not_yet("WEEK with a way of counting", at));
            }
        };
        Ok(typed(Expr::Call(calc, vec![expr]), Type::Number, depth + 2))
    }

    fn constant(&self, operand: &Operand) -> Option<&'a Value> {
        let Term::Parameter(it) = &operand.term else { return None };
        self.values.get(it.index)
    }

    fn shifted(
        &mut self,
        shift: Shift,
        from: &Operand,
        amount: &Operand,
        unit: Unit,
    ) -> Result<What> {
        let (from_expr, depth) = self.time(from)?;
        // Both are written more than once into the statement: what is long would grow with each.
        if !matches!(from_expr, Expr::Column(_) | Expr::Bound(..) | Expr::Null(_)) {
            return Err(not_yet("DATEADD or DATESUB of a calculation", from.at));
        }
        let Term::Parameter(count) = amount.term else {
            return Err(not_yet("An amount of time that is not a number", amount.at));
        };
        let size = match unit {
            Unit::Second => 1_000,
            Unit::Minute => 60_000,
            Unit::Hour => 3_600_000,
            Unit::Day => 86_400_000,
            Unit::Week => 604_800_000,
            Unit::Month => 1,
            Unit::Quarter => 3,
            Unit::Year => 12,
        };
        let calc = if size < 1_000 { Calc::AddMonths } else { Calc::AddMillis };
        let size = if shift == Shift::Sub { -size } else { size };
        let moved = Expr::Bound(self.recipe(Recipe::Times(count.index, size)), Type::Time);
        Ok(typed(Expr::Call(calc, vec![from_expr, moved]), Type::Time, depth + 2))
    }

    fn case(
        &mut self,
        when: &[(clause::Condition, Operand)],
        otherwise: Option<&Operand>,
        at: At,
    ) -> Result<What> {
        let mut conditions = Vec::with_capacity(when.len());
        let mut sides = Vec::with_capacity(when.len() + 1);
        let mut deepest = 0;
        for (condition, value) in when {
            let (condition, depth) = self.deep_condition(condition)?;
            deepest = deepest.max(depth);
            conditions.push(condition);
            sides.push(self.side(value)?);
        }
        if let Some(value) = otherwise {
            sides.push(self.side(value)?);
        }
        let of = self.target(&sides, at)?;
        let mut values = Vec::with_capacity(sides.len());
        for side in sides {
            let (value, depth) = self.fit(side, of)?;
            deepest = deepest.max(depth);
            values.push(value);
        }
        let otherwise = otherwise.and_then(|_| values.pop()).map(Box::new);
        let branches = conditions.into_iter().zip(values).collect();
        Ok(typed(Expr::Case(branches, otherwise), of, deepest + 1))
    }

    /// The type in which all of these can be compared (data-api 3.4).
    pub fn target(&self, sides: &[Side], at: At) -> Result<Type> {
        let mut of: Option<Type> = None;
        let mut json = false;
        for side in sides {
            match &side.what {
                What::Typed(_, next, _) => {
                    of = Some(match of {
                        None => *next,
                        Some(of) => together(of, *next)
                            .ok_or_else(|| refused("the two sides cannot be compared", side.at))?,
                    });
                }
                What::Json(_) => json = true,
                What::Literal(_) | What::Null => {}
            }
        }
        let literals = sides.iter().filter_map(|it| match it.what {
            What::Literal(index) => self.values.get(index),
            _ => None,
        });
        let looks = |it: &Value| match it.literal {
            // A text stays one until a column says that it is a number.
            Literal::Text(_) if of.is_none() => Looks::Text,
            _ => given::looks(it),
        };
        let mut looks: Vec<Looks> = literals.map(looks).collect();
        looks.dedup();
        Ok(match of {
            Some(Type::Whole) if json || looks.iter().any(|it| *it != Looks::Whole) => Type::Number,
            Some(Type::Time | Type::Day) if json => Type::Number,
            Some(Type::Day) => Type::Time,
            Some(of) => of,
            None => match looks.as_slice() {
                [] if json => return Err(not_yet("A comparison of JSON values", at)),
                [] => Type::Text,
                all if all.iter().all(|it| matches!(it, Looks::Whole | Looks::Number)) => {
                    Type::Number
                }
                all if all.contains(&Looks::Bool) => Type::Bool,
                _ => Type::Text,
            },
        })
    }

    /// The expression of a side, as this type, and how deep it is.
    pub fn fit(&mut self, side: Side, of: Type) -> Result<(Expr, usize)> {
        let cast = |it| Expr::Call(Calc::Number, vec![it]);
        Ok(match side.what {
            What::Typed(expr, from, depth) => match (from, of) {
                (Type::Whole | Type::Time | Type::Day, Type::Number) => (cast(expr), depth + 1),
                (from, of) if from == of => (expr, depth),
                (Type::Time | Type::Day | Type::Whole, Type::Time | Type::Day) => (expr, depth),
                _ => return Err(refused("the two sides cannot be compared", side.at)),
            },
            What::Literal(index) => {
                // Said now, a wrong value leaves no plan behind.
                let recipe = Recipe::Client(index, of);
                given::all(std::slice::from_ref(&recipe), self.values, crate::clock::Millis(0))?;
                (Expr::Bound(self.recipe(recipe), of), 1)
            }
            What::Null => (Expr::Null(of), 1),
            What::Json(part) => {
                let calc = match of {
                    Type::Text => Calc::JsonText,
                    Type::Bool => Calc::JsonBool,
                    Type::Number | Type::Whole | Type::Time | Type::Day => Calc::JsonNumber,
                };
                (Expr::Call(calc, vec![part]), 3)
            }
        })
    }

    /// The same for a time, which is compared as a number if one of the sides is one.
    pub fn fit_time(&mut self, side: Side, of: Type) -> Result<(Expr, usize)> {
        if matches!(side.what, What::Literal(_)) {
            let time = self.fit(side, Type::Time)?.0;
            let as_number = of == Type::Number;
            return Ok(if as_number {
                (Expr::Call(Calc::Number, vec![time]), 2)
            } else {
                (time, 1)
            });
        }
        self.fit(side, of)
    }

    /// A pattern. It must be given: what it finds is worked out before the query runs.
    pub fn pattern(&mut self, operand: &Operand) -> Result<Option<Expr>> {
        match self.side(operand)?.what {
            What::Literal(index) => {
                let recipe = Recipe::Pattern(index);
                given::all(std::slice::from_ref(&recipe), self.values, crate::clock::Millis(0))?;
                Ok(Some(Expr::Bound(self.recipe(recipe), Type::Text)))
            }
            What::Null => Ok(None),
            What::Typed(..) | What::Json(_) => {
                Err(not_yet("A pattern that is not a text in quotes", operand.at))
            }
        }
    }
}

fn typed(expr: Expr, of: Type, depth: usize) -> What {
    What::Typed(expr, of, depth)
}

fn together(one: Type, other: Type) -> Option<Type> {
    let is_number = |it| matches!(it, Type::Whole | Type::Number);
    let is_time = |it| matches!(it, Type::Time | Type::Day);
    Some(match (one, other) {
        (one, other) if one == other => one,
        (one, other) if is_time(one) && is_time(other) => Type::Time,
        (one, other)
            if (is_number(one) || is_time(one)) && (is_number(other) || is_time(other)) =>
        {
            Type::Number
        }
        _ => return None,
    })
}

fn of_time(function: Function) -> Option<(Calc, Type)> {
    Some(match function {
        Function::Date => (Calc::Day, Type::Day),
        Function::UnixTimestamp => (Calc::Seconds, Type::Number),
        Function::Time => (Calc::ClockText, Type::Text),
        Function::Week => (Calc::SundayWeek, Type::Number),
        Function::Year => (Calc::Year, Type::Number),
        Function::Month => (Calc::Month, Type::Number),
        Function::Quarter => (Calc::Quarter, Type::Number),
        Function::DayOfWeek => (Calc::DayOfWeek, Type::Number),
        Function::DayOfMonth => (Calc::DayOfMonth, Type::Number),
        Function::DayOfYear => (Calc::DayOfYear, Type::Number),
        Function::Hour => (Calc::Hour, Type::Number),
        Function::Minute => (Calc::Minute, Type::Number),
        Function::Second => (Calc::Second, Type::Number),
        _ => return None,
    })
}

fn aggregated(aggregate: Aggregate, at: At) -> Error {
    not_yet(&format!("The aggregate {}", aggregate.name()), at)
}
