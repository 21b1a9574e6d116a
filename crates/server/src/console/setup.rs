//! The set-up link: a plain form for the first developer and the first application, until the
//! Console has screens.

use serde_json::json;

use super::{apps, developers};
use crate::clock::Seconds;
use crate::error::{Error, Result};
use crate::events::Actor;
use crate::password::Door;
use crate::secret::Token;
use crate::server::Server;
use crate::sessions::brake;
use crate::store::{self, Tx};
use crate::web::{Answer, Asked, FormBody, Names, Reply, State};

/// How long a link can be used.
const LIFE: Seconds = Seconds(3600);

/// Makes the link, if there is no developer yet. An older one is dead from now on.
pub async fn link(server: &Server) -> Result<Option<String>> {
    let token = Token::new(&server.random);
    let (hash, expires) = (token.digest(), server.clock.now() + LIFE);
    let write = move |tx: &Tx<'_>| {
        if store::developers::any(tx)? {
            return Ok(false);
        }
        store::setup::replace(tx, &hash, expires)?;
        Ok::<_, Error>(true)
    };
    let made = server.apps.platform.data.write(write).await?;
    Ok(made.then(|| format!("{}/setup/{}", server.public_url, token.reveal())))
}

/// Shows the form. Looking at it spends nothing.
pub async fn form(State(server): State<Server>, names: Names) -> Reply {
    let (hash, now) = (Token::from_client(names.get("secret")).digest(), server.clock.now());
    let open = server.apps.platform.data.read(move |db| store::setup::is_open(db, &hash, now));
    if !open.await? {
        return Err(Error::no_such_setup());
    }
    Ok(Answer::page(page("Set up Usher", FORM)))
}

/// Makes the first developer and the first application, and shows its keys. The link is spent in
/// the transaction that makes the developer: of several at the same moment one wins.
pub async fn submit(
    State(server): State<Server>,
    asked: Asked,
    names: Names,
    form: FormBody,
) -> Reply {
    let (hash, now) = (Token::from_client(names.get("secret")).digest(), asked.at);
    let parts = (form.get("email"), form.get("name"), form.get("password"));
    let name = Some(form.get("app")).filter(|it| !it.trim().is_empty()).unwrap_or("My first app");
    // All is checked before the link is spent: it cannot be used again.
    apps::accept_name(name)?;
    let new = developers::prepare(&server, Door::SetUp, parts).await?;
    let author = asked.author(Actor::Operator, "");
    let (keep, by, group) = (server.clone(), author.clone(), asked.source.group());
    let write = move |tx: &Tx<'_>| {
        if !store::setup::spend(tx, &hash, now)? || store::developers::any(tx)? {
            return Err(Error::no_such_setup());
        }
        let id = developers::insert(tx, &keep, &by, &new)?;
        brake::registered(tx, &id.0, Some(group), now)?;
        Ok(id)
    };
    let owner = server.apps.platform.data.write(write).await?;
    let made = apps::make(&server, author, (&owner, name, server.new_app_profile)).await?;
    let mut rows = String::new();
    for (device, key) in &made.keys {
        rows.push_str("<tr><th>");
        rows.push_str(device);
        rows.push_str("<td><code>");
        rows.push_str(key.reveal());
        rows.push_str("</code>");
    }
    let key =
        |device: &str| made.keys.iter().find(|it| it.0 == device).map_or("", |it| it.1.reveal());
    let (id, url) = (&made.app.id.0, &server.public_url);
    let body = json!({ "email": "ann@example.com", "password": "correct horse" });
    let call = format!(
        "curl -X POST {url}/{id}/{}/users/register -H 'Content-Type: application/json' -d '{body}'",
        key("REST")
    );
    let body = format!(
        "<h1>{} is ready</h1><p>Application id <code>{id}</code></p>\
         <table><caption>API keys</caption>{rows}</table>\
         <h2>A first call</h2><pre>{}</pre>",
        escape(&made.app.name),
        escape(&call)
    );
    Ok(Answer::page(page("Ready", &body)))
}

const FORM: &str = "<h1>Set up Usher</h1><form method=post>\
    <p><label>E-mail<br><input name=email type=email required autocomplete=username></label>\
    <p><label>Name<br><input name=name required autocomplete=name></label>\
    <p><label>Password, 15 characters or more<br>\
    <input name=password type=password minlength=15 required autocomplete=new-password></label>\
    <p><label>First application<br><input name=app value='My first app' required></label>\
    <p><button>Make them</button></form>";

fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8>\
         <meta name=viewport content='width=device-width'><title>{title}</title>\
         <style>body{{font:16px/1.5 sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem;\
         color-scheme:light dark}}input{{font:inherit;padding:.4rem;width:100%;box-sizing:border-box}}\
         button{{font:inherit;padding:.5rem 1rem}}pre{{white-space:pre-wrap;word-break:break-all}}\
         th{{text-align:left;padding-right:1rem}}</style><body><main>{body}</main>"
    )
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}
