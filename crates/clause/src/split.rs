//! A tree without its values: what a plan is made of and found again by.

use crate::tree::{
    Among, At, Clause, Condition, List, Literal, LiteralKind, Operand, Parameter, Property, Sort,
    Term, Test,
};

/// A value that was taken out of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// Where it stood in its text.
    pub at: At,
    /// What it is; never NULL, which stays in the tree because it decides what is asked.
    pub literal: Literal,
}

/// Something whose values can be taken out of it.
///
/// What is left has a [`Parameter`] for each value, and its `Display` is its *shape*: two texts of
/// one shape differ in their values alone, so a plan made for one serves the other. The values of
/// several parts of one query, a condition and its properties, go into one list.
pub trait Split {
    /// Moves all values into `values`, in the order of the text.
    fn split(&mut self, values: &mut Vec<Value>);
}

impl Split for Clause {
    fn split(&mut self, values: &mut Vec<Value>) {
        self.condition.split(values);
    }
}

impl Split for Condition {
    fn split(&mut self, values: &mut Vec<Value>) {
        match &mut self.test {
            Test::Or(parts) | Test::And(parts) => each(parts, values),
            Test::Not(inner) => inner.split(values),
            Test::Compare { left: operand, right: other, .. }
            | Test::Like { operand, pattern: other, .. } => {
                operand.split(values);
                other.split(values);
            }
            Test::In { operand, among, .. } => {
                operand.split(values);
                match among {
                    Among::List(list) => each(list, values),
                    Among::Query(query) => each(&mut query.condition, values),
                }
            }
            Test::Between { operand, low, high, .. } => {
                operand.split(values);
                low.split(values);
                high.split(values);
            }
            Test::IsNull { operand, .. } | Test::Truth(operand) => operand.split(values),
        }
    }
}

impl Split for Operand {
    fn split(&mut self, values: &mut Vec<Value>) {
        match &mut self.term {
            Term::Literal(literal) => {
                let kind = match literal {
                    Literal::Text(_) => LiteralKind::Text,
                    Literal::Number(_) => LiteralKind::Number,
                    Literal::Bool(_) => LiteralKind::Bool,
                    Literal::Null => return,
                };
                let literal = std::mem::replace(literal, Literal::Null);
                self.term = Term::Parameter(Parameter { index: values.len(), kind });
                values.push(Value { at: self.at, literal });
            }
            Term::Parameter(_) | Term::Column(_) | Term::Json(..) | Term::Inverse(_) => {}
            Term::Call(_, arguments) => each(arguments, values),
            Term::Shifted { from, amount, .. } => {
                from.split(values);
                amount.split(values);
            }
            Term::Aggregate(_, of) | Term::Negated(of) => of.split(values),
            Term::Sum { first, rest } => {
                first.split(values);
                each(rest.iter_mut().map(|it| &mut it.1), values);
            }
            Term::Product { first, rest } => {
                first.split(values);
                each(rest.iter_mut().map(|it| &mut it.1), values);
            }
            Term::Case { when, otherwise } => {
                for (condition, operand) in when {
                    condition.split(values);
                    operand.split(values);
                }
                each(otherwise.as_deref_mut(), values);
            }
        }
    }
}

impl Split for Property {
    fn split(&mut self, values: &mut Vec<Value>) {
        if let Self::One { operand, .. } = self {
            operand.split(values);
        }
    }
}

impl Split for Sort {
    fn split(&mut self, values: &mut Vec<Value>) {
        self.operand.split(values);
    }
}

impl<T: Split> Split for List<T> {
    fn split(&mut self, values: &mut Vec<Value>) {
        each(&mut self.0, values);
    }
}

fn each<'a, T: Split + 'a>(parts: impl IntoIterator<Item = &'a mut T>, values: &mut Vec<Value>) {
    for part in parts {
        part.split(values);
    }
}
