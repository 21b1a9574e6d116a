//! `cargo xtask fuzz`: random and bent texts for the parsers, without a nightly compiler.

use std::process::{Command, ExitCode};

use crate::{Result, program};

/// What `cargo xtask ci` spends on it.
pub const SECONDS_IN_CI: u32 = 15;

/// `cargo xtask fuzz [--seconds N] [--seed S] [TARGET]`: the program that it runs reads the rest.
pub fn command(args: &[String]) -> Result<ExitCode> {
    program::run(run().args(args))?;
    Ok(ExitCode::SUCCESS)
}

/// The command that fuzzes.
pub fn run() -> Command {
    program::cargo(["run", "--quiet", "--locked", "--package=clause", "--example=fuzz", "--"])
}
