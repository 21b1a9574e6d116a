//! `cargo xtask test`: every test, on both engines, counted into one sum.
//!
//! Everything is built once; then the test programs are run directly, because the server's run
//! twice, on another engine each time.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::{self, shown};
use crate::tally::{Format, Reading, Tally};
use crate::{Result, needs, pg};

/// A program that has not ended by then hangs.
const LIMIT: Duration = Duration::from_mins(30);

/// A database that the server can run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// The embedded one.
    Sqlite,
    /// The one beside it.
    Postgres,
}

impl Engine {
    /// Both, in the order of the run.
    pub const ALL: [Self; 2] = [Self::Sqlite, Self::Postgres];

    /// As the command line and `USHER_TEST_ENGINE` spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }

    /// The time zone that its tests run in: far from UTC on both sides, because the machine's zone
    /// must make no difference anywhere.
    fn zone(self) -> &'static str {
        match self {
            Self::Sqlite => "Pacific/Kiritimati",
            Self::Postgres => "America/St_Johns",
        }
    }
}

/// Which tests to run.
#[derive(Debug, PartialEq, Eq)]
pub struct Choice {
    /// The engines to run the server on.
    pub engines: Vec<Engine>,
    /// A part of the names of tests; without it all run, and a stage that runs none fails.
    pub filter: Option<String>,
}

impl Choice {
    /// Every test there is.
    pub fn all() -> Self {
        Self { engines: Engine::ALL.to_vec(), filter: None }
    }

    fn from_args(args: &[String]) -> Result<Self> {
        let mut choice = Self::all();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            if arg == "--engine" {
                choice.engines = match args.next().map(String::as_str) {
                    Some("sqlite") => vec![Engine::Sqlite],
                    Some("postgres") => vec![Engine::Postgres],
                    Some("both") => Engine::ALL.to_vec(),
                    _ => return Err("--engine takes sqlite, postgres or both".into()),
                };
            } else if arg.starts_with('-') {
                return Err(format!("there is no option {arg}. `cargo xtask help` lists them"));
            } else if choice.filter.replace(arg.clone()).is_some() {
                return Err("one filter is enough: a part of the names of the tests to run".into());
            }
        }
        Ok(choice)
    }
}

/// `cargo xtask test`.
pub fn command(args: &[String]) -> Result<ExitCode> {
    let choice = Choice::from_args(args)?;
    let mut tally = Tally::default();
    if let Err(text) = run(&choice, &mut tally) {
        tally.fail(text);
    }
    print!("{tally}");
    Ok(if tally.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs the chosen tests and gives what was built for them. Fails only where nothing can run.
pub fn run(choice: &Choice, tally: &mut Tally) -> Result<Built> {
    let needs = Needs::meet(choice)?;
    let start = Instant::now();
    let mut build = program::cargo(["test", "--workspace", "--no-run"]);
    if std::env::var_os("CI").is_some() {
        build.arg("--locked");
    }
    let mut built = build_shown(&mut build)?;
    if built.usher.is_none() {
        // Cargo builds a program along with its tests only where there is a folder `tests/`.
        built.usher = build_shown(&mut program::cargo(["build", "--package=server"]))?.usher;
    }
    tally.stage("build of the tests", start.elapsed());

    let mut run = Run { choice, needs, built, timed: false, tally };
    run.timed = run.built.tests.first().is_some_and(|it| reports_times(&it.path));
    run.stage("unit tests", Run::units);
    run.stage("engine", Run::engine);
    for &engine in &choice.engines {
        run.stage(&format!("server on {}", engine.name()), |run| run.server(engine));
    }
    for &engine in &choice.engines {
        run.stage(&format!("clients on {}", engine.name()), |run| run.clients(engine));
    }
    Ok(run.built)
}

/// What the run needs from the machine.
struct Needs {
    cluster: Option<pg::Cluster>,
    chromium: PathBuf,
}

impl Needs {
    fn meet(choice: &Choice) -> Result<Self> {
        needs::compiler()?;
        needs::node()?;
        let chromium = needs::chromium()?;
        let wanted = choice.engines.contains(&Engine::Postgres);
        let cluster = wanted.then(pg::Cluster::start).transpose()?;
        Ok(Self { cluster, chromium })
    }
}

/// A test program that cargo has built.
#[derive(Debug)]
pub struct TestProgram {
    package: String,
    target: String,
    /// Whether it is of the folder `tests/`, rather than of the sources themselves.
    integration: bool,
    path: PathBuf,
    /// The folder of its package, where cargo would run it.
    folder: PathBuf,
}

/// What cargo has built.
#[derive(Debug, Default)]
pub struct Built {
    tests: Vec<TestProgram>,
    usher: Option<PathBuf>,
    bench: Option<PathBuf>,
}

impl Built {
    /// The server's program.
    pub fn usher(&self) -> Result<&Path> {
        self.usher.as_deref().ok_or_else(|| "package server has no program usher".into())
    }

    /// The program that measures it.
    pub fn bench(&self) -> Result<&Path> {
        self.bench.as_deref().ok_or_else(|| "package bench has no program bench".into())
    }

    /// Reads a line of `--message-format=json`.
    fn note(&mut self, line: &str) -> Option<()> {
        let message: Value = serde_json::from_str(line).ok()?;
        let path = PathBuf::from(message.get("executable")?.as_str()?);
        let target = message.get("target")?;
        let name = target.get("name")?.as_str()?;
        let kind = target.get("kind")?.get(0)?.as_str()?;
        if message.get("profile")?.get("test")?.as_bool()? {
            let folder = Path::new(message.get("manifest_path")?.as_str()?).parent()?.to_owned();
            self.tests.push(TestProgram {
                package: folder.file_name()?.to_str()?.to_owned(), // its folder has its name
                target: name.to_owned(),
                integration: kind == "test",
                path,
                folder,
            });
        } else if (kind, name) == ("bin", "usher") {
            self.usher = Some(path);
        } else if (kind, name) == ("bin", "bench") {
            self.bench = Some(path);
        }
        Some(())
    }
}

/// Runs a build and gives the programs that came of it.
pub fn build(command: &mut Command) -> Result<Built> {
    let text = shown(command);
    let mut built = Built::default();
    command.arg("--message-format=json-render-diagnostics");
    let status = program::lines(command, Duration::from_hours(2), &mut |line| {
        built.note(line);
    })?;
    if status.success() { Ok(built) } else { Err(format!("`{text}` failed: {status}")) }
}

fn build_shown(command: &mut Command) -> Result<Built> {
    println!("\n== {}", shown(command));
    build(command)
}

/// The time of a single test is behind a switch that libtest may refuse, so it is asked first.
fn with_times(command: &mut Command) -> &mut Command {
    command.args(["-Zunstable-options", "--report-time"]).env("RUSTC_BOOTSTRAP", "1")
}

fn reports_times(program: &Path) -> bool {
    program::output(with_times(Command::new(program).arg("--list"))).is_ok()
}

struct Run<'a> {
    choice: &'a Choice,
    needs: Needs,
    built: Built,
    timed: bool,
    tally: &'a mut Tally,
}

impl Run<'_> {
    /// Runs a stage. One that should run tests and runs none has failed: nobody would notice.
    fn stage(&mut self, name: &str, tests: impl FnOnce(&mut Self) -> Result<usize>) {
        println!("\n== {name}");
        let start = Instant::now();
        match tests(self) {
            Ok(0) if self.choice.filter.is_none() => {
                self.tally.fail(format!("{name}: there was no test to run"));
            }
            Ok(_) => {}
            Err(text) => self.tally.fail(format!("{name}: {text}")),
        }
        let took = start.elapsed();
        println!("== {name}: {:.1} s", took.as_secs_f64());
        self.tally.stage(name, took);
    }

    /// All that asks for no database, and for the leaf crates that is everything.
    fn units(&mut self) -> Result<usize> {
        let chosen = |it: &TestProgram| match it.package.as_str() {
            "engine" => false,
            "server" => !it.integration,
            _ => true,
        };
        self.rust(chosen, None, "cargo test --workspace --lib --bins")
    }

    /// The engine's tests ask for both databases themselves.
    fn engine(&mut self) -> Result<usize> {
        let engine = if self.needs.cluster.is_some() { Engine::Postgres } else { Engine::Sqlite };
        self.rust(|it| it.package == "engine", Some(engine), "cargo xtask test")
    }

    fn server(&mut self, engine: Engine) -> Result<usize> {
        let again = format!("cargo xtask test --engine {}", engine.name());
        self.rust(|it| it.package == "server" && it.integration, Some(engine), &again)
    }

    fn rust(
        &mut self,
        chosen: impl Fn(&TestProgram) -> bool,
        engine: Option<Engine>,
        again: &str,
    ) -> Result<usize> {
        let mut ran = 0;
        for test in self.built.tests.iter().filter(|it| chosen(it)) {
            let title = match engine {
                Some(engine) => format!("{} {} on {}", test.package, test.target, engine.name()),
                None => format!("{} {}", test.package, test.target),
            };
            println!("\n-- {title}");
            let mut command = Command::new(&test.path);
            self.prepare(&mut command, engine);
            command.current_dir(&test.folder).env("CARGO_MANIFEST_DIR", &test.folder);
            command.args(&self.choice.filter);
            if self.timed {
                with_times(&mut command);
            }
            let mut reading = Reading::new(Format::Libtest);
            let success = follow(&mut command, &mut reading)?;
            ran += self.tally.add(reading, success, &title, |it| format!("{again} {it}"));
        }
        Ok(ran)
    }

    /// The official clients against the built program.
    fn clients(&mut self, engine: Engine) -> Result<usize> {
        let folder = program::root().join("conformance");
        install_packages(&folder)?;
        let mut command = Command::new("node");
        // One file at a time: each starts a server of its own, that wants the cores for hashing.
        command
            .args(["--test", "--test-concurrency=1", "--test-reporter=spec"])
            .current_dir(&folder);
        if let Some(filter) = &self.choice.filter {
            command.arg(format!("--test-name-pattern={filter}"));
        }
        self.prepare(&mut command, Some(engine));
        command.env("USHER_BIN", self.built.usher()?).env("USHER_ENGINE", engine.name());
        command.env("CHROMIUM", &self.needs.chromium);
        let mut reading = Reading::new(Format::Node);
        let success = follow(&mut command, &mut reading)?;
        let again = |it: &str| format!("cargo xtask test --engine {} '{it}'", engine.name());
        let title = format!("clients on {}", engine.name());
        Ok(self.tally.add(reading, success, &title, again))
    }

    /// Gives a test its engine, and takes away what the person at this terminal has set for others.
    fn prepare(&self, command: &mut Command, engine: Option<Engine>) {
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("USHER_") || text.starts_with("PG") || text == "TEST_DATABASE_URL" {
                command.env_remove(name);
            }
        }
        if let Some(engine) = engine {
            command.env("USHER_TEST_ENGINE", engine.name()).env("TZ", engine.zone());
        }
        if let (Some(Engine::Postgres), Some(cluster)) = (engine, &self.needs.cluster) {
            command.env("TEST_DATABASE_URL", cluster.url());
        }
    }
}

/// Runs a test program, shows what it prints, and reads it.
fn follow(command: &mut Command, reading: &mut Reading) -> Result<bool> {
    let status = program::lines(command, LIMIT, &mut |line| {
        println!("{line}");
        reading.line(line);
    })?;
    Ok(status.success())
}

/// Brings the packages to what the lock file says, unless they are that already.
fn install_packages(folder: &Path) -> Result {
    let read = |name: &str| std::fs::read(folder.join(name));
    let lock = read("package-lock.json")
        .map_err(|it| format!("cannot read {}/package-lock.json: {it}", folder.display()))?;
    let stamp = "node_modules/.lock-installed";
    if read(stamp).is_ok_and(|it| it == lock) {
        return Ok(());
    }
    let mut npm = Command::new("npm");
    program::run(npm.args(["ci", "--no-audit", "--no-fund"]).current_dir(folder))?;
    std::fs::create_dir_all(folder.join("node_modules"))
        .and_then(|()| std::fs::write(folder.join(stamp), lock))
        .map_err(|it| format!("cannot write {}/{stamp}: {it}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read() {
        let read = |text: &str| {
            let args: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
            Choice::from_args(&args)
        };
        assert_eq!(read(""), Ok(Choice::all()));
        assert_eq!(read("--engine both"), Ok(Choice::all()));
        let login = Choice { engines: vec![Engine::Postgres], filter: Some("login".into()) };
        assert_eq!(read("login --engine postgres"), Ok(login));
        for wrong in ["--engine", "--engine mysql", "--fast", "one two"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_cargo_builds_is_noted() {
        let mut built = Built::default();
        let lines = [
            r#"{"reason":"compiler-artifact","manifest_path":"/r/crates/server/Cargo.toml","target":{"kind":["test"],"name":"it"},"profile":{"test":true},"executable":"/t/it-1"}"#,
            r#"{"reason":"compiler-artifact","manifest_path":"/r/crates/server/Cargo.toml","target":{"kind":["lib"],"name":"server"},"profile":{"test":true},"executable":"/t/server-1"}"#,
            r#"{"reason":"compiler-artifact","manifest_path":"/r/crates/server/Cargo.toml","target":{"kind":["bin"],"name":"usher"},"profile":{"test":false},"executable":"/t/usher"}"#,
            r#"{"reason":"compiler-artifact","manifest_path":"/r/crates/server/Cargo.toml","target":{"kind":["lib"],"name":"server"},"profile":{"test":false},"executable":null}"#,
            r#"{"reason":"build-finished","success":true}"#,
            "no JSON",
        ];
        for line in lines {
            built.note(line);
        }
        let tests: Vec<_> =
            built.tests.iter().map(|it| (&*it.package, &*it.target, it.integration)).collect();
        assert_eq!(tests, [("server", "it", true), ("server", "server", false)]);
        assert_eq!(built.usher(), Ok(Path::new("/t/usher")));
        assert_eq!(built.tests[0].folder, Path::new("/r/crates/server"));
    }
}
