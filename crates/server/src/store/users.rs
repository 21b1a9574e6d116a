//! The table `Users` of an application, as far as the server itself reads and writes it.

use super::{Db, Row, Tx};
use crate::clock::Millis;
use crate::error::Result;
use crate::ids::UserId;

/// Whether an account may be used (users-api 2.14).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It may.
    Enabled,
    /// A developer or server code has said no.
    Disabled,
    /// The link in the mail has not been followed.
    Pending,
    /// A guest: no identity, no password.
    Guest,
}

impl Status {
    /// The word on the wire and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "ENABLED",
            Self::Disabled => "DISABLED",
            Self::Pending => "EMAIL_CONFIRMATION_PENDING",
            Self::Guest => "GUEST",
        }
    }

    /// The status of that word.
    pub fn parse(text: &str) -> Option<Self> {
        let all = [Self::Enabled, Self::Disabled, Self::Pending, Self::Guest];
        all.into_iter().find(|it| it.as_str() == text)
    }
}

fn read_status(row: &Row<'_>) -> engine::Result<Status> {
    let text = row.get::<Option<String>>("userStatus")?;
    // A word that somebody wrote with other tools and that means nothing keeps the user out.
    Ok(text.as_deref().and_then(Status::parse).unwrap_or(Status::Disabled))
}

/// The status of a user; `None` if there is no such user.
pub fn status(db: &Db<'_>, user: &str) -> Result<Option<Status>> {
    let sql = r#"select "userStatus" from app."Users" where "objectId" = ?1"#;
    Ok(db.row(sql, &[&user], read_status)?)
}

/// The status of a user, whose row stays locked until `tx` ends.
///
/// So of two logins at the same moment the second waits here until it can count the first, and a
/// login never slips past a disabling. PostgreSQL needs this: there a statement does not see what
/// another transaction has yet to commit. With SQLite writers follow each other anyway.
pub fn lock(tx: &Tx<'_>, user: &str) -> Result<Option<Status>> {
    let lock = tx.dialect().for_update();
    let sql = format!(r#"select "userStatus" from app."Users" where "objectId" = ?1{lock}"#);
    Ok(tx.row(&sql, &[&user], read_status)?)
}

/// Notes a login; `updated` stays as it is.
pub fn note_login(tx: &Tx<'_>, user: &str, now: Millis) -> Result<()> {
    tx.exec(r#"update app."Users" set "lastLogin" = ?1 where "objectId" = ?2"#, &[&now, &user])?;
    Ok(())
}

/// Sets the status of a user.
pub fn set_status(tx: &Tx<'_>, user: &UserId, status: Status, now: Millis) -> Result<()> {
    let sql = r#"update app."Users" set "userStatus" = ?1, "updated" = ?2 where "objectId" = ?3"#;
    tx.exec(sql, &[&status.as_str(), &now, &user.as_str()])?;
    Ok(())
}
