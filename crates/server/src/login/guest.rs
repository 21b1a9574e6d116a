//! Login as a guest: a user without identity and password, and a session, in one step.
//!
//! Wire: users-api 2.4 (`POST …/users/register/guest`).

use crate::error::Error;
use crate::events::Event;
use crate::ids::UserId;
use crate::schema::record;
use crate::server::Server;
use crate::sessions::{self, Ticket, Via};
use crate::store::objects;
use crate::store::users::Status;
use crate::users::write::{self, Change, NewUser};
use crate::web::{Caller, Reply, State};

/// Makes a guest. Fails with 3009 when registration is off.
pub async fn login(State(server): State<Server>, caller: Caller) -> Reply {
    if !caller.app.settings.registration.user_registration_enabled {
        return Err(Error::registration_off());
    }
    sessions::brake::registration(&server, &caller).await?;
    let id = UserId(server.random.object_id(caller.asked.at).into());
    let table = caller.app.users()?;
    let cells = record::of_guest(&table, &server.random, caller.asked.at)?;
    let (ticket, token) = Ticket::new(&server, &caller, id.as_str(), Via::Guest);
    let user = NewUser {
        id,
        cells,
        unknown: Vec::new(),
        identity: None,
        password: None,
        status: Status::Guest,
    };
    let app = caller.app.clone();
    let change = Change::new(server.clone(), app, caller.author());
    let write = caller.app.realm.data.write(move |tx| {
        write::insert(tx, &change, &user, Event::GuestCreated)?;
        sessions::open(tx, &ticket)?;
        let mut out = Vec::new();
        objects::write_one(tx, &table, user.id.as_str(), &mut out)?;
        Ok::<_, Error>(out)
    });
    let out = write.await?;
    Ok(super::password::logged_in(&caller, out, &token))
}
