//! Passwords as they are stored: the formats of their hashes, and the pool of threads that makes
//! and checks them.
//!
//! A password comes in as a [`Password`], is stored as a [`PasswordHash`], and only a [`Pool`]
//! gets from the one to the other: hashing is slow on purpose (some 15 ms and 19 MiB), so it has
//! threads, memory and a bounded queue of its own, and nothing else ever waits behind it.

mod params;
mod password;
mod phc;
mod pool;
mod queue;

pub use params::{Params, TooWeak};
pub use password::Password;
pub use phc::PasswordHash;
pub use pool::{Lane, Pool, PoolOptions, Stats, Verdict};

use std::time::Duration;

/// Why a password was neither hashed nor checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// More work is waiting than the pool can do within its longest wait. Nothing was hashed; the
    /// same call may succeed after `retry_after`: whole seconds, one or more.
    #[error("too many passwords wait to be hashed. Try again in {} s", retry_after.as_secs())]
    Overloaded {
        /// When room is expected.
        retry_after: Duration,
    },
    /// The stored text is not a hash in a known format, or asks for more work than is allowed.
    #[error(
        "the stored password hash is in no known format or asks for too much work. \
         Import it again or set a new password"
    )]
    Malformed,
    /// The pool has been closed: the program is ending.
    #[error("the hashing pool is closed because the program is ending. Try again later")]
    Stopped,
}
