//! What the operator writes down: flags, the environment, a TOML file; read once, at start.
//!
//! Flags win over the environment, and that over the file. What nobody knows is an error: a setting
//! that is misspelt must not be ignored.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::address::TrustedProxies;
use crate::settings::Profile;

/// What can be set, each by `--name`, `USHER_NAME` or `name` in the file.
/// It has no `Debug`: there are secrets in it.
#[derive(Clone, Default, Deserialize, clap::Args)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Options {
    /// Where the API listens; by default 127.0.0.1:9000.
    #[arg(long)]
    pub listen: Option<String>,
    /// Where metrics are served; nowhere unless it is set.
    #[arg(long)]
    pub metrics_listen: Option<String>,
    /// Where the embedded database lies; by default ./usher-data.
    #[arg(long)]
    pub data_dir: Option<PathBuf>,
    /// A PostgreSQL database in place of the embedded one: `postgres://user@host/name`. With a
    /// password in it, only by the environment or the file.
    #[arg(long)]
    pub database_url: Option<String>,
    /// A file with that address.
    #[arg(long)]
    pub database_url_file: Option<PathBuf>,
    /// Where clients reach the server, for links; by default http:// and the address of `listen`.
    #[arg(long)]
    pub public_url: Option<String>,
    /// The profile of a new application whose maker names none: standard or compat; by default standard.
    #[arg(long)]
    pub new_app_profile: Option<String>,
    /// A file with 32 bytes in Base64 that seal stored secrets. Made beside the embedded database
    /// when it is not set; needed with PostgreSQL.
    #[arg(long)]
    pub master_key_file: Option<PathBuf>,
    /// The key itself: [`NO_FLAG`].
    #[arg(skip)]
    pub master_key: Option<String>,
    /// Proxies whose X-Forwarded-For header is believed, with commas between.
    #[arg(long)]
    pub trusted_proxies: Option<String>,
    /// Bits of an IPv6 address that tell one source from another, 1 to 128: a household has one
    /// prefix. By default 64.
    #[arg(long)]
    pub ipv6_prefix: Option<u32>,
    /// The most bytes of a body; by default 1048576.
    #[arg(long)]
    pub body_bytes: Option<usize>,
    /// Seconds in which a request must be answered; by default 60.
    #[arg(long)]
    pub request_seconds: Option<u64>,
    /// The most connections at once; by default 10000.
    #[arg(long)]
    pub connections: Option<usize>,
    /// The most connections at once from one address, or from one prefix of IPv6; trusted proxies
    /// are not counted. By default 1000.
    #[arg(long)]
    pub connections_per_source: Option<usize>,
    /// Seconds in which a client must have sent the head of a request it has begun; by default 10.
    #[arg(long)]
    pub header_seconds: Option<u64>,
    /// Seconds that a body may take before its pace counts: from then on a KiB a second, on average.
    /// By default 10.
    #[arg(long)]
    pub body_seconds: Option<u64>,
    /// Seconds for which a connection may stay open without a request; by default 75.
    #[arg(long)]
    pub idle_seconds: Option<u64>,
    /// Seconds in which running requests may end when the server stops; by default 10.
    #[arg(long)]
    pub drain_seconds: Option<u64>,
    /// KiB of memory for each password hash; by default 19456.
    #[arg(long)]
    pub argon2_memory_kib: Option<u32>,
    /// Passes over that memory; by default 2.
    #[arg(long)]
    pub argon2_iterations: Option<u32>,
    /// Passwords hashed at once; by default one for each core.
    #[arg(long)]
    pub hash_threads: Option<usize>,
    /// Seconds that a password may wait to be hashed; longer waits are refused; by default 5.
    #[arg(long)]
    pub hash_wait_seconds: Option<u64>,
    /// Seconds that one piece of database work may wait and run before it is given up; by default 5.
    #[arg(long)]
    pub database_seconds: Option<u64>,
    /// Connections to PostgreSQL, of each node; by default four for each core, 32 at most.
    #[arg(long)]
    pub database_connections: Option<usize>,
    /// A file with passwords that nobody may have, one a line, beside those that the server knows.
    #[arg(long)]
    pub password_blocklist: Option<PathBuf>,
    /// Users and guests that may come to be from one address in an hour, a quarter of them at once,
    /// where an application does not say; by default 120, and 20000 for profile compat.
    #[arg(long)]
    pub registrations_per_hour: Option<u32>,
    /// Wrong passwords for one account from one address before each costs a pause, where an
    /// application does not say; by default 10.
    #[arg(long)]
    pub wrong_passwords_per_place: Option<u32>,
    /// Wrong passwords in 10 minutes from one address, where an application does not say; by
    /// default 50.
    #[arg(long)]
    pub wrong_passwords_per_source: Option<u32>,
    /// Wrong passwords in a row for one account before only addresses and devices may try that it
    /// knows, where an application does not say; by default 100.
    #[arg(long)]
    pub wrong_passwords_per_account: Option<u32>,
    /// Accounts, and as many addresses, whose wrong passwords an application counts at most; beyond
    /// them those are forgotten that have fewest. By default 1000000.
    #[arg(long)]
    pub wrong_password_counts: Option<u32>,
}

/// Settings without a flag, because others see the command line: names, and what they mean.
pub const NO_FLAG: &[(&str, &str)] =
    &[("master-key", "The master key itself, 32 bytes in Base64, in place of a file")];

/// How much a request may ask for.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a body.
    pub body_bytes: usize,
    /// Bytes of path and query.
    pub uri_bytes: usize,
    /// Seconds until a request is ended.
    pub request_seconds: u64,
    /// Connections at once.
    pub connections: usize,
    /// Connections at once from one source that is no trusted proxy.
    pub connections_per_source: usize,
    /// How long the head of a request may take from its first byte on.
    pub head_time: Duration,
    /// How long a connection may stay open without a request.
    pub idle_time: Duration,
    /// How long a body may take before its pace counts.
    pub body_time: Duration,
    /// Bytes of a body that buy one second more.
    pub body_pace: u32,
    /// Seconds for running requests when the server stops.
    pub drain_seconds: u64,
    /// Whose forwarding headers are believed.
    pub proxies: TrustedProxies,
    /// How long one piece of database work may wait and run.
    pub database_time: Duration,
    /// Connections to PostgreSQL; 0 for as many as fit the cores.
    pub database_connections: usize,
}

/// A configuration that has been checked.
pub struct Config {
    /// Where the API listens.
    pub listen: String,
    /// Where metrics are served.
    pub metrics_listen: Option<String>,
    /// Where the embedded database lies.
    pub data_dir: PathBuf,
    /// The address of PostgreSQL, a secret.
    pub database_url: Option<String>,
    /// Where clients reach the server.
    pub public_url: Option<String>,
    /// The profile of new applications.
    pub new_app_profile: Profile,
    /// Where the master key lies.
    pub master_key_file: Option<PathBuf>,
    /// The master key in Base64, a secret.
    pub master_key: Option<String>,
    /// How much a request may ask for.
    pub limits: Limits,
    /// Passwords that nobody may have.
    pub password_blocklist: Option<PathBuf>,
    /// The limits on guessing and flooding, where an application does not say.
    pub brakes: crate::settings::Limits,
    /// How many accounts, and how many places, wrong passwords are counted for, per application.
    pub counts: u32,
    /// What a password hash costs.
    pub hashing: hashes::PoolOptions,
}

/// Reads and checks everything. The text of an error is one line that says what to change.
pub fn read(
    flags: Options,
    file: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Config, String> {
    if flags.database_url.as_deref().is_some_and(has_password) {
        return Err("--database-url must not contain a password: others see the command line. \
                    Set USHER_DATABASE_URL or USHER_DATABASE_URL_FILE"
            .to_owned());
    }
    let mut environment: BTreeMap<String, String> = environment
        .filter_map(|(name, value)| Some((name.strip_prefix("USHER_")?.to_owned(), value)))
        .collect();
    let variable = environment.remove("CONFIG").map(PathBuf::from);
    let mut merged = match file.map(Path::to_owned).or(variable) {
        None => toml::Table::new(),
        Some(path) => from_file(&path)?,
    };
    for (name, value) in environment {
        let key = name.to_ascii_lowercase().replace('_', "-");
        let number = value.parse::<i64>().ok().filter(|_| NUMBERS.contains(&key.as_str()));
        let value = number.map_or(toml::Value::String(value), toml::Value::Integer);
        let place = format!("the variable USHER_{name}");
        one(&key, &value, &place)?;
        merged.insert(key, value);
    }
    let below = merged.try_into().map_err(|it: toml::de::Error| it.message().to_owned())?;
    check(over(flags, below))
}

fn from_file(path: &Path) -> Result<toml::Table, String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|it| format!("cannot read the configuration {shown}: {it}"))?;
    let table: toml::Table = toml::from_str(&text).map_err(|it| {
        // The line itself stays out: it may hold a secret.
        let before = it.span().and_then(|it| text.get(..it.start)).unwrap_or_default();
        format!("{shown}, line {}: {}", before.matches('\n').count() + 1, it.message())
    })?;
    for (key, value) in &table {
        one(key, value, &shown.to_string())?;
    }
    Ok(table)
}

/// Sees that there is such a setting and that the value is of its kind. The error names the
/// setting, never the value: it may be a secret.
fn one(key: &str, value: &toml::Value, place: &str) -> Result<(), String> {
    let alone = toml::Table::from_iter([(key.to_owned(), value.clone())]);
    alone.try_into::<Options>().map(drop).map_err(|it| {
        if it.message().starts_with("unknown field") {
            format!("{place} sets {key}, which is no setting. `usher serve --help` lists them all")
        } else if NUMBERS.contains(&key) {
            format!("{key} in {place} must be a whole number that is not negative")
        } else {
            format!("{key} in {place} must be a text")
        }
    })
}

/// Settings that are numbers: the environment has only texts.
pub const NUMBERS: &[&str] = &[
    "body-bytes",
    "request-seconds",
    "connections",
    "connections-per-source",
    "header-seconds",
    "body-seconds",
    "idle-seconds",
    "drain-seconds",
    "argon2-memory-kib",
    "argon2-iterations",
    "hash-threads",
    "hash-wait-seconds",
    "database-seconds",
    "database-connections",
    "registrations-per-hour",
    "wrong-passwords-per-place",
    "wrong-passwords-per-source",
    "wrong-passwords-per-account",
    "wrong-password-counts",
    "ipv6-prefix",
];

/// The longest that anything here may take, in seconds.
const DAY: u64 = 24 * 3600;

fn has_password(url: &str) -> bool {
    let user = url.split_once("://").and_then(|it| it.1.split_once('@')).map(|it| it.0);
    let spaceless: String = url.chars().filter(|it| !it.is_whitespace()).collect();
    user.is_some_and(|it| it.contains(':')) || spaceless.contains("password=")
}

fn is_public(url: &str) -> bool {
    let Ok(url) = url.parse::<http::Uri>() else { return false };
    let scheme = url.scheme_str().is_some_and(|it| ["http", "https"].contains(&it));
    let host =
        url.authority().is_some_and(|it| !it.host().is_empty() && !it.as_str().contains('@'));
    scheme && host && url.query().is_none()
}

fn over(top: Options, below: Options) -> Options {
    Options {
        listen: top.listen.or(below.listen),
        metrics_listen: top.metrics_listen.or(below.metrics_listen),
        data_dir: top.data_dir.or(below.data_dir),
        database_url: top.database_url.or(below.database_url),
        database_url_file: top.database_url_file.or(below.database_url_file),
        public_url: top.public_url.or(below.public_url),
        new_app_profile: top.new_app_profile.or(below.new_app_profile),
        master_key_file: top.master_key_file.or(below.master_key_file),
        master_key: below.master_key,
        trusted_proxies: top.trusted_proxies.or(below.trusted_proxies),
        ipv6_prefix: top.ipv6_prefix.or(below.ipv6_prefix),
        body_bytes: top.body_bytes.or(below.body_bytes),
        request_seconds: top.request_seconds.or(below.request_seconds),
        connections: top.connections.or(below.connections),
        connections_per_source: top.connections_per_source.or(below.connections_per_source),
        header_seconds: top.header_seconds.or(below.header_seconds),
        body_seconds: top.body_seconds.or(below.body_seconds),
        idle_seconds: top.idle_seconds.or(below.idle_seconds),
        drain_seconds: top.drain_seconds.or(below.drain_seconds),
        argon2_memory_kib: top.argon2_memory_kib.or(below.argon2_memory_kib),
        argon2_iterations: top.argon2_iterations.or(below.argon2_iterations),
        hash_threads: top.hash_threads.or(below.hash_threads),
        hash_wait_seconds: top.hash_wait_seconds.or(below.hash_wait_seconds),
        database_seconds: top.database_seconds.or(below.database_seconds),
        database_connections: top.database_connections.or(below.database_connections),
        password_blocklist: top.password_blocklist.or(below.password_blocklist),
        registrations_per_hour: top.registrations_per_hour.or(below.registrations_per_hour),
        wrong_passwords_per_place: top
            .wrong_passwords_per_place
            .or(below.wrong_passwords_per_place),
        wrong_passwords_per_source: top
            .wrong_passwords_per_source
            .or(below.wrong_passwords_per_source),
        wrong_passwords_per_account: top
            .wrong_passwords_per_account
            .or(below.wrong_passwords_per_account),
        wrong_password_counts: top.wrong_password_counts.or(below.wrong_password_counts),
    }
}

/// Refuses numbers that nothing can work with.
fn sensible(options: &Options) -> Result<(), String> {
    for (name, none) in [
        ("body-bytes", options.body_bytes == Some(0)),
        ("request-seconds", options.request_seconds == Some(0)),
        ("connections", options.connections == Some(0)),
        ("hash-threads", options.hash_threads == Some(0)),
        ("database-seconds", options.database_seconds == Some(0)),
        ("database-connections", options.database_connections == Some(0)),
        ("registrations-per-hour", options.registrations_per_hour == Some(0)),
        ("wrong-passwords-per-place", options.wrong_passwords_per_place == Some(0)),
        ("wrong-passwords-per-source", options.wrong_passwords_per_source == Some(0)),
        ("wrong-passwords-per-account", options.wrong_passwords_per_account == Some(0)),
        ("wrong-password-counts", options.wrong_password_counts == Some(0)),
    ] {
        if none {
            return Err(format!("{name} is 0. Use 1 or more"));
        }
    }
    for (name, seconds) in [
        ("request-seconds", options.request_seconds),
        ("header-seconds", options.header_seconds),
        ("body-seconds", options.body_seconds),
        ("idle-seconds", options.idle_seconds),
        ("drain-seconds", options.drain_seconds),
        ("hash-wait-seconds", options.hash_wait_seconds),
        ("database-seconds", options.database_seconds),
    ] {
        if seconds.is_some_and(|it| it > DAY) {
            return Err(format!("{name} is more than a day. Use {DAY} at most"));
        }
    }
    Ok(())
}

fn check(options: Options) -> Result<Config, String> {
    sensible(&options)?;
    let profile = match &options.new_app_profile {
        None => Profile::Standard,
        Some(it) => Profile::parse(it)
            .ok_or_else(|| format!("new-app-profile is {it:?}. Use standard or compat"))?,
    };
    let database_url = match (&options.database_url, &options.database_url_file) {
        (Some(url), _) => Some(url.clone()),
        (None, None) => None,
        (None, Some(path)) => {
            let text = std::fs::read_to_string(path);
            let shown = path.display();
            Some(text.map_err(|it| format!("cannot read {shown}: {it}"))?.trim().to_owned())
        }
    };
    if database_url.is_some() && options.master_key.is_none() && options.master_key_file.is_none() {
        return Err("PostgreSQL needs a master key that all nodes share: set --master-key-file, \
                    or USHER_MASTER_KEY_FILE. Make one with: head -c 32 /dev/urandom | base64"
            .to_owned());
    }
    let proxies = options.trusted_proxies.unwrap_or_default();
    let proxies: Vec<String> =
        proxies.split(',').map(|it| it.trim().to_owned()).filter(|it| !it.is_empty()).collect();
    let proxies = TrustedProxies::parse(&proxies).map_err(|it| format!("trusted-proxies: {it}"))?;
    let prefix = options.ipv6_prefix.unwrap_or(64);
    let prefix = u8::try_from(prefix).ok().filter(|it| (1..=128).contains(it));
    let prefix = prefix.ok_or("ipv6-prefix must be a number of bits from 1 to 128")?;
    let proxies = proxies.with_prefix(prefix);
    let standard = hashes::Params::default();
    let params = hashes::Params {
        memory_kib: options.argon2_memory_kib.unwrap_or(standard.memory_kib),
        iterations: options.argon2_iterations.unwrap_or(standard.iterations),
        ..standard
    };
    params.check().map_err(|it| format!("argon2-memory-kib, argon2-iterations: {it}"))?;
    let usual = hashes::PoolOptions::default();
    let threads = options.hash_threads.unwrap_or(usual.threads);
    let max_wait = options.hash_wait_seconds.map_or(usual.max_wait, Duration::from_secs);
    let public_url = options.public_url.map(|it| it.trim_end_matches('/').to_owned());
    if public_url.as_deref().is_some_and(|it| !is_public(it)) {
        return Err(
            "public-url must be http:// or https://, then a host, without a query".to_owned()
        );
    }
    Ok(Config {
        listen: options.listen.unwrap_or_else(|| "127.0.0.1:9000".to_owned()),
        metrics_listen: options.metrics_listen,
        data_dir: options.data_dir.unwrap_or_else(|| PathBuf::from("./usher-data")),
        database_url,
        public_url,
        new_app_profile: profile,
        master_key_file: options.master_key_file,
        master_key: options.master_key,
        password_blocklist: options.password_blocklist,
        limits: Limits {
            body_bytes: options.body_bytes.unwrap_or(1 << 20),
            uri_bytes: 16 << 10,
            request_seconds: options.request_seconds.unwrap_or(60),
            connections: options.connections.unwrap_or(10_000),
            connections_per_source: options.connections_per_source.unwrap_or(1000),
            head_time: Duration::from_secs(options.header_seconds.unwrap_or(10)),
            idle_time: Duration::from_secs(options.idle_seconds.unwrap_or(75)),
            body_time: Duration::from_secs(options.body_seconds.unwrap_or(10)),
            body_pace: 1024,
            drain_seconds: options.drain_seconds.unwrap_or(10),
            proxies,
            database_time: Duration::from_secs(options.database_seconds.unwrap_or(5)),
            database_connections: options.database_connections.unwrap_or(0),
        },
        counts: options.wrong_password_counts.unwrap_or(1_000_000),
        brakes: crate::settings::Limits {
            place: options.wrong_passwords_per_place,
            source: options.wrong_passwords_per_source,
            account: options.wrong_passwords_per_account,
            registrations: options.registrations_per_hour,
        },
        hashing: hashes::PoolOptions { threads, params, max_wait },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_env(pairs: &[(&str, &str)]) -> Result<Config, String> {
        let pairs = pairs.iter().map(|it| (it.0.to_owned(), it.1.to_owned()));
        read(Options::default(), None, pairs)
    }

    #[test]
    fn a_mistake_is_one_line_that_names_it() {
        for (pairs, part) in [
            (vec![("USHER_LISTN", "x")], "listn"),
            (vec![("USHER_REQUEST_SECONDS", "9223372036854775807")], "request-seconds"),
            (vec![("USHER_BODY_BYTES", "many")], "body-bytes"),
            (vec![("USHER_CONNECTIONS", "0")], "connections"),
            (vec![("USHER_NEW_APP_PROFILE", "loose")], "loose"),
            (vec![("USHER_DATABASE_URL", "postgres:///u")], "master key"),
            (vec![("USHER_TRUSTED_PROXIES", "nonsense")], "trusted-proxies"),
            (vec![("USHER_ARGON2_MEMORY_KIB", "1024")], "19456"),
            (vec![("USHER_PUBLIC_URL", "ftp://x")], "public-url"),
            (vec![("USHER_PUBLIC_URL", "httpx://x")], "public-url"),
            (vec![("USHER_PUBLIC_URL", "https://")], "public-url"),
            (vec![("USHER_CONFIG", "/there/is/none.toml")], "none.toml"),
        ] {
            let text = read_env(&pairs).err().unwrap_or_default();
            assert!(text.contains(part) && !text.contains('\n'), "{pairs:?}: {text}");
        }
    }

    #[test]
    fn every_setting_has_a_flag_with_a_text_or_is_named_without_one() {
        use clap::Args as _;
        let command = Options::augment_args(clap::Command::new("usher"));
        let mut named: Vec<String> = Vec::new();
        for flag in command.get_arguments() {
            let name = flag.get_long().unwrap_or_default();
            let help = flag.get_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.len() > 10, "--{name} says what it is for");
            let number = help.contains("bytes") || help.starts_with("Seconds");
            assert!(!number || NUMBERS.contains(&name) || name.ends_with("file"), "--{name}");
            named.push(name.to_owned());
        }
        named.extend(NO_FLAG.iter().map(|it| it.0.to_owned()));
        // The reader of a table lists what it knows when it meets what it does not.
        let odd = toml::Table::from_iter([("no-such-thing".to_owned(), toml::Value::Integer(1))]);
        let complaint = odd.try_into::<Options>().err().unwrap().message().to_owned();
        let known: Vec<&str> = complaint.split('`').skip(3).step_by(2).collect();
        assert!(known.len() > 15, "{complaint}");
        assert!(NUMBERS.iter().all(|it| known.contains(it)));
        assert_eq!(named.iter().filter(|it| !known.contains(&it.as_str())).count(), 0, "{named:?}");
        assert_eq!(known.iter().filter(|it| !named.iter().any(|n| n == *it)).count(), 0);
    }

    #[test]
    fn flags_win_over_the_environment() {
        let flags = Options { listen: Some("a".to_owned()), ..Options::default() };
        let pairs = [("USHER_LISTEN", "b"), ("USHER_DATA_DIR", "c"), ("HOME", "x")];
        let pairs = pairs.iter().map(|it| (it.0.to_owned(), it.1.to_owned()));
        let config = read(flags, None, pairs).unwrap();
        assert_eq!((config.listen.as_str(), config.data_dir), ("a", PathBuf::from("c")));
    }

    #[test]
    fn a_password_on_the_command_line_is_refused() {
        let url = Some("postgres://u:secret@h/d".to_owned());
        let flags = Options { database_url: url, ..Options::default() };
        let text = read(flags, None, std::iter::empty()).err().unwrap();
        assert!(text.contains("USHER_DATABASE_URL") && !text.contains("secret"), "{text}");
    }
}
