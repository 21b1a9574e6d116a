//! Counting: what test programs print, read into one sum and its closing line.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// How a program tells the results of its tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Rust's own test harness, with or without the times of single tests.
    Libtest,
    /// The test runner of Node.js, reporter `spec`.
    Node,
}

/// The results of one program, read line by line.
#[derive(Debug)]
pub struct Reading {
    format: Format,
    /// The counts of the last summary: an earlier one is a test's own output.
    passed: Option<usize>,
    failed: usize,
    /// Node counts apart what it gave up: tests whose parent failed or ran out of time.
    cancelled: usize,
    failures: Vec<String>,
    times: BTreeMap<String, Duration>,
    /// Node marks a suite like a test, but does not count it.
    suites: BTreeSet<String>,
}

impl Reading {
    pub fn new(format: Format) -> Self {
        Self {
            format,
            passed: None,
            failed: 0,
            cancelled: 0,
            failures: Vec::new(),
            times: BTreeMap::new(),
            suites: BTreeSet::new(),
        }
    }

    /// Reads one line of the program's output.
    pub fn line(&mut self, line: &str) {
        match self.format {
            Format::Libtest => self.libtest(line),
            Format::Node => self.node(line),
        }
    }

    fn libtest(&mut self, line: &str) {
        if let Some(counts) = line.strip_prefix("test result: ") {
            let count = |what: &str| {
                let before = counts.split(what).next()?;
                before.rsplit([' ', '.']).find(|it| !it.is_empty())?.parse().ok()
            };
            self.passed = count(" passed").or(self.passed);
            self.failed = count(" failed").unwrap_or(self.failed);
            return;
        }
        let Some((name, end)) = line.strip_prefix("test ").and_then(|it| it.rsplit_once(" ... "))
        else {
            return;
        };
        let (verdict, time) = end.split_once(' ').unwrap_or((end, ""));
        let name = name.trim_end_matches(" - should panic");
        if verdict == "FAILED" {
            self.failures.push(name.to_owned());
        }
        let seconds =
            time.trim_matches(['<', '>']).strip_suffix('s').and_then(|it| it.parse().ok());
        if let Some(time) = seconds.and_then(|it| Duration::try_from_secs_f64(it).ok()) {
            self.times.insert(name.to_owned(), time);
        }
    }

    fn node(&mut self, line: &str) {
        let line = line.trim_start();
        if let Some((what, count)) = line.strip_prefix("ℹ ").and_then(|it| it.split_once(' ')) {
            let count = count.parse().ok();
            match what {
                "pass" => self.passed = count.or(self.passed),
                "fail" => self.failed = count.unwrap_or(self.failed),
                "cancelled" => self.cancelled = count.unwrap_or(self.cancelled),
                _ => {}
            }
            return;
        }
        if let Some(suite) = line.strip_prefix("▶ ") {
            self.suites.insert(suite.to_owned());
            return;
        }
        // "✔ name (12.5ms)": tests and suites alike, and a failure a second time at the end.
        let Some((mark, rest)) = line.split_once(' ') else { return };
        let Some((name, time)) = rest.rsplit_once(" (") else { return };
        let milliseconds = time.split_once("ms)").and_then(|(it, _)| it.parse::<f64>().ok());
        let Some(milliseconds) = milliseconds else { return };
        if self.suites.contains(name) {
            return;
        }
        if mark == "✖" && !self.failures.iter().any(|it| it == name) {
            self.failures.push(name.to_owned());
        }
        if matches!(mark, "✖" | "✔")
            && let Ok(time) = Duration::try_from_secs_f64(milliseconds / 1000.0)
        {
            self.times.insert(name.to_owned(), time);
        }
    }
}

/// The sum of a whole run.
#[derive(Debug, Default)]
pub struct Tally {
    passed: usize,
    failed: usize,
    failures: Vec<String>,
    times: Vec<(Duration, String)>,
    stages: Vec<(Duration, String)>,
    figures: Vec<String>,
}

impl Tally {
    /// Adds what a program has told. `success` is the verdict of its exit: a program that failed
    /// without telling of a failed test (it crashed, or never started) is a failure of its own.
    ///
    /// Gives the number of tests that ran. `again` is the command line that runs a test alone.
    pub fn add(
        &mut self,
        of: Reading,
        success: bool,
        title: &str,
        again: impl Fn(&str) -> String,
    ) -> usize {
        let (passed, mut failed) = (of.passed.unwrap_or(0), of.failed + of.cancelled);
        let ran = passed + failed;
        for name in &of.failures {
            self.failures.push(format!("{title}: {name}\n      again: {}", again(name)));
        }
        if !success && failed == 0 {
            failed = 1;
            self.failures.push(format!("{title}: it ended in failure, but named no failed test"));
        }
        self.passed += passed;
        self.failed += failed;
        self.times.extend(of.times.into_iter().map(|(name, it)| (it, format!("{title}: {name}"))));
        ran
    }

    /// Counts a check that is no test, such as the format.
    pub fn check(&mut self, result: crate::Result) {
        match result {
            Ok(()) => self.passed += 1,
            Err(text) => self.fail(text),
        }
    }

    /// Counts a failure that no test told of.
    pub fn fail(&mut self, text: String) {
        eprintln!("\n{text}");
        self.failed += 1;
        self.failures.push(text);
    }

    /// Notes what was measured of the program, in one line.
    pub fn figure(&mut self, text: String) {
        self.figures.push(text);
    }

    /// Notes how long a stage took.
    pub fn stage(&mut self, name: &str, took: Duration) {
        self.stages.push((took, name.to_owned()));
    }

    /// Whether something ran and nothing failed.
    pub fn is_good(&self) -> bool {
        self.failed == 0 && self.passed > 0
    }
}

/// The end of a run: times, failures, and alone on the last line the sum.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nStages:")?;
        for (took, name) in &self.stages {
            writeln!(f, "  {:>8.1} s  {name}", took.as_secs_f64())?;
        }
        let mut slowest: Vec<_> = self.times.iter().collect();
        slowest.sort_by(|a, b| b.cmp(a));
        if !slowest.is_empty() {
            writeln!(f, "Slowest tests:")?;
        }
        for (took, name) in slowest.into_iter().take(5) {
            writeln!(f, "  {:>8.1} s  {name}", took.as_secs_f64())?;
        }
        if !self.figures.is_empty() {
            writeln!(f, "The program:")?;
        }
        for figure in &self.figures {
            writeln!(f, "  {figure}")?;
        }
        if !self.failures.is_empty() {
            writeln!(f, "Failed:")?;
        }
        for failure in &self.failures {
            writeln!(f, "  {}", failure.trim_end().replace('\n', "\n  "))?;
        }
        writeln!(f, "\n{} passed, {} failed", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(format: Format, text: &str) -> Reading {
        let mut reading = Reading::new(format);
        text.lines().for_each(|it| reading.line(it));
        reading
    }

    const LIBTEST: &str = "\
running 4 tests
test login::a_wrong_password_is_refused ... ok <0.250s>
test roles::nobody_gets_in ... FAILED <1.500s>
test tidy::it_panics - should panic ... ok <0.001s>
test later ... ignored

failures:

---- roles::nobody_gets_in stdout ----
test result: ok. 99 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out

failures:
    roles::nobody_gets_in

test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s
";

    const NODE: &str = "\
▶ sessions
  ✔ a token is valid until logout (12.5ms)
  ✖ a guest logs in (2001ms)
✖ sessions (2020.1ms)
✔ U:R-01 (register) with a name (31.25ms) # note
ℹ tests 4
ℹ suites 1
ℹ pass 2
ℹ fail 1
ℹ cancelled 1
ℹ skipped 0
ℹ todo 0
ℹ duration_ms 2100.4

✖ failing tests:

test at users.test.js:3:1
✖ a guest logs in (2001ms)
";

    #[test]
    fn libtest_is_read_by_its_last_summary() {
        let reading = read(Format::Libtest, LIBTEST);
        assert_eq!((reading.passed, reading.failed), (Some(2), 1));
        assert_eq!(reading.failures, ["roles::nobody_gets_in"]);
        assert_eq!(reading.times.len(), 3);
        assert_eq!(reading.times["tidy::it_panics"], Duration::from_millis(1));
    }

    #[test]
    fn libtest_is_read_without_times_too() {
        let reading = read(
            Format::Libtest,
            "test a ... ok\ntest b ... FAILED\n\
             test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out",
        );
        assert_eq!((reading.passed, reading.failed), (Some(1), 1));
        assert_eq!(reading.failures, ["b"]);
        assert!(reading.times.is_empty());
    }

    #[test]
    fn node_is_read_and_what_it_gave_up_has_failed() {
        let reading = read(Format::Node, NODE);
        assert_eq!((reading.passed, reading.failed, reading.cancelled), (Some(2), 1, 1));
        assert_eq!(reading.failures, ["a guest logs in"]);
        assert_eq!(reading.times["U:R-01 (register) with a name"], Duration::from_micros(31_250));

        let mut tally = Tally::default();
        assert_eq!(tally.add(reading, false, "clients", str::to_owned), 4);
        assert_eq!((tally.passed, tally.failed), (2, 2));
    }

    #[test]
    fn the_sum_ends_with_one_plain_line() {
        let mut tally = Tally::default();
        tally.add(read(Format::Libtest, LIBTEST), false, "it", |it| format!("test {it}"));
        tally.add(read(Format::Node, NODE), false, "clients", str::to_owned);
        tally.check(Ok(()));
        tally.figure("60 MB: size".to_owned());
        let text = tally.to_string();
        assert!(text.contains("The program:\n  60 MB: size\n"), "{text}");
        assert_eq!(text.lines().last(), Some("5 passed, 3 failed"));
        assert_eq!(text.matches(" passed, ").count(), 1);
        assert!(
            text.contains("it: roles::nobody_gets_in\n        again: test roles::nobody_gets_in")
        );
        assert!(!tally.is_good());
    }

    #[test]
    fn a_program_that_crashes_is_a_failure_and_so_is_a_run_of_nothing() {
        let mut tally = Tally::default();
        assert!(!tally.is_good(), "nothing ran");
        let crashed = read(Format::Libtest, "running 2 tests\ntest a ... ok\n");
        tally.add(crashed, false, "it", str::to_owned);
        assert_eq!((tally.passed, tally.failed), (0, 1));
        assert!(tally.to_string().contains("named no failed test"));
    }
}
