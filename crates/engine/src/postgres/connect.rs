//! How a connection is made: the address, TLS, and what happens while the server is away.
//!
//! Certificates are always verified, with the name of the host; without TLS goes what stays on this
//! machine, and what the operator has set `sslmode=disable` for.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::timeout;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, Config, Connection, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::{cause, failure};
use crate::error::{Error, Result};

/// For one host to answer.
const CONNECT: Duration = Duration::from_secs(2);
/// For all hosts, TLS and the password.
const CONNECT_ALL: Duration = Duration::from_secs(5);
/// After a failure nobody tries again for this long: a queue full of work then fails at once and
/// does not wait two seconds each.
const PAUSE: Duration = Duration::from_millis(250);
/// Of silence, before the network is asked whether the other side is still there.
const KEEPALIVE: Duration = Duration::from_secs(30);

pub(crate) type Wire =
    Connection<Socket, <MakeRustlsConnect as tokio_postgres::tls::MakeTlsConnect<Socket>>::Stream>;

/// Makes connections.
pub(crate) struct Connector {
    config: Config,
    tls: MakeRustlsConnect,
    /// Since when the server is away, and why.
    away: Mutex<Option<(Instant, String)>>,
}

impl Connector {
    pub(crate) fn new(url: &str) -> Result<Self> {
        let (url, options) = split(url);
        // The parser's own error could quote the password.
        let wrong = |_| Error::other("the URL of the database is malformed. Check its spelling");
        let mut config: Config = url.parse().map_err(wrong)?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(Error::other("the URL of the database names no host"));
        }
        let mode = match options.mode.as_deref() {
            Some("disable") => SslMode::Disable,
            None | Some("prefer" | "allow") if is_local(&config) => SslMode::Disable,
            None | Some("prefer" | "allow" | "require" | "verify-ca" | "verify-full") => {
                SslMode::Require
            }
            Some(_) => {
                return Err(Error::other(
                    "sslmode of the database is unknown. Use disable, require or verify-full",
                ));
            }
        };
        config.ssl_mode(mode);
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT);
        }
        if config.get_keepalives_idle() > KEEPALIVE {
            config.keepalives_idle(KEEPALIVE);
        }
        let roots = match mode {
            SslMode::Disable => RootCertStore::empty(),
            _ => roots(options.roots)?,
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|it| Error::Other(Box::new(it)))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { config, tls: MakeRustlsConnect::new(tls), away: Mutex::default() })
    }

    /// A connection within `longest`, or at once the last failure if that was just now.
    pub(crate) async fn connect(&self, longest: Duration) -> Result<(Client, Wire)> {
        if let Some((since, why)) = &*self.away()
            && since.elapsed() < PAUSE
        {
            return Err(Error::Unavailable(why.clone()));
        }
        let connecting = timeout(longest.min(CONNECT_ALL), self.config.connect(self.tls.clone()));
        let connected = match connecting.await {
            Ok(Ok(both)) => Ok(both),
            Ok(Err(error)) => Err(match failure(&error) {
                Error::Unavailable(why) => Error::Unavailable(why),
                _ => Error::Unavailable(format!("cannot connect: {}", cause(&error))),
            }),
            Err(_) => Err(Error::Unavailable("cannot connect: no answer in time".to_owned())),
        };
        *self.away() = match &connected {
            Err(Error::Unavailable(why)) => Some((Instant::now(), why.clone())),
            _ => None,
        };
        connected
    }

    /// The means to reach the server for a cancellation.
    pub(crate) fn tls(&self) -> MakeRustlsConnect {
        self.tls.clone()
    }

    fn away(&self) -> MutexGuard<'_, Option<(Instant, String)>> {
        self.away.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What of libpq's TLS settings tokio-postgres does not know or knows less of.
#[derive(Debug, Default, PartialEq)]
struct TlsOptions {
    mode: Option<String>,
    roots: Option<PathBuf>,
}

/// Takes the TLS settings out of a URL or of a list of `key=value`.
fn split(url: &str) -> (String, TlsOptions) {
    let mut options = TlsOptions::default();
    let mut take = |pair: &str, decode: bool| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = if decode { percent_decoded(value) } else { value.trim_matches('\'').into() };
        match key {
            "sslmode" => options.mode = Some(value),
            "sslrootcert" => options.roots = Some(value.into()),
            _ => return false,
        }
        true
    };
    let rest = if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        let (address, query) = url.split_once('?').unwrap_or((url, ""));
        let kept: Vec<&str> = query.split('&').filter(|it| !take(it, true)).collect();
        format!("{address}?{}", kept.join("&"))
    } else {
        let is_ours = |it: &&str| it.starts_with("sslmode=") || it.starts_with("sslrootcert=");
        let mut kept = url.to_owned();
        for word in url.split_whitespace().filter(is_ours) {
            if take(word, false) {
                kept = kept.replacen(word, "", 1);
            }
        }
        kept
    };
    (rest.trim_end_matches('?').to_owned(), options)
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|it| str::from_utf8(it).ok());
        match hex.and_then(|it| u8::from_str_radix(it, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether nothing leaves this machine.
fn is_local(config: &Config) -> bool {
    let host = |it: &Host| match it {
        #[cfg(unix)]
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse().is_ok_and(|it: std::net::IpAddr| it.is_loopback())
        }
    };
    match config.get_hostaddrs() {
        [] => config.get_hosts().iter().all(host),
        addresses => addresses.iter().all(std::net::IpAddr::is_loopback),
    }
}

/// The certificates to trust: of `file`, else of the system.
fn roots(file: Option<PathBuf>) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let (found, from) = match file {
        Some(file) => {
            let read = CertificateDer::pem_file_iter(&file).and_then(Iterator::collect);
            let from = file.display().to_string();
            let found: Vec<_> = read.map_err(|it| {
                Error::other(format!("cannot read certificates from {from} (sslrootcert): {it}"))
            })?;
            (found, from)
        }
        None => (rustls_native_certs::load_native_certs().certs, "the system".to_owned()),
    };
    let (added, _) = roots.add_parsable_certificates(found);
    if added == 0 {
        return Err(Error::other(format!(
            "{from} has no certificates to verify the database's with. Name a PEM file in \
             sslrootcert, or install the package ca-certificates"
        )));
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_settings_are_taken_out_and_the_rest_stays() {
        for (url, rest, mode, roots) in [
            ("postgres://u@h/d", "postgres://u@h/d", None, None),
            (
                "postgres://u@h/d?sslmode=verify-full&host=/run",
                "postgres://u@h/d?host=/run",
                Some("verify-full"),
                None,
            ),
            (
                "postgresql://u@h/d?sslrootcert=%2Fetc%2Fca.pem&sslmode=require",
                "postgresql://u@h/d",
                Some("require"),
                Some("/etc/ca.pem"),
            ),
            ("host=h sslmode=disable user=u", "host=h  user=u", Some("disable"), None),
        ] {
            let (found, options) = split(url);
            assert_eq!(found, rest, "{url}");
            assert_eq!(options.mode.as_deref(), mode, "{url}");
            assert_eq!(options.roots, roots.map(PathBuf::from), "{url}");
        }
    }

    #[test]
    fn only_what_stays_on_the_machine_goes_without_tls_unasked() {
        for (url, mode) in [
            ("postgres://u@localhost/d", SslMode::Disable),
            ("postgres://u@127.0.0.1/d?sslmode=prefer", SslMode::Disable),
            ("postgres://u@/d?host=/run/postgresql", SslMode::Disable),
            ("host=/run/postgresql user=u", SslMode::Disable),
            ("postgres://u@db.example.com/d?sslmode=disable", SslMode::Disable),
            ("postgres://u@localhost/d?sslmode=require", SslMode::Require),
            ("postgres://u@db.example.com/d", SslMode::Require),
            ("postgres://u@db.example.com/d?sslmode=verify-full", SslMode::Require),
        ] {
            match Connector::new(url) {
                Ok(it) => assert_eq!(it.config.get_ssl_mode(), mode, "{url}"),
                // A machine without certificates of its own cannot trust anybody.
                Err(error) => {
                    assert_eq!(mode, SslMode::Require, "{url}");
                    assert!(error.to_string().contains("sslrootcert"), "{url}: {error}");
                }
            }
        }
    }

    #[test]
    fn a_wrong_url_is_refused_without_its_password() {
        for url in ["postgres://u:hush@h:port/d", "password=hush nonsense", "user=u password=hush"]
        {
            let error = Connector::new(url).err().map(|it| format!("{it} {it:?}"));
            assert!(error.is_some_and(|it| !it.contains("hush")), "{url}");
        }
    }
}
