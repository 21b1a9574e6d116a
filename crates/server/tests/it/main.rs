//! The server's tests: at the door of a real server on a loopback port, on the engine that
//! `USHER_TEST_ENGINE` names.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    clippy::needless_pass_by_value,
    clippy::too_many_lines,
    missing_docs,
    reason = "a test may panic, its name says what it is, and a table of cases is long"
)]

mod access;
mod account;
mod applications;
mod bad_input;
mod brake;
mod brake_fair;
mod bulk;
mod bulk_races;
mod columns;
mod conditions;
mod cookies;
mod database;
mod delete;
mod deliveries;
mod differential;
mod disk;
mod domains;
mod framing;
mod harness;
mod http;
mod identities;
mod invariants;
mod job_simulation;
mod jobs;
mod keys;
mod kill;
mod limits;
mod load;
mod logs;
mod look;
mod meaning;
mod memory;
mod metrics;
mod mistakes;
mod model;
mod objects;
mod own_sessions;
mod passwords;
mod power;
mod process;
mod profiles;
mod properties;
mod races;
mod reference;
mod register;
mod schema_race;
mod schema_work;
mod sessions;
mod source;
mod start_stop;
mod sweep;
mod tidy;
mod update;
mod verified;
mod verify;
mod whole;
mod wire;
