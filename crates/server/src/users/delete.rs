//! Deleting users, with all that is theirs.
//!
//! Wire: users-api 2.13 (`DELETE …/users/{id}`), and the same through the data API and the Console.

use serde_json::json;

use super::write::{self, Change};
use crate::error::{Error, Result};
use crate::ids::UserId;
use crate::roles::{self, Operation};
use crate::server::Server;
use crate::web::{Answer, Caller, Names, Reply, State};

/// Deletes a user. Fails with 2000 where the caller may not, and 1000 for an unknown id.
pub async fn delete(State(server): State<Server>, caller: Caller, names: Names) -> Reply {
    by_caller(server, &caller, names.get("id")).await
}

/// The same with the id alone.
pub async fn by_caller(server: Server, caller: &Caller, id: &str) -> Reply {
    if !roles::may_user(caller, Operation::Delete, id) {
        return Err(Error::denied());
    }
    one(&Change::new(server, caller.app.clone(), caller.author()), id).await
}

/// Deletes one user, whom the author of `change` may delete, and tells when.
pub async fn one(change: &Change, id: &str) -> Reply {
    if all(change, vec![UserId(id.into())]).await? == 0 {
        return Err(Error::no_such_object(id));
    }
    Answer::json(&json!({ "deletionTime": change.author.at.0 }))
}

/// Deletes those of `users` who are there, in one transaction, and tells how many.
pub async fn all(change: &Change, users: Vec<UserId>) -> Result<usize> {
    let keep = change.clone();
    change.app.realm.data.write(move |tx| write::delete(tx, &keep, &users)).await
}
