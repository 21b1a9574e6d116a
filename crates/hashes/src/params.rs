//! How much work one Argon2id hash is: the floors below which we do not go, and the ceilings.

/// The cost of an Argon2id hash (RFC 9106). The default is 19 MiB, 2 passes, 1 lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Params {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub iterations: u32,
    /// Lanes. They are computed one after the other, on one thread: the pool keeps the other
    /// cores busy with other passwords.
    pub parallelism: u32,
}

impl Default for Params {
    fn default() -> Self {
        Self { memory_kib: 19 * 1024, iterations: 2, parallelism: 1 }
    }
}

/// Why the pool does not start with these parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TooWeak {
    /// A stolen hash would be too cheap to guess (OWASP password storage: 46 MiB for one pass,
    /// 19 MiB for two, 12 MiB for more).
    #[error(
        "password hashing with {given_kib} KiB and {iterations} iterations is too weak. \
         Use {floor_kib} KiB or more"
    )]
    Memory {
        /// What was asked for, in KiB.
        given_kib: u32,
        /// The passes that were asked for.
        iterations: u32,
        /// The least memory for that many passes, in KiB.
        floor_kib: u32,
    },
    /// No pass at all.
    #[error("password hashing needs at least 1 iteration. Use 2")]
    Iterations,
    /// Zero lanes, or more than are of any use.
    #[error(
        "password hashing with parallelism {given} is not supported. Use a number from 1 to {most}"
    )]
    Parallelism {
        /// What was asked for.
        given: u32,
        /// The most lanes.
        most: u32,
    },
    /// So much work that a handful of logins would stop the server.
    #[error(
        "password hashing with {memory_kib} KiB and {iterations} iterations costs too much. \
         Use at most {most_kib} KiB, and at most {most_work_kib} KiB times iterations"
    )]
    TooCostly {
        /// What was asked for, in KiB.
        memory_kib: u32,
        /// The passes that were asked for.
        iterations: u32,
        /// The most memory, in KiB.
        most_kib: u32,
        /// The most memory times iterations, in KiB.
        most_work_kib: u64,
    },
    /// The pool has no thread to run on: none was asked for, or the system gives none.
    #[error(
        "password hashing has no thread to run on. Use at least 1, and check the process limit"
    )]
    Threads,
}

/// The most memory that a hash may ask for: 1 GiB.
const MOST_KIB: u32 = 1024 * 1024;
/// The most lanes that a hash may ask for.
const MOST_LANES: u32 = 16;
/// The most memory times iterations: 4 GiB, some two seconds of one core. An imported hash may
/// come from anybody; without this bound a few of them would hold every thread for hours.
const MOST_WORK_KIB: u64 = 4 * 1024 * 1024;

impl Params {
    /// Checks parameters that new hashes are to be made with: not below the floors of OWASP's
    /// password storage sheet (ASVS 5.0, 11.4.2), not above what one request may cost.
    pub fn check(&self) -> Result<(), TooWeak> {
        let floor_kib = match self.iterations {
            0 => return Err(TooWeak::Iterations),
            1 => 46 * 1024,
            2 => 19 * 1024,
            _ => 12 * 1024,
        };
        if self.memory_kib < floor_kib {
            return Err(TooWeak::Memory {
                given_kib: self.memory_kib,
                iterations: self.iterations,
                floor_kib,
            });
        }
        self.check_possible()
    }

    /// Checks what a stored hash asks for, before any of it is run: possible by RFC 9106, and not
    /// above what one request may cost. A weak one passes; it is renewed when it matches.
    pub(crate) fn check_possible(&self) -> Result<(), TooWeak> {
        if self.iterations == 0 {
            return Err(TooWeak::Iterations);
        }
        if self.parallelism == 0 || self.parallelism > MOST_LANES {
            return Err(TooWeak::Parallelism { given: self.parallelism, most: MOST_LANES });
        }
        let floor_kib = 8 * self.parallelism;
        if self.memory_kib < floor_kib {
            return Err(TooWeak::Memory {
                given_kib: self.memory_kib,
                iterations: self.iterations,
                floor_kib,
            });
        }
        if self.memory_kib > MOST_KIB || self.work() > MOST_WORK_KIB {
            return Err(TooWeak::TooCostly {
                memory_kib: self.memory_kib,
                iterations: self.iterations,
                most_kib: MOST_KIB,
                most_work_kib: MOST_WORK_KIB,
            });
        }
        Ok(())
    }

    /// The blocks of 1 KiB that one hash computes: what its time is proportional to.
    pub(crate) fn work(&self) -> u64 {
        u64::from(self.memory_kib) * u64::from(self.iterations)
    }

    /// Whether a hash made with `self` is easier to guess than one made with `other`.
    ///
    /// Less work counts, and less memory counts even when more passes make up for the time:
    /// memory is what makes guessing on special hardware dear.
    pub(crate) fn weaker_than(&self, other: &Params) -> bool {
        self.work() < other.work() || self.memory_kib < other.memory_kib
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(memory_kib: u32, iterations: u32, parallelism: u32) -> Params {
        Params { memory_kib, iterations, parallelism }
    }

    #[test]
    fn the_floors_are_those_of_the_guideline_to_the_kibibyte() {
        for (iterations, floor_mib) in [(1, 46), (2, 19), (3, 12), (4, 12), (10, 12)] {
            let floor_kib = floor_mib * 1024;
            assert_eq!(params(floor_kib, iterations, 1).check(), Ok(()));
            assert_eq!(
                params(floor_kib - 1, iterations, 1).check(),
                Err(TooWeak::Memory { given_kib: floor_kib - 1, iterations, floor_kib })
            );
        }
        assert_eq!(params(1 << 20, 0, 1).check(), Err(TooWeak::Iterations));
        assert_eq!(Params::default().check(), Ok(()));
    }

    #[test]
    fn absurd_costs_are_refused() {
        assert_eq!(params(1 << 20, 4, 1).check(), Ok(()));
        for (memory_kib, iterations) in
            [((1 << 20) + 1, 1), (1 << 20, 5), (u32::MAX, u32::MAX), (8, u32::MAX)]
        {
            let refused = params(memory_kib, iterations, 1).check_possible();
            assert!(matches!(refused, Err(TooWeak::TooCostly { .. })), "{memory_kib} {iterations}");
        }
        for lanes in [0, 17, u32::MAX] {
            let refused = params(1 << 20, 1, lanes).check();
            assert_eq!(refused, Err(TooWeak::Parallelism { given: lanes, most: 16 }));
        }
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        let text = params(1024, 2, 1).check().unwrap_err().to_string();
        assert_eq!(
            text,
            "password hashing with 1024 KiB and 2 iterations is too weak. Use 19456 KiB or more"
        );
    }

    #[test]
    fn weaker_is_less_work_or_less_memory() {
        let ours = Params::default();
        assert!(!ours.weaker_than(&ours));
        assert!(params(19_455, 2, 1).weaker_than(&ours));
        assert!(params(19_456, 1, 1).weaker_than(&ours));
        assert!(params(12 * 1024, 10, 1).weaker_than(&ours));
        assert!(!params(46 * 1024, 1, 1).weaker_than(&ours));
        assert!(!params(64 * 1024, 3, 4).weaker_than(&ours));
    }
}
