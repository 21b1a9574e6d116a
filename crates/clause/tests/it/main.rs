//! The tests of the where language.
#![allow(
    clippy::unwrap_used,
    clippy::too_many_lines,
    missing_docs,
    reason = "a test may panic, its name says what it is, and a table of cases is long"
)]

mod dates;
mod errors;
mod examples;
mod inputs;
mod limits;
mod lisp;
mod lists;
mod properties;
mod seeds;
mod splitting;
mod targets;
mod trees;
mod values;
