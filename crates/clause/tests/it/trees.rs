//! Arbitrary trees: every one that the language has, up to a size.

use clause::{
    Add, Aggregate, Among, At, Clause, Comparison, Condition, Function, Inverse, JsonPath,
    JsonStep, List, Literal, Multiply, Name, Number, Operand, Order, Path, Property, Relation,
    Shift, Sort, Subquery, Term, Test, Unit,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

const AT: At = At(0);

fn name() -> impl Strategy<Value = Name> {
    let plain = "[a-zA-Z_][a-zA-Z0-9_]{0,5}";
    let word = select(vec![
        "and", "In", "case", "when", "end", "after", "at", "interval", "desc", "now", "count",
        "null", "as", "not", "Дім", "ß",
    ]);
    let odd = "[^`\0]{1,4}";
    prop_oneof![4 => plain.prop_map(|it| it), 2 => word.prop_map(str::to_owned), 1 => odd]
        .prop_map(|text| Name { at: AT, text })
}

fn path() -> impl Strategy<Value = Path> {
    (vec(name(), 0..4), name()).prop_map(|(steps, column)| Path { steps, column })
}

fn json_path() -> impl Strategy<Value = JsonPath> {
    let key = prop_oneof!["[a-z]{1,4}", "[^\0]{0,4}"].prop_map(JsonStep::Key);
    vec(prop_oneof![key, any::<u32>().prop_map(JsonStep::Index)], 0..4).prop_map(JsonPath)
}

fn inverse() -> impl Strategy<Value = Inverse> {
    (name(), name(), path()).prop_map(|(table, relation, path)| Inverse { table, relation, path })
}

fn number() -> impl Strategy<Value = Number> {
    let text = prop_oneof![
        "-?[0-9]{1,20}",
        "-?[0-9]{1,5}\\.[0-9]{1,5}",
        "-?[0-9]{1,3}(\\.[0-9])?[eE][+-]?[0-9]{1,2}"
    ];
    text.prop_map(|it| Number::new(&it).unwrap())
}

fn literal() -> impl Strategy<Value = Literal> {
    prop_oneof![
        "[^\0]{0,8}".prop_map(Literal::Text),
        "['\"`%_\\\\ a]{0,8}".prop_map(Literal::Text),
        number().prop_map(Literal::Number),
        any::<bool>().prop_map(Literal::Bool),
        Just(Literal::Null),
    ]
}

fn value(term: Term) -> Operand {
    Operand { at: AT, term }
}

fn leaf() -> impl Strategy<Value = Operand> {
    prop_oneof![
        literal().prop_map(Term::Literal),
        path().prop_map(Term::Column),
        (path(), json_path()).prop_map(|(path, json)| Term::Json(path, json)),
        inverse().prop_map(|it| Term::Inverse(Box::new(it))),
    ]
    .prop_map(value)
}

/// Values: `levels` deep at most, of leaves at the end.
pub fn operand(levels: u32) -> BoxedStrategy<Operand> {
    if levels == 0 {
        return leaf().boxed();
    }
    let of = move || operand(levels - 1);
    let boxed = move || of().prop_map(Box::new);
    let call = select(Function::all().collect::<Vec<_>>()).prop_flat_map(move |function| {
        let counts: Vec<usize> = (0..5).filter(|it| function.takes(*it)).collect();
        (Just(function), select(counts).prop_flat_map(move |it| vec(of(), it)))
    });
    let add = select(vec![Add::Plus, Add::Minus]);
    let multiply = select(vec![Multiply::Times, Multiply::Over, Multiply::Modulo]);
    let shift = select(vec![Shift::Add, Shift::Sub]);
    prop_oneof![
        3 => leaf(),
        1 => call.prop_map(|(function, arguments)| value(Term::Call(function, arguments))),
        1 => (shift, boxed(), boxed(), select(Unit::ALL.to_vec())).prop_map(
            |(shift, from, amount, unit)| value(Term::Shifted { shift, from, amount, unit })
        ),
        1 => (boxed(), vec((add, of()), 1..4))
            .prop_map(|(first, rest)| value(Term::Sum { first, rest })),
        1 => (boxed(), vec((multiply, of()), 1..4))
            .prop_map(|(first, rest)| value(Term::Product { first, rest })),
        1 => boxed().prop_map(|it| value(Term::Negated(it))),
        1 => (vec((condition(levels - 1), of()), 1..3), option::of(boxed()))
            .prop_map(|(when, otherwise)| value(Term::Case { when, otherwise })),
    ]
    .boxed()
}

/// Conditions: `levels` deep at most.
pub fn condition(levels: u32) -> BoxedStrategy<Condition> {
    let of = move || operand(levels.saturating_sub(1));
    let not = any::<bool>;
    let is_null = |it: &Operand| it.term == Term::Literal(Literal::Null);
    let compare = (select(Comparison::ALL.to_vec()), of(), of()).prop_map(
        move |(comparison, left, right)| {
            // To be equal to NULL is another test.
            let equality = matches!(comparison, Comparison::Equal | Comparison::NotEqual);
            let negated = comparison == Comparison::NotEqual;
            if equality && is_null(&right) {
                Test::IsNull { negated, operand: left }
            } else if equality && is_null(&left) {
                Test::IsNull { negated, operand: right }
            } else {
                Test::Compare { comparison, left, right }
            }
        },
    );
    let like = (not(), of(), of()).prop_map(|(negated, operand, pattern)| Test::Like {
        negated,
        operand,
        pattern,
    });
    let between = (not(), of(), of(), of())
        .prop_map(|(negated, operand, low, high)| Test::Between { negated, operand, low, high });
    let among = (not(), of(), among(levels)).prop_map(|(negated, operand, among)| Test::In {
        negated,
        operand,
        among,
    });
    let null = (not(), of()).prop_map(|(negated, operand)| Test::IsNull { negated, operand });
    let test = prop_oneof![compare, like, between, among, null, of().prop_map(Test::Truth)];
    if levels == 0 {
        return test.prop_map(|test| Condition { at: AT, test }).boxed();
    }
    let some = move || vec(condition(levels - 1), 2..4);
    prop_oneof![
        3 => test,
        1 => some().prop_map(Test::Or),
        1 => some().prop_map(Test::And),
        1 => condition(levels - 1).prop_map(|it| Test::Not(Box::new(it))),
    ]
    .prop_map(|test| Condition { at: AT, test })
    .boxed()
}

fn among(levels: u32) -> BoxedStrategy<Among> {
    let list = vec(operand(levels.saturating_sub(1)), 0..4).prop_map(Among::List);
    let condition = match levels {
        0 => Just(None).boxed(),
        _ => option::of(condition(levels - 1)).boxed(),
    };
    let query = (name(), condition, path()).prop_map(|(table, condition, path)| {
        Among::Query(Box::new(Subquery { table, condition, path }))
    });
    prop_oneof![list, query].boxed()
}

pub fn clause() -> impl Strategy<Value = Clause> {
    condition(3).prop_map(|condition| Clause { condition })
}

/// Groups' conditions: comparisons of aggregates.
pub fn having() -> impl Strategy<Value = Clause> {
    (aggregate(), condition(1)).prop_map(|(left, other)| {
        let right = value(Term::Literal(Literal::Bool(true)));
        let test = Test::Compare { comparison: Comparison::Greater, left, right };
        let parts = vec![Condition { at: AT, test }, other];
        Clause { condition: Condition { at: AT, test: Test::And(parts) } }
    })
}

fn aggregate() -> impl Strategy<Value = Operand> {
    let of = operand(1).prop_map(Box::new);
    (select(Aggregate::ALL.to_vec()), of).prop_map(|(it, of)| value(Term::Aggregate(it, of)))
}

pub fn props() -> impl Strategy<Value = List<Property>> {
    let operand = prop_oneof![operand(2), aggregate()];
    let one =
        (operand, option::of(name())).prop_map(|(operand, alias)| Property::One { operand, alias });
    vec(prop_oneof![3 => one, 1 => Just(Property::All(AT))], 0..4).prop_map(List)
}

pub fn sort() -> impl Strategy<Value = List<Sort>> {
    let order = select(vec![Order::Ascending, Order::Descending]);
    let one = (operand(2), order).prop_map(|(operand, order)| Sort { operand, order });
    vec(one, 0..4).prop_map(List)
}

pub fn relations() -> impl Strategy<Value = List<Relation>> {
    let one = prop_oneof![3 => path().prop_map(Relation::Path), 1 => Just(Relation::All(AT))];
    vec(one, 0..4).prop_map(List)
}
