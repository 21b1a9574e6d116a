//! A mistake in the configuration stops the start with one line that names the setting, shows no
//! secret and leaves nothing half made.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::database::{Home, MASTER_KEY};
use super::process::{Process, run, usher};

/// What no line may show.
const SECRET: &str = "hushhush";

/// One mistake: words after `serve`, variables, the TOML file, and what the line must say.
type Mistake<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str, &'a str);

const PLAIN: &[Mistake<'_>] = &[
    // The command line.
    (&["--listn", "x"], &[], "", "--listn"),
    (&["--body-bytes", "many"], &[], "", "--body-bytes"),
    (&["--body-bytes=-1"], &[], "", "--body-bytes"),
    (&["--drain-seconds", "1.5"], &[], "", "--drain-seconds"),
    (&["--listen"], &[], "", "--listen"),
    (&["--master-key", SECRET], &[], "", "--master-key"),
    (&["--master-key=hushhush"], &[], "", "--master-key"),
    (&["--database-url", "postgres://u:hushhush@h/d"], &[], "", "--database-url"),
    (&["--database-url", "host=h password = hushhush"], &[], "", "--database-url"),
    (&["--new-app-profile", "loose"], &[], "", "new-app-profile"),
    (&["--public-url", "ftp://x"], &[], "", "public-url"),
    (&["--public-url", "httpx://x"], &[], "", "public-url"),
    (&["--public-url", "example.com"], &[], "", "public-url"),
    (&["--public-url", "https://a.example/?x=1"], &[], "", "public-url"),
    (&["--public-url", "https://u:hushhush@a.example"], &[], "", "public-url"),
    (&["--trusted-proxies", "10.0.0.0/99"], &[], "", "trusted-proxies"),
    (&["--listen", "nonsense"], &[], "", "listen"),
    (&["--listen", "256.1.1.1:9"], &[], "", "listen"),
    (&["--connections", "0"], &[], "", "connections"),
    (&["--body-bytes", "0"], &[], "", "body-bytes"),
    (&["--request-seconds", "0"], &[], "", "request-seconds"),
    (&["--hash-threads", "0"], &[], "", "hash-threads"),
    (&["--config", "/there/is/none.toml"], &[], "", "/there/is/none.toml"),
    (&["--master-key-file", "/there/is/none.key"], &[], "", "/there/is/none.key"),
    (&["--database-url-file", "/there/is/none.url"], &[], "", "/there/is/none.url"),
    // Hashes below the floors (PW-1).
    (&["--argon2-memory-kib", "19455"], &[], "", "argon2-memory-kib"),
    (&["--argon2-iterations", "1"], &[], "", "argon2-iterations"),
    (&["--argon2-iterations", "0"], &[], "", "argon2-iterations"),
    (&["--argon2-iterations", "3", "--argon2-memory-kib", "12287"], &[], "", "argon2-memory-kib"),
    (&["--argon2-memory-kib", "4194304"], &[], "", "argon2-memory-kib"),
    // The environment.
    (&[], &[("USHER_LISTN", "hushhush")], "", "listn"),
    (&[], &[("USHER_CONNECTIONS", "many")], "", "USHER_CONNECTIONS"),
    (&[], &[("USHER_DRAIN_SECONDS", "-5")], "", "drain-seconds"),
    (&[], &[("USHER_MASTER_KEY", "hushhush")], "", "master key"),
    (&[], &[("USHER_MASTER_KEY", "aHVzaGh1c2g=")], "", "master key"),
    (&[], &[("USHER_DATABASE_URL", "postgres://u:hushhush@h/d")], "", "master-key"),
    (&[], &[("USHER_CONFIG", "/there/is/none.toml")], "", "/there/is/none.toml"),
    // The file.
    (&[], &[], "listn = \"hushhush\"\n", "listn"),
    (&[], &[], "[server]\nlisten = \"x\"\n", "server"),
    (&[], &[], "body-bytes = \"hushhush\"\n", "body-bytes"),
    (&[], &[], "listen = 9000\n", "listen"),
    (&[], &[], "\n\nmaster-key = \"hushhush\n", "line 3"),
    (&[], &[], "listen = \"a\"\nlisten = \"hushhush\"\n", "line 2"),
    (&[], &[], "database-url = [\"hushhush\"]\n", "database-url"),
    (&[], &[], "new-app-profile = \"loose\"\n", "new-app-profile"),
];

/// Runs it in an empty folder, and checks what it says and leaves.
fn refused(command: Command, data: &Path, says: &str, what: &str) {
    let ended = run(command, "");
    assert!(!ended.status.success() && ended.status.code().is_some(), "{what}: {ended:?}");
    assert_eq!(ended.out, "", "{what}");
    assert_eq!(ended.err.lines().count(), 1, "{what}: {}", ended.err);
    assert!(ended.err.starts_with("usher: "), "{what}: {}", ended.err);
    assert!(ended.err.contains(says), "{what} should name {says}: {}", ended.err);
    assert!(!ended.err.contains(SECRET), "{what}: {}", ended.err);
    for made in ["control.db", "master.key", "apps"] {
        assert!(!data.join(made).exists(), "{what} has made {made}");
    }
}

#[test]
fn d_27_each_mistake_stops_the_start_with_one_line_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    for (number, (words, variables, toml, says)) in PLAIN.iter().enumerate() {
        let data = dir.path().join(number.to_string());
        let mut command = usher(&["serve"]);
        command.args(*words).env("USHER_DATA_DIR", &data).current_dir(dir.path());
        command.envs(variables.iter().copied());
        if !toml.is_empty() {
            let file = dir.path().join("usher.toml");
            std::fs::write(&file, toml).unwrap();
            command.arg("--config").arg(file);
        }
        refused(command, &data, says, &format!("{words:?} {variables:?} {toml:?}"));
    }
}

#[test]
fn d_27_what_the_machine_does_not_give_stops_the_start_with_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let at = |data: &Path| {
        let mut command = usher(&["serve", "--listen", "127.0.0.1:0"]);
        command.env("USHER_DATA_DIR", data).current_dir(dir.path());
        command
    };
    let data = dir.path().join("data");

    // A key that others can read (K-4); a safe one beside it is taken.
    let key = dir.path().join("key");
    std::fs::write(&key, MASTER_KEY).unwrap();
    let mode = |mode| std::fs::set_permissions(&key, PermissionsExt::from_mode(mode)).unwrap();
    for open in [0o644, 0o640, 0o602, 0o601] {
        mode(open);
        let mut command = at(&data);
        command.env("USHER_MASTER_KEY_FILE", &key);
        refused(command, &data, "can be read by others", "an open key file");
    }
    for wrong in ["", "hushhush", "not Base64, hushhush", &MASTER_KEY[4..]] {
        std::fs::write(&key, wrong).unwrap();
        mode(0o600);
        let mut command = at(&data);
        command.env("USHER_MASTER_KEY_FILE", &key);
        refused(command, &data, "master key", "a key that is none");
    }
    std::fs::write(&key, MASTER_KEY).unwrap();
    let good = dir.path().join("good");
    let mut command = at(&good);
    command.env("USHER_MASTER_KEY_FILE", &key);
    assert!(Process::of(command).unwrap().stop().status.success());
    assert_eq!(good.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    assert!(!good.join("master.key").exists(), "one key is enough");

    // Its own key, when somebody has opened it to others, and when it was exchanged for none.
    let own = dir.path().join("own");
    assert!(Process::of(at(&own)).unwrap().stop().status.success());
    let opened = own.join("master.key");
    std::fs::set_permissions(&opened, PermissionsExt::from_mode(0o644)).unwrap();
    let ended = run(at(&own), "");
    assert_eq!((ended.status.code(), ended.err.lines().count()), (Some(1), 1), "{ended:?}");
    assert!(ended.err.contains("can be read by others"), "{}", ended.err);

    // Ports that are taken.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().to_string();
    for setting in ["listen", "metrics-listen"] {
        let name = format!("USHER_{}", setting.to_uppercase().replace('-', "_"));
        let mut command = usher(&["serve"]);
        command.env("USHER_LISTEN", "127.0.0.1:0").env(name, &port).env("USHER_DATA_DIR", &data);
        refused(command, &data, &format!("{setting}: cannot listen on {port}"), setting);
    }

    // Places that are none.
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    for place in [&file, &file.join("below"), Path::new("/proc/usher-data")] {
        refused(at(place), place, "data directory", "a place that is none");
    }

    // Databases that are none.
    for (url, says) in [
        ("postgres://u:hushhush@127.0.0.1:1/d", "database-url"),
        ("postgres://u:hushhush@/d?host=/there/is/none", "database-url"),
        ("mysql://u:hushhush@127.0.0.1/d", "database-url"),
        ("hushhush", "database-url"),
        ("postgres://u:hushhush@127.0.0.1:1/d?sslmode=maybe", "sslmode"),
    ] {
        let mut command = at(&data);
        command.env("USHER_DATABASE_URL", url).env("USHER_MASTER_KEY", MASTER_KEY);
        refused(command, &data, says, url);
    }
}

#[tokio::test]
async fn d_27_flags_win_over_the_environment_and_that_over_the_file() {
    let home = Home::empty().await;
    let file = home.dir().join("usher.toml");
    std::fs::write(&file, "listen = \"256.0.0.1:1\"\nnew-app-profile = \"compat\"\n").unwrap();
    let other = home.dir().join("other.toml");
    std::fs::write(&other, "nonsense = 1\n").unwrap();
    let server = Process::start_with(&home, |it| {
        it.arg("--config").arg(&file);
        it.env("USHER_LISTEN", "256.0.0.1:2").env("USHER_CONFIG", &other);
    });
    server.setup_link();
    assert!(server.said().contains("profile compat"), "the warning of the file's profile");
}
