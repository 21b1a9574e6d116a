//! Commands beside a running server: one line of JSON each way over a socket in the data
//! directory, which only the owner of the directory can open. Without a running server, and with
//! PostgreSQL, the command opens the database itself.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};

use crate::config::Config;
use crate::console::{apps, developers};
use crate::error::{Error, Result};
use crate::ids::DeveloperId;
use crate::schema::identity;
use crate::server::Server;
use crate::settings::Profile;
use crate::start::{self, Instruments};
use crate::store;

const SOCKET: &str = "usher.sock";

/// Opens the socket of a server with an embedded database. The error is one line.
pub fn listen(server: &Server, config: &Config) -> Result<(), String> {
    if config.database_url.is_some() {
        return Ok(());
    }
    let path = config.data_dir.join(SOCKET);
    // Left by a process that was killed; the directory is held by this one.
    let _ = std::fs::remove_file(&path);
    let failed = |it: std::io::Error| format!("cannot make {}: {it}", path.display());
    let listener = UnixListener::bind(&path).map_err(failed)?;
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&path, mode).map_err(failed)?;
    let keep = server.clone();
    server.background.run(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                // Out of descriptors, most likely: others must end before the next can come.
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                continue;
            };
            let server = keep.clone();
            keep.background.run(async move {
                // A command that went away is no matter.
                let _ = answer(&server, stream).await;
            });
        }
    });
    Ok(())
}

async fn answer(server: &Server, stream: UnixStream) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    BufReader::new(read).read_line(&mut line).await?;
    let reply = match carry_out(server, &line).await {
        Ok(text) => json!({ "ok": text }),
        Err(error) => json!({ "error": error.to_string() }),
    };
    write.write_all(format!("{reply}\n").as_bytes()).await
}

/// Has a command carried out and gives the line to print. The error is one line.
pub async fn ask(config: &Config, request: Value) -> Result<String, String> {
    let line = request.to_string();
    if config.database_url.is_some() {
        return alone(config, &line).await;
    }
    // Another command may have the data for a moment, or a server that is starting.
    let began = Instant::now();
    loop {
        if let Ok(stream) = UnixStream::connect(config.data_dir.join(SOCKET)).await {
            return beside(stream, &line).await;
        }
        if let Some(hold) = start::hold(&config.data_dir)? {
            let done = alone(config, &line).await;
            drop(hold);
            return done;
        }
        if began.elapsed() > PATIENCE {
            return Err(start::held(&config.data_dir));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// How long a command waits for the data directory.
const PATIENCE: Duration = Duration::from_secs(10);

/// Has the running server do it.
async fn beside(mut stream: UnixStream, line: &str) -> Result<String, String> {
    let gone = |it: std::io::Error| format!("the running server did not answer: {it}");
    stream.write_all(format!("{line}\n").as_bytes()).await.map_err(gone)?;
    let mut reply = String::new();
    BufReader::new(stream).read_line(&mut reply).await.map_err(gone)?;
    let reply: Value = serde_json::from_str(&reply)
        .map_err(|_| "the server stopped before it answered. See whether it was done".to_owned())?;
    match (&reply["ok"], &reply["error"]) {
        (Value::String(text), _) => Ok(text.clone()),
        (_, error) => Err(error.as_str().unwrap_or("no answer").to_owned()),
    }
}

/// Opens the data and does it here.
async fn alone(config: &Config, line: &str) -> Result<String, String> {
    let server = start::build(config, "", Instruments::default()).await?;
    let done = carry_out(&server, line).await.map_err(|it| it.to_string());
    start::stop(&server).await;
    done
}

async fn carry_out(server: &Server, line: &str) -> Result<String> {
    let request = crate::json::read(line.trim_end().as_bytes()).map_err(Error::bad_json)?;
    let field = |name: &str| request[name].as_str().unwrap_or_default();
    match field("do") {
        "developer-add" => {
            let (email, name) = (field("email"), field("name"));
            let id = developers::add(server, email, name, field("password")).await?;
            Ok(json!({ "id": id, "email": email.trim(), "name": name.trim() }).to_string())
        }
        "developer-reset" => {
            let email = field("email");
            let id = developers::reset(server, email, field("password")).await?;
            Ok(json!({ "id": id, "email": email.trim() }).to_string())
        }
        "app-create" => {
            let profile = match request["profile"].as_str() {
                None => server.new_app_profile,
                Some(text) => Profile::parse(text)
                    .ok_or_else(|| Error::bad_parameter("--profile must be standard or compat"))?,
            };
            let owner = owner(server, request["owner"].as_str()).await?;
            let author = developers::operator(server);
            let made = apps::make(server, author, (&owner, field("name"), profile)).await?;
            // In the order in which people look for them.
            let order = ["JS", "REST", "IOS", "ANDROID", "WP", "AS", "BL"];
            let found = order.iter().filter_map(|it| made.keys.iter().find(|key| key.0 == *it));
            let keys: Map<String, Value> =
                found.map(|(device, key)| ((*device).to_owned(), key.reveal().into())).collect();
            let app = &made.app;
            let shown = json!({
                "id": app.id,
                "name": app.name,
                "profile": app.profile.as_str(),
                "apiKeys": keys,
            });
            Ok(shown.to_string())
        }
        _ => Err(Error::bad_parameter("unknown command")),
    }
}

/// The developer with that address; without one, the only developer there is.
async fn owner(server: &Server, email: Option<&str>) -> Result<DeveloperId> {
    let email = email.map(|it| identity::canonical(it).map(|it| it.as_str().to_owned()));
    let email = email.transpose().map_err(|_| Error::not_an_address())?;
    let read = server.apps.platform.data.read(move |db| match &email {
        Some(email) => Ok::<_, Error>(
            store::developers::by_email(db, email)?.map(|it| it.0.id).into_iter().collect(),
        ),
        None => store::developers::first_two(db),
    });
    match read.await?.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Error::bad_parameter("There is no such developer. Run: usher developer add")),
        _ => Err(Error::bad_parameter("There are several developers. Say which with --owner")),
    }
}
