//! The sessions of users, as developers see and end them.
//!
//! Wire: users-api 6.7 (`…/console/user/sessions/…`).

use serde_json::{Map, Value, json};

use crate::data;
use crate::error::{Error, Result};
use crate::ids::UserId;
use crate::schema::{USERS, identity};
use crate::server::Server;
use crate::sessions;
use crate::store::{self, identities, objects};
use crate::users::write::{self, Change};
use crate::web::{Answer, Body, Desk, Names, Pairs, Reply, State};

/// What pages of sessions read of the query.
pub const PAGE: &[(&str, &str)] = &[
    ("pageSize", "Entries at most, 1 to 100; by default 10"),
    ("cursor", "Where the page before ended"),
];
/// What the search for users reads of the query.
pub const USERS_QUERY: &[(&str, &str)] = &[
    ("identityOrUserId", "The identity or the id of one user; all users without it"),
    ("pageSize", "Users at most, 1 to 100; by default 10"),
    ("offset", "Users to leave out before them"),
    ("sortBy", "Columns, each with asc or desc, with commas between"),
];

fn page(pairs: &Pairs) -> Result<(String, u32)> {
    let most = match pairs.get("pageSize").filter(|it| !it.is_empty()) {
        None => 10,
        Some(text) => {
            text.parse::<u32>().ok().filter(|it| *it > 0).ok_or_else(Error::bad_page_size)?
        }
    };
    if most > 100 {
        return Err(Error::page_too_large());
    }
    Ok((pairs.get("cursor").unwrap_or_default().to_owned(), most))
}

/// A page and, if it is full, the cursor to the next.
fn paged(data: &[Value], last: Option<&str>, most: u32) -> Reply {
    let full = data.len() as u64 >= u64::from(most);
    Answer::json(&json!({ "data": data, "cursor": last.filter(|_| full) }))
}

/// `GET …/users`: one user by identity or id, or a page of all.
pub async fn users(desk: Desk, pairs: Pairs) -> Reply {
    let app = desk.app()?;
    let wanted = pairs.get("identityOrUserId").unwrap_or_default().trim().to_owned();
    if wanted.is_empty() {
        let mut query = Map::new();
        for name in ["pageSize", "offset", "sortBy"] {
            if let Some(value) = pairs.get(name).filter(|it| !it.is_empty()) {
                query.insert(name.to_owned(), value.into());
            }
        }
        return data::console_find((app, desk.asked.at), USERS, &query).await;
    }
    let table = app.users()?;
    let read = app.realm.data.read(move |db| {
        let mut id = Some(wanted.clone());
        if store::users::status(db, &wanted)?.is_none() {
            id = match identity::canonical(&wanted) {
                Ok(it) => identities::user(db, identities::LOGIN, it.as_str())?
                    .map(|it| it.as_str().to_owned()),
                Err(_) => None,
            };
        }
        let mut out = vec![b'['];
        if let Some(id) = id
            && objects::write_one(db, &table, &id, &mut out)?
        {
            out.push(b'}');
        }
        out.push(b']');
        Ok::<_, Error>(out)
    });
    Ok(Answer::json_text(read.await?))
}

/// `GET …/users-with-sessions`: users with live sessions, each with `sessions`, their number.
pub async fn users_with_sessions(State(server): State<Server>, desk: Desk, pairs: Pairs) -> Reply {
    let app = desk.app()?;
    let (after, most) = page(&pairs)?;
    let found = sessions::users_with(&server, (&app.realm, app.lifetime()), (after, most)).await?;
    let last = found.last().map(|it| it.0.clone());
    let table = app.users()?;
    let read = app.realm.data.read(move |db| {
        let mut users = Vec::new();
        for (id, sessions) in &found {
            let mut out = Vec::new();
            if objects::write_one(db, &table, id, &mut out)? {
                out.extend_from_slice(format!(",\"sessions\":{sessions}}}").as_bytes());
                users.push(serde_json::from_slice::<Value>(&out)?);
            } else {
                // Rows whose user is gone are swept; the page keeps its length.
                users.push(json!({ "objectId": id, "sessions": sessions }));
            }
        }
        Ok::<_, Error>(users)
    });
    paged(&read.await?, last.as_deref(), most)
}

/// `GET …/{userId}`: the live sessions of a user.
pub async fn of_user(
    State(server): State<Server>,
    desk: Desk,
    names: Names,
    pairs: Pairs,
) -> Reply {
    let app = desk.app()?;
    let (after, most) = page(&pairs)?;
    let place = (&app.realm, app.lifetime());
    let all = sessions::page_of_user(&server, place, names.get("id"), (after, most)).await?;
    let last = all.last().map(|it| it.id.clone());
    let all = all.iter().map(serde_json::to_value).collect::<Result<Vec<_>, _>>()?;
    paged(&all, last.as_deref(), most)
}

/// `PUT …/logout`: ends all sessions of one user, or of several.
pub async fn log_out(State(server): State<Server>, desk: Desk, Body(body): Body) -> Reply {
    let wrong = || Error::bad_parameter("Send the id of a user, or a JSON array of up to 1000 ids");
    let users = match body.ok_or_else(wrong)? {
        Value::String(id) => vec![id],
        Value::Array(ids) if ids.len() <= 1000 => {
            let ids = ids.iter().map(|it| it.as_str().map(str::to_owned));
            ids.collect::<Option<Vec<_>>>().ok_or_else(wrong)?
        }
        _ => return Err(wrong()),
    };
    let app = desk.app()?;
    sessions::close_users(&server, &app.realm, users, None, desk.author()).await?;
    Ok(Answer::empty())
}

/// `PUT …/user/unlock/{id}`: forgets the wrong passwords for a user's identity, and the lock.
pub async fn unlock(State(server): State<Server>, desk: Desk, names: Names) -> Reply {
    let (app, author, id) = (desk.app()?.clone(), desk.author(), UserId(names.get("id").into()));
    let change = Change::new(server, app.clone(), author);
    app.realm.data.write(move |tx| write::unlock(tx, &change, &id)).await?;
    Ok(Answer::empty())
}
