//! `cargo xtask bench`: how fast the program is, as ratios to floors that are measured beside it.

use std::process::{Command, ExitCode};

use crate::suite::{self, Engine};
use crate::{Result, pg, program};

/// Builds the program and the bench for speed, and runs the bench on the engine that is asked for.
/// Whatever else the command line has is for the bench.
pub fn command(args: &[String]) -> Result<ExitCode> {
    let (engine, rest) = engine(args)?;
    let mut build =
        program::cargo(["build", "--release", "--package=server", "--package=bench", "--bins"]);
    let built = suite::build(&mut build)?;
    let mut bench = Command::new(built.bench()?);
    bench.arg("--usher").arg(built.usher()?);
    let cluster = match engine {
        Engine::Sqlite => None,
        Engine::Postgres => Some(pg::Cluster::start()?),
    };
    if let Some(cluster) = &cluster {
        bench.arg("--database").arg(cluster.url());
    }
    program::run(bench.args(rest))?;
    Ok(ExitCode::SUCCESS)
}

fn engine(args: &[String]) -> Result<(Engine, &[String])> {
    match args {
        [option, name, rest @ ..] if option == "--engine" => {
            let found = Engine::ALL.into_iter().find(|it| it.name() == name);
            Ok((found.ok_or("--engine takes sqlite or postgres")?, rest))
        }
        rest => Ok((Engine::Sqlite, rest)),
    }
}
